"""A page in a headless Chromium, driven over pipes by its DevTools protocol: no port, no driver program."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --remote-debugging-pipe --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --disable-dev-shm-usage --hide-scrollbars"
).split()
_READS, _WRITES = 3, 4  # the descriptors on which Chromium expects its pipes


class ChromiumPage:
    """One tab; a context manager that ends the browser.

    Parameters
    ----------
    profile : Path
        An empty folder for the browser.
    width, height : int
        CSS pixels.
    """

    def __init__(self, profile: Path, *, width: int = 1400, height: int = 1000) -> None:
        commands, answers = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (commands[0], answers[1])]
        self._process = subprocess.Popen(
            [str(CHROMIUM), *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(_READS, _WRITES),
            preexec_fn=lambda: (os.dup2(ends[0], _READS), os.dup2(ends[1], _WRITES)),
        )
        for fd in (commands[0], answers[1], *ends):
            os.close(fd)
        self._commands, self._answers = os.fdopen(commands[1], "wb", 0), os.fdopen(answers[0], "rb")
        self._sent = 0
        self._session: str | None = None
        (target,) = (
            each for each in self._send("Target.getTargets")["targetInfos"] if each["type"] == "page"
        )
        attached = self._send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def __enter__(self) -> ChromiumPage:
        return self

    def __exit__(self, *exception: object) -> None:
        self._commands.close()  # Chromium ends with its pipe
        self._answers.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def open(self, page: Path | str, *, before: str = "") -> None:
        """Load a file or URL and wait for it; `before` is script that runs before the page's own."""
        self._send("Page.enable")
        self._send("Page.addScriptToEvaluateOnNewDocument", source=before)
        self._send("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        self.evaluate(
            "new Promise((done) => document.readyState === 'complete' ? done() "
            ": addEventListener('load', done))"
        )

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression, a promise's awaited; fails with what it throws."""
        found = self._send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]["exception"]["description"]
        return found["result"].get("value")

    def prefer(self, theme: str) -> None:
        """Show pages as to a person who prefers the `light` or `dark` theme."""
        self._send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def screenshot(self, path: Path) -> None:
        """Write what is in view as a PNG."""
        path.write_bytes(b64decode(self._send("Page.captureScreenshot")["data"]))

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        self._sent += 1
        command = {"id": self._sent, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        self._commands.write(json.dumps(command).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._sent:
                assert "error" not in answer, answer["error"]
                found: dict[str, Any] = answer["result"]
                return found

    def _receive(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self._answers.read(1)) not in (b"\0", b""):
            text += byte
        assert text, "Chromium ended"
        answer: dict[str, Any] = json.loads(text)
        return answer

"""Clients of the exchange that others wrote, in an environment and a process of their own.

They bring two hundred megabytes that the product does not need, so they are installed once per user, in
`~/.cache/crypto-futures-agent`, keyed by what is installed; a test talks to them over pipes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).with_name("venue_clients")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crypto-futures-agent"
_INSTALL_TIMEOUT_S = 600.0


class NoClients(Exception):
    """The clients could not be installed; says why."""


def client_python() -> Path:
    """Return the interpreter that has the clients, installed first where this user does not have them yet.

    Raises
    ------
    NoClients
        The package index does not answer, or lacks a version.
    """
    requirements = CLIENTS / "requirements.txt"
    content = f"{sys.version}\n{sys.base_prefix}\n{requirements.read_text()}"
    place = _CACHE / f"venue-clients-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "venue-clients.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs install once
        if not place.exists():
            _install(requirements, place)
    return place / "bin" / "python"


def _install(requirements: Path, place: Path) -> None:
    """Make the environment beside its place and move it there when it is complete."""
    scratch = Path(tempfile.mkdtemp(prefix="venue-clients.", dir=_CACHE))
    python = scratch / "bin" / "python"
    commands = (
        [sys.executable, "-m", "venv", "--without-pip", str(scratch)],
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "-r", str(requirements)],
    )
    try:
        for command in commands:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False
            )
            if done.returncode:
                raise NoClients(f"the clients in {requirements} cannot be installed: {done.stderr[-400:]}")
        scratch.rename(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class ClientProcess:
    """A program that answers one line of JSON for each it reads; a context manager that ends it."""

    def __init__(self, python: Path, program: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", str(CLIENTS / program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ},
        )

    def __enter__(self) -> ClientProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # the program ends with its input
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the program's answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answered = self._process.stdout.readline()
        assert answered, f"the client ended with {self._process.wait(timeout=10)}; its stderr says why"
        answer: dict[str, Any] = json.loads(answered)
        return answer

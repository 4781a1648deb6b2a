"""The demo: the real commands, one after the other, against the simulator, in a scratch directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

from futures_agent.errors import ExitCode, Refuse, Retry
from futures_agent.exchange.payloads import decode_exchange_info
from futures_agent.files import write_atomically

TIME_SCALE = 120.0  # the simulator's clock: the weight limit's minute lasts half a second
COMPILED = Path.home() / ".cache" / "crypto-futures-agent" / "compiled"
_MARK = "demo-scratch"  # only a directory with this file in it is ever emptied


def run_demo(directory: Path, data: Path | None) -> None:
    """Sync, validate, backtest and show the status in `directory`.

    Parameters
    ----------
    directory : Path
        Scratch directory; must be absent, empty, or left by an earlier demo.
    data : Path, optional
        Folder of real candles; without it 60 symbols are generated.

    Raises
    ------
    Refuse
        The directory holds something else.
    Retry
        A step failed.
    """
    directory = directory.resolve()
    _empty(directory)
    began = time.monotonic()
    with _simulator(directory, data) as url:
        symbols = _symbols(url)
        environment = {
            **os.environ,
            "AGENT_CONFIG": str(_config(directory)),
            "AGENT_PATHS__STATE_DIR": str(directory / "state"),
            "AGENT_EXCHANGE__REST_URL": url,
            "AGENT_EXCHANGE__TIME_SCALE": str(TIME_SCALE),
            "AGENT_DATA__SYMBOLS": ",".join(symbols),
            "AGENT_MACRO__FRED_URL": url,
            "AGENT_MACRO__FEAR_GREED_URL": url,
            "AGENT_MACRO__FRED_KEY_FILE": str(_fred_key(directory)),
            # Outside the scratch directory: the second demo compiles nothing.
            "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", str(COMPILED)),
        }
        for step in (["data-sync"], ["sentiment-macro"], ["data-validation"], ["backtest"], ["status"]):
            _run(step, environment)
    report = directory / "state" / "backtest" / "results" / "latest.html"
    print(f"\nDone in {time.monotonic() - began:.0f} s. The report: {report}")


def _empty(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise Refuse(f"{directory}: not a directory; choose another --directory")
    if directory.exists() and any(directory.iterdir()) and not (directory / _MARK).exists():
        raise Refuse(f"{directory}: not empty and not left by a demo; choose another --directory")
    shutil.rmtree(directory, ignore_errors=True)
    write_atomically(directory / _MARK, b"")


def _config(directory: Path) -> Path:
    """Write an empty settings file: a demo must not depend on what the host's own file says."""
    path = directory / "agent.toml"
    path.write_text("# The demo's settings come from its environment.\n")
    return path


def _fred_key(directory: Path) -> Path:
    """Write the key with which the simulated FRED answers: any that looks like one."""
    path = directory / "fred_key"
    path.write_text("demo" * 8)
    return path


@contextmanager
def _simulator(directory: Path, data: Path | None) -> Iterator[str]:
    """Run the simulator as a process of its own; yields its URL."""
    url_file, log = directory / "simulator.url", directory / "simulator.log"
    command = ["simulator", "--port", "0", "--scale", str(TIME_SCALE), "--url-file", str(url_file)]
    if data is not None:
        command += ["--data", str(data.resolve())]
    print(f"$ agentctl {' '.join(command)} &", flush=True)
    with log.open("wb") as output:
        process = subprocess.Popen(_agentctl(command), stdout=output, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            if url_file.exists():
                break
            if process.poll() is not None:
                raise Refuse(f"the simulator did not start: {_last_line(log)}")
            time.sleep(0.1)
        else:
            raise Retry(f"the simulator did not answer within 60 s; {log} says why")
        yield url_file.read_text().strip()
    finally:
        process.terminate()
        process.wait(timeout=10)


def _symbols(url: str) -> Sequence[str]:
    """Return what the simulator trades, so that the demo asks for just that."""
    reply = requests.get(f"{url}/fapi/v1/exchangeInfo", timeout=60)
    instruments = decode_exchange_info(reply.content, url).instruments.values()
    return [instrument.symbol for instrument in instruments if instrument.tradable]


def _run(step: list[str], environment: dict[str, str]) -> None:
    print(f"\n$ agentctl {' '.join(step)}", flush=True)
    code = subprocess.run(_agentctl(step), env=environment, check=False).returncode
    if code not in (ExitCode.OK, ExitCode.GATE_FAILED):
        raise Retry(f"`agentctl {' '.join(step)}` ended with exit code {code}; the lines above say why")


def _agentctl(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "futures_agent.cli", *arguments]


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"{log} is empty"

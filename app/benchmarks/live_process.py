"""The live trader as a process of its own, as `agentctl live-trading` starts it, at a simulated exchange."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from futures_agent.live.status import LiveStatus, read_status

KEY, SECRET = "bench", "bench-secret"
DEPOSIT = 1_000_000
AGENTCTL = ("-m", "futures_agent.cli")
# Nothing that closes or stops the account: who loses all month long must go on trading.
RECKLESS = {
    "risk.max_leverage": 5,
    "risk.max_net_leverage": 5,
    "risk.fixed_notional": 2_000,
    "risk.max_correlated": 1_000,
    "risk.max_daily_loss": 1,
    "risk.max_drawdown": 1,
}
_STARTS_WITHIN_S = 300.0
_ENDS_WITHIN_S = 60.0


class Sample(NamedTuple):
    """A process at one moment."""

    rss_mb: float
    files: int
    threads: int


class LiveProcess:
    """A running trader.

    Attributes
    ----------
    started_s : float
        From its start to its first status in the phase `trading`.
    log : Path
    """

    def __init__(self, process: subprocess.Popen[bytes], state: Path, log: Path) -> None:
        self._process = process
        self._seen = psutil.Process(process.pid)
        self._began_mono = time.monotonic()
        self.state = state
        self.log = log
        self.started_s = 0.0

    @property
    def status(self) -> LiveStatus | None:
        """What it said about itself last; None before this process said anything."""
        found = read_status(self.state / "live")
        return found if found is not None and found.pid == self._process.pid else None

    def sample(self) -> Sample:
        self.check()
        memory = self._seen.memory_info().rss / 1e6
        return Sample(memory, self._seen.num_fds(), self._seen.num_threads())

    @property
    def peak_mb(self) -> float:
        """The most memory that was resident at any time."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))

    @property
    def cpu_s(self) -> float:
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def check(self) -> None:
        """Stop the benchmark where the trader has ended."""
        if self._process.poll() is not None:
            sys.exit(f"the trader ended with {self._process.returncode}:\n{self.log.read_text()[-3_000:]}")

    def wait(self) -> None:
        """Wait until it trades."""
        while (status := self.status) is None or status.phase != "trading":
            self.check()
            if time.monotonic() - self._began_mono > _STARTS_WITHIN_S:
                sys.exit(f"the trader does not come to trade:\n{self.log.read_text()[-3_000:]}")
            time.sleep(0.02)
        self.started_s = time.monotonic() - self._began_mono

    def stop(self) -> int:
        """Tell it to stop; return its exit status."""
        self._process.terminate()
        return self._process.wait(_ENDS_WITHIN_S)

    def kill(self) -> None:
        """End it whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextmanager
def live_trader(
    directory: Path,
    url: str,
    changes: Mapping[str, Any],
    *,
    program: Sequence[str] = AGENTCTL,
    environment: Mapping[str, str] | None = None,
) -> Iterator[LiveProcess]:
    """Run a trader in `directory`, on the testnet of the exchange at `url`; `changes` are settings."""
    state, log = directory / "state", directory / "trader.log"
    state.mkdir(exist_ok=True)
    files = {}
    for name, text in (("key", KEY), ("secret", SECRET)):
        path = directory / f"{name}.txt"
        path.write_text(text)
        files[f"live.{name}_file"] = path
    settings = {
        "paths.state_dir": state,
        "exchange.rest_url": url,
        "exchange.stream_url": url.replace("http", "ws", 1),
        "live.mode": "testnet",
        **files,
        **changes,
    }
    config = directory / "agent.toml"
    config.touch()
    choices = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *program, "--config", str(config), *choices, "live-trading"],
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
    trader = LiveProcess(process, state, log)
    try:
        yield trader
    finally:
        trader.kill()

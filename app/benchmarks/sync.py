"""data-sync of 60 symbols in D1, H4, H1 and M15 against the simulated exchange with 50 ms latency.

Run from `app/`: `python -m benchmarks.sync`. Two measurements, each of whole processes:

- back-fill of one year, on an exchange whose clock runs faster, in the exchange's time. The bound is what
  half of the weight limit allows: all full minutes but the last, then the last burst at the pace of the
  latency; started at a minute's edge.
- steady state at real speed: three nights, each time just after midnight, when every series has a new candle;
  once with only what is new, and once as the day's full pass, which compares every series' newest candles.

The bars: back-fill within 10 % of its bound, either pass under 6 s, never a 429, under 150 MB.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS, parse_utc
from futures_agent.settings import ExchangeSettings

LATENCY_MS = 50.0
SCALE = 2.0  # low: whatever the host computes counts that many times in the exchange's time
START_MS = parse_utc("2026-03-10T21:30:00Z")
NIGHTS = 3

MAX_OVER_BOUND = 0.10
MAX_STEADY_S = 6.0
MAX_RSS_MB = 150.0


class Sync(NamedTuple):
    """One run of data-sync."""

    wall_s: float
    peak_mb: float
    weight: int
    requests: int
    candles: int


class Exchange:
    """A simulator process, steered through its control endpoints."""

    def __init__(self, url: str) -> None:
        self.url = url

    def set_clock(self, now_ms: int, scale: float) -> None:
        """Show `now_ms` and run at `scale` from now on."""
        self._control("post", "clock", {"now_ms": now_ms, "scale": scale})

    def now_ms(self) -> int:
        return int(self._control("get", "clock")["now_ms"])

    def stats(self) -> dict[str, Any]:
        return self._control("get", "stats")

    def _control(self, method: str, name: str, change: dict[str, Any] | None = None) -> dict[str, Any]:
        reply = requests.request(method, f"{self.url}/sim/{name}", json=change, timeout=10)
        reply.raise_for_status()
        answer: dict[str, Any] = reply.json()
        return answer


def main() -> int:
    """Measure, print, and return 1 where a bar was missed."""
    with tempfile.TemporaryDirectory(prefix="sync_") as name, simulator(Path(name)) as exchange:
        state = Path(name) / "state"
        exchange.set_clock(START_MS, SCALE)
        back_fill = data_sync(state, exchange.url, SCALE)
        exchange_s = (exchange.now_ms() - START_MS) / 1000
        nights, full = [], []
        midnight = START_MS - START_MS % DAY_MS
        for _ in range(NIGHTS):
            midnight += DAY_MS
            exchange.set_clock(midnight - HOUR_MS, 1.0)
            data_sync(state, exchange.url, 1.0)  # as at 23:05, so that the night finds what a night finds
            exchange.set_clock(midnight + MINUTE_MS // 2, 1.0)
            nights.append(data_sync(state, exchange.url, 1.0))
            full.append(data_sync(state, exchange.url, 1.0, "--full"))
        return report(back_fill, exchange_s, nights, full, exchange.stats())


@contextmanager
def simulator(directory: Path, *more: str) -> Iterator[Exchange]:
    """Run a simulated exchange with latency as a process of its own; `more` are options of the command."""
    url_file = directory / "simulator.url"
    options = ["--port", "0", "--latency-ms", str(LATENCY_MS), "--start", str(START_MS), *more]
    process = subprocess.Popen(
        [sys.executable, "-m", "futures_agent.cli", "simulator", *options, "--url-file", str(url_file)],
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not url_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the simulator did not start")
            time.sleep(0.05)
        yield Exchange(url_file.read_text().strip())
    finally:
        process.terminate()
        process.wait(10)


def command(state: Path, url: str, scale: float, *arguments: str) -> list[str]:
    """Return the command that runs agentctl with `arguments` against the simulated exchange."""
    settings = {
        "paths.state_dir": state,
        "exchange.rest_url": url,
        "exchange.time_scale": scale,
        "data.timeframes": "D1,H4,H1,M15",
        "log.level": "WARNING",
    }
    choices = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    config = state.with_name("agent.toml")
    config.touch()
    agentctl = [sys.executable, "-m", "futures_agent.cli", "--config", str(config)]
    return [*agentctl, *choices, *arguments]


def data_sync(state: Path, url: str, scale: float, *options: str) -> Sync:
    """Run data-sync as the timer does and return what it took; stop the benchmark where it fails."""
    began = time.monotonic()
    process = subprocess.Popen(
        command(state, url, scale, "data-sync", *options), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process.stderr as stream:
        errors = stream.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"data-sync: exit {process.returncode}\n{errors[-2_000:]}")
    record = json.loads((state / "jobs" / "data-sync" / "runs.jsonl").read_text().splitlines()[-1])
    counts = record["counts"]
    peak_mb = usage.ru_maxrss * 1024 / 1e6
    return Sync(wall_s, peak_mb, counts["weight"], counts["requests"], counts["candles"])


def bound_s(run: Sync) -> float:
    """Return the least exchange time that half of the weight limit allows for a run, in seconds."""
    settings = ExchangeSettings()
    per_minute = settings.weight_limit_per_min * settings.weight_limit_share
    full_minutes = math.ceil(run.weight / per_minute) - 1
    last_requests = run.requests * (run.weight - full_minutes * per_minute) / run.weight
    return full_minutes * 60 + last_requests / settings.concurrency * LATENCY_MS / 1000 * SCALE


def report(
    back_fill: Sync, exchange_s: float, nights: list[Sync], full: list[Sync], stats: dict[str, Any]
) -> int:
    """Print what was measured next to its bars."""
    bound = bound_s(back_fill)
    over = exchange_s / bound - 1
    steady_s = statistics.median(night.wall_s for night in nights)
    full_s = statistics.median(run.wall_s for run in full)
    runs = [
        ("one year", back_fill),
        *(("night", run) for run in nights),
        *(("full pass", run) for run in full),
    ]
    peak_mb = max(run.peak_mb for _, run in runs)
    refused = stats["refused_429"] + stats["banned_418"]
    print(f"{'':16}{'wall s':>9}{'peak MB':>9}{'requests':>10}{'weight':>8}{'candles':>10}")
    for name, run in runs:
        numbers = f"{run.wall_s:9.2f}{run.peak_mb:9.0f}{run.requests:10,}{run.weight:8,}{run.candles:10,}"
        print(f"{name:16}{numbers}")
    print(f"back-fill {exchange_s:.1f} s of exchange time, {over:+.1%} of its bound {bound:.1f} s ", end="")
    print(f"(bar {MAX_OVER_BOUND:+.0%}; clock × {SCALE:g}); most weight in a minute {stats['peak_weight']:,}")
    print(
        f"steady state {steady_s:.2f} s, full pass {full_s:.2f} s (bar {MAX_STEADY_S:g} each); "
        f"refused by the exchange: {refused} (bar 0); ",
        end="",
    )
    print(f"{peak_mb:.0f} MB (bar {MAX_RSS_MB:g})")
    fast = over <= MAX_OVER_BOUND and max(steady_s, full_s) < MAX_STEADY_S
    reached = fast and peak_mb < MAX_RSS_MB and refused == 0
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())

"""From the close of a bar to the first order on the wire: 60 symbols, H1, a strategy as costly as `smc`.

Run from `app/`: `python -m benchmarks.live_latency [--closes N] [--burning N]`. The exchange runs here, in
real time, and jumps to shortly before each full hour; the trader is a process of its own, not compiled, as
always. Measured is from when the last final H1 kline of a close has been written to the trader's socket to
when the first market order of that close has been read from a socket: streams, decision on 60 symbols, the
journal on the disk twice (what is wanted, what is sent), and the request. Each way crosses the loopback.

Then again beside a process that burns a core at nice 19, as a backtest would where no unit bounds it.

The bar: 250 ms in the 99th percentile, alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.live_process import DEPOSIT, KEY, RECKLESS, SECRET, LiveProcess, live_trader
from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc
from futures_agent.settings.tree import DEFAULT_SYMBOLS
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.server import RunningSimulator, running_simulator
from futures_agent.simulator.streams.config import StreamsConfig
from futures_agent.simulator.streams.feed import Message
from futures_agent.simulator.trading.config import AccountConfig, TradingConfig
from futures_agent.simulator.venue import Venue

START_MS = parse_utc("2026-03-10T14:58:00Z")
MAX_LATE_MS = 250.0
_BEFORE_MS = 1_500  # how long before a close the clock jumps to
_QUIET_S = 0.4  # without an order: the close is dealt with
_CLOSE_WITHIN_S = 20.0
_FOR_EVER_MS = 1_000 * DAY_MS
_BURN = "import os\nos.nice(19)\nwhile True:\n    sum(n * n for n in range(10_000))"


class Close(NamedTuple):
    """One close on the way to its first order, in ns of the host's monotonic clock."""

    told: int  # the last final H1 kline was written to the socket
    arrived: int  # the first market order was read from one


class Wire:
    """Notes what leaves the exchange and what comes to it."""

    def __init__(self, venue: Venue) -> None:
        self.told = self.arrived = self.ordered = 0
        self._publish = venue.streams.publish
        counting = venue.streams.counting
        venue.streams.publish = self._published  # type: ignore[method-assign]
        venue.streams.counting = lambda app: self._heard(counting(app))  # type: ignore[method-assign]

    def begin(self) -> None:
        self.told = self.arrived = 0

    def _published(self, message: Message) -> None:
        self._publish(message)
        if message.final and message.stream.endswith("@kline_1h"):
            self.told = time.monotonic_ns()

    def _heard(self, app: Callable[..., Any]) -> Callable[..., Any]:
        async def hear(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] == "http" and scope["method"] == "POST" and "rder" in scope["path"]:
                self.ordered = time.monotonic_ns()
                if self.told and not self.arrived and scope["path"] == "/fapi/v1/order":
                    self.arrived = self.ordered
            await app(scope, receive, send)

        return hear


def main() -> int:
    """Measure, print, and return 1 where the bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--closes", type=int, default=120, help="with an order, alone")
    parser.add_argument("--burning", type=int, default=60, help="the same beside a process that burns a core")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="latency_") as name:
        directory = Path(name)
        stamps = directory / "stamps"
        config = _config()
        venue = Venue(config)
        wire = Wire(venue)
        with (
            running_simulator(config, venue) as simulator,
            live_trader(
                directory,
                simulator.url,
                _settings(),
                program=("-m", "benchmarks.live_traced"),
                environment={"STAMPS": str(stamps)},
            ) as trader,
        ):
            trader.wait()
            print(f"{len(os.sched_getaffinity(0))} cores; load {os.getloadavg()[0]:.1f} at the start")
            _closes(simulator, wire, trader, 3)  # the first ones fill caches
            alone = _closes(simulator, wire, trader, options.closes)
            with burning() if options.burning else nullcontext():
                beside = _closes(simulator, wire, trader, options.burning)
            peak_mb = trader.peak_mb
            trader.stop()
        moments = read_stamps(stamps)
    late = report("alone", alone, moments)
    if beside:
        change = report("beside a burning process", beside, moments) / late - 1
        print(f"99th percentile beside it: {change:+.0%}")
    print(f"trader: {peak_mb:.0f} MB at most")
    return 0 if late < MAX_LATE_MS else 1


def _config() -> SimulatorConfig:
    account = AccountConfig(
        key=KEY, secret=SECRET, balances={"USDT": Decimal(DEPOSIT)}, leverage=5, margin_type="ISOLATED"
    )
    streams = StreamsConfig(ping_ms=_FOR_EVER_MS, longest_ms=_FOR_EVER_MS)
    return SimulatorConfig(
        start_ms=START_MS,
        symbols=DEFAULT_SYMBOLS,
        untradable_symbols=False,
        streams=streams,
        trading=TradingConfig(accounts=(account,), listen_key_ms=_FOR_EVER_MS),
    )


def _settings() -> dict[str, Any]:
    return {
        **RECKLESS,
        "strategy.name": "benchmarks.busy_smc:STRATEGY",
        "live.anchor_days": 20,
        "live.reconcile_s": 3_600,  # each jump is an hour
        "live.rotate_h": 80_000,
        "live.stream_silence_s": 3_600,
        "live.symbol_silence_s": 3_600,
        "exchange.recv_window_ms": 60_000,
        "log.level": "WARNING",
    }


@contextmanager
def burning() -> Iterator[None]:
    """Burn every core in the background, as nicely as a nightly job."""
    cores = len(os.sched_getaffinity(0))
    processes = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(cores)]
    try:
        yield
    finally:
        for each in processes:
            each.kill()
            each.wait()


def _closes(simulator: RunningSimulator, wire: Wire, trader: LiveProcess, wanted: int) -> list[Close]:
    """Return `wanted` closes that led to an order."""
    found: list[Close] = []
    in_vain = 0
    while len(found) < wanted:
        close_ms = simulator.clock.now_ms() // HOUR_MS * HOUR_MS + HOUR_MS
        simulator.clock.set(close_ms - _BEFORE_MS)
        time.sleep(_BEFORE_MS / 2_000)
        wire.begin()
        deadline = time.monotonic() + _CLOSE_WITHIN_S
        while time.monotonic() < deadline and not _is_dealt_with(wire, trader, close_ms):
            time.sleep(0.05)
        trader.check()
        if wire.arrived:
            found.append(Close(wire.told, wire.arrived))
        elif (in_vain := in_vain + 1) > wanted // 2 + 5:
            status = trader.status
            sys.exit(f"too few closes lead to an order: {status}\n{trader.log.read_text()[-2_000:]}")
    return found


def _is_dealt_with(wire: Wire, trader: LiveProcess, close_ms: int) -> bool:
    if wire.arrived:
        return time.monotonic_ns() - wire.ordered > _QUIET_S * 1e9
    status = trader.status
    return status is not None and status.last_close_ms >= close_ms


def read_stamps(path: Path) -> dict[str, Any]:
    """Return the trader's moments by name, ascending."""
    moments: dict[str, list[int]] = {}
    for line in path.read_text().splitlines():
        name, ns = line.split()
        moments.setdefault(name, []).append(int(ns))
    return {name: np.sort(np.array(each)) for name, each in moments.items()}


def report(title: str, closes: list[Close], moments: dict[str, Any]) -> float:
    """Print what the closes took and its parts; return the 99th percentile in ms."""
    late_ms = np.array([close.arrived - close.told for close in closes]) / 1e6
    middle, late, latest = np.percentile(late_ms, [50, 99, 100])
    print(
        f"{title}: {len(closes)} closes, from the last H1 kline to the first order {middle:.1f} ms in the "
        f"median, {late:.1f} ms in the 99th percentile (bar {MAX_LATE_MS:g}, alone), {latest:.1f} ms at most"
    )
    names = ("stream", "decide", "journal", "send")
    parts = np.array([_parts(close, moments) for close in closes]) / 1e6
    for name, column in zip(names, parts.T, strict=True):
        print(f"  {name:8}{np.median(column):8.1f} ms {np.percentile(column, 99):8.1f} ms")
    return float(late)


def _parts(close: Close, moments: dict[str, Any]) -> list[int]:
    """Return ns from the kline to the decision, of the decision, of the journal and of the request."""
    at = [close.told]
    for name in ("DECIDING", "DECIDED", "JOURNALED_PlaceMarket"):
        after = moments[name][np.searchsorted(moments[name], at[-1])]
        at.append(int(after))
    return [later - earlier for earlier, later in pairwise((*at, close.arrived))]


if __name__ == "__main__":
    sys.exit(main())

"""The simulator's WebSockets under load: 60 symbols × D1, H4, H1, M15 on one connection, on a fast clock.

Run from `app/`: `python -m benchmarks.streams [--hours H] [--scale S] [--symbols N]`. The server is a process
of its own, held to one core; the client runs on another where there is one. Measured are the server's share
of its core, how late closes arrive (host time from the close on the venue's clock to the client), and the
server's memory after the first sixth of the time and at the end. A client is disconnected after 24 h of venue
time and connects again, as it would be in real life.

The bars: every candle closes exactly once, half of a core, closes 50 ms late in the 99th percentile, memory
that grows by less than 2 %.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import requests
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from benchmarks.sync import START_MS, simulator
from futures_agent.clock import HOUR_MS
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import DEFAULT_SYMBOLS

SCALE = 200.0

MAX_CORE_SHARE = 0.5
MAX_LATE_MS = 50.0
MAX_GROWTH = 0.02


@dataclass
class Received:
    """What the client has got."""

    messages: int = 0
    bytes: int = 0
    connections: int = 0
    closes: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    late_ms: list[float] = field(default_factory=list)
    clock: VenueTime | None = None  # None while the venue's stands still


@dataclass(frozen=True)
class VenueTime:
    """The venue's clock as seen from here."""

    venue_ms: float
    host_s: float
    scale: float

    @classmethod
    def of(cls, url: str, scale: float) -> VenueTime:
        """Read the clock in the quickest of some requests."""
        readings = []
        with requests.Session() as session:
            for _ in range(10):
                began = time.monotonic()
                shown = session.get(f"{url}/sim/clock", timeout=10).json()["now_ms"]
                ended = time.monotonic()
                readings.append((ended - began, shown, (began + ended) / 2))
        _, shown, host_s = min(readings)
        return cls(shown, host_s, scale)

    def now_ms(self) -> float:
        return self.venue_ms + (time.monotonic() - self.host_s) * self.scale * 1000


def main() -> int:
    """Measure, print, and return 1 where a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=3.0, help="venue time to run for")
    parser.add_argument("--scale", type=float, default=SCALE, help="venue seconds per second")
    parser.add_argument("--symbols", type=int, default=len(DEFAULT_SYMBOLS))
    options = parser.parse_args()
    symbols = DEFAULT_SYMBOLS[: options.symbols]
    with tempfile.TemporaryDirectory(prefix="streams_") as name, simulator(Path(name)) as exchange:
        server = server_process()
        hold_to_cores(server)
        return asyncio.run(measure(exchange.url, server, symbols, options.hours, options.scale))


async def measure(
    url: str, server: psutil.Process, symbols: tuple[str, ...], hours: float, scale: float
) -> int:
    """Listen for `hours` of venue time and report."""
    received = Received()
    set_clock(url, now_ms=START_MS - 1_000, scale=0)
    ready = asyncio.Event()
    listening = asyncio.create_task(listen(url, symbols, received, ready))
    await ready.wait()
    # The history of every symbol is made at its first message, which takes seconds once.
    await asyncio.to_thread(set_clock, url, step_ms=1_000, wait_quiet=True, within_s=60)
    set_clock(url, scale=scale)
    received.clock = clock = VenueTime.of(url, scale)
    end_ms = START_MS + round(hours * HOUR_MS)
    began, cpu_s = time.monotonic(), cpu_seconds(server)
    await asyncio.sleep(hours * 3600 / scale / 6)
    early_mb = rss_mb(server)
    while clock.now_ms() < end_ms + 500 * scale:  # half a second for the last close
        await asyncio.sleep(0.1)
    wall_s, cpu_s, late_mb = time.monotonic() - began, cpu_seconds(server) - cpu_s, rss_mb(server)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    return report(received, expected(symbols, end_ms), wall_s, cpu_s, early_mb, late_mb, scale)


def set_clock(url: str, **change: float) -> None:
    requests.post(f"{url}/sim/clock", json=change, timeout=90).raise_for_status()


async def listen(url: str, symbols: tuple[str, ...], received: Received, ready: asyncio.Event) -> None:
    """Take in every message, and connect again whenever the connection ends."""
    names = [f"{symbol.lower()}@kline_{frame.value}" for symbol in symbols for frame in Timeframe]
    address = url.replace("http", "ws", 1) + "/market/stream"
    while True:
        async with connect(
            address, compression=None, proxy=None, ping_interval=None, max_queue=4096
        ) as socket:
            received.connections += 1
            for first in range(0, len(names), 100):
                chunk = {"method": "SUBSCRIBE", "params": names[first : first + 100], "id": first}
                await socket.send(json.dumps(chunk))
                while b'"id"' not in await socket.recv(decode=False):
                    pass
            ready.set()
            try:
                while True:
                    take(received, await socket.recv(decode=False))
            except ConnectionClosed:
                continue


def take(received: Received, text: bytes) -> None:
    """Count a message, and note how late it is when a candle closes."""
    received.messages += 1
    received.bytes += len(text)
    if b'"x":true' in text and received.clock is not None:
        bar = json.loads(text)["data"]["k"]
        received.closes[bar["s"], bar["i"], bar["t"]] += 1
        received.late_ms.append((received.clock.now_ms() - bar["T"] - 1) / received.clock.scale)


def expected(symbols: tuple[str, ...], end_ms: int) -> set[tuple[str, str, int]]:
    """Return the candles that close in (START_MS, end_ms]."""
    return {
        (symbol, frame.value, open_ms)
        for symbol in symbols
        for frame in Timeframe
        for open_ms in range(frame.open_of(START_MS), end_ms - frame.ms + 1, frame.ms)
    }


def server_process() -> psutil.Process:
    """Return the simulator that was started from here."""
    (server,) = psutil.Process().children()
    return server


def hold_to_cores(server: psutil.Process) -> None:
    """Give the server one core of its own where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    server.cpu_affinity(cores[:1])
    os.sched_setaffinity(0, cores[1:] or cores)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def rss_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss / 1e6)


def report(
    received: Received,
    wanted: set[tuple[str, str, int]],
    wall_s: float,
    cpu_s: float,
    early_mb: float,
    late_mb: float,
    scale: float,
) -> int:
    """Print what was measured next to its bars."""
    got = {candle: count for candle, count in received.closes.items() if candle in wanted}
    missed, repeated = len(wanted - got.keys()), sum(count - 1 for count in got.values())
    middle, late, latest = np.percentile(received.late_ms, [50, 99, 100])
    share, growth = cpu_s / wall_s, late_mb / early_mb - 1
    print(f"{wall_s:.0f} s at {scale:g} ×, {received.connections} connections, one after the other")
    print(
        f"{received.messages:,} messages, {received.messages / wall_s:,.0f}/s, "
        f"{received.bytes / wall_s / 1e6:.2f} MB/s"
    )
    print(f"closes {len(wanted):,}: {missed} missed, {repeated} repeated (bar 0)")
    print(
        f"closes late by {middle:.1f} ms in the median, {late:.1f} ms in the 99th percentile "
        f"(bar {MAX_LATE_MS:g}), {latest:.1f} ms at most"
    )
    print(f"server: {share:.0%} of one core (bar {MAX_CORE_SHARE:.0%}), ", end="")
    print(f"{early_mb:.1f} MB, then {late_mb:.1f} MB: {growth:+.2%} (bar {MAX_GROWTH:+.0%})")
    complete = missed == repeated == 0
    light = share <= MAX_CORE_SHARE and growth < MAX_GROWTH
    return 0 if complete and light and late <= MAX_LATE_MS else 1


if __name__ == "__main__":
    sys.exit(main())

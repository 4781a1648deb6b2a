"""Reading a year of candles of 60 symbols from the database: seconds and peak memory of a fresh process.

Run from `app/`: `python -m benchmarks.store_read`. The bars: under 1 s and under 100 MB.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from futures_agent.market.candle import FULL_CANDLE, Candles, candles_from_columns
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import DataSettings
from futures_agent.store.candles import newest, read_candles, survey_series, upsert_candles
from futures_agent.store.database import open_reader, open_writer
from futures_agent.store.integrity import quick_check

SERIES = {Timeframe.D1: 365, Timeframe.H4: 2_190, Timeframe.H1: 8_760}
END_MS = 1_767_225_600_000  # 2026-01-01, on every grid
SEED = 20260101
MAX_READ_S = 1.0
MAX_RSS_MB = 100.0


def random_walk(rng: np.random.Generator, timeframe: Timeframe, length: int) -> Candles:
    """Return `length` plausible candles that end at END_MS."""
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, length)))
    opening = np.concatenate(([100.0], close[:-1]))
    volume = rng.lognormal(8, 1, length)
    return candles_from_columns(
        FULL_CANDLE,
        timestamp=END_MS + timeframe.ms * np.arange(-length, 0),
        open=opening,
        high=np.maximum(opening, close) * 1.004,
        low=np.minimum(opening, close) * 0.996,
        close=close,
        volume=volume,
        quote_volume=volume * close,
        trades=rng.integers(100, 100_000, length),
        taker_buy_volume=volume / 2,
        taker_buy_quote_volume=volume * close / 2,
    )


def build(database: Path) -> None:
    """Fill a new database as a first full sync does: one transaction per symbol and timeframe."""
    rng = np.random.default_rng(SEED)
    started = time.perf_counter()
    with contextlib.closing(open_writer(database)) as db:
        for symbol in DataSettings().symbols:
            for timeframe, length in SERIES.items():
                upsert_candles(db, timeframe, symbol, random_walk(rng, timeframe, length))
    rows = len(DataSettings().symbols) * sum(SERIES.values())
    taken = time.perf_counter() - started
    size = database.stat().st_size
    print(f"write           {taken:8.2f} s    {rows / taken:,.0f} candles/s")
    print(f"file            {size / 1e6:8.1f} MB   {size / rows:.1f} bytes per candle")


def read(database: Path) -> None:
    """Read everything back and print what it took."""
    with contextlib.closing(open_reader(database)) as db:
        started, cpu_started = time.perf_counter(), time.process_time()
        panel = [read_candles(db, frame, DataSettings().symbols, 0, END_MS) for frame in SERIES]
        read_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
        peak_mb = _peak_rss_mb()
        rows = sum(len(series) for by_symbol in panel for series in by_symbol.values())
        newest_s = _timed(lambda: newest(db, Timeframe.H1))
        symbols = DataSettings().symbols
        survey_s = _timed(
            lambda: [survey_series(db, Timeframe.H1, one, 0, last_closed_ms=END_MS) for one in symbols]
        )
    print(
        f"read            {read_s:8.3f} s    {rows:,} candles, {cpu_s:.3f} s of CPU (bar: {MAX_READ_S:g} s)"
    )
    print(f"peak RSS        {peak_mb:8.1f} MB   of the reading process (bar: {MAX_RSS_MB:g} MB)")
    print(f"newest H1       {newest_s * 1e3:8.2f} ms")
    print(f"survey of H1    {survey_s * 1e3:8.2f} ms")
    print(f"quick_check     {quick_check(database) * 1e3:8.2f} ms")


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _peak_rss_mb() -> float:
    """Return this program's own peak; getrusage would count what the parent used before the fork."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def main() -> None:
    """Build a database in a temporary directory and read it in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", type=Path, metavar="DATABASE", help="only read this database")
    database: Path | None = parser.parse_args().read
    if database is not None:
        read(database)
        return
    with tempfile.TemporaryDirectory() as directory:
        database = Path(directory) / "benchmark.db"
        build(database)
        sys.stdout.flush()
        subprocess.run([sys.executable, "-m", "benchmarks.store_read", "--read", str(database)], check=True)


if __name__ == "__main__":
    main()

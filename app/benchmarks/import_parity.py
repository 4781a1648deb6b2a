"""All recorded candles by both ways, through import and through the exchange: are the tables the same?

Run from `app/`: `python -m benchmarks.import_parity FOLDER`, a folder of klines_*.parquet. Each file is
imported whole; beside that the simulator serves it, in groups of contracts with one common end (an exchange
lists only what still trades), and data-sync fetches it. Compared to the bit: every column the files tell.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from futures_agent.clock import DAY_MS, MINUTE_MS
from futures_agent.errors import ExitCode
from futures_agent.interchange.importing import ImportRequest
from futures_agent.interchange.importing import run as run_import
from futures_agent.interchange.layout import INTERVALS, find_candle_files
from futures_agent.jobs import data_sync
from futures_agent.market.candle import FULL_CANDLE, Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import DataSettings, ExchangeSettings, Settings
from futures_agent.settings.tree import PathSettings
from futures_agent.simulator.candle_files import read_candle_files
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.server import running_simulator
from futures_agent.store.candles import read_candles
from futures_agent.store.database import open_reader

AFTER_END_MS = 5 * MINUTE_MS  # the last candle has closed, the contract still trades
UNLIMITED = 1_000_000
TOLD = tuple(name for name in FULL_CANDLE.names or () if not name.startswith("taker"))
NOISE = 1e-13  # sums of doubles; the exchange's texts have none


def main() -> int:
    """Compare every file; return 1 where a value differs by more than the noise of sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    with tempfile.TemporaryDirectory(prefix="parity_") as name:
        scratch = Path(name)
        imported = Settings(paths=PathSettings(state_dir=str(scratch / "imported")))
        if run_import(imported, ImportRequest(paths=(folder,))) is not ExitCode.OK:
            return 1
        total: Counter[str] = Counter()
        for file in find_candle_files([folder]):
            timeframe = INTERVALS[str(file.interval)]
            for end_ms, symbols in _by_end(file.path, timeframe).items():
                state = scratch / f"{timeframe.name}_{end_ms}"
                synced = _synced(state, file.path, timeframe, symbols, end_ms)
                total += _compared(imported, synced, timeframe, symbols)
    print(
        f"{total['series']} series, {total['candles']} candles, {total['values']} values: "
        f"{total['noise']} differ by noise (at most {NOISE:g}), {total['different']} differ"
    )
    return 1 if total["different"] else 0


def _by_end(file: Path, timeframe: Timeframe) -> dict[int, list[str]]:
    """Return end of the series (ms UTC) → symbols."""
    groups = defaultdict(list)
    for symbol, frames in read_candle_files(file, symbols=(), first_ms=None, last_ms=None).items():
        groups[int(frames[timeframe]["timestamp"][-1]) + timeframe.ms].append(symbol)
    return groups


def _synced(state: Path, file: Path, timeframe: Timeframe, symbols: list[str], end_ms: int) -> Settings:
    """Serve a file's contracts up to their end, and fetch them."""
    config = SimulatorConfig(
        dataset=file,
        symbols=tuple(symbols),
        data_end_ms=end_ms,
        start_ms=end_ms + AFTER_END_MS,
        scale=0.0,
        weight_limit=UNLIMITED,
        untradable_symbols=False,
    )
    with running_simulator(config) as venue:
        settings = Settings(
            paths=PathSettings(state_dir=str(state)),
            exchange=ExchangeSettings(rest_url=venue.url, weight_limit_per_min=UNLIMITED),
            data=DataSettings(
                symbols=tuple(symbols), timeframes=(timeframe.name,), history_days=end_ms // DAY_MS - 17_000
            ),
        )
        if data_sync.run(settings) is not ExitCode.OK:
            sys.exit("data-sync failed")
        return settings


def _compared(imported: Settings, synced: Settings, timeframe: Timeframe, symbols: list[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    one, other = (_stored(settings, timeframe, symbols) for settings in (imported, synced))
    for symbol in symbols:
        mine, theirs = one[symbol], other[symbol]
        if mine["timestamp"].tolist() != theirs["timestamp"].tolist():
            sys.exit(f"{symbol} {timeframe.name}: other open times")
        counts["series"] += 1
        counts["candles"] += len(mine)
        for name in TOLD:
            # Zero is what the file does not tell; the simulator makes those values up.
            told = (mine[name] != 0) | (name == "volume")
            differ = told & (mine[name] != theirs[name])
            noise = differ & (np.abs(mine[name] - theirs[name]) <= NOISE * np.abs(mine[name]))
            counts["values"] += int(told.sum())
            counts["noise"] += int(noise.sum())
            counts["different"] += int((differ & ~noise).sum())
            if differ.any():
                print(f"{symbol} {timeframe.name} {name}: {differ.sum()} of {told.sum()} differ")
    return counts


def _stored(settings: Settings, timeframe: Timeframe, symbols: list[str]) -> dict[str, Candles]:
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        return read_candles(db, timeframe, symbols, 0, 2**62, dtype=FULL_CANDLE)


if __name__ == "__main__":
    sys.exit(main())

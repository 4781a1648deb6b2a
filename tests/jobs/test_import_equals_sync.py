"""The same candles by both ways, through import and through the exchange, give the same tables."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from futures_agent.clock import DAY_MS, MINUTE_MS, parse_utc
from futures_agent.errors import ExitCode
from futures_agent.interchange import importing
from futures_agent.interchange.exporting import ExportRequest, export_candles
from futures_agent.interchange.importing import ImportRequest
from futures_agent.jobs import data_sync
from futures_agent.market.candle import CANDLE, FULL_CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.candles import read_candles, upsert_candles
from futures_agent.store.database import open_reader, open_writer
from sample_candles import START_MS, random_walk

REAL = Path(__file__).parents[2] / ".." / "shared" / "data"
FRAMES = (Timeframe.D1, Timeframe.H4, Timeframe.H1)
LITTLE = 20 * MINUTE_MS  # after the last candle's close, the contract still trades


def stored(settings, symbols, end_ms):
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        return {
            (symbol, timeframe): candles
            for timeframe in FRAMES
            for symbol, candles in read_candles(db, timeframe, symbols, 0, end_ms, dtype=FULL_CANDLE).items()
        }


def two_ways(tmp_path, simulator_factory, settings_for, data, symbols, *, first_ms, end_ms):
    """Return what sync and what import stored of `data`, from `first_ms` up to `end_ms`."""
    venue = simulator_factory(
        dataset=data, symbols=symbols, start_ms=end_ms + LITTLE, data_start_ms=first_ms, data_end_ms=end_ms
    )
    chosen = {"data__symbols": symbols, "data__history_days": (end_ms - first_ms) // DAY_MS}
    synced = settings_for(venue.url, paths__state_dir=str(tmp_path / "synced"), **chosen)
    assert data_sync.run(synced) is ExitCode.OK
    imported = settings_for(venue.url, paths__state_dir=str(tmp_path / "imported"), **chosen)
    for symbol in symbols:
        assert importing.run(imported, ImportRequest(paths=(data,), symbol=symbol)) is ExitCode.OK
    with contextlib.closing(open_writer(imported.paths.database)) as db:
        for timeframe in FRAMES:
            db.execute(f"DELETE FROM {timeframe.table} WHERE timestamp < ?", (first_ms,))
    return stored(synced, symbols, end_ms), stored(imported, symbols, end_ms)


def test_generated_candles_are_the_same_in_every_column(tmp_path, simulator_factory, settings_for):
    symbols = ("BTCUSDT", "ETHUSDT")
    end_ms = START_MS + 20 * DAY_MS
    source = settings_for("http://127.0.0.1:9", paths__state_dir=str(tmp_path / "source"))
    source.paths.database.parent.mkdir(parents=True)
    with contextlib.closing(open_writer(source.paths.database)) as db:
        for seed, symbol in enumerate(symbols):
            for timeframe in FRAMES:
                walk = random_walk(20 * DAY_MS // timeframe.ms, timeframe, seed=seed)
                for name in FULL_CANDLE.names[1:]:
                    walk[name] = walk[name].round(2)  # as many decimals as a tick has
                upsert_candles(db, timeframe, symbol, walk)
    data = tmp_path / "data"
    export_candles(
        source,
        ExportRequest(
            output=data, format="csv", symbols=symbols, timeframes=FRAMES, first_ms=0, end_ms=2**62
        ),
    )
    synced, imported = two_ways(
        tmp_path, simulator_factory, settings_for, data, symbols, first_ms=START_MS, end_ms=end_ms
    )
    for series, candles in synced.items():
        assert len(candles) == 20 * DAY_MS // series[1].ms
        assert candles.tobytes() == imported[series].tobytes(), series


@pytest.mark.skipif(
    not (REAL / "klines_1h.parquet").exists(), reason="real candles (../shared/data) are absent"
)
def test_real_candles_are_the_same_in_every_column_that_the_files_have(
    tmp_path, simulator_factory, settings_for
):
    symbols = ("BTCUSDT", "1000PEPEUSDT", "SOLUSDT")
    first_ms, end_ms = parse_utc("2025-03-01"), parse_utc("2025-07-01")
    synced, imported = two_ways(
        tmp_path, simulator_factory, settings_for, REAL, symbols, first_ms=first_ms, end_ms=end_ms
    )
    for (symbol, timeframe), candles in synced.items():
        assert len(candles) == (end_ms - first_ms) // timeframe.ms
        other = imported[symbol, timeframe]
        for name in CANDLE.names:
            np.testing.assert_array_equal(candles[name], other[name], err_msg=f"{symbol} {timeframe} {name}")
        # Zero is what the files do not tell; the simulator makes those values up.
        for name in ("quote_volume", "trades"):
            told = other[name] != 0
            np.testing.assert_array_equal(candles[name][told], other[name][told], err_msg=name)

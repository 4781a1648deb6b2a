"""Validation of recorded candles finds the defects that are known of them, and no others."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from futures_agent.clock import parse_utc, utc_text
from futures_agent.health.data import assess
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import Settings
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_reader, open_writer

RECORDED = Path(__file__).parents[3] / "shared" / "data"
NAMES = ("open", "high", "low", "close", "volume")
START_MS = parse_utc("2024-06-30")
QUIRK = "2024-10-28T20:00:00Z"  # of the exchange: an H4 candle that is not what its H1 candles make up


@pytest.fixture
def judge(tmp_path):
    """Return `judge(symbols, frames, end)`: what validation says of the year before."""
    if not RECORDED.exists():
        pytest.skip(f"{RECORDED} is absent: recorded candles are not part of the repository")
    database = tmp_path / "recorded.db"

    def run(symbols, frames, end):
        with contextlib.closing(open_writer(database)) as db:
            for frame in frames:
                for symbol in symbols:
                    upsert_candles(db, frame, symbol, recorded(frame, symbol, parse_utc(end)))
        data = replace(Settings().data, symbols=symbols, timeframes=tuple(frame.name for frame in frames))
        with contextlib.closing(open_reader(database)) as db:
            return assess(db, data, now_ms=parse_utc(end))

    return run


def recorded(timeframe, symbol, end_ms):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(
        RECORDED / f"klines_{timeframe.value}.parquet",
        columns=["open_time", *NAMES],
        filters=[
            ("symbol", "=", symbol),
            ("open_time", ">=", START_MS),
            ("open_time", "<=", end_ms - timeframe.ms),
        ],
    ).sort_by("open_time")
    candles = np.zeros(len(table), dtype=FULL_CANDLE)
    candles["timestamp"] = table["open_time"].to_numpy()
    for name in NAMES:
        candles[name] = table[name].to_numpy()
    return candles


def disagreeing(report):
    return {
        (one.symbol, one.timeframe): [utc_text(at) for at in one.disagreeing]
        for one in report.series
        if one.disagreeing
    }


def test_a_year_of_three_timeframes_has_the_one_known_inconsistency(judge):
    symbols = ("BTCUSDT", "ETHUSDT", "DOGEUSDT")
    report = judge(symbols, (Timeframe.D1, Timeframe.H4, Timeframe.H1), "2025-07-01T00:01Z")
    assert report.faults == []
    assert [frame.covered for frame in report.frames] == [3, 3, 3]
    assert disagreeing(report) == {(symbol, "H4"): [QUIRK] for symbol in symbols}
    flaws = ("missing", "off_grid", "duplicates", "forming", "bad_prices", "untraded_run", "repeated")
    assert [getattr(one, flaw) for one in report.series for flaw in flaws] == [*[0] * 6, ()] * 9


def test_quarter_hours_have_a_few_known_candles_without_a_trade(judge):
    report = judge(("ETHUSDT",), (Timeframe.H1, Timeframe.M15), "2025-01-14T11:46Z")
    assert report.faults == []
    of_hours, of_quarters = report.series
    assert (of_hours.missing, of_quarters.missing) == (0, 0)
    assert of_quarters.untraded_run == 4
    assert QUIRK in disagreeing(report)["ETHUSDT", "H1"]
    assert len(of_hours.disagreeing) <= Settings().data.max_disagreements

"""Candles against the finer ones inside them."""

from pathlib import Path

import numpy as np
import pytest

from futures_agent.clock import parse_utc
from futures_agent.market.agreement import disagreements
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.series import Grid, aggregate
from sample_candles import random_walk

H4, H1 = Timeframe.H4, Timeframe.H1
REAL_CANDLES = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def pair():
    finer = random_walk(400)
    return aggregate(finer, H4, Grid(8, 8, 8)), finer


def compare(coarse, finer, tolerance=1e-6):
    return disagreements(coarse, H4, finer, H1, volume_tolerance=tolerance).tolist()


def test_what_was_aggregated_agrees(pair):
    assert compare(*pair) == []


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
def test_every_number_is_compared(pair, column):
    coarse, finer = pair
    coarse[column][7] *= 1.0001
    assert compare(coarse, finer) == [coarse["timestamp"][7]]


def test_volume_may_differ_within_the_tolerance(pair):
    coarse, finer = pair
    coarse["volume"][[3, 5]] *= (1.0009, 1.0011)
    assert compare(coarse, finer, 1e-3) == [coarse["timestamp"][5]]


def test_only_candles_that_are_tiled_are_compared(pair):
    coarse, finer = pair
    coarse["close"][[0, 10, 99]] = 1.0
    assert compare(coarse, np.delete(finer, [2, 43])) == [coarse["timestamp"][99]]
    assert compare(coarse, finer[1:-1]) == [coarse["timestamp"][10]]


def test_nothing_to_compare(pair):
    coarse, finer = pair
    assert compare(coarse[:0], finer) == compare(coarse, finer[:0]) == []


def test_the_known_inconsistency_of_the_exchange_is_found_and_nothing_else():
    if not REAL_CANDLES.exists():
        pytest.skip(f"{REAL_CANDLES} is absent: real candles are not part of the repository")
    start, end = parse_utc("2024-07-01"), parse_utc("2025-06-30")
    real = {
        frame: {symbol: real_candles(frame, symbol, start, end) for symbol in ("BTCUSDT", "DOGEUSDT")}
        for frame in (H4, H1)
    }
    for symbol in ("BTCUSDT", "DOGEUSDT"):
        assert len(real[H4][symbol]) == 364 * 6
        assert compare(real[H4][symbol], real[H1][symbol], 1e-3) == [parse_utc("2024-10-28T20:00")]


def real_candles(timeframe, symbol, start_ms, end_ms):
    parquet = pytest.importorskip("pyarrow.parquet")
    names = ("open", "high", "low", "close", "volume")
    table = parquet.read_table(
        REAL_CANDLES / f"klines_{timeframe.value}.parquet",
        columns=["open_time", *names],
        filters=[("symbol", "=", symbol), ("open_time", ">=", start_ms), ("open_time", "<", end_ms)],
    ).sort_by("open_time")
    candles = np.zeros(len(table), dtype=FULL_CANDLE)
    candles["timestamp"] = table["open_time"].to_numpy()
    for name in names:
        candles[name] = table[name].to_numpy()
    return candles

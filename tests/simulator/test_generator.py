from __future__ import annotations

import numpy as np
import pytest

from futures_agent.clock import DAY_MS, parse_utc
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.generator import CHUNK_MS, GeneratedCandles
from futures_agent.simulator.series import aggregate

START = parse_utc("2026-03-10T14:20:00Z")


def world(*symbols: str, seed: int = 1, days: int = 70, **options: object) -> GeneratedCandles:
    return GeneratedCandles(symbols, seed=seed, start_ms=START, history_days=days, **options)  # type: ignore[arg-type]


def until(candles: Candles, end_ms: int = START) -> Candles:
    return candles[candles["timestamp"] <= end_ms]


@pytest.mark.parametrize("symbol", ["BTCUSDT", "1000PEPEUSDT", "SOLUSDT", "NEWCOINUSDT"])
def test_candles_are_complete_sane_and_on_the_grid(symbol: str) -> None:
    source = world(symbol)
    decimals = source.listings()[0].grid.price
    candles = source.series(symbol, Timeframe.M15, START)
    assert np.all(np.diff(candles["timestamp"]) == Timeframe.M15.ms)
    assert candles["timestamp"][0] == START - START % DAY_MS - 70 * DAY_MS
    body = np.array([candles["open"], candles["close"]])
    assert np.all(candles["high"] >= body.max(axis=0))
    assert np.all(candles["low"] <= body.min(axis=0))
    assert np.all(candles["low"] > 0)
    assert np.all(candles["volume"] > 0)
    assert np.all(candles["trades"] >= 1)
    assert np.all(candles["taker_buy_volume"] <= candles["volume"])
    assert np.array_equal(candles["open"][1:], candles["close"][:-1])  # across the edges of chunks as well
    for name in ("open", "high", "low", "close"):
        for value in candles[name][:500].tolist():
            assert float(f"{value:.{decimals}f}") == value


def test_same_seed_same_candles_whatever_else_is_asked() -> None:
    alone = until(world("ETHUSDT").series("ETHUSDT", Timeframe.H1, START))
    among = until(world("BTCUSDT", "XRPUSDT", "ETHUSDT").series("ETHUSDT", Timeframe.H1, START))
    assert alone.tobytes() == among.tobytes()
    longer = until(world("ETHUSDT", days=200).series("ETHUSDT", Timeframe.H1, START))
    assert longer[-len(alone) :].tobytes() == alone.tobytes()
    other = until(world("ETHUSDT", seed=2).series("ETHUSDT", Timeframe.H1, START))
    assert other["close"].tolist() != alone["close"].tolist()


def test_the_world_goes_on_past_the_chunk_and_keeps_its_past() -> None:
    source = world("BTCUSDT")
    before = source.series("BTCUSDT", Timeframe.H4, START).copy()
    later = source.series("BTCUSDT", Timeframe.H4, START + 2 * CHUNK_MS)
    assert later["timestamp"][-1] > START + 2 * CHUNK_MS - Timeframe.H4.ms
    assert later[: len(before)].tobytes() == before.tobytes()
    assert np.all(np.diff(later["timestamp"]) == Timeframe.H4.ms)


@pytest.mark.parametrize("timeframe", [Timeframe.H1, Timeframe.H4, Timeframe.D1])
def test_timeframes_are_aggregates_of_the_finest(timeframe: Timeframe) -> None:
    source = world("SOLUSDT")
    grid = source.listings()[0].grid
    finest = source.series("SOLUSDT", Timeframe.M15, START)
    expected = aggregate(finest, timeframe, grid)
    assert source.series("SOLUSDT", timeframe, START).tobytes() == expected.tobytes()
    open_ms = timeframe.open_of(START)
    finer, parts = source.inside("SOLUSDT", timeframe, open_ms)
    assert finer is Timeframe.M15
    assert aggregate(parts, timeframe, grid).tobytes() == expected[expected["timestamp"] == open_ms].tobytes()


def test_prices_look_like_their_names_and_move_together() -> None:
    source = world("BTCUSDT", "ETHUSDT", "DOGEUSDT", days=365, with_untradable=False)
    hours = [source.series(symbol, Timeframe.H1, START) for symbol in ("BTCUSDT", "ETHUSDT", "DOGEUSDT")]
    assert 20_000 < hours[0]["close"].mean() < 300_000
    assert 0.03 < hours[2]["close"].mean() < 0.8
    returns = np.diff(np.log([series["close"] for series in hours]), axis=1)
    assert np.all(np.corrcoef(returns) > 0.2)
    yearly = returns.std(axis=1) * np.sqrt(8760)
    assert np.all((yearly > 0.3) & (yearly < 1.5))
    for row in returns:  # calm and wild hours come in clusters; returns have fat tails
        assert np.corrcoef(np.abs(row[1:]), np.abs(row[:-1]))[0, 1] > 0.1
        assert ((row - row.mean()) ** 4).mean() / row.var() ** 2 > 4


def test_a_later_first_day_cuts_the_past_and_nothing_else() -> None:
    first = START - START % DAY_MS - 10 * DAY_MS
    whole = world("ETHUSDT").series("ETHUSDT", Timeframe.H4, START)
    young = world("ETHUSDT", onboard_ms={"ETHUSDT": first + 12_345})
    assert young.listings()[0].onboard_ms == first
    cut = young.series("ETHUSDT", Timeframe.H4, START)
    assert cut.tobytes() == whole[whole["timestamp"] >= first].tobytes()
    unborn = world("ETHUSDT", onboard_ms={"ETHUSDT": START + 2 * CHUNK_MS})
    assert len(unborn.series("ETHUSDT", Timeframe.H4, START)) == 0

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

from futures_agent.clock import HOUR_MS
from futures_agent.market.candle import FULL_CANDLE, Candles, candles_from_columns
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.series import Grid, aggregate, decimals_of, forming, on_grid, whole_bars

GRID = Grid(price=2, volume=3, quote=5)


def hours(first_hour: int, count: int) -> Candles:
    rise = np.arange(count, dtype=np.float64)
    return candles_from_columns(
        FULL_CANDLE,
        timestamp=(first_hour + np.arange(count)) * HOUR_MS,
        open=100.0 + rise,
        high=102.0 + rise,
        low=99.0 - rise,
        close=101.0 + rise,
        volume=np.full(count, 0.1),
        quote_volume=np.full(count, 10.1),
        trades=np.full(count, 7),
        taker_buy_volume=np.full(count, 0.05),
        taker_buy_quote_volume=np.full(count, 5.05),
    )


def test_on_grid_gives_the_double_of_the_decimal_text() -> None:
    values = on_grid(np.array([0.1 + 0.2, 60647.399999, 1e-7 * 3]), 7)
    assert values.tolist() == [0.3, 60647.399999, 3e-7]
    assert on_grid(2.675, 1) == 2.7


def test_aggregate_joins_four_hours() -> None:
    (bar,) = aggregate(hours(4, 4), Timeframe.H4, GRID)
    assert bar["timestamp"] == 4 * HOUR_MS
    assert [bar[name] for name in ("open", "high", "low", "close")] == [100.0, 105.0, 96.0, 104.0]
    # Decimal sums, not 0.4000000000000001.
    assert (bar["volume"], bar["quote_volume"], bar["trades"]) == (0.4, 40.4, 28)
    assert (bar["taker_buy_volume"], bar["taker_buy_quote_volume"]) == (0.2, 20.2)


def test_aggregate_of_nothing_is_nothing() -> None:
    assert len(aggregate(hours(0, 0), Timeframe.D1, GRID)) == 0


@pytest.mark.parametrize(
    ("first_hour", "count", "opens"),
    [(0, 8, [0, 4]), (1, 8, [4]), (0, 7, [0]), (2, 5, []), (1, 3, [])],
)
def test_whole_bars_leaves_out_cut_bars_at_both_ends(first_hour: int, count: int, opens: list[int]) -> None:
    bars = whole_bars(hours(first_hour, count), Timeframe.H1, Timeframe.H4, GRID)
    assert (bars["timestamp"] // HOUR_MS).tolist() == opens


def test_forming_candle_grows_from_its_open_to_its_final_shape() -> None:
    final = hours(0, 1)[0]
    states = [forming(final, HOUR_MS, elapsed, GRID)[0] for elapsed in range(0, HOUR_MS, HOUR_MS // 97)]
    first = states[0]
    assert [first[name] for name in ("open", "high", "low", "close")] == [100.0] * 4
    assert (first["volume"], first["trades"]) == (0.0, 0)
    for earlier, later in pairwise(states):
        assert later["high"] >= earlier["high"]
        assert later["low"] <= earlier["low"]
        assert later["volume"] >= earlier["volume"]
    assert (states[-1]["high"], states[-1]["low"]) == (final["high"], final["low"])
    assert all(state["volume"] < final["volume"] for state in states)
    assert all(state["low"] <= state["close"] <= state["high"] for state in states)
    assert len({float(state["close"]) for state in states}) > 20


def test_rising_bar_falls_first_and_falling_bar_rises_first() -> None:
    rising = hours(0, 1)[0]
    falling = rising.copy()
    falling["close"] = 99.5
    early = HOUR_MS * 3 // 10
    assert forming(rising, HOUR_MS, early, GRID)["low"][0] == rising["low"]
    assert forming(rising, HOUR_MS, early, GRID)["high"][0] == rising["open"]
    assert forming(falling, HOUR_MS, early, GRID)["high"][0] == falling["high"]
    assert forming(falling, HOUR_MS, early, GRID)["low"][0] == falling["open"]


def test_forming_prices_lie_on_the_tick_grid() -> None:
    final = hours(0, 1)[0]
    for elapsed in range(1, HOUR_MS, 123_457):
        close = float(forming(final, HOUR_MS, elapsed, GRID)["close"][0])
        assert Decimal(repr(close)) == Decimal(repr(close)).quantize(Decimal("0.01"))


def test_decimals_see_through_the_noise_of_sums() -> None:
    assert decimals_of(np.array([1.0, 2.0])) == 0
    assert decimals_of(np.array([0.1 + 0.2, 5.0])) == 1
    assert decimals_of(np.array([0.0000001])) == 7
    assert decimals_of(np.array([1 / 3])) == 8


def test_numbers_of_fifteen_digits_and_more_stay_what_their_text_says():
    rng = np.random.default_rng(8)
    for decimals, digits in ((7, 9), (8, 8), (4, 11), (8, 10)):
        units = rng.integers(10 ** (digits - 1), 10**digits, 5_000)
        fractions = rng.integers(0, 10**decimals, 5_000)
        values = np.array([float(f"{a}.{b:0{decimals}d}") for a, b in zip(units, fractions, strict=True)])
        np.testing.assert_array_equal(on_grid(values, decimals), values)
    assert on_grid(0.1 + 0.2, 1) == 0.3
    assert on_grid(-1.25000001, 2) == -1.25

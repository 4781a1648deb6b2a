"""What counts as fresh, complete and sane."""

import numpy as np
import pytest

from futures_agent.clock import HOUR_MS
from futures_agent.market.candle import CANDLE, candles_from_columns
from futures_agent.market.quality import (
    contradicting_prices,
    faults,
    holes_in,
    judge_series,
    summarise,
    warnings,
)
from futures_agent.market.timeframe import Timeframe

H = HOUR_MS
LIMIT = 6 * H


def flat(opens, **columns):
    """Candles of price 10 and volume 5, open times `opens`."""
    values = {"open": 10.0, "high": 10.0, "low": 10.0, "close": 10.0, "volume": 5.0} | columns
    filled = {name: np.broadcast_to(np.asarray(value, float), len(opens)) for name, value in values.items()}
    return candles_from_columns(CANDLE, timestamp=np.array(opens, dtype=np.int64), **filled)


def judge(opens, *, now, symbol="BTCUSDT", confirmed=(), **columns):
    return judge_series(
        symbol,
        Timeframe.H1,
        flat(opens, **columns),
        now_ms=now,
        stale_after_ms=LIMIT,
        confirmed=confirmed,
    )


def found(series, **limits):
    frame = summarise(Timeframe.H1, series)
    defaults = {"coverage_min": 0.95, "max_gap_candles": 2, "max_disagreements": 2}
    return faults(series, [frame], **defaults | limits)


def test_a_fresh_complete_series_has_no_fault():
    series = judge([0, H, 2 * H], now=3 * H + 1)
    assert (series.candles, series.missing, series.stale, series.age_ms) == (3, 0, False, 1)
    assert found([series]) == []


@pytest.mark.parametrize(("age", "stale"), [(LIMIT, False), (LIMIT + 1, True)])
def test_stale_is_older_than_the_limit_counted_from_the_close(age, stale):
    assert judge([0], now=H + age).stale is stale


def test_holes_are_ranges_of_missing_open_times():
    opens = np.array([0, H, 4 * H, 5 * H, 7 * H])
    assert holes_in(opens, Timeframe.H1) == [(2 * H, 3 * H), (6 * H, 6 * H)]


def test_a_gap_of_two_is_tolerated_and_one_of_three_is_not():
    two = judge([0, 3 * H], now=4 * H)
    three = judge([0, 4 * H], now=5 * H)
    assert (two.missing, two.largest_gap) == (2, 2)
    assert found([two]) == []
    assert found([three]) == ["BTCUSDT H1: gap of 3 candles, at most 2 allowed"]


def test_a_gap_the_exchange_confirmed_is_counted_apart():
    series = judge([0, 5 * H], now=6 * H, confirmed=[(H, 4 * H)])
    assert (series.missing, series.largest_gap, series.confirmed_missing) == (0, 0, 4)
    assert found([series]) == []


def test_a_confirmed_part_of_a_longer_gap_confirms_nothing():
    series = judge([0, 6 * H], now=7 * H, confirmed=[(H, 4 * H)])
    assert series.largest_gap == 5


def test_an_absent_series_counts_against_coverage():
    good = [judge([0], now=H, symbol=f"S{n}") for n in range(18)]
    absent = judge([], now=H, symbol="GONE")
    assert absent.stale
    assert summarise(Timeframe.H1, [*good, absent]).coverage == pytest.approx(18 / 19)
    assert found([*good, absent]) == [
        "H1: coverage 94.7% of 19 symbols, at least 95% needed (fresh and present)"
    ]
    assert found([*good, judge([0], now=H), absent]) == []


def test_no_symbols_is_no_coverage():
    assert summarise(Timeframe.H1, []).coverage == 0.0


def test_what_cannot_be_a_candle_is_a_fault():
    series = judge([0, H + 7, H + 7, 2 * H, 5 * H], now=3 * H, low=[10, 10, 10, 11, 10])
    assert found([series], max_gap_candles=9) == [
        "BTCUSDT H1: 2 candles off the H1 grid",
        "BTCUSDT H1: 1 candles stored twice",
        "BTCUSDT H1: 1 candles that have not closed yet",
        "BTCUSDT H1: 1 candles with contradicting prices",
    ]


def test_a_candle_that_has_not_closed_makes_nothing_fresh():
    series = judge([0, 8 * H], now=8 * H + 1)
    assert (series.forming, series.age_ms, series.stale) == (1, 7 * H + 1, True)


def disagreeing(count, symbol="BTCUSDT"):
    return judge_series(
        symbol, Timeframe.H1, flat([0]), now_ms=H, stale_after_ms=LIMIT, disagreeing=range(count)
    )


def test_a_few_disagreements_warn_and_many_are_a_fault():
    assert found([disagreeing(2)]) == []
    assert warnings([disagreeing(2)], untraded_candles=9) == [
        "H1: candles contradict the finer timeframe: BTCUSDT 2"
    ]
    assert found([disagreeing(3)]) == [
        "BTCUSDT H1: 3 candles contradict the finer timeframe, at most 2 tolerated"
    ]


def test_what_the_exchange_itself_contradicts_warns_and_is_no_fault():
    own = {("BTCUSDT", "H1", at) for at in range(3)} | {("ETHUSDT", "H1", 3), ("BTCUSDT", "H4", 4)}
    assert found([disagreeing(5)], exchanges_own=own) == []
    assert found([disagreeing(6)], exchanges_own=own) == [
        "BTCUSDT H1: 3 candles contradict the finer timeframe, at most 2 tolerated"
    ]
    assert warnings([disagreeing(5)], untraded_candles=9) == [
        "H1: candles contradict the finer timeframe: BTCUSDT 5"
    ]


def test_warnings_name_the_worst_series():
    series = [disagreeing(count, f"S{count}") for count in range(6)]
    assert warnings(series, untraded_candles=9) == [
        "H1: candles contradict the finer timeframe: S5 5, S4 4, S3 3, … 5 series"
    ]


def test_untraded_runs_copies_and_jumps_warn():
    assert warnings([judge([0, H, 2 * H], now=3 * H, volume=0.0)], untraded_candles=3) == [
        "H1: candles in a row without a trade: BTCUSDT 3"
    ]
    assert warnings([judge([0, H, 2 * H], now=3 * H)], untraded_candles=3) == [
        "H1: candles copy the one before: BTCUSDT 2"
    ]
    close = 10 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 1e-3, 100)))
    close[60:] *= 2
    jumped = judge(H * np.arange(100), now=100 * H, close=close, high=30.0, low=1.0)
    assert warnings([jumped], untraded_candles=3) == ["H1: returns far beyond the usual: BTCUSDT 1"]


@pytest.mark.parametrize(
    ("open_", "high", "low", "close", "volume", "bad"),
    [
        (10, 12, 9, 11, 5, 0),
        (10, 10, 10, 10, 0, 0),
        (10, 9, 8, 9, 5, 1),  # opened above its high
        (10, 12, 9, 13, 5, 1),  # closed above its high
        (10, 12, 11, 11, 5, 1),  # opened below its low
        (0, 1, 0, 1, 5, 1),  # a price of zero
        (10, 12, 9, 11, -1, 1),
        (float("nan"), 12, 9, 11, 1, 1),
    ],
)
def test_contradicting_prices(open_, high, low, close, volume, bad):
    candles = candles_from_columns(
        CANDLE, timestamp=[0], open=[open_], high=[high], low=[low], close=[close], volume=[volume]
    )
    assert contradicting_prices(candles) == bad

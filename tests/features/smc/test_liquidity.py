"""Liquidity pools: equal highs and lows, sweeps, and levels that are taken."""

from __future__ import annotations

import numpy as np
import pytest

from futures_agent.features.smc.liquidity import CAPACITY
from sample_markets import START_MS, bars
from smc_oracle import Lengths, mirrored, online

HOUR = 3_600_000


def highs(*prices: float) -> np.ndarray:
    """Return bars with these highs that close at 5, far below."""
    return bars((5, price, 4, 5) for price in prices)


def pools(market: np.ndarray, equal_within: float = 0.0, name: str = "high pools") -> list[dict]:
    return [known[name] for known in online(market, Lengths(left=1, right=1, equal_within=equal_within))]


def test_every_swing_is_a_pool_from_its_confirmation_on() -> None:
    found = pools(highs(8, 10, 9))
    assert found[1]["rows"] == []
    #                           start            price limit touches
    assert found[2]["rows"] == [(START_MS + HOUR, 10.0, 10.0, 1)]
    assert not found[2]["equal"]


def test_equal_highs_are_one_pool() -> None:
    found = pools(highs(8, 10, 9, 10, 9))
    assert found[-1]["rows"] == [(START_MS + HOUR, 10.0, 10.0, 2)]
    assert [each["equal"] for each in found] == [False, False, False, False, True]
    assert not any(each["swept"] for each in found)  # to reach it is not to go beyond


@pytest.mark.parametrize(
    ("equal_within", "expected"), [(0.501, [(13.0, 2)]), (0.499, [(13.0, 1), (10.0, 1)])]
)
def test_equality_is_within_a_share_of_the_average_true_range(equal_within: float, expected: list) -> None:
    # true ranges 9, 5, 6 and 4 make an average of 6 when the second swing is confirmed, 3 below the first
    rows = pools(highs(8, 13, 9, 10, 8), equal_within)[-1]["rows"]
    assert [(row[1], row[3]) for row in rows] == expected


def test_within_the_tolerance_the_outermost_price_counts_and_nothing_is_swept() -> None:
    found = pools(highs(8, 10, 9, 10.5, 9), equal_within=0.2)
    last = found[-1]
    assert [(row[1], row[3]) for row in last["rows"]] == [(10.5, 2)]
    assert last["rows"][0][2] > 10.5
    assert not any(each["swept"] for each in found)


def test_a_lower_equal_high_leaves_the_outermost_price() -> None:
    last = pools(highs(8, 10.5, 9, 10, 9), equal_within=0.2)[-1]
    assert [(row[1], row[3]) for row in last["rows"]] == [(10.5, 2)]


def test_a_swing_joins_the_nearest_pool() -> None:
    # pools 14 and 10 lie apart by more than the tolerance; 11.5 is nearer to 10
    last = pools(highs(8, 14, 8, 10, 8, 11.5, 8), equal_within=0.45)[-1]
    assert [(row[1], row[3]) for row in last["rows"]] == [(14.0, 1), (11.5, 2)]


def test_of_two_equally_near_pools_a_swing_joins_the_older() -> None:
    last = pools(highs(8, 14, 8, 10, 8, 12, 8), equal_within=0.34)[-1]
    assert [(row[1], row[3]) for row in last["rows"]] == [(14.0, 2), (10.0, 1)]


def test_a_wick_beyond_that_closes_back_sweeps() -> None:
    before, at = pools(highs(8, 10, 9, 10.01))[-2:]
    assert (before["swept"], before["sweeps"]) == (False, 0)
    assert at["swept"]
    assert (at["swept_price"], at["swept_touches"], at["sweeps"]) == (10.0, 1, 1)
    assert (at["taken"], at["rows"]) == (False, [])


@pytest.mark.parametrize(("close", "swept"), [(9.99, True), (10.0, True), (10.01, False)])
def test_the_close_tells_a_sweep_from_a_break(close: float, swept: bool) -> None:
    market = highs(8, 10, 9, 11)
    market["close"][3] = close
    at = pools(market)[-1]
    assert (at["swept"], at["taken"], at["rows"]) == (swept, not swept, [])


def test_within_the_tolerance_is_not_beyond() -> None:
    # the limit at bar 2 is 10 plus half the average true range of (6 + 5) / 2
    for high, swept in ((12.75, False), (12.76, True)):
        assert pools(highs(8, 10, 9, high), equal_within=0.5)[-1]["swept"] is swept


def test_a_pool_is_swept_once() -> None:
    found = pools(highs(8, 10, 9, 11, 12, 13))
    assert [each["swept"] for each in found] == [False, False, False, True, False, False]


def test_one_bar_may_sweep_the_outer_pool_and_take_the_inner_one() -> None:
    market = highs(8, 14, 8, 10, 8, 15)
    market["close"][5] = 12.0
    at = pools(market)[-1]
    assert (at["swept"], at["taken"], at["swept_price"], at["rows"]) == (True, True, 14.0, [])


def test_a_sweep_of_several_names_the_outermost_and_the_most_touches() -> None:
    at = pools(highs(8, 14, 8, 10, 8, 10, 8, 15))[-1]
    assert (at["swept_price"], at["swept_touches"], at["sweeps"]) == (14.0, 2, 1)
    at = pools(highs(8, 14, 8, 10, 8, 10, 8, 11))[-1]
    assert (at["swept_price"], at["swept_touches"]) == (10.0, 2)
    assert [row[1] for row in at["rows"]] == [14.0]


def test_lows_are_the_mirror_image() -> None:
    at = pools(mirrored(highs(8, 10, 9, 10.01)), name="low pools")[-1]
    assert (at["swept"], at["swept_price"], at["rows"]) == (True, -10.0, [])


def test_the_oldest_pool_makes_room() -> None:
    falling = [price for n in range(CAPACITY + 3) for price in (50.0 - 2 * n, 6.0)]
    rows = pools(highs(6, *falling))[-1]["rows"]
    assert [row[1] for row in rows] == [50.0 - 2 * n for n in range(3, CAPACITY + 3)]

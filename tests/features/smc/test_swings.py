"""Swing highs and lows: confirmed by the bars to their right, and what equal bars make of them."""

from __future__ import annotations

import numpy as np
import pytest

from futures_agent.features.smc.recent import SPAN
from futures_agent.features.smc.swings import MOST_BARS
from sample_markets import START_MS, bars
from smc_oracle import Lengths, online

HOUR = 3_600_000
TWO = Lengths(left=2, right=2)


def of_highs(*highs: float) -> np.ndarray:
    return bars((0.5, high, 0.0, 0.5) for high in highs)


def of_lows(*lows: float) -> np.ndarray:
    return bars((99.5, 100.0, low, 99.5) for low in lows)


def swing_bars(market: np.ndarray, lengths: Lengths, name: str = "high") -> list[int]:
    return [known[name]["swing"][1] for known in online(market, lengths) if known[name]["confirmed"]]


def test_a_swing_high_is_known_when_the_bars_to_its_right_have_closed() -> None:
    before, at, after = online(of_highs(1, 2, 5, 3, 4, 3), TWO)[3:]
    assert before["high"] == {"count": 0, "confirmed": False}
    assert at["high"] == {"count": 1, "confirmed": True, "swing": (5.0, 2, START_MS + 2 * HOUR)}
    assert after["high"] == {**at["high"], "confirmed": False}


def test_a_swing_low_is_the_mirror_image() -> None:
    at = online(of_lows(9, 8, 5, 7, 6), TWO)[4]
    assert at["low"] == {"count": 1, "confirmed": True, "swing": (5.0, 2, START_MS + 2 * HOUR)}
    assert at["high"]["count"] == 0


@pytest.mark.parametrize(
    ("highs", "expected"),
    [
        ((1, 2, 5, 5, 3, 4), [3]),  # side by side: the last
        ((1, 5, 3, 5, 3, 4), [3]),  # equal to the left counts
        ((1, 2, 5, 3, 5, 4, 4), [4]),  # equal to the right does not
        ((1, 5, 3, 2, 5, 4, 3), [4]),  # too close to its left edge; nothing equal within reach of the second
        ((5, 5, 5, 5, 5, 5), []),  # a market that stands still
        ((1, 2, 3, 4, 5, 6), []),
    ],
)
def test_equal_highs(highs: tuple[float, ...], expected: list[int]) -> None:
    assert swing_bars(of_highs(*highs), TWO) == expected


def test_the_first_bars_are_no_swing_for_want_of_a_left_side() -> None:
    assert swing_bars(of_highs(1, 5, 3, 2, 1), TWO) == []
    assert swing_bars(of_highs(1, 5, 3, 2, 1), Lengths(left=1, right=2)) == [1]


def test_sides_may_differ() -> None:
    market = of_highs(9, 4, 5, 3, 2, 6)
    assert swing_bars(market, Lengths(left=1, right=2)) == [2]
    assert swing_bars(market, Lengths(left=2, right=1)) == []


def test_one_bar_may_be_a_swing_high_and_a_swing_low() -> None:
    known = online(bars([(5, 6, 4, 5), (5, 9, 1, 5), (5, 6, 4, 5)]), Lengths(left=1, right=1))[-1]
    assert known["high"]["swing"][:2] == (9.0, 1)
    assert known["low"]["swing"][:2] == (1.0, 1)


def test_the_swing_before_is_remembered() -> None:
    last = online(of_highs(1, 5, 1, 7, 1, 6, 1), Lengths(left=1, right=1))[-1]
    assert last["high"]["count"] == 3
    assert (last["high"]["previous"], last["high"]["swing"][0]) == (7.0, 6.0)


def test_the_longest_sides_fit_into_the_recent_bars() -> None:
    longest = Lengths(left=MOST_BARS, right=MOST_BARS)
    assert 2 * MOST_BARS + 1 < SPAN
    highs = [*range(1, 41), *range(39, 0, -1)]  # the peak is bar 39
    found = online(of_highs(*highs), longest)
    assert swing_bars(of_highs(*highs), longest) == [39]
    assert found[39 + MOST_BARS]["high"]["confirmed"]

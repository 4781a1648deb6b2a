"""Trend, break of structure and change of character: closes against the newest confirmed swing."""

from __future__ import annotations

import numpy as np

from sample_markets import START_MS, bars
from smc_oracle import Lengths, online

HOUR = 3_600_000
ONE = Lengths(left=1, right=1)


def posts(*prices: float) -> np.ndarray:
    """Return bars that open and close at `prices` and reach half a unit to either side."""
    return bars((price, price + 0.5, price - 0.5, price) for price in prices)


def events(market: np.ndarray) -> dict[int, tuple[str, int]]:
    found = {}
    for bar, known in enumerate(online(market, ONE)):
        for name in ("bos", "choch"):
            if known[name]:
                found[bar] = (name, known[name])
    return found


def test_closes_beyond_swings_continue_and_change_the_trend() -> None:
    # swing highs 12.5 (bar 1), 13.5 (bar 3), 14.5 (bar 7); swing lows 9.5 (bar 2), 10.5 (bar 4), 8.5 (bar 10)
    market = posts(10, 12, 10, 13, 11, 13.5, 13.6, 14, 10.5, 10.4, 9, 11, 8)
    assert events(market) == {6: ("bos", 1), 9: ("choch", -1), 12: ("bos", -1)}
    trends = [known["trend"] for known in online(market, ONE)]
    assert trends == [0, 0, 0, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1]


def test_the_first_break_only_gives_the_trend_and_names_its_level() -> None:
    before, at = online(posts(10, 12, 10, 13), ONE)[2:]
    assert (before["trend"], "broken" in before) == (0, False)
    assert (at["trend"], at["bos"], at["choch"]) == (1, 0, 0)
    assert at["broken"] == (12.5, 1, START_MS + HOUR)


def test_a_close_at_the_level_breaks_nothing() -> None:
    assert online(posts(10, 12, 10, 12.5), ONE)[-1]["trend"] == 0


def test_a_wick_breaks_nothing() -> None:
    market = posts(10, 12, 10, 12)
    market["high"][3] = 20.0
    assert online(market, ONE)[-1]["trend"] == 0


def test_a_level_breaks_once() -> None:
    # up through 12.5, back below it, up through it again: no swing high between, since each rise is higher
    market = posts(10, 12, 10, 13, 12.2, 13.5)
    market["high"][4] = 20.0  # an upper wick, so that bar 3 is no swing
    assert [known["trend"] for known in online(market, ONE)][3:] == [1, 1, 1]
    assert events(market) == {}


def test_a_new_swing_replaces_one_that_was_never_broken() -> None:
    # swing highs 15.5 (bar 1), then the lower 12.5 (bar 3): a close above the lower one is the break
    assert online(posts(10, 15, 10, 12, 10, 13), ONE)[-1]["broken"] == (12.5, 3, START_MS + 3 * HOUR)


def test_the_bar_that_confirms_a_swing_may_break_the_other_side() -> None:
    # bar 4 confirms the high of bar 3 and closes below the low of bar 2
    market = posts(10, 12, 10, 12, 9)
    at = online(market, ONE)[-1]
    assert at["high"]["confirmed"]
    assert (at["trend"], at["broken"][1]) == (-1, 2)

"""The dealing range: known from a swing high and a swing low on, holding price, its halves."""

from __future__ import annotations

import numpy as np
import pytest

from sample_markets import bars
from smc_oracle import Lengths, online

ONE = Lengths(left=1, right=1)

# A swing high at 20 (bar 1) and a swing low at 10 (bar 2), known from bars 2 and 3 on.
PAIR = [(15, 16, 14, 15), (15, 20, 15, 18), (15, 16, 10, 12), (12, 15, 11, 14)]


def ranges(rows: list[tuple[float, ...]]) -> list[dict | None]:
    return [known.get("range") for known in online(bars(rows), ONE)]


def test_unknown_until_a_high_and_a_low_are_confirmed() -> None:
    found = ranges(PAIR)
    assert found[:3] == [None, None, None]
    assert found[3] == {
        "top": 20.0,
        "bottom": 10.0,
        "equilibrium": 15.0,
        "position": 0.4,
        "premium": False,
        "discount": True,
    }


@pytest.mark.parametrize(
    ("close", "position", "premium", "discount"),
    [(17.5, 0.75, True, False), (15.0, 0.5, False, False), (12.5, 0.25, False, True)],
)
def test_halves_are_told_by_the_close(close: float, position: float, premium: bool, discount: bool) -> None:
    last = ranges([*PAIR, (14, 18, 12, close)])[-1]
    assert last is not None
    assert (last["position"], last["premium"], last["discount"]) == (position, premium, discount)


def test_price_beyond_a_swing_widens_the_range() -> None:
    last = ranges([*PAIR, (14, 30, 12, 25)])[-1]
    assert last is not None
    assert (last["top"], last["bottom"], last["position"]) == (30.0, 10.0, 0.75)


def test_a_new_swing_begins_its_side_anew() -> None:
    last = ranges([*PAIR, (14, 18, 13, 17), (17, 17, 12, 13)])[-1]  # a lower swing high at 18, low unchanged
    assert last is not None
    assert (last["top"], last["bottom"]) == (18.0, 10.0)


def test_a_market_that_stands_still_has_none() -> None:
    still = np.repeat(bars([(5, 5, 5, 5)]), 20)
    assert all("range" not in known for known in online(still, ONE))

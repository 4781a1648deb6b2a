"""Order blocks: which candle a break of structure leaves behind, its retest and its end."""

from __future__ import annotations

import numpy as np
import pytest

from futures_agent.features.smc.recent import SPAN
from futures_agent.features.smc.zones import CAPACITY
from sample_markets import START_MS, bars
from smc_oracle import Lengths, mirrored, online

HOUR = 3_600_000
ONE = Lengths(left=1, right=1)

# Up through a first swing high, which gives the trend, then a pullback below the swing high of bar 3.
TREND = [(4, 5, 3, 4), (6, 7, 5, 6), (4, 5, 3, 4), (8, 20, 7, 10)]
PULLBACK = [
    (10, 11, 9.5, 9.8),  # bar 4, down
    (9.8, 10, 8.5, 9.0),  # bar 5, down
    (9.0, 9.5, 8.0, 9.4),  # bar 6, up, lowest low
    (9.4, 12, 9.0, 11.0),  # bar 7, up
    (11, 12, 10.5, 10.8),  # bar 8, down, but the move began at bar 6
]
BREAK = [(11, 22, 11, 21)]  # bar 9 closes above 20
MADE = [*TREND, *PULLBACK, *BREAK]


def blocks(rows: list[tuple[float, ...]], name: str = "bull blocks") -> list[dict]:
    return [known[name] for known in online(bars(rows), ONE)]


def test_the_last_opposite_candle_before_the_move_is_the_block() -> None:
    *_, before, at = online(bars(MADE), ONE)
    assert (before["trend"], before["bull blocks"]["rows"]) == (1, [])
    assert (at["bos"], at["broken"][1]) == (1, 3)
    assert at["bull blocks"]["made"]
    assert at["bull blocks"]["rows"] == [(START_MS + 5 * HOUR, 9, 10.0, 8.5, 10.0, 0)]


def test_a_falling_break_leaves_the_mirror_image() -> None:
    at = online(mirrored(bars(MADE)), ONE)[-1]
    assert (at["bos"], at["trend"]) == (-1, -1)
    assert at["bear blocks"]["rows"] == [(START_MS + 5 * HOUR, 9, -8.5, -10.0, -10.0, 0)]


def test_the_candle_with_the_lowest_low_may_be_the_block_itself() -> None:
    down = [*MADE[:6], (9.5, 9.6, 8.0, 9.4), *MADE[7:]]
    assert blocks(down)[-1]["rows"][0][0] == START_MS + 6 * HOUR


def test_of_equal_lows_the_move_began_at_the_last() -> None:
    rows = [*MADE[:8], (11, 12, 8.0, 10.8), *MADE[9:]]
    assert blocks(rows)[-1]["rows"][0][0] == START_MS + 8 * HOUR


def test_the_breaking_bar_may_hold_the_origin_of_the_move() -> None:
    rows = [*MADE[:9], (11, 22, 7.0, 21)]  # its own low is the lowest: the last candle down is bar 8
    assert blocks(rows)[-1]["rows"][0][0] == START_MS + 8 * HOUR


def test_the_first_break_leaves_none() -> None:
    assert blocks([(4, 5, 3, 4), (6, 7, 5, 6), (5, 5, 3, 4), (8, 9, 7, 8)])[-1]["rows"] == []


def test_a_move_without_an_opposite_candle_leaves_none() -> None:
    rows = [*TREND, (10, 11, 9.5, 10.5), (9.8, 10, 8.5, 10.0), *BREAK]
    known = online(bars(rows), ONE)[-1]
    assert (known["bos"], known["bull blocks"]["rows"]) == (1, [])


def test_the_broken_swings_own_candle_is_none() -> None:
    rows = [*TREND[:3], (12, 20, 7, 10), (10, 11, 9.5, 10.5), *BREAK]  # bar 3 closed down
    known = online(bars(rows), ONE)[-1]
    assert (known["bos"], known["bull blocks"]["rows"]) == (1, [])


@pytest.mark.parametrize(
    ("low", "retested", "rest"), [(10.1, False, 10.0), (10.0, True, 10.0), (9, True, 9.0)]
)
def test_reaching_the_near_edge_is_the_retest(low: float, retested: bool, rest: float) -> None:
    last = blocks([*MADE, (21, 21, low, 20)])[-1]
    assert last["retested"] is retested
    assert [row[4:] for row in last["rows"]] == [(rest, int(retested))]


def test_only_the_first_return_is_the_retest() -> None:
    assert [each["retested"] for each in blocks([*MADE, (21, 21, 9, 20), (20, 21, 8.8, 20)])][-2:] == [
        True,
        False,
    ]


def test_a_wick_through_a_block_leaves_it_valid() -> None:
    last = blocks([*MADE, (21, 21, 2, 8.5)])[-1]  # closes at its bottom, not below
    assert [row[4:] for row in last["rows"]] == [(8.5, 1)]
    assert not last["ended"]


def test_a_close_beyond_invalidates_it() -> None:
    last = blocks([*MADE, (21, 21, 2, 8.49)])[-1]
    assert (last["ended"], last["rows"]) == (True, [])


def test_a_change_of_character_leaves_a_block_of_the_new_side() -> None:
    rows = [*MADE, (21, 21.5, 20, 21), (20, 21, 9, 10), (10, 10, 5, 5)]  # closes below the swing low of bar 6
    known = online(bars(rows), ONE)[-1]
    assert (known["choch"], known["broken"][:2]) == (-1, (8.0, 6))
    assert known["bear blocks"]["rows"] == [(START_MS + 9 * HOUR, 12, 22.0, 11.0, 11.0, 0)]


def test_the_same_candle_is_a_block_once() -> None:
    rows = [
        *TREND[:2],
        *[(4, 5, 3.5, 4)] * 3,
        TREND[3],  # bar 5 breaks bar 1 and is the next swing high
        *[(10, 12, 9.5, 11)] * 3,
        (11, 25, 9, 12),  # bar 9 is the one after, not yet known when
        (12, 12, 8, 9),
        (9, 24, 9, 21),  # bar 11 breaks bar 5; bar 10 is its block
        (21, 24, 20, 23),
        (23, 27, 22, 26),  # bar 13 breaks bar 9, and its move began at bar 10 too
    ]
    found = online(bars(rows), Lengths(left=1, right=3))
    assert [known["broken"][1] for known in found if known["bos"]] == [5, 9]
    assert [bar for bar, known in enumerate(found) if known["bull blocks"]["made"]] == [11]


def test_the_search_ends_where_the_recent_bars_end() -> None:
    def after(quiet: int) -> dict:
        rows = [*TREND, (10, 11, 8, 9), *[(10, 12, 9.5, 11)] * quiet, (11, 22, 11, 21)]
        return online(bars(rows), ONE)[-1]

    near, far = after(SPAN - 2), after(SPAN - 1)
    assert near["bull blocks"]["rows"][0][0] == START_MS + 4 * HOUR
    assert (far["bos"], far["bull blocks"]["rows"]) == (1, [])


def test_the_oldest_block_makes_room() -> None:
    stairs = []
    for step in range(CAPACITY + 6):
        base = 20.0 * step
        stairs += [(base, base + 15, base, base + 12), (base + 12, base + 12, base + 8, base + 9)]
    found = [known["bull blocks"] for known in online(bars(stairs), ONE)]
    assert max(len(each["rows"]) for each in found) == CAPACITY
    starts = [row[0] for row in found[-1]["rows"]]
    assert starts == sorted(starts)
    assert sum(each["made"] for each in found) > CAPACITY
    assert not any(each["ended"] for each in found)


def test_a_market_that_stands_still_leaves_none() -> None:
    still = np.repeat(bars([(5, 5, 5, 5)]), 20)
    assert not any(known["bull blocks"]["made"] for known in online(still, ONE))

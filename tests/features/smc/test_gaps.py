"""Fair value gaps: when three bars make one, how price comes back to it, and when it is forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from futures_agent.features.smc.zones import CAPACITY
from sample_markets import START_MS, bars
from smc_oracle import Lengths, online

HOUR = 3_600_000
ANY = Lengths(smallest_gap=0.0, longest_gap_age=100)

# Bar 2 opens a bull gap from 11 to 12. True ranges 4 and 4.
RISE = [(10, 11, 9, 10), (11, 14, 11, 14), (14, 16, 12, 15)]
FALL = [(-opened, -low, -high, -close) for opened, high, low, close in RISE]


def bull(rows: list[tuple[float, ...]], lengths: Lengths = ANY) -> list[dict]:
    return [known["bull gaps"] for known in online(bars(rows), lengths)]


def test_three_bars_make_a_gap_known_at_the_third() -> None:
    found = bull(RISE)
    assert [each["made"] for each in found] == [False, False, True]
    assert found[1]["rows"] == []
    #                           start             known top  bottom rest mitigated
    assert found[2]["rows"] == [(START_MS + HOUR, 2, 12.0, 11.0, 12.0, 0)]
    assert not found[2]["retested"]  # its own third bar comes no closer than its edge


def test_falling_bars_make_a_bear_gap() -> None:
    known = online(bars(FALL), ANY)[-1]
    assert known["bear gaps"]["rows"] == [(START_MS + HOUR, 2, -11.0, -12.0, -12.0, 0)]
    assert known["bull gaps"]["rows"] == []


def test_bars_that_meet_leave_no_gap() -> None:
    assert not bull([*RISE[:2], (14, 16, 11, 15)])[-1]["made"]


@pytest.mark.parametrize(("smallest", "made"), [(0.25, True), (0.2501, False)])
def test_least_size_is_in_average_true_ranges_the_third_bars_included(smallest: float, made: bool) -> None:
    assert bull(RISE, Lengths(smallest_gap=smallest))[-1]["made"] is made
    assert online(bars(FALL), Lengths(smallest_gap=smallest))[-1]["bear gaps"]["made"] is made


def test_price_comes_back_piece_by_piece() -> None:
    back = [(14, 15, 12.5, 14), (14, 15, 12, 14), (14, 15, 11.4, 14), (14, 15, 11.6, 14), (14, 15, 11, 14)]
    found = bull([*RISE, *back])[3:]
    assert [each["retested"] for each in found] == [False, True, False, False, False]
    assert [[row[4:] for row in each["rows"]] for each in found] == [
        [(12.0, 0)],
        [(12.0, 1)],  # reaching the edge is a retest
        [(11.4, 1)],
        [(11.4, 1)],  # what was traded through stays so
        [],
    ]
    assert [each["ended"] for each in found] == [False, False, False, False, True]


def test_a_bar_may_retest_and_fill_at_once() -> None:
    last = bull([*RISE, (14, 15, 5, 6)])[-1]
    assert (last["retested"], last["ended"], last["rows"]) == (True, True, [])


def test_a_bar_that_opens_below_a_gap_has_filled_it() -> None:
    last = bull([*RISE, (8, 9, 7, 8)])[-1]
    assert (last["retested"], last["ended"], last["rows"]) == (True, True, [])


def test_a_gap_is_kept_for_its_age_and_then_forgotten() -> None:
    away = [(14, 15, 13, 14)] * 5
    found = bull([*RISE, *away], Lengths(smallest_gap=0.0, longest_gap_age=3))
    assert [len(each["rows"]) for each in found] == [0, 0, 1, 1, 1, 1, 0, 0]
    assert [each["dropped"] for each in found] == [False] * 6 + [True, False]
    assert not any(each["ended"] for each in found)


def test_a_forgotten_gap_is_not_filled_by_the_bar_after() -> None:
    rows = [*RISE, (14, 15, 13, 14), (14, 15, 5, 6)]
    assert bull(rows, Lengths(smallest_gap=0.0, longest_gap_age=2))[-1]["ended"]
    assert not bull(rows, Lengths(smallest_gap=0.0, longest_gap_age=1))[-1]["ended"]


def test_the_oldest_gap_makes_room() -> None:
    steep = [(10 * n, 10 * n + 1, 10 * n - 1, 10 * n) for n in range(1, CAPACITY + 8)]
    found = bull(steep)
    counts = [len(each["rows"]) for each in found]
    assert counts == [max(0, min(n - 1, CAPACITY)) for n in range(len(steep))]
    assert [row[1] for row in found[-1]["rows"]] == list(range(len(steep) - CAPACITY, len(steep)))
    assert [each["dropped"] for each in found] == [n - 1 > CAPACITY for n in range(len(steep))]


def test_a_filled_gap_between_two_others_leaves_them_in_order() -> None:
    state_before, state_after = bull(
        [
            *[(10 * n, 10 * n + 1, 10 * n - 1, 10 * n) for n in range(1, 5)],  # gaps 11–29 and 21–39
            (40, 41, 15, 16),  # fills the second, and the first down to 15
        ]
    )[-2:]
    assert [row[2:4] for row in state_before["rows"]] == [(29.0, 11.0), (39.0, 21.0)]
    assert [row[2:] for row in state_after["rows"]] == [(29.0, 11.0, 15.0, 1)]
    assert state_after["ended"]


def test_bars_are_counted_not_hours() -> None:
    market = bars(RISE)
    market["timestamp"][2] += 7 * HOUR
    assert online(market, ANY)[-1]["bull gaps"]["rows"][0][0] == START_MS + HOUR


def test_a_market_that_stands_still_makes_none() -> None:
    still = np.repeat(bars([(5, 5, 5, 5)]), 20)
    assert not any(known["bull gaps"]["made"] or known["bear gaps"]["made"] for known in online(still, ANY))

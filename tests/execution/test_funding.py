"""Funding: who pays, and which instants are assumed where none was recorded."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from futures_agent.clock import HOUR_MS
from futures_agent.execution.funding import funding_cashflow, settlements

RECORDED = [("timestamp", np.int64), ("rate", np.float64)]
DAY = 20_000 * 24 * HOUR_MS


def recorded(*rows: tuple[int, float]) -> np.ndarray:
    return np.array([(DAY + hour * HOUR_MS, rate) for hour, rate in rows], RECORDED)


def hours(found: np.ndarray) -> list[tuple[int, float]]:
    return [(int(row["timestamp"] - DAY) // HOUR_MS, float(row["rate"])) for row in found]


def settlement(rate: float, *, assumed: bool) -> SimpleNamespace:
    return SimpleNamespace(rate=rate, assumed=assumed)


@pytest.mark.parametrize(("side", "rate", "cash"), [(1, 0.01, -2.0), (-1, 0.01, 2.0), (1, -0.01, 2.0)])
def test_longs_pay_shorts_while_the_rate_is_positive(side: int, rate: float, cash: float) -> None:
    found = funding_cashflow(side, 2.0, 100.0, settlement(rate, assumed=False))
    assert found == pytest.approx(cash)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("rate", [0.01, -0.01])
def test_an_assumed_rate_is_a_cost_to_either_side(side: int, rate: float) -> None:
    assert funding_cashflow(side, 2.0, 100.0, settlement(rate, assumed=True)) == pytest.approx(-2.0)


def test_complete_records_are_used_as_they_are() -> None:
    rates = recorded((0, 0.1), (8, 0.2), (16, 0.3))
    found, assumed = settlements(rates, DAY, DAY + 24 * HOUR_MS, 9.0)
    assert assumed == 0
    assert hours(found) == [(0, 0.1), (8, 0.2), (16, 0.3)]


def test_shorter_intervals_are_used_as_they_are() -> None:
    rates = recorded((0, 0.1), (4, 0.2), (8, 0.3), (12, 0.4), (16, 0.5), (20, 0.6))
    found, assumed = settlements(rates, DAY, DAY + 24 * HOUR_MS, 9.0)
    assert assumed == 0
    assert len(found) == 6


def test_holes_in_the_records_are_filled_on_the_usual_hours() -> None:
    found, assumed = settlements(recorded((8, 0.2)), DAY, DAY + 48 * HOUR_MS, 9.0)
    assert hours(found) == [(0, 9.0), (8, 0.2), (16, 9.0), (24, 9.0), (32, 9.0), (40, 9.0)]
    assert assumed == 5
    assert found["assumed"].tolist() == [True, False, True, True, True, True]


def test_without_records_every_usual_hour_is_assumed() -> None:
    found, assumed = settlements(recorded(), DAY + HOUR_MS, DAY + 17 * HOUR_MS, 9.0)
    assert hours(found) == [(8, 9.0), (16, 9.0)]
    assert assumed == 2


def test_records_outside_the_range_are_left_out_but_cover_it() -> None:
    found, assumed = settlements(recorded((7, 0.1), (48, 0.2)), DAY + 8 * HOUR_MS, DAY + 9 * HOUR_MS, 9.0)
    assert (len(found), assumed) == (0, 0)


RATE = 0.5  # of what is recorded; what is assumed costs 8.0 per 8 hours


def filled(hours_recorded: list[int], end_h: int) -> list[tuple[int, float]]:
    """Return (hour, rate) of what is assumed from hour 0 up to, not including, `end_h`."""
    rates = recorded(*((hour, RATE) for hour in hours_recorded))
    found, assumed = settlements(rates, DAY, DAY + end_h * HOUR_MS, 8.0)
    missing = found[found["assumed"]]
    assert assumed == len(missing)
    assert len(found) == assumed + sum(0 <= hour < end_h for hour in hours_recorded)
    assert (np.diff(found["timestamp"]) > 0).all()
    assert (found["rate"][~found["assumed"]] == RATE).all()
    return hours(missing)


@pytest.mark.parametrize(
    ("hours_recorded", "end_h", "missing"),
    [
        pytest.param([0, 4, 12, 16], 20, [(8, 4.0)], id="one of four hours"),
        pytest.param([0, 4, 8, 12, 20, 28, 32, 36], 40, [(16, 4.0), (24, 4.0)], id="two with one between"),
        pytest.param([0, 4, 24, 28], 32, [(8, 4.0), (12, 4.0), (16, 4.0), (20, 4.0)], id="most of a day"),
        pytest.param([8, 12, 16], 28, [(0, 4.0), (4, 4.0), (20, 4.0), (24, 4.0)], id="at both ends"),
        pytest.param([0, 1, 2, 4, 5, 6], 7, [(3, 1.0)], id="one of an hour"),
        pytest.param([0, 8, 24, 32], 40, [(16, 8.0)], id="one of eight hours"),
        pytest.param([0, 24, 48], 56, [(h, 8.0) for h in (8, 16, 32, 40)], id="one a day is not an interval"),
        pytest.param([0, 8, 16, 24, 28, 32, 36, 40], 44, [], id="from eight hours to four"),
        pytest.param([0, 4, 8, 12, 16, 24, 32, 40, 48], 56, [], id="from four hours to eight"),
        pytest.param([0, 8, 16, 24, *range(25, 39), 40, 48, 56, 64, 72], 80, [], id="to one hour and back"),
        pytest.param(
            [0, 8, 16, 24, 36, 40, 44, 48], 52, [(32, 8.0)], id="missing where the interval changes"
        ),
        pytest.param([-4, 0, 4, 12, 16], 10, [(8, 4.0)], id="told by records outside of the range"),
    ],
)
def test_what_is_missing_of_a_symbols_own_interval_is_assumed(
    hours_recorded: list[int], end_h: int, missing: list[tuple[int, float]]
) -> None:
    assert filled(hours_recorded, end_h) == missing


def test_records_a_moment_after_the_hour_are_complete() -> None:
    rates = recorded(*((hour, RATE) for hour in range(0, 48, 4)))
    rates["timestamp"] += np.arange(12) * 7  # ms
    assert settlements(rates, DAY, DAY + 48 * HOUR_MS, 9.0)[1] == 0


spells = st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(4, 12)), min_size=1, max_size=8)


def complete(intervals: list[tuple[int, int]]) -> list[int]:
    """Return the hours of a series whose interval changes: each for so many settlements, on its own grid."""
    found = [0]
    for interval, count in intervals:
        for _ in range(count):
            found.append((found[-1] // interval + 1) * interval)
        found.append((found[-1] // interval + 1) * interval)  # the first may have been cut short
    return found


@given(spells)
def test_of_a_complete_series_nothing_is_assumed(intervals: list[tuple[int, int]]) -> None:
    series = complete(intervals)
    assert filled(series, series[-1] + 1) == []


@given(st.sampled_from([1, 2, 4, 8]), st.integers(9, 60), st.data())
def test_what_is_taken_out_of_a_steady_series_is_assumed_again(
    interval: int, count: int, data: st.DataObject
) -> None:
    series = list(range(0, interval * count, interval))
    first = data.draw(st.integers(0, count - 8))
    size = data.draw(st.integers(1, count - 8))
    taken = series[first : first + size]
    left = [hour for hour in series if hour not in taken]
    assert filled(left, interval * count) == [(hour, float(interval)) for hour in taken]

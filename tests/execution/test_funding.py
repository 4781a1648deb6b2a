"""Funding: who pays, and which instants are assumed where none was recorded."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

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

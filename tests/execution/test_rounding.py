"""Ticks and steps: results are the very floats that the exchange's decimal texts parse to."""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from futures_agent.execution.rounding import floor_to_step, round_to_tick, rules_of
from sample_markets import instrument

GRIDS = ("0.1", "0.01", "0.05", "0.0000001", "1", "10", "0.25")


def rules(**changes: Any) -> Any:
    found = rules_of([instrument("BTCUSDT", **changes)])
    return SimpleNamespace(**{name: found[name][0] for name in found.dtype.names})


@pytest.mark.parametrize("grid", GRIDS)
@given(price=st.floats(1e-3, 1e6))
def test_price_is_the_nearest_tick_exactly(grid: str, price: float) -> None:
    ticks = (Decimal(price) / Decimal(grid)).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    allowed = {float((ticks + shift) * Decimal(grid)) for shift in (-1, 0, 1)}
    found = round_to_tick(price, rules(tick_size=float(grid)))
    assert found in allowed
    assert abs(found - price) <= float(grid) * (0.5 + 1e-6) + math.ulp(price)


@pytest.mark.parametrize("grid", GRIDS)
@given(quantity=st.floats(0, 1e6))
def test_quantity_is_the_step_below_exactly(grid: str, quantity: float) -> None:
    steps = (Decimal(quantity) / Decimal(grid)).quantize(Decimal(1), rounding=ROUND_DOWN)
    found = floor_to_step(quantity, rules(step_size=float(grid)))
    assert found in {float(steps * Decimal(grid)), float((steps + 1) * Decimal(grid))}
    assert found <= quantity + float(grid) * 1e-6


@pytest.mark.parametrize(("quantity", "expected"), [(0.29, 0.29), (0.2899, 0.28), (0.0099, 0.0), (7.0, 7.0)])
def test_quantity_on_the_step_stays(quantity: float, expected: float) -> None:
    assert floor_to_step(quantity, rules(step_size=0.01)) == expected


@pytest.mark.parametrize(("price", "expected"), [(0.305, 0.31), (0.3049, 0.3), (0.3, 0.3), (-0.5, -0.5)])
def test_price_rounds_half_up(price: float, expected: float) -> None:
    assert round_to_tick(price, rules(tick_size=0.01)) == expected


def test_no_grid_changes_nothing() -> None:
    free = rules(tick_size=0.0, step_size=0.0)
    assert round_to_tick(1.23456, free) == 1.23456
    assert floor_to_step(1.23456, free) == 1.23456


def test_filters_are_taken_over_in_order() -> None:
    found = rules_of([instrument("AUSDT", min_notional=5.0), instrument("BUSDT", min_notional=50.0)])
    np.testing.assert_array_equal(found["min_notional"], [5.0, 50.0])
    np.testing.assert_array_equal(found["tick_units"] / found["tick_scale"], [0.01, 0.01])


def test_no_maximum_is_no_limit() -> None:
    assert rules(max_quantity=0.0).max_quantity == np.inf

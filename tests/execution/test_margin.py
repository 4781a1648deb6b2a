"""Isolated margin: exact levels, and what they mean."""

from __future__ import annotations

import pytest

from futures_agent.execution.margin import MAINTENANCE_MARGIN, bankruptcy_price, liquidation_price


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("leverage", [2.0, 3.0, 10.0, 20.0])
def test_at_liquidation_what_is_left_is_the_maintenance_margin(side: int, leverage: float) -> None:
    entry = 200.0
    price = liquidation_price(side, entry, leverage)
    left = entry / leverage + side * (price - entry)
    assert left == pytest.approx(price * MAINTENANCE_MARGIN, rel=1e-12)


@pytest.mark.parametrize(("side", "expected"), [(1, 100.0), (-1, 200.0)])
def test_at_bankruptcy_nothing_is_left(side: int, expected: float) -> None:
    assert bankruptcy_price(side, 150.0, 3.0) == expected


def test_a_long_without_leverage_cannot_be_liquidated() -> None:
    assert liquidation_price(1, 100.0, 1.0) <= 0
    assert liquidation_price(1, 100.0, 0.5) <= 0

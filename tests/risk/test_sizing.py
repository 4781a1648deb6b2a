"""Sizing: exact quantities, caps, and a named reason for each refusal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from futures_agent.execution.rounding import rules_of
from futures_agent.risk.sizing import Rejection, limits_of, size_entry
from futures_agent.settings.tree import RiskSettings
from sample_markets import instrument


def sized(
    *,
    risk: dict[str, Any] | None = None,
    rules: dict[str, Any] | None = None,
    equity: float = 10_000.0,
    exposure: float = 0.0,
    positions: int = 0,
    price: float = 100.0,
    stop_distance: float = 2.0,
) -> tuple[float, Rejection]:
    def record(array: Any) -> Any:
        return SimpleNamespace(**{name: array[name][0] for name in array.dtype.names})

    quantity, reason = size_entry(
        record(limits_of(RiskSettings(**(risk or {})))),
        record(rules_of([instrument("BTCUSDT", **(rules or {}))])),
        equity,
        exposure,
        positions,
        price,
        stop_distance,
    )
    return quantity, Rejection(reason)


ACCEPTED = Rejection.ACCEPTED


def test_risk_per_trade_is_what_the_stop_loses() -> None:
    assert sized() == (50.0, ACCEPTED)  # 1 % of 10,000 over 2 per unit


def test_fixed_notional_needs_no_stop() -> None:
    assert sized(risk={"fixed_notional": 1_000.0}, price=30.0, stop_distance=0.0) == (33.333, ACCEPTED)


def test_leverage_caps_the_quantity_by_what_is_left() -> None:
    assert sized(stop_distance=0.1) == (300.0, ACCEPTED)  # 1,000 wanted, 3 × 10,000 allowed
    assert sized(stop_distance=0.1, exposure=20_000.0) == (100.0, ACCEPTED)


def test_the_exchanges_largest_order_caps_the_quantity() -> None:
    assert sized(rules={"max_quantity": 12.0}) == (12.0, ACCEPTED)


@pytest.mark.parametrize(
    ("reason", "arguments"),
    [
        (Rejection.RISK_MAX_POSITIONS, {"positions": 8}),
        (Rejection.RISK_NO_EQUITY, {"equity": 0.0}),
        (Rejection.RISK_NO_EQUITY, {"equity": -5.0}),
        (Rejection.RISK_MAX_LEVERAGE, {"exposure": 30_000.0}),
        (Rejection.RISK_MAX_LEVERAGE, {"exposure": 29_996.0}),  # room for less than the smallest order
        (Rejection.RISK_NO_STOP, {"stop_distance": 0.0}),
        (Rejection.MIN_QUANTITY, {"stop_distance": 1e6}),  # 0.0001 rounds down to nothing
        (Rejection.MIN_QUANTITY, {"rules": {"min_quantity": 51.0}}),
        (Rejection.MIN_NOTIONAL, {"price": 0.09}),  # 50 × 0.09 = 4.5 of 5
    ],
)
def test_refusals_are_named(reason: Rejection, arguments: dict[str, Any]) -> None:
    assert sized(**arguments) == (0.0, reason)

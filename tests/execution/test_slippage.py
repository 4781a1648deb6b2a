"""Slippage: the spread, the square root of the share in the volume, and its bound."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.execution.slippage import slippage_share


def terms(timeframe_ms: int = HOUR_MS, half_spread: float = 0.0001, impact: float = 0.01) -> Any:
    return SimpleNamespace(half_spread=half_spread, impact=impact, timeframe_ms=timeframe_ms)


@pytest.mark.parametrize(
    ("quantity", "volume", "share"),
    [
        (1.0, 10_000.0, 0.0001 + 0.01 * 0.01),
        (25.0, 10_000.0, 0.0001 + 0.01 * 0.05),
        (10_000.0, 10_000.0, 0.0001 + 0.01),
        (90_000.0, 10_000.0, 0.0001 + 0.03),  # nine hours' volume
        (1e8, 10_000.0, 0.5),  # no more than half of the price
        (1.0, 1e-300, 0.5),
        (1.0, 0.0, 0.0001 + 0.01),  # nobody traded
    ],
)
def test_impact_is_the_root_of_the_share(quantity: float, volume: float, share: float) -> None:
    assert slippage_share(terms(), quantity, volume) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(("timeframe_ms", "hours"), [(DAY_MS, 24), (4 * HOUR_MS, 4), (15 * MINUTE_MS, 0.25)])
def test_the_length_of_the_bar_does_not_matter(timeframe_ms: int, hours: float) -> None:
    assert slippage_share(terms(timeframe_ms), 4.0, hours * 1_600) == pytest.approx(0.0001 + 0.01 * 0.05)


def test_without_impact_the_spread_alone_is_exact() -> None:
    assert slippage_share(terms(impact=0.0), 3.0, 0.0) == 0.0001
    assert slippage_share(terms(half_spread=0.0, impact=0.0), 3.0, 7.0) == 0.0

"""Asking zones: which one a price range touches, and whether one is still there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from futures_agent.features.smc.zones import ZONES, zone_at, zone_lives, zones_add, zones_visit
from futures_agent.market.candle import CANDLE
from futures_agent.plain import plain_type


def zones_of(side: int, *ranges: tuple[float, float]) -> Any:
    zones = plain_type(ZONES)(np.zeros(1, ZONES)[0].item())
    for number, (bottom, top) in enumerate(ranges):
        zones_add(zones, 100 + number, number, top, bottom, side)
    return zones


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 9, 2),  # 2 zones: none
        (0, 10, 0),  # an edge counts
        (12, 15, 0),
        (13, 19, 2),
        (20, 30, 1),
        (0, 30, 1),  # the newest of both
    ],
)
@pytest.mark.parametrize("side", [1, -1])
def test_the_newest_zone_that_a_range_touches(side: int, low: float, high: float, expected: int) -> None:
    assert zone_at(zones_of(side, (10, 12), (20, 22)), low, high, side) == expected


def test_without_zones_none_is_touched() -> None:
    assert zone_at(zones_of(1), 0, 100, 1) == 0


@pytest.mark.parametrize(("side", "low", "high"), [(1, 11.0, 15.0), (-1, 5.0, 11.0)])
def test_only_what_was_not_traded_through_is_touched(side: int, low: float, high: float) -> None:
    zones = zones_of(side, (10, 12))
    bar = plain_type(CANDLE)((0, 11.0, high, low, 11.0, 0.0))
    zones_visit(zones, bar, side, False, 0)
    assert zone_at(zones, 11.5, 11.9, side) == (1 if side > 0 else 0)
    assert zone_at(zones, 10.1, 10.5, side) == (0 if side > 0 else 1)


def test_a_zone_lives_until_it_ends() -> None:
    zones = zones_of(1, (10, 12), (20, 22))
    assert zone_lives(zones, 101)
    assert not zone_lives(zones, 102)
    zones_visit(zones, plain_type(CANDLE)((0, 21.0, 21.0, 19.0, 20.0, 0.0)), 1, False, 0)
    assert not zone_lives(zones, 101)
    assert zone_lives(zones, 100)

"""How often entries are right, each judged by a move of its own, and when that is too often."""

from __future__ import annotations

import numpy as np
import pytest

from futures_agent.backtest.audit.foresight import entries_judged, is_too_good

CLOSES = np.array([10.0, 11.0, 11.0, 9.0, 12.0, 13.0])


@pytest.mark.parametrize(
    ("side", "horizon", "right", "judged"),
    [
        ([1, 0, 0, 0, 0, 0], 1, 1, 1),
        ([-1, 0, 0, 0, 0, 0], 1, 0, 1),
        ([0, 1, 0, 0, 0, 0], 1, 0, 0),  # price did not move
        ([0, 0, -1, 1, 1, 0], 1, 3, 3),
        ([0, 0, 0, 0, 0, 1], 1, 0, 0),  # nothing came later
        ([1, -1, 1, 0, 0, 0], 2, 2, 2),  # 10 → 11, then 11 → 12; the one in between is not judged
        ([1, 1, -1, 1, 0, 0], 2, 1, 2),
        ([1, 0, 0, 0, 0, 0], 24, 0, 0),
    ],
)
def test_entries_are_judged_some_bars_later(side: list[int], horizon: int, right: int, judged: int) -> None:
    assert entries_judged(np.array(side), CLOSES, horizon) == (right, judged)


@pytest.mark.parametrize(
    ("right", "judged", "too_good"),
    [
        (0, 0, False),
        (24, 24, False),  # 4.9 standard deviations
        (25, 25, True),
        (75, 100, True),
        (74, 100, False),
        (624, 1_000, True),
        (5_400, 10_000, False),  # 8 standard deviations, but what skill may reach
    ],
)
def test_what_is_too_good(right: int, judged: int, too_good: bool) -> None:
    assert is_too_good(right, judged) is too_good

"""Average directional index after Wilder, one bar at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel

ADX = np.dtype(
    [
        ("value", np.float64),
        ("up", np.float64),  # smoothed directional movement, price units, summed over `length` bars
        ("down", np.float64),
        ("previous_high", np.float64),
        ("previous_low", np.float64),
        ("bars", np.int64),
    ]
)


@kernel
def adx_step(state: Any, bar: Any, length: int) -> float:
    """Take one more closed bar and return the average directional index, 0 to 100.

    Source: Wilder, New Concepts in Technical Trading Systems (1978), seeded as TA-Lib's `ADX` is: the
    movements of the first `length − 1` changes are summed, from the next on they are smoothed, and the
    first `length` directional indices are averaged plainly. The true range cancels out of an index, and
    where nothing has moved in either direction the index is 0.

    Parameters
    ----------
    state : record of ADX
        All zero at the start.
    bar : record with high, low
    length : int
        ≥ 1; the same at every step.

    Returns
    -------
    float
        Comparable with anyone else's ADX once `adx_ready`; before that the mean so far.
    """
    if state.bars > 0:
        rise = bar.high - state.previous_high
        fall = state.previous_low - bar.low
        if state.bars >= length:
            state.up -= state.up / length
            state.down -= state.down / length
        if rise > fall and rise > 0.0:
            state.up += rise
        elif fall > rise and fall > 0.0:
            state.down += fall
        if state.bars >= length:
            moved = state.up + state.down
            index = 100.0 * abs(state.up - state.down) / moved if moved > 0.0 else 0.0
            state.value += (index - state.value) / min(state.bars - length + 1, length)
    state.previous_high = bar.high
    state.previous_low = bar.low
    state.bars += 1
    return state.value  # type: ignore[no-any-return]


@kernel
def adx_ready(state: Any, length: int) -> bool:
    """Say whether the average has seen `length` directional indices: 2 × `length` bars."""
    return state.bars >= 2 * length  # type: ignore[no-any-return]

"""Exponential moving average, one value at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel

EMA = np.dtype([("value", np.float64), ("count", np.int64)])


@kernel
def ema_step(state: Any, value: float, length: int) -> float:
    """Take one more value and return the average.

    The first `length` values are averaged plainly, which seeds the recursion as TA-Lib's `EMA` does;
    from then on each value weighs 2 / (length + 1).

    Parameters
    ----------
    state : record of EMA
        All zero at the start.
    value : float
    length : int
        ≥ 1; the same at every step.

    Returns
    -------
    float
        Comparable with anyone else's EMA once `ema_ready`; before that the mean so far.
    """
    state.count += 1
    weight = 1.0 / state.count if state.count <= length else 2.0 / (length + 1)
    state.value += weight * (value - state.value)
    return state.value  # type: ignore[no-any-return]


@kernel
def ema_ready(state: Any, length: int) -> bool:
    """Say whether the average has seen `length` values."""
    return state.count >= length  # type: ignore[no-any-return]

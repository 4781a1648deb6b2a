"""Simple moving average over a window, one value at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel


def sma(length: int) -> np.dtype[Any]:
    """Return the state of a simple moving average over `length` ≥ 1 values: the window, oldest first."""
    return np.dtype([("window", np.float64, (length,)), ("value", np.float64), ("count", np.int64)])


@kernel
def sma_step(state: Any, value: float) -> float:
    """Take one more value and return the plain mean of the window.

    Summed afresh, oldest first, at every step: the mean depends on the values in the window alone, and
    no rounding error of an earlier sum stays in it.

    Parameters
    ----------
    state : record of sma(length)
        All zero at the start.
    value : float

    Returns
    -------
    float
        The mean once `sma_ready`; before that the mean so far.
    """
    window = state.window
    last = len(window) - 1
    total = 0.0
    for i in range(last):
        each = window[i + 1]
        window[i] = each
        total += each
    window[last] = value
    state.count += 1
    state.value = (total + value) / min(state.count, last + 1)
    return state.value  # type: ignore[no-any-return]


@kernel
def sma_ready(state: Any) -> bool:
    """Say whether the window is full."""
    return state.count >= len(state.window)  # type: ignore[no-any-return]

"""Relative strength index after Wilder, one value at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel

RSI = np.dtype(
    [
        ("value", np.float64),
        ("gain", np.float64),  # average rise per bar
        ("loss", np.float64),  # average fall per bar, ≥ 0
        ("previous", np.float64),
        ("count", np.int64),
    ]
)


@kernel
def rsi_step(state: Any, value: float, length: int) -> float:
    """Take one more value and return the relative strength index, 0 to 100.

    Source: Wilder, New Concepts in Technical Trading Systems (1978); seeded with the plain means of the
    first `length` rises and falls, as TA-Lib's `RSI` is. Where nothing has ever moved the index is 50,
    neither side being stronger; TA-Lib says 0 there.

    Parameters
    ----------
    state : record of RSI
        All zero at the start.
    value : float
    length : int
        ≥ 1; the same at every step.

    Returns
    -------
    float
        Comparable with anyone else's RSI once `rsi_ready`; before that over the changes so far.
    """
    if state.count > 0:
        change = value - state.previous
        weight = min(state.count, length)
        state.gain += (max(change, 0.0) - state.gain) / weight
        state.loss += (max(-change, 0.0) - state.loss) / weight
    state.previous = value
    state.count += 1
    moved = state.gain + state.loss
    state.value = 100.0 * state.gain / moved if moved > 0.0 else 50.0
    return state.value  # type: ignore[no-any-return]


@kernel
def rsi_ready(state: Any, length: int) -> bool:
    """Say whether the index has seen `length` changes, which takes one value more."""
    return state.count > length  # type: ignore[no-any-return]

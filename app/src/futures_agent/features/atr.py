"""Average true range after Wilder, one bar at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel

ATR = np.dtype([("value", np.float64), ("previous_close", np.float64), ("bars", np.int64)])


@kernel
def atr_step(state: Any, bar: Any, length: int) -> float:
    """Take one more closed bar and return the average true range, in price units.

    Source: Wilder, New Concepts in Technical Trading Systems (1978); seeded with the plain mean of the
    first `length` true ranges, as TA-Lib's `ATR` is. The first bar has no true range: there is no
    close before it.

    Parameters
    ----------
    state : record of ATR
        All zero at the start.
    bar : record with high, low, close
    length : int
        ≥ 1; the same at every step.

    Returns
    -------
    float
        Comparable with anyone else's ATR once `atr_ready`; before that the mean so far.
    """
    if state.bars > 0:
        true_range = max(bar.high, state.previous_close) - min(bar.low, state.previous_close)
        state.value += (true_range - state.value) / min(state.bars, length)
    state.previous_close = bar.close
    state.bars += 1
    return state.value  # type: ignore[no-any-return]


@kernel
def atr_ready(state: Any, length: int) -> bool:
    """Say whether the average has seen `length` true ranges, which takes one bar more."""
    return state.bars > length  # type: ignore[no-any-return]

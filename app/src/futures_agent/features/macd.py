"""Moving average convergence/divergence, one value at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel
from futures_agent.features.ema import EMA, ema_ready, ema_step

MACD = np.dtype([("value", np.float64), ("fast", EMA), ("slow", EMA), ("signal", EMA)])


@kernel
def macd_step(state: Any, value: float, fast: int, slow: int, signal: int) -> float:
    """Take one more value and return the MACD line; the signal line is `state.signal.value`.

    Source: Appel, Technical Analysis: Power Tools for Active Investors (2005). The fast average starts
    `slow − fast` values late, so that both are seeded at the same value, as in TA-Lib's `MACD`.

    Parameters
    ----------
    state : record of MACD
        All zero at the start.
    value : float
    fast, slow, signal : int
        Lengths, 1 ≤ fast ≤ slow, signal ≥ 1; the same at every step.

    Returns
    -------
    float
        In units of `value`. Comparable with anyone else's MACD once `macd_ready`, the signal line once
        `macd_signal_ready`; before that 0.
    """
    slow_average = ema_step(state.slow, value, slow)
    if state.slow.count <= slow - fast:
        return 0.0
    fast_average = ema_step(state.fast, value, fast)
    if not macd_ready(state, slow):
        return 0.0
    state.value = fast_average - slow_average
    ema_step(state.signal, state.value, signal)
    return state.value  # type: ignore[no-any-return]


@kernel
def macd_ready(state: Any, slow: int) -> bool:
    """Say whether the slow average, and with it the fast one, has seen enough values."""
    return ema_ready(state.slow, slow)


@kernel
def macd_signal_ready(state: Any, signal: int) -> bool:
    """Say whether the signal line has seen `signal` values of the MACD line."""
    return ema_ready(state.signal, signal)

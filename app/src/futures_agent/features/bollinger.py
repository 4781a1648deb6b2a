"""Bollinger bands, one value at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from futures_agent.compiled import kernel
from futures_agent.features.sma import sma, sma_ready, sma_step


def bollinger(length: int) -> np.dtype[Any]:
    """Return the state of Bollinger bands over `length` ≥ 1 values; the middle band is `average.value`."""
    return np.dtype([("average", sma(length)), ("upper", np.float64), ("lower", np.float64)])


@kernel
def bollinger_step(state: Any, value: float, width: float) -> float:
    """Take one more value and return the standard deviation; the bands are `state.upper` and `state.lower`.

    Source: Bollinger, Bollinger on Bollinger Bands (2001): the simple moving average, and `width`
    standard deviations of the population on either side, as TA-Lib's `BBANDS`.

    Parameters
    ----------
    state : record of bollinger(length)
        All zero at the start.
    value : float
    width : float
        Standard deviations between the average and a band, ≥ 0; the same at every step.

    Returns
    -------
    float
        In units of `value`; over the whole window once `bollinger_ready`, before that over the values so far.
    """
    mean = sma_step(state.average, value)
    window = state.average.window
    count = min(state.average.count, len(window))
    squares = 0.0
    for each in window[len(window) - count :]:
        squares += (each - mean) * (each - mean)
    deviation = math.sqrt(squares / count)
    state.upper = mean + width * deviation
    state.lower = mean - width * deviation
    return deviation


@kernel
def bollinger_ready(state: Any) -> bool:
    """Say whether the window is full."""
    return sma_ready(state.average)

"""Volume measures, one bar at a time: the average volume, and a bar's volume relative to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel
from futures_agent.features.sma import sma, sma_ready, sma_step


def volume(length: int) -> np.dtype[Any]:
    """Return the state of the volume measures over `length` ≥ 1 bars; the mean is `average.value`."""
    return np.dtype([("average", sma(length)), ("relative", np.float64)])


@kernel
def volume_step(state: Any, bar: Any) -> float:
    """Take one more closed bar and return the mean volume, in base units.

    `state.relative` is the bar's volume as a multiple of that mean, which includes the bar; 0 where
    nothing was traded in the whole window.

    Parameters
    ----------
    state : record of volume(length)
        All zero at the start.
    bar : record with volume

    Returns
    -------
    float
        TA-Lib's `SMA` of the volume once `volume_ready`; before that the mean so far.
    """
    mean = sma_step(state.average, bar.volume)
    state.relative = bar.volume / mean if mean > 0.0 else 0.0
    return mean


@kernel
def volume_ready(state: Any) -> bool:
    """Say whether the window is full."""
    return sma_ready(state.average)

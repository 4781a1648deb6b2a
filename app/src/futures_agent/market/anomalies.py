"""What is possible in a series of candles, and still makes one look twice. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe

_MAD_TO_SIGMA = 1.4826  # of a normal distribution
_FEWEST_RETURNS = 50  # fewer say nothing about what is usual
_SAME = ("open", "high", "low", "close", "volume")


def longest_untraded_run(candles: Candles) -> int:
    """Return the length of the longest run of candles without volume."""
    traded = np.flatnonzero(np.concatenate(([True], candles["volume"] > 0, [True])))
    return int(np.diff(traded).max()) - 1


def repeated_candles(candles: Candles) -> NDArray[np.int64]:
    """Return the open times of candles that copy the one before them, volume included."""
    same = candles["volume"][1:] > 0
    for name in _SAME:
        same &= candles[name][1:] == candles[name][:-1]
    found: NDArray[np.int64] = candles["timestamp"][1:][same]
    return found


def jumps(candles: Candles, timeframe: Timeframe, sigmas: float) -> int:
    """Return how many log returns lie farther than `sigmas` robust standard deviations from the median.

    The deviation is 1.4826 × the median absolute deviation (Rousseeuw & Croux 1993), so that the jumps
    themselves do not widen it. Returns across a gap are not looked at.
    """
    close = candles["close"]
    usable = (np.diff(candles["timestamp"]) == timeframe.ms) & (close[1:] > 0) & (close[:-1] > 0)
    if np.count_nonzero(usable) < _FEWEST_RETURNS:
        return 0
    returns = np.log(close[1:][usable] / close[:-1][usable])
    distance = np.abs(returns - np.median(returns))
    sigma = _MAD_TO_SIGMA * float(np.median(distance))
    return int(np.count_nonzero(distance > sigmas * sigma)) if sigma > 0 else 0

"""Whether a candle equals what its finer candles make up. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe


def disagreements(
    coarse: Candles,
    timeframe: Timeframe,
    finer: Candles,
    finer_timeframe: Timeframe,
    *,
    volume_tolerance: float,
) -> NDArray[np.int64]:
    """Return the open times (ms UTC) of candles that contradict the finer ones inside them.

    Open, high, low and close must be equal; volume may differ by `volume_tolerance`, relative to the
    candle's own. A candle that is not tiled by finer ones is not compared.

    Parameters
    ----------
    coarse, finer : ndarray of CANDLE, shapes (n,) and (m,)
        Ascending in time.
    """
    parts = timeframe.ms // finer_timeframe.ms
    opens, first, counts = np.unique(
        finer["timestamp"] // timeframe.ms * timeframe.ms, return_index=True, return_counts=True
    )
    tiled = counts == parts
    _, mine, theirs = np.intersect1d(
        coarse["timestamp"], opens[tiled], assume_unique=True, return_indices=True
    )
    if not len(mine):
        return np.zeros(0, np.int64)
    bars = coarse[mine]
    inside = finer[first[tiled][theirs][:, np.newaxis] + np.arange(parts)]  # (bars, parts)
    volume = inside["volume"].sum(axis=1)
    wrong = (
        (bars["open"] != inside["open"][:, 0])
        | (bars["close"] != inside["close"][:, -1])
        | (bars["high"] != inside["high"].max(axis=1))
        | (bars["low"] != inside["low"].min(axis=1))
        | (np.abs(bars["volume"] - volume) > volume_tolerance * np.maximum(bars["volume"], volume))
    )
    found: NDArray[np.int64] = bars["timestamp"][wrong]
    return found

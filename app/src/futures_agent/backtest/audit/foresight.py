"""Whether entries are right too often: the mark of a table of the future, which no cut takes away."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

HORIZONS = (1, 4, 24)  # deciding bars
_LEAST_SHARE = 0.6
_LEAST_SIGMAS = 5.0  # by chance about once in three million


def entries_judged(side: NDArray[np.int64], close: NDArray[np.float64], horizon: int) -> tuple[int, int]:
    """Count the entries after which price went their way.

    Parameters
    ----------
    side : ndarray, shape (bars,)
        +1, −1 or 0: what was decided at each close.
    close : ndarray, shape (bars,)
    horizon : int
        Bars later at which an entry is judged; entries in between are not counted, so that each
        is judged by a move of its own.

    Returns
    -------
    int
        Entries that were right.
    int
        Entries in all; a price that did not move judges none.
    """
    right, judged, free_from = 0, 0, 0
    for row in np.flatnonzero(side[: len(side) - horizon]):
        move = close[row + horizon] - close[row]
        if row >= free_from and move != 0:
            right += bool(move * side[row] > 0)
            judged += 1
            free_from = int(row) + horizon
    return right, judged


def is_too_good(right: int, judged: int) -> bool:
    """Say whether so many right entries are beyond skill and chance: 60 % and five standard deviations."""
    if not judged or right < _LEAST_SHARE * judged:
        return False
    return (right - judged / 2) / math.sqrt(judged / 4) >= _LEAST_SIGMAS

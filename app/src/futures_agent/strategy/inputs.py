"""Optional inputs of a strategy: published values, seen from the moment at which they were known."""

from __future__ import annotations

from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray


class Input(Struct, frozen=True):
    """A published value that every bar carries: `bar.NAME`, and whether anything is known: `bar.NAME_known`.

    Parameters
    ----------
    name : str
        A Python identifier.
    table : "sentiment" or "macro"
        Of one symbol (`sentimento_mercado`), or of the world (`macro_data`).
    column : str
        A value column of `sentimento_mercado`, or a series of `macro_data`.
    max_age_h : float
        Hours from the time that a value speaks of until it is too old to be used.
    switch : str
        A parameter of the strategy: where it is 0 the input is neither read nor missed. Empty = always used.
    """

    name: str
    table: Literal["sentiment", "macro"]
    column: str
    max_age_h: float
    switch: str = ""

    @property
    def max_age_ms(self) -> int:
        return int(self.max_age_h * 3_600_000)


def known_at_closes(
    published: NDArray[np.void], closes: NDArray[np.int64], max_age_ms: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return what was known at each close: of all that was published by then, the value of the latest time.

    A value that was corrected counts from when the correction was known; where two values of one time were
    known, the one published later does.

    Parameters
    ----------
    published : ndarray of PUBLISHED, shape (n,)
        In any order.
    closes : ndarray of int64, shape (bars,)
        ms UTC.
    max_age_ms : int
        From the time that a value speaks of to the close.

    Returns
    -------
    ndarray of float64, shape (bars,)
        0 where nothing is known.
    ndarray of bool, shape (bars,)
        Whether anything is known.
    """
    if not len(published):
        return np.zeros(len(closes)), np.zeros(len(closes), np.bool_)
    ordered = published[np.lexsort([published["timestamp"], published["available_at"]])]
    times = ordered["timestamp"]
    latest = times == np.maximum.accumulate(times)  # of all published so far
    seen = np.maximum.accumulate(np.where(latest, np.arange(len(times)), 0))
    last_published = np.searchsorted(ordered["available_at"], closes, side="right") - 1
    row = seen[np.maximum(last_published, 0)]
    known = (last_published >= 0) & (closes - times[row] <= max_age_ms)
    return np.where(known, ordered["value"][row], 0.0), known

"""Funding: what holders of a position pay each other at fixed instants."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from futures_agent.clock import HOUR_MS
from futures_agent.compiled import kernel

# One funding instant: when (ms UTC), the share of notional that longs pay shorts, and whether that rate
# stands in for one that was not recorded.
SETTLEMENT = np.dtype([("timestamp", np.int64), ("rate", np.float64), ("assumed", np.bool_)])

DEFAULT_INTERVAL_MS = 8 * HOUR_MS  # 00, 08 and 16 UTC, where the records show no other interval
_INTERVALS_H = np.array([1, 2, 4, 8])  # of the exchange; all count from 00 UTC
_NEIGHBOURS = 3  # gaps on either side of one by which it is judged


@kernel
def funding_cashflow(side: int, quantity: float, mark_price: float, settlement: Any) -> float:
    """Return what a position receives (+) or pays (−) at one SETTLEMENT, quote units.

    Source: Binance futures, funding fee = −position · mark price · rate: longs pay while it is positive.
    An assumed rate is paid by either side: income that nobody recorded would flatter.
    """
    cash = -side * quantity * mark_price * settlement.rate
    return -abs(cash) if settlement.assumed else cash  # type: ignore[no-any-return]


def settlements(
    recorded: NDArray[np.void], start_ms: int, end_ms: int, fallback_rate: float
) -> tuple[NDArray[np.void], int]:
    """Return the funding instants in [start_ms, end_ms) and how many of them are assumed.

    An instant is missing where the records leave out one of their own interval, which is 1, 2, 4 or 8 hours
    and may change: a gap is judged by the longer of the intervals usual before and after it.

    Parameters
    ----------
    recorded : ndarray with fields timestamp (ms UTC, ascending) and rate
        Those outside of the range tell the interval too.
    fallback_rate : float
        Paid by either side per 8 hours at each instant that is missing.

    Returns
    -------
    ndarray of SETTLEMENT, ascending
    int
        Number of instants at which `fallback_rate` stands in.
    """
    kept = recorded[(recorded["timestamp"] >= start_ms) & (recorded["timestamp"] < end_ms)]
    found = [np.zeros(len(kept), SETTLEMENT)]
    found[0]["timestamp"], found[0]["rate"] = kept["timestamp"], kept["rate"]
    for first_ms, last_ms, interval_ms in _holes(recorded["timestamp"], start_ms, end_ms):
        begin = -(-max(first_ms, start_ms) // interval_ms) * interval_ms
        instants = np.arange(begin, min(last_ms, end_ms - 1) + 1, interval_ms, dtype=np.int64)
        missing = np.zeros(len(instants), SETTLEMENT)
        missing["timestamp"], missing["assumed"] = instants, True
        missing["rate"] = fallback_rate * interval_ms / DEFAULT_INTERVAL_MS
        found.append(missing)
    merged = np.concatenate(found)
    return merged[np.argsort(merged["timestamp"], kind="stable")], len(merged) - len(kept)


def _holes(times: NDArray[np.int64], start_ms: int, end_ms: int) -> list[tuple[int, int, int]]:
    """Return where instants are missing: (from, up to and including, interval), ms.

    What is nearer than half an interval to a record is that record.
    """
    if not len(times):
        return [(start_ms, end_ms, DEFAULT_INTERVAL_MS)]
    times = (times + HOUR_MS // 2) // HOUR_MS * HOUR_MS  # recorded a few ms after the hour
    gaps_h = np.diff(times) // HOUR_MS
    intervals_h = _intervals(gaps_h)
    intervals = [int(each) * HOUR_MS for each in intervals_h] or [DEFAULT_INTERVAL_MS]
    holes = [(start_ms, int(times[0]) - intervals[0] // 2, intervals[0])]
    for row in np.flatnonzero(gaps_h > intervals_h):
        half = intervals[row] // 2
        holes.append((int(times[row]) + half, int(times[row + 1]) - half, intervals[row]))
    return [*holes, (int(times[-1]) + intervals[-1] // 2, end_ms, intervals[-1])]


def _intervals(gaps_h: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the interval that was due in each gap between two records, hours.

    The longer of the medians of the three gaps before and after: one or two holes do not look like a longer
    interval, and a change of the interval leaves one of the two as it was. At the ends of the records what
    lies on the other side stands for what does not exist.
    """
    if not len(gaps_h):
        return gaps_h
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(gaps_h, _NEIGHBOURS, mode="reflect"), _NEIGHBOURS
    )
    medians = np.sort(windows, axis=1)[:, _NEIGHBOURS // 2]
    usual = np.maximum(medians[: len(gaps_h)], medians[_NEIGHBOURS + 1 :])
    return _INTERVALS_H[np.maximum(np.searchsorted(_INTERVALS_H, usual, side="right") - 1, 0)]

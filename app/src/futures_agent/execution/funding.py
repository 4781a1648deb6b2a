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

DEFAULT_INTERVAL_MS = 8 * HOUR_MS  # 00, 08 and 16 UTC, where the exchange states no other interval


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

    Parameters
    ----------
    recorded : ndarray with fields timestamp (ms UTC, ascending) and rate
    fallback_rate : float
        Paid by either side at each 00, 08 and 16 UTC that has no record in the 8 hours up to it.

    Returns
    -------
    ndarray of SETTLEMENT, ascending
    int
        Number of instants at which `fallback_rate` stands in.
    """
    step = DEFAULT_INTERVAL_MS
    usual = np.arange(-(-start_ms // step) * step, end_ms, step, dtype=np.int64)
    before = np.searchsorted(recorded["timestamp"], usual, side="right") - 1
    covered = np.zeros(len(usual), dtype=bool)
    known = before >= 0
    covered[known] = recorded["timestamp"][before[known]] > usual[known] - step
    assumed = usual[~covered]
    kept = recorded[(recorded["timestamp"] >= start_ms) & (recorded["timestamp"] < end_ms)]
    merged = np.zeros(len(kept) + len(assumed), SETTLEMENT)
    merged["timestamp"] = np.concatenate([kept["timestamp"], assumed])
    merged["rate"] = np.concatenate([kept["rate"], np.full(len(assumed), fallback_rate)])
    merged["assumed"][len(kept) :] = True
    merged.sort(order="timestamp")
    return merged, len(assumed)

"""Swing highs and lows, known only once the bars to their right have closed."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel
from futures_agent.features.smc.recent import SPAN

MOST_BARS = 31  # on either side of a swing: two sides and the swing itself fit into the recent bars

SWING = np.dtype(
    [
        ("price", np.float64),  # of the newest one; known from count = 1 on
        ("timestamp", np.int64),  # open time of its bar, ms UTC
        ("bar", np.int64),  # number of its bar; the first bar ever seen is 0
        ("previous", np.float64),  # price of the one before; known from count = 2 on
        ("count", np.int64),  # confirmed so far
        ("confirmed", np.bool_),  # a new one became known on this bar
    ]
)

SWINGS = np.dtype([("high", SWING), ("low", SWING)])


@kernel
def swings_step(state: Any, recent: Any, left: int, right: int) -> None:
    """Look whether the bar `right` bars ago is a swing, now that this bar has closed.

    A swing high is strictly higher than the `right` bars after it and not lower than the `left` bars
    before it; lows mirrored. So of equal highs side by side the last one is the swing.

    Source: Williams, Trading Chaos (1995), whose fractal has two bars on either side; the strictness to
    the right is that of LuxAlgo's Smart Money Concepts.

    Parameters
    ----------
    state : record of SWINGS
        All zero at the start.
    recent : record of RECENT
        This bar included.
    left, right : int
        Bars, 1 to MOST_BARS; the same at every step.
    """
    state.high.confirmed = False
    state.low.confirmed = False
    if recent.count <= left + right:
        return
    middle = recent.count - 1 - right
    if _stands_out(recent.high, middle, left, right, 1):
        _confirm(state.high, recent.high[middle % SPAN], recent, middle)
    if _stands_out(recent.low, middle, left, right, -1):
        _confirm(state.low, recent.low[middle % SPAN], recent, middle)


@kernel
def _stands_out(prices: Any, middle: int, left: int, right: int, side: int) -> bool:
    """Say whether bar number `middle` is a swing high (`side` +1) or low (−1)."""
    price = side * prices[middle % SPAN]
    for bar in range(middle + 1, middle + right + 1):
        if side * prices[bar % SPAN] >= price:
            return False
    for bar in range(middle - left, middle):  # noqa: SIM110 (compiled code knows no generators)
        if side * prices[bar % SPAN] > price:
            return False
    return True


@kernel
def _confirm(swing: Any, price: float, recent: Any, bar: int) -> None:
    swing.previous = swing.price
    swing.price = price
    swing.timestamp = recent.timestamp[bar % SPAN]
    swing.bar = bar
    swing.count += 1
    swing.confirmed = True

"""Market structure: the trend, and the closes that continue or change it."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel

STRUCTURE = np.dtype(
    [
        ("trend", np.int64),  # +1 up, −1 down, 0 while nothing has been broken
        ("bos", np.int64),  # on this bar: +1 or −1, a break of structure in that direction; 0 none
        ("choch", np.int64),  # on this bar: +1 or −1, a change of character to that direction; 0 none
        ("high_broken", np.bool_),  # the newest swing high has been closed beyond
        ("low_broken", np.bool_),
        ("level", np.float64),  # price of the swing broken last; known from breaks = 1 on
        ("level_timestamp", np.int64),  # open time of that swing's bar, ms UTC
        ("level_bar", np.int64),  # its number
        ("breaks", np.int64),  # swings broken so far
    ]
)


@kernel
def structure_step(state: Any, swings: Any, close: float) -> None:
    """Judge this bar's close against the newest confirmed swings.

    A close above the newest swing high breaks it, once: in an uptrend that is a break of structure (BOS),
    in a downtrend a change of character (CHoCH), and the trend is up from then on. The very first break
    only gives the trend: there was none to continue or change. Mirrored for lows. Wicks break nothing.

    Source: the terms are those of ICT's teaching, and as in LuxAlgo's Smart Money Concepts the newest
    swing counts, not the outermost.

    Parameters
    ----------
    state : record of STRUCTURE
        All zero at the start.
    swings : record of SWINGS
        After this bar's step.
    close : float
        Of this bar.
    """
    state.bos = 0
    state.choch = 0
    if swings.high.confirmed:
        state.high_broken = False
    if swings.low.confirmed:
        state.low_broken = False
    if swings.high.count > 0 and not state.high_broken and close > swings.high.price:
        state.high_broken = True
        _break(state, swings.high, 1)
    if swings.low.count > 0 and not state.low_broken and close < swings.low.price:
        state.low_broken = True
        _break(state, swings.low, -1)


@kernel
def _break(state: Any, swing: Any, side: int) -> None:
    if state.trend == side:
        state.bos = side
    elif state.trend == -side:
        state.choch = side
    state.trend = side
    state.level = swing.price
    state.level_timestamp = swing.timestamp
    state.level_bar = swing.bar
    state.breaks += 1

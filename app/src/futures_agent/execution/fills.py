"""Fill rules: at what price an order fills within a bar. Backtest, paper broker and simulator share them.

- A market order fills at the open of the bar after the decision, worse by the slippage.
- A stop becomes a market order when touched; a bar that opens beyond it fills at the open.
- A target is a resting limit order: it fills at its own price, as maker and without slippage, also where a
  bar opens beyond it (whoever trades through it pays what it asks). The price must trade through it: where
  it is only touched, orders ahead of it in the queue may have taken all that was traded.
- A position is liquidated before a stop that lies beyond the liquidation price.
- A bar that reaches both sides is AMBIGUOUS: bars of a finer timeframe decide; where they cannot, the
  worse outcome is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel

# How a bar ended a position; the first ones are values of `backtest.records.ExitReason`.
NONE = 0
STOP = 2
TARGET = 3
LIQUIDATION = 4
AMBIGUOUS = 9

# What protects one open position, and what may end it; prices in quote units, 0 = no such order.
BRACKET = np.dtype(
    [
        ("side", np.int8),  # +1 long, -1 short, 0 no position
        ("stop_price", np.float64),
        ("target_price", np.float64),
        ("liquidation_price", np.float64),
        ("bankruptcy_price", np.float64),
    ]
)


@kernel
def market_fill(side: int, price: float, slippage: float) -> float:
    """Return the price of a market order: buys (+1) fill higher by `slippage` (a share), sells lower."""
    return price * (1.0 + side * slippage)


@kernel
def bar_exit(bracket: Any, bar: Any) -> tuple[int, float]:
    """Say whether one bar ends a position held through it, and at what level.

    Parameters
    ----------
    bracket : record with the fields of BRACKET
    bar : record with open, high, low

    Returns
    -------
    int
        NONE, STOP, TARGET, LIQUIDATION, or AMBIGUOUS where protection and target were both reached.
    float
        The price reached, before slippage; for AMBIGUOUS the worse outcome's.
    """
    side = bracket.side
    reason, level = protection(bracket)
    target = bracket.target_price
    against, along = (bar.low, bar.high) if side > 0 else (bar.high, bar.low)
    stopped = reason != NONE and side * (against - level) <= 0
    reached = target > 0 and side * (along - target) > 0
    if stopped and side * (bar.open - level) <= 0:  # opened beyond it
        level = bar.open
        if reason == LIQUIDATION and side * (level - bracket.bankruptcy_price) < 0:
            level = bracket.bankruptcy_price
    elif stopped and reached and side * (bar.open - target) <= 0:
        reason = AMBIGUOUS
    elif reached:
        reason, level = TARGET, target
    elif not stopped:
        reason = NONE
    return reason, level


@kernel
def protection(bracket: Any) -> tuple[int, float]:
    """Return which of stop and liquidation an adverse move meets first, and its price; NONE where neither."""
    stop, liquidation = bracket.stop_price, bracket.liquidation_price
    if liquidation > 0 and (stop <= 0 or bracket.side * (liquidation - stop) > 0):
        return LIQUIDATION, liquidation
    if stop > 0:
        return STOP, stop
    return NONE, 0.0


@kernel
def finer_exit(
    bracket: Any, bars: Any, first: int, last: int, open_ms: int, step_ms: int
) -> tuple[int, float]:
    """Decide an AMBIGUOUS bar by the finer bars [first, last) within it.

    The worse outcome, the protective level, is taken where they reach neither side (the two timeframes
    disagree), reach both within one finer bar, or do not cover the bar from its open up to the one that
    would decide: what a missing bar reached is unknown.

    Parameters
    ----------
    bracket : record with the fields of BRACKET
    bars : array of records with timestamp (open time), open, high, low
    open_ms : int
        Open time of the ambiguous bar, ms UTC.
    step_ms : int
        Length of a finer bar, ms.

    Returns
    -------
    int
        STOP, TARGET or LIQUIDATION.
    float
        The price reached, before slippage.
    """
    for row in range(first, last):
        reason, level = bar_exit(bracket, bars[row])
        if reason == AMBIGUOUS or bars[row].timestamp != open_ms + (row - first) * step_ms:
            break
        if reason != NONE:
            return reason, level
    return protection(bracket)

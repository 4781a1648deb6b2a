"""The risk gate: a candidate entry gets a quantity, or the named reason why there is none.

One kernel for backtest and live trading, over the same records. It looks at the account as it was at the
close that decided. The first rule that refuses names the reason: kill switch, daily loss, equity, stop and
target, number of positions, size and caps, correlation (last, because it costs most).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel
from futures_agent.execution.margin import liquidation_price
from futures_agent.risk.correlation import Closes, too_correlated
from futures_agent.risk.rejection import Rejection
from futures_agent.risk.sizing import size_entry

_ACCEPTED = int(Rejection.ACCEPTED)
_KILL_SWITCH = int(Rejection.RISK_KILL_SWITCH)
_DAILY_LOSS = int(Rejection.RISK_DAILY_LOSS)
_NO_EQUITY = int(Rejection.RISK_NO_EQUITY)
_NO_STOP = int(Rejection.RISK_NO_STOP)
_WITHIN_TICK = int(Rejection.BRACKET_WITHIN_TICK)
_LIQUIDATION = int(Rejection.RISK_LIQUIDATION)
_MAX_POSITIONS = int(Rejection.RISK_MAX_POSITIONS)
_CORRELATED = int(Rejection.RISK_CORRELATED)

# A candidate; price units, 0 = no such order.
ENTRY = np.dtype(
    [
        ("symbol", np.int64),  # index into holdings and closes
        ("side", np.int64),  # +1 long, −1 short
        ("price", np.float64),  # close of the bar that decided
        ("stop_distance", np.float64),
        ("target_distance", np.float64),
    ]
)


class Marked:
    """A holding at its last close, for the plain gate; in a compiled one it is a record. Side 0 is none."""

    __slots__ = ("mark_price", "quantity", "side")

    def __init__(self, side: int = 0, quantity: float = 0.0, mark_price: float = 0.0) -> None:
        self.side = side
        self.quantity = quantity
        self.mark_price = mark_price


@kernel
def judge_entry(
    entry: Any, state: Any, holdings: Any, closes: Closes, limits: Any, rules: Any
) -> tuple[float, int]:
    """Return the quantity of a candidate entry, or why it is refused.

    Parameters
    ----------
    entry : record of ENTRY
        Its symbol has no open position.
    state : record of risk.state.RISK_STATE
        The account at the close that decided.
    holdings : array of records with side (0 = none), quantity and mark_price, one per symbol
    closes : Closes
        Candles closed by then; for the correlation cap.
    limits : record of risk.limits.LIMITS
    rules : record of execution.rounding.RULES
        Of the symbol.

    Returns
    -------
    float
        Base units on the exchange's step; 0 where refused.
    int
        A value of `Rejection`.
    """
    reason = account_refusal(state)
    if reason == _ACCEPTED:
        reason = bracket_refusal(entry, limits, rules)
    if reason != _ACCEPTED:
        return 0.0, reason
    long, short, positions = exposure(holdings)
    if positions >= limits.max_positions:
        return 0.0, _MAX_POSITIONS
    quantity, reason = size_entry(entry, state.equity, long, short, limits, rules)
    if reason != _ACCEPTED:
        return 0.0, reason
    if positions > limits.max_correlated and too_correlated(
        entry.symbol, entry.side, holdings, closes, limits
    ):
        return 0.0, _CORRELATED
    return quantity, _ACCEPTED


@kernel
def account_refusal(state: Any) -> int:
    """Return why the account opens nothing at all, or ACCEPTED."""
    if state.kill_switch:
        return _KILL_SWITCH
    if state.daily_loss_hit:
        return _DAILY_LOSS
    if state.equity <= 0:
        return _NO_EQUITY
    return _ACCEPTED


@kernel
def bracket_refusal(entry: Any, limits: Any, rules: Any) -> int:
    """Return why stop and target do not do, or ACCEPTED.

    With a `liquidation_buffer` b the stop must be reached before 1 − b of the way to liquidation; a buffer
    of 0 leaves the protection to the exchange, and a fixed notional may then go without a stop.
    """
    stop, target = entry.stop_distance, entry.target_distance
    if stop <= 0 and (limits.fixed_notional <= 0 or limits.liquidation_buffer > 0):
        return _NO_STOP
    # Rounded to the nearest tick, what is a whole tick away stays at least half of one away.
    tick = rules.tick_units / rules.tick_scale
    if 0 < stop < tick or 0 < target < tick:
        return _WITHIN_TICK
    if limits.liquidation_buffer > 0:
        liquidated = liquidation_price(entry.side, entry.price, limits.max_leverage)
        way = entry.side * (entry.price - liquidated)
        if stop > (1.0 - limits.liquidation_buffer) * way:
            return _LIQUIDATION
    return _ACCEPTED


@kernel
def exposure(holdings: Any) -> tuple[float, float, int]:
    """Return Σ quantity × mark price of the longs and of the shorts (quote units), and how many they are."""
    long, short, positions = 0.0, 0.0, 0
    for held in holdings:
        if held.side != 0:
            notional = held.quantity * held.mark_price
            positions += 1
            if held.side > 0:
                long += notional
            else:
                short += notional
    return long, short, positions

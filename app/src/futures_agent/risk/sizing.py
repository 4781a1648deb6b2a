"""How large an entry may be: by what its stop would lose, within the account's caps and the exchange's."""

from __future__ import annotations

from typing import Any

from futures_agent.compiled import kernel
from futures_agent.execution.rounding import floor_to_step
from futures_agent.risk.rejection import Rejection

_ACCEPTED = int(Rejection.ACCEPTED)
_MAX_LEVERAGE = int(Rejection.RISK_MAX_LEVERAGE)
_NET_LEVERAGE = int(Rejection.RISK_NET_LEVERAGE)
_POSITION_LEVERAGE = int(Rejection.RISK_POSITION_LEVERAGE)
_MIN_QUANTITY = int(Rejection.MIN_QUANTITY)
_MIN_NOTIONAL = int(Rejection.MIN_NOTIONAL)


@kernel
def size_entry(
    entry: Any, equity: float, long: float, short: float, limits: Any, rules: Any
) -> tuple[float, int]:
    """Return the quantity of an entry, known when the decision is made.

    Fixed-fractional (Vince 1990): equity · risk_per_trade / stop distance, or a fixed notional; cut down to
    the room that gross exposure, net exposure, the cap of one position and the largest order leave.

    Parameters
    ----------
    entry : record of risk.gate.ENTRY
        Its stop distance is above zero unless a fixed notional is set.
    equity : float
        Of the whole account: cash + unrealised PnL, quote units, > 0.
    long, short : float
        Σ quantity × mark price of the open positions of each side, quote units, ≥ 0.
    limits : record of risk.limits.LIMITS
    rules : record of execution.rounding.RULES

    Returns
    -------
    float
        Base units on the exchange's step; 0 where refused.
    int
        A value of `Rejection`.
    """
    gross_room = equity * limits.max_leverage - (long + short)
    net_room = equity * limits.max_net_leverage - entry.side * (long - short)
    position_room = equity * limits.max_position_leverage
    if gross_room <= 0 or gross_room < rules.min_notional:
        return 0.0, _MAX_LEVERAGE
    if net_room <= 0 or net_room < rules.min_notional:
        return 0.0, _NET_LEVERAGE
    if position_room < rules.min_notional:
        return 0.0, _POSITION_LEVERAGE
    room = min(gross_room, net_room, position_room) / entry.price
    wanted = wanted_quantity(entry, equity, limits)
    quantity = floor_to_step(min(wanted, room, rules.max_quantity), rules)
    if quantity <= 0 or quantity < rules.min_quantity:
        return 0.0, _MIN_QUANTITY
    if quantity * entry.price < rules.min_notional:
        return 0.0, _MIN_NOTIONAL
    return quantity, _ACCEPTED


@kernel
def wanted_quantity(entry: Any, equity: float, limits: Any) -> float:
    """Return what an entry asks for before any cap cuts it, base units; parameters as of `size_entry`."""
    if limits.fixed_notional > 0:
        return limits.fixed_notional / entry.price  # type: ignore[no-any-return]
    return equity * limits.risk_per_trade / entry.stop_distance  # type: ignore[no-any-return]

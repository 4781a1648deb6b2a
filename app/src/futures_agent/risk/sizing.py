"""How large an entry may be, or the named reason why there is none."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from futures_agent.compiled import kernel
from futures_agent.execution.rounding import floor_to_step
from futures_agent.settings.tree import RiskSettings


class Rejection(IntEnum):
    """Why an entry was refused; `ACCEPTED` where it was not."""

    ACCEPTED = 0
    RISK_MAX_POSITIONS = 1  # as many positions open as allowed
    RISK_MAX_LEVERAGE = 2  # the account's exposure is at its cap
    RISK_NO_EQUITY = 3  # nothing left to risk
    RISK_NO_STOP = 4  # sizing by risk needs a stop distance
    MIN_QUANTITY = 5  # exchange filter: rounded down to the step, it is too little
    MIN_NOTIONAL = 6  # exchange filter: worth too little
    ENTRY_LAPSED = 7  # a hole in the candles followed the decision


_ACCEPTED = int(Rejection.ACCEPTED)
_MAX_POSITIONS = int(Rejection.RISK_MAX_POSITIONS)
_MAX_LEVERAGE = int(Rejection.RISK_MAX_LEVERAGE)
_NO_EQUITY = int(Rejection.RISK_NO_EQUITY)
_NO_STOP = int(Rejection.RISK_NO_STOP)
_MIN_QUANTITY = int(Rejection.MIN_QUANTITY)
_MIN_NOTIONAL = int(Rejection.MIN_NOTIONAL)

# RiskSettings for kernels.
LIMITS = np.dtype(
    [
        ("risk_per_trade", np.float64),
        ("fixed_notional", np.float64),
        ("max_leverage", np.float64),
        ("max_positions", np.int64),
    ]
)


def limits_of(risk: RiskSettings) -> NDArray[np.void]:
    """Return `risk` as an array of one LIMITS record."""
    limits = np.zeros(1, LIMITS)
    for name in LIMITS.names or ():
        limits[name] = getattr(risk, name)
    return limits


@kernel
def size_entry(
    limits: Any,
    rules: Any,
    equity: float,
    exposure: float,
    positions: int,
    price: float,
    stop_distance: float,
) -> tuple[float, int]:
    """Return the quantity of an entry, known when the decision is made.

    Parameters
    ----------
    limits : record of LIMITS
    rules : record of execution.rounding.RULES
    equity : float
        Of the whole account: cash + unrealised PnL, quote units.
    exposure : float
        Σ |position| × price over all symbols, quote units.
    positions : int
        Number of open positions.
    price : float
        Close of the bar that decided.
    stop_distance : float
        Price units between entry and stop; 0 = no stop.

    Returns
    -------
    float
        Base units on the exchange's step; 0 where refused.
    int
        A value of `Rejection`.
    """
    if positions >= limits.max_positions:
        return 0.0, _MAX_POSITIONS
    if equity <= 0:
        return 0.0, _NO_EQUITY
    room = equity * limits.max_leverage - exposure
    if room <= 0 or room < rules.min_notional:
        return 0.0, _MAX_LEVERAGE
    if limits.fixed_notional > 0:
        wanted = limits.fixed_notional / price
    elif stop_distance > 0:
        wanted = equity * limits.risk_per_trade / stop_distance
    else:
        return 0.0, _NO_STOP
    quantity = floor_to_step(min(wanted, room / price, rules.max_quantity), rules)
    if quantity <= 0 or quantity < rules.min_quantity:
        return 0.0, _MIN_QUANTITY
    if quantity * price < rules.min_notional:
        return 0.0, _MIN_NOTIONAL
    return quantity, _ACCEPTED

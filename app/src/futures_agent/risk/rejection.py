"""Why an entry was refused: a value with a name, counted and logged, never an exception."""

from __future__ import annotations

from enum import IntEnum


class Rejection(IntEnum):
    """Why an entry was refused; `ACCEPTED` where it was not.

    Values are stored; a new reason gets a new one.
    """

    ACCEPTED = 0
    RISK_MAX_POSITIONS = 1  # as many positions open as allowed
    RISK_MAX_LEVERAGE = 2  # the account's gross exposure leaves no room for the smallest order
    RISK_NO_EQUITY = 3  # nothing left to risk
    RISK_NO_STOP = 4  # without a stop nothing bounds the loss, nor tells the size
    MIN_QUANTITY = 5  # exchange filter: rounded down to the step, it is too little
    MIN_NOTIONAL = 6  # exchange filter: worth too little
    ENTRY_LAPSED = 7  # a hole in the candles followed the decision
    POLICY_DECLINED = 8  # the policy did not accept it
    RISK_KILL_SWITCH = 9  # the account fell too far below its peak; a person has to re-arm it
    RISK_DAILY_LOSS = 10  # the account lost too much since the UTC day began
    RISK_NET_LEVERAGE = 11  # longs − shorts leave no room for the smallest order
    RISK_POSITION_LEVERAGE = 12  # what one position may be worth is less than the smallest order
    RISK_CORRELATED = 13  # too many open positions move with it
    RISK_LIQUIDATION = 14  # the stop lies too near to the liquidation price, or beyond it
    BRACKET_WITHIN_TICK = 15  # stop or target less than a tick away: it would round onto the entry
    CLOSE_LATE = 16  # live: the candle came too long after its close, or while nobody decided
    UNSETTLED = 17  # live: the account, or this symbol's orders, are not yet beyond doubt
    ENTRIES_STOPPED = 18  # live: somebody, or a rule outside the risk gate, lets nothing be opened


# What the gate is not asked about: the entry was refused before.
BEFORE_THE_GATE = frozenset(
    {
        Rejection.ENTRY_LAPSED,
        Rejection.POLICY_DECLINED,
        Rejection.CLOSE_LATE,
        Rejection.UNSETTLED,
        Rejection.ENTRIES_STOPPED,
    }
)

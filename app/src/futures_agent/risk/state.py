"""What the account has been through: the day's loss limit and the drawdown kill switch.

Fed with the equity at every decision close, positions marked to it, so that unrealised losses count. Both
only keep new positions from being opened: open ones keep their own stops and targets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from futures_agent.clock import DAY_MS
from futures_agent.compiled import kernel

# One account's memory, saved and loaded as it is; equity = cash + unrealised PnL, quote units.
RISK_STATE = np.dtype(
    [
        ("equity", np.float64),  # at the last close
        ("day", np.int64),  # UTC day, counted from 1970-01-01
        ("day_start_equity", np.float64),
        ("daily_loss_hit", np.bool_),  # stays until the day is over, whatever the equity does
        ("peak_equity", np.float64),
        ("kill_switch", np.bool_),  # stays until a person re-arms it
        ("tripped_ms", np.int64),  # when; has a meaning while kill_switch is set
    ]
)


def new_risk_state(equity: float, time_ms: int) -> NDArray[np.void]:
    """Return the state of an account that begins with `equity` at `time_ms` (ms UTC): one RISK_STATE."""
    state = np.zeros(1, RISK_STATE)
    state["equity"] = state["day_start_equity"] = state["peak_equity"] = equity
    state["day"] = time_ms // DAY_MS
    return state


@kernel
def risk_step(state: Any, limits: Any, close_ms: int, equity: float) -> None:
    """See the account at one decision close.

    A close at midnight ends its day and starts the next one; where the first close of a day comes later,
    the day starts with the last equity known before it.

    Parameters
    ----------
    state : record of RISK_STATE
    limits : record of risk.limits.LIMITS
    close_ms : int
        Close of the bar, ms UTC, never before the one fed last.
    equity : float
        Of the whole account at that close, quote units.
    """
    day = close_ms // DAY_MS
    if day > state.day:
        state.day = day
        state.day_start_equity = equity if close_ms % DAY_MS == 0 else state.equity
        state.daily_loss_hit = False
    state.equity = equity
    state.peak_equity = max(state.peak_equity, equity)
    if equity <= state.day_start_equity * (1.0 - limits.max_daily_loss):
        state.daily_loss_hit = True
    if not state.kill_switch and equity <= state.peak_equity * (1.0 - limits.max_drawdown):
        state.kill_switch = True
        state.tripped_ms = close_ms


def rearm(state: NDArray[np.void]) -> None:
    """Let the account open positions again, by a person's decision: its drawdown counts from here on."""
    state["kill_switch"] = False
    state["peak_equity"] = state["equity"]

"""The example to copy: two moving averages cross, and the average true range sets stop and target.

Long when the fast average rises above the slow one, short when it falls below; the opposite cross
reverses. Decided on the close, filled at the next bar's open.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from futures_agent.compiled import kernel
from futures_agent.features.atr import ATR, atr_ready, atr_step
from futures_agent.features.ema import EMA, ema_ready, ema_step
from futures_agent.strategy.strategy import Strategy

Length = Annotated[int, Meta(ge=1, le=10_000)]
Multiple = Annotated[float, Meta(ge=0, le=1_000)]


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """What `[strategy.params]` may set; lengths in bars, distances in multiples of the ATR (0 = none)."""

    fast: Length = 20
    slow: Length = 50
    atr: Length = 14
    stop_atr: Multiple = 2.0
    target_atr: Multiple = 3.0

    def __post_init__(self) -> None:
        if self.fast >= self.slow:
            raise ValueError(f"fast ({self.fast}) must be below slow ({self.slow})")


STATE = np.dtype([("fast", EMA), ("slow", EMA), ("atr", ATR), ("side", np.int64)])


@kernel
def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """See one closed bar; write a decision into `signal` where the averages crossed."""
    fast = ema_step(state.fast, bar.close, params.fast)
    slow = ema_step(state.slow, bar.close, params.slow)
    atr = atr_step(state.atr, bar, params.atr)
    if not (ema_ready(state.slow, params.slow) and atr_ready(state.atr, params.atr)):
        return
    side = 1 if fast > slow else -1
    if side == -state.side:
        signal.entry = side
        signal.stop_distance = params.stop_atr * atr
        signal.target_distance = params.target_atr * atr
    state.side = side


STRATEGY = Strategy(name="ema_cross", params=Params, state=STATE, step=step)

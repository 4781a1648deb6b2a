"""A strategy that is never at rest: it goes with every bar, so that most closes enter, leave or reverse."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from futures_agent.compiled import kernel
from futures_agent.features.atr import ATR, atr_ready, atr_step
from futures_agent.strategy.strategy import Strategy

Multiple = Annotated[float, Meta(gt=0, le=100)]


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    atr: Annotated[int, Meta(ge=1, le=100)] = 3
    stop_atr: Multiple = 0.8
    target_atr: Multiple = 0.9


STATE = np.dtype([("atr", ATR)])


@kernel
def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    atr = atr_step(state.atr, bar, params.atr)
    if not atr_ready(state.atr, params.atr):
        return
    signal.entry = 1 if bar.close > bar.open else -1
    signal.stop_distance = params.stop_atr * atr
    signal.target_distance = params.target_atr * atr


STRATEGY = Strategy(name="busy", params=Params, state=STATE, step=step)

"""A strategy that draws: what a report's chart shows, without the rules of a real one."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel
from futures_agent.strategy.ema_cross import STATE as CROSS
from futures_agent.strategy.ema_cross import Params
from futures_agent.strategy.ema_cross import step as cross_step
from futures_agent.strategy.strategy import Strategy

STATE = np.dtype(
    [("cross", CROSS), ("highs", np.float64, (3,)), ("lows", np.float64, (3,)), ("bars", np.int64)]
)


@kernel
def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """Cross averages, remember three bars, and give reasons: the side's, and an odd bar's."""
    cross_step(state.cross, bar, params, signal)
    if signal.entry != 0:
        signal.reasons = (1 if signal.entry > 0 else 2) + 4 * (state.bars % 2)
    for place in range(2):
        state.highs[place] = state.highs[place + 1]
        state.lows[place] = state.lows[place + 1]
    state.highs[2], state.lows[2] = bar.high, bar.low
    state.bars += 1


@kernel
def draw(state: Any, bar: Any, params: Any, zones: Any, drawn: int) -> int:
    """Draw a gap that the third of three bars leaves, until a bar trades into it, and each tenth high."""
    for row in range(max(0, drawn - 50), drawn):
        zone = zones[row]
        if zone.kind == 0 and zone.end == 0 and bar.low <= zone.top:
            zone.end = bar.timestamp
    if state.bars >= 3 and drawn < len(zones) and state.highs[0] < bar.low:
        zone = zones[drawn]
        zone.kind, zone.timeframe_ms, zone.start = 0, bar.timeframe_ms, bar.timestamp - bar.timeframe_ms
        zone.top, zone.bottom = bar.low, state.highs[0]
        drawn += 1
    if state.bars % 10 == 0 and drawn < len(zones):
        zone = zones[drawn]
        zone.kind, zone.timeframe_ms, zone.start = 1, bar.timeframe_ms, bar.timestamp
        zone.end = bar.timestamp + 5 * bar.timeframe_ms
        zone.top = zone.bottom = bar.high
        drawn += 1
    return drawn


DRAWING_CROSS = Strategy(
    name="drawing_cross",
    params=Params,
    state=STATE,
    step=step,
    reasons=("averages rose", "averages fell", "odd bar"),
    zone_kinds=("gap", "tenth high"),
    draw=draw,
)

"""Order blocks: the last opposite candle before the move that broke structure."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel
from futures_agent.features.smc.recent import SPAN
from futures_agent.features.smc.zones import ZONES, zone_lives, zones_add, zones_visit

ORDER_BLOCKS = np.dtype([("bull", ZONES), ("bear", ZONES)])


@kernel
def order_blocks_step(state: Any, recent: Any, structure: Any, bar: Any) -> None:
    """Let this bar retest or invalidate the blocks there are, then look whether it makes one.

    Where a bar breaks structure upwards (BOS or CHoCH), the move began at the lowest low after the broken
    swing's bar, the last one among equals. The bull order block is the last candle that closed below its
    open from there back to the broken swing's bar, that one excluded; its whole range, wicks included.
    It is retested when price comes down to its top, invalidated by a close below its bottom. No such
    candle, or the same one again: no new block. The search ends where the recent bars end. Mirrored for
    bear blocks.

    Source: ICT's order block. LuxAlgo takes the candle with the lowest low itself, whichever way it closed.

    Parameters
    ----------
    state : record of ORDER_BLOCKS
        All zero at the start.
    recent : record of RECENT
        This bar included.
    structure : record of STRUCTURE
        After this bar's step.
    bar : record with high, low, close
    """
    zones_visit(state.bull, bar, 1, True, 0)
    zones_visit(state.bear, bar, -1, True, 0)
    side = structure.bos + structure.choch
    if side > 0:
        _add_block(state.bull, recent, structure.level_bar + 1, 1)
    elif side < 0:
        _add_block(state.bear, recent, structure.level_bar + 1, -1)


@kernel
def _add_block(zones: Any, recent: Any, first: int, side: int) -> None:
    newest = recent.count - 1
    first = max(first, recent.count - SPAN)
    edges = recent.low if side > 0 else recent.high
    origin, outermost = newest, side * edges[newest % SPAN]
    for bar in range(newest - 1, first - 1, -1):
        edge = side * edges[bar % SPAN]
        if edge < outermost:
            origin, outermost = bar, edge
    for bar in range(origin, first - 1, -1):
        at = bar % SPAN
        if side * recent.close[at] < side * recent.open[at]:
            if not zone_lives(zones, recent.timestamp[at]):
                zones_add(zones, recent.timestamp[at], newest, recent.high[at], recent.low[at], side)
            return

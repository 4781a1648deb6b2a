"""Fair value gaps: three bars between whose first and last nothing was traded."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel
from futures_agent.features.smc.recent import SPAN
from futures_agent.features.smc.zones import ZONES, zones_add, zones_visit

GAPS = np.dtype([("bull", ZONES), ("bear", ZONES)])


@kernel
def gaps_step(state: Any, recent: Any, bar: Any, smallest: float, longest_age: int) -> None:
    """Let this bar retest and fill the gaps there are, then look whether it makes one.

    Three bars make a bull gap where the low of the third lies above the high of the first; it reaches
    from that high to that low and comes from the bar between them. It is retested when price comes down
    to its top, filled when price reaches its bottom; what has not been traded through is its rest.
    Mirrored for bear gaps.

    Source: ICT's fair value gap. Nothing is asked of the middle bar's close, as LuxAlgo does; `smallest`
    says what is too small to matter.

    Parameters
    ----------
    state : record of GAPS
        All zero at the start.
    recent : record of RECENT
        This bar included.
    bar : record with high, low, close
    smallest : float
        Least height of a gap, price units, ≥ 0.
    longest_age : int
        Bars for which a gap that is not filled is kept, ≥ 1; the same at every step.
    """
    newest = recent.count - 1
    zones_visit(state.bull, bar, 1, False, newest - longest_age)
    zones_visit(state.bear, bar, -1, False, newest - longest_age)
    if recent.count < 3:
        return
    start = recent.timestamp[(newest - 1) % SPAN]
    high = recent.high[(newest - 2) % SPAN]
    low = recent.low[(newest - 2) % SPAN]
    if bar.low > high and bar.low - high >= smallest:
        zones_add(state.bull, start, newest, bar.low, high, 1)
    elif bar.high < low and low - bar.high >= smallest:
        zones_add(state.bear, start, newest, low, bar.high, -1)

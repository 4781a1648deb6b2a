"""The dealing range: where price stands between the newest swing high and the newest swing low."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel

DEALING_RANGE = np.dtype(
    [
        ("known", np.bool_),  # a high and a low have been confirmed; before that nothing else is
        ("top", np.float64),
        ("bottom", np.float64),
        ("equilibrium", np.float64),  # the middle
        ("position", np.float64),  # of the close: 0 at the bottom, 1 at the top
        ("premium", np.bool_),  # closed above equilibrium
        ("discount", np.bool_),  # closed below it
    ]
)


@kernel
def dealing_range_step(state: Any, swings: Any, bar: Any) -> None:
    """Widen the range by this bar, or begin it anew at a swing the bar confirmed.

    The top is the highest high from the newest swing high's bar on: that swing, or where price has gone
    beyond it since, the outermost price. The bottom is mirrored. So a range, once known, always holds
    the close, and its top lies above its bottom.

    Source: ICT's premium and discount; the trailing extremes are those of LuxAlgo's Smart Money Concepts.

    Parameters
    ----------
    state : record of DEALING_RANGE
        All zero at the start.
    swings : record of SWINGS
        After this bar's step.
    bar : record with high, low, close
    """
    state.top = swings.high.price if swings.high.confirmed else max(state.top, bar.high)
    state.bottom = swings.low.price if swings.low.confirmed else min(state.bottom, bar.low)
    state.known = swings.high.count > 0 and swings.low.count > 0
    if state.known:
        state.equilibrium = (state.top + state.bottom) / 2.0
        state.position = (bar.close - state.bottom) / (state.top - state.bottom)
        state.premium = bar.close > state.equilibrium
        state.discount = bar.close < state.equilibrium

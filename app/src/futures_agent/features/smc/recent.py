"""The newest bars of one series, for the concepts that look a few bars back."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel

SPAN = 64  # bars kept

# Bar number n (0 is the first ever seen) lies at n % SPAN; the newest is bar number `count - 1`.
RECENT = np.dtype(
    [
        ("timestamp", np.int64, (SPAN,)),
        ("open", np.float64, (SPAN,)),
        ("high", np.float64, (SPAN,)),
        ("low", np.float64, (SPAN,)),
        ("close", np.float64, (SPAN,)),
        ("count", np.int64),
    ]
)


@kernel
def recent_step(state: Any, bar: Any) -> None:
    """Take one more closed bar, in place of the oldest.

    Parameters
    ----------
    state : record of RECENT
        All zero at the start.
    bar : record with timestamp, open, high, low, close
    """
    at = state.count % SPAN
    state.timestamp[at] = bar.timestamp
    state.open[at] = bar.open
    state.high[at] = bar.high
    state.low[at] = bar.low
    state.close[at] = bar.close
    state.count += 1

"""Zones of one side: price ranges that wait for price to come back; gaps and order blocks are such."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel

CAPACITY = 16  # zones kept; a further one takes the place of the oldest

# Oldest first; the first `count` of each array are in use. Price comes back to a bull zone from above,
# to a bear zone from below.
ZONES = np.dtype(
    [
        ("count", np.int64),
        ("start", np.int64, (CAPACITY,)),  # open time of the bar it comes from, ms UTC; no two alike
        ("known", np.int64, (CAPACITY,)),  # number of the bar at whose close it was known
        ("top", np.float64, (CAPACITY,)),
        ("bottom", np.float64, (CAPACITY,)),
        ("rest", np.float64, (CAPACITY,)),  # bull: not traded through from `bottom` to here; bear: from `top`
        ("mitigated", np.int64, (CAPACITY,)),  # 1: price has come back to it; 0: not yet
        ("nearest", np.float64),  # no rest lies nearer to price: until it is reached, nothing happens to any
        ("made", np.bool_),  # on this bar: a new one, the last in the arrays
        ("retested", np.bool_),  # on this bar: price came back to at least one for the first time
        ("ended", np.bool_),  # on this bar: at least one was filled (gaps) or invalidated (order blocks)
        ("dropped", np.bool_),  # on this bar: one was forgotten, being too old or making room
    ]
)


@kernel
def zones_visit(zones: Any, bar: Any, side: int, ends_at_close: bool, oldest: int) -> None:
    """Forget the zones that are too old, and let this bar retest and end the others.

    Reaching the near edge retests a zone. It ends when the far edge is reached, or with `ends_at_close`
    only when the bar closes beyond it.

    Parameters
    ----------
    zones : record of ZONES
        All zero at the start.
    bar : record with high, low, close
    side : int
        +1 for bull zones, −1 for bear zones.
    ends_at_close : bool
    oldest : int
        Number of a bar; what was known before it is forgotten.
    """
    zones.made = False
    zones.retested = False
    zones.ended = False
    zones.dropped = False
    reached = bar.low if side > 0 else bar.high
    if zones.count == 0 or (side * reached > side * zones.nearest and zones.known[0] >= oldest):
        return
    kept = 0
    for i in range(zones.count):
        if zones.known[i] < oldest:
            zones.dropped = True
            continue
        far = zones.bottom[i] if side > 0 else zones.top[i]
        over = side * bar.close < side * far if ends_at_close else side * reached <= side * far
        if side * reached <= side * zones.rest[i]:
            zones.retested = zones.retested or zones.mitigated[i] == 0
            zones.mitigated[i] = 1
            zones.rest[i] = max(reached, far) if side > 0 else min(reached, far)
        if over:
            zones.ended = True
        else:
            if kept < i:
                _move(zones, i, kept)
            if kept == 0 or side * zones.rest[kept] > side * zones.nearest:
                zones.nearest = zones.rest[kept]
            kept += 1
    zones.count = kept


@kernel
def zones_add(zones: Any, start: int, known: int, top: float, bottom: float, side: int) -> None:
    """Add a zone, in place of the oldest where there is no room."""
    if zones.count == CAPACITY:
        zones.dropped = True
        zones.count -= 1
        for i in range(zones.count):
            _move(zones, i + 1, i)
    at = zones.count
    zones.start[at] = start
    zones.known[at] = known
    zones.top[at] = top
    zones.bottom[at] = bottom
    zones.rest[at] = top if side > 0 else bottom
    zones.mitigated[at] = 0
    if at == 0 or side * zones.rest[at] > side * zones.nearest:
        zones.nearest = zones.rest[at]
    zones.count = at + 1
    zones.made = True


@kernel
def zone_at(zones: Any, low: float, high: float, side: int) -> int:
    """Return the place of the newest zone that the prices `low` to `high` touch; `zones.count`: none does.

    What counts is the part of a zone that has not been traded through, its edges included.
    """
    for back in range(zones.count):
        at = zones.count - 1 - back
        top = zones.rest[at] if side > 0 else zones.top[at]
        bottom = zones.bottom[at] if side > 0 else zones.rest[at]
        if low <= top and high >= bottom:
            return at  # type: ignore[no-any-return]
    return zones.count  # type: ignore[no-any-return]


@kernel
def zone_lives(zones: Any, start: int) -> bool:
    """Say whether the zone (or pool) that comes from the bar of `start` (ms UTC) is still there."""
    for i in range(zones.count):  # noqa: SIM110 (compiled code knows no generators)
        if zones.start[i] == start:
            return True
    return False


@kernel
def _move(zones: Any, source: int, target: int) -> None:
    zones.start[target] = zones.start[source]
    zones.known[target] = zones.known[source]
    zones.top[target] = zones.top[source]
    zones.bottom[target] = zones.bottom[source]
    zones.rest[target] = zones.rest[source]
    zones.mitigated[target] = zones.mitigated[source]

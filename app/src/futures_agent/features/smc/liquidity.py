"""Liquidity pools: swings, equal ones together, beyond which orders rest; and who takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel

CAPACITY = 16  # pools kept per side; a further one takes the place of the oldest

# Oldest first; the first `count` of each array are in use.
POOLS = np.dtype(
    [
        ("count", np.int64),
        ("start", np.int64, (CAPACITY,)),  # open time of its first swing's bar, ms UTC; no two alike
        ("price", np.float64, (CAPACITY,)),  # the outermost of its swings
        ("limit", np.float64, (CAPACITY,)),  # what lies beyond this lies beyond the pool
        ("touches", np.int64, (CAPACITY,)),  # swings in it; from 2 on they are equal highs (lows)
        ("nearest", np.float64),  # no limit lies nearer to price: until it is passed, nothing happens to any
        ("equal", np.bool_),  # on this bar: a swing joined a pool
        ("swept", np.bool_),  # on this bar: beyond at least one, and closed back inside
        ("swept_price", np.float64),  # of the outermost pool swept last; known from sweeps = 1 on
        ("swept_touches", np.int64),  # the most touches among the pools swept last
        ("sweeps", np.int64),  # bars so far that swept
        ("taken", np.bool_),  # on this bar: closed beyond at least one
    ]
)

LIQUIDITY = np.dtype([("high", POOLS), ("low", POOLS)])


@kernel
def liquidity_step(state: Any, swings: Any, bar: Any, tolerance: float) -> None:
    """Let this bar sweep or take the pools there are, then add the swings it confirmed.

    Every confirmed swing high is a pool of buy stops above it. One that lies within `tolerance` of a pool
    joins it instead (the nearest, among equals the oldest): equal highs. Beyond a pool is higher than its
    price by more than the tolerance of its newest swing. A bar that goes beyond and does not close beyond
    sweeps the pool, one that closes beyond takes it; either way its orders are gone, and so is the pool.
    Mirrored for lows.

    Source: ICT's buy-side and sell-side liquidity; equal highs within a share of the ATR as in LuxAlgo's
    Smart Money Concepts, which compares neighbouring swings only.

    Parameters
    ----------
    state : record of LIQUIDITY
        All zero at the start.
    swings : record of SWINGS
        After this bar's step.
    bar : record with high, low, close
    tolerance : float
        Price units, ≥ 0.
    """
    _visit(state.high, bar, 1)
    _visit(state.low, bar, -1)
    state.high.equal = False
    state.low.equal = False
    if swings.high.confirmed:
        _gather(state.high, swings.high, tolerance, 1)
    if swings.low.confirmed:
        _gather(state.low, swings.low, tolerance, -1)


@kernel
def _visit(pools: Any, bar: Any, side: int) -> None:
    pools.swept = False
    pools.taken = False
    reached = side * (bar.high if side > 0 else bar.low)
    if pools.count == 0 or reached <= side * pools.nearest:
        return
    kept = 0
    for i in range(pools.count):
        limit = side * pools.limit[i]
        if reached <= limit:
            if kept < i:
                _move(pools, i, kept)
            if kept == 0 or limit < side * pools.nearest:
                pools.nearest = pools.limit[kept]
            kept += 1
        elif side * bar.close > limit:
            pools.taken = True
        else:
            _sweep(pools, i, side)
    pools.count = kept


@kernel
def _sweep(pools: Any, i: int, side: int) -> None:
    if not pools.swept:
        pools.swept = True
        pools.sweeps += 1
        pools.swept_price = pools.price[i]
        pools.swept_touches = pools.touches[i]
    elif side * pools.price[i] > side * pools.swept_price:
        pools.swept_price = pools.price[i]
    pools.swept_touches = max(pools.swept_touches, pools.touches[i])


@kernel
def _gather(pools: Any, swing: Any, tolerance: float, side: int) -> None:
    at = _nearest_within(pools, swing.price, tolerance)
    pools.equal = at < pools.count
    if not pools.equal:
        if at == CAPACITY:
            at -= 1
            for i in range(at):
                _move(pools, i + 1, i)
        pools.start[at] = swing.timestamp
        pools.price[at] = swing.price
        pools.touches[at] = 0
        pools.count = at + 1
    if side * swing.price > side * pools.price[at]:
        pools.price[at] = swing.price
    pools.limit[at] = pools.price[at] + side * tolerance
    pools.touches[at] += 1
    if pools.count == 1 or side * pools.limit[at] < side * pools.nearest:
        pools.nearest = pools.limit[at]


@kernel
def _nearest_within(pools: Any, price: float, tolerance: float) -> int:
    """Return the place of the pool nearest to `price`; `pools.count` if all are farther than `tolerance`."""
    found = pools.count
    least = tolerance
    for i in range(pools.count):
        distance = abs(pools.price[i] - price)
        if distance < least or (found == pools.count and distance <= least):
            found, least = i, distance
    return found  # type: ignore[no-any-return]


@kernel
def _move(pools: Any, source: int, target: int) -> None:
    pools.start[target] = pools.start[source]
    pools.price[target] = pools.price[source]
    pools.limit[target] = pools.limit[source]
    pools.touches[target] = pools.touches[source]

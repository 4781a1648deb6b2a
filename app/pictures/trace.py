"""What the steps knew after each bar, and the lives of the zones among it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from futures_agent.features.smc.smc import SMC, smc_step
from futures_agent.market.candle import Candles
from futures_agent.plain import as_tuple, plain_type


def trace(
    candles: Candles,
    *,
    left: int = 2,
    right: int = 2,
    atr_length: int = 5,
    smallest_gap: float = 0.5,
    longest_gap_age: int = 100,
    equal_within: float = 0.25,
) -> NDArray[np.void]:
    """Return the state after each bar, records of SMC, shape (bars,)."""
    states = np.zeros(len(candles), SMC)
    state, bars = plain_type(SMC)(states[0].item()), plain_type(candles.dtype)
    for row, candle in enumerate(candles):
        smc_step(
            state,
            bars(candle.item()),
            left,
            right,
            atr_length,
            smallest_gap,
            longest_gap_age,
            equal_within,
        )
        states[row] = as_tuple(state)
    return states


class Life(NamedTuple):
    """One gap or order block; bars are numbered from the first candle."""

    start: int  # the bar it comes from
    known: int
    top: float
    bottom: float
    rests: list[float]  # its near edge after each bar from `known` on: what is beyond was traded through
    retested: int | None
    ended: int | None


def lives(zones: NDArray[np.void], timestamps: NDArray[np.int64]) -> list[Life]:
    """Return every zone that the states of one side (records of ZONES, one per bar) tell of."""
    found = []
    for known in np.flatnonzero(zones["made"]):
        newest = zones["count"][known] - 1
        start_ms = zones["start"][known][newest]
        rests: list[float] = []
        retested = ended = None
        for bar in range(known, len(zones)):
            at = np.flatnonzero(zones["start"][bar][: zones["count"][bar]] == start_ms)
            if not len(at):
                ended = bar
                break
            rests.append(float(zones["rest"][bar][at[0]]))
            if retested is None and zones["mitigated"][bar][at[0]]:
                retested = bar
        found.append(
            Life(
                start=int(np.searchsorted(timestamps, start_ms)),
                known=int(known),
                top=float(zones["top"][known][newest]),
                bottom=float(zones["bottom"][known][newest]),
                rests=rests,
                retested=retested,
                ended=ended,
            )
        )
    return found

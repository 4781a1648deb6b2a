"""All smart money concepts of one series in one record, with one step per closed bar."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel
from futures_agent.features.atr import ATR, atr_ready, atr_step
from futures_agent.features.smc.dealing_range import DEALING_RANGE, dealing_range_step
from futures_agent.features.smc.gaps import GAPS, gaps_step
from futures_agent.features.smc.liquidity import LIQUIDITY, liquidity_step
from futures_agent.features.smc.order_blocks import ORDER_BLOCKS, order_blocks_step
from futures_agent.features.smc.recent import RECENT, recent_step
from futures_agent.features.smc.structure import STRUCTURE, structure_step
from futures_agent.features.smc.swings import SWINGS, swings_step

SMC = np.dtype(
    [
        ("recent", RECENT),
        ("atr", ATR),
        ("swings", SWINGS),
        ("structure", STRUCTURE),
        ("gaps", GAPS),
        ("order_blocks", ORDER_BLOCKS),
        ("liquidity", LIQUIDITY),
        ("dealing_range", DEALING_RANGE),
    ]
)


@kernel
def smc_step(
    state: Any,
    bar: Any,
    left: int,
    right: int,
    atr_length: int,
    smallest_gap: float,
    longest_gap_age: int,
    equal_within: float,
) -> None:
    """Take one more closed bar.

    Parameters
    ----------
    state : record of SMC
        All zero at the start.
    bar : record with timestamp, open, high, low, close
    left, right : int
        Bars on either side of a swing, 1 to MOST_BARS.
    atr_length : int
        Bars of the average true range, ≥ 1.
    smallest_gap : float
        Least height of a gap, in ATR, ≥ 0.
    longest_gap_age : int
        Bars for which a gap that is not filled is kept, ≥ 1.
    equal_within : float
        Distance up to which swings are equal, in ATR, ≥ 0.

    All but `state` and `bar` are the same at every step.
    """
    recent_step(state.recent, bar)
    atr = atr_step(state.atr, bar, atr_length)
    swings_step(state.swings, state.recent, left, right)
    structure_step(state.structure, state.swings, bar.close)
    gaps_step(state.gaps, state.recent, bar, smallest_gap * atr, longest_gap_age)
    order_blocks_step(state.order_blocks, state.recent, state.structure, bar)
    liquidity_step(state.liquidity, state.swings, bar, equal_within * atr)
    dealing_range_step(state.dealing_range, state.swings, bar)


@kernel
def smc_ready(state: Any, left: int, right: int, atr_length: int) -> bool:
    """Say whether the concepts may be used: the ATR has warmed up, and a swing could have been seen."""
    return atr_ready(state.atr, atr_length) and state.recent.count > left + right

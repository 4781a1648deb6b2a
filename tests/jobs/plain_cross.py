"""Strategies in plain Python, as a user may write them: one trades, the others are slow, fragile, idle."""

import os
import time
from pathlib import Path

import numpy as np
from msgspec import Struct

from futures_agent.strategy.strategy import Strategy


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    every: int = 12


class Limit(Struct, frozen=True, forbid_unknown_fields=True):
    most: float = 0.0


STATE = np.dtype([("bars", np.int64)])


def step(state, bar, params, signal):
    """Go long and short in turn."""
    state.bars += 1
    if state.bars % params.every == 0:
        signal.entry = 1 if state.bars // params.every % 2 else -1
        signal.stop_distance = 0.02 * bar.close
        signal.target_distance = 0.03 * bar.close


def slow_step(state, bar, params, signal):
    """Say that it has begun, and take a second for a symbol's first bar."""
    if state.bars == 0:
        Path(os.environ["AGENT_PATHS__STATE_DIR"], "slow").touch()
        time.sleep(1.0)
    state.bars += 1


def fragile_step(state, bar, params, signal):
    """Trade like `step`, and break at a price above the limit."""
    if bar.close > params.most:
        raise ValueError("too expensive")
    state.bars += 1
    signal.entry = 1 if state.bars % 24 == 0 else 0
    signal.stop_distance = 0.02 * bar.close


def idle_step(state, bar, params, signal):
    """Never trade."""


STRATEGY = Strategy(name="plain_cross", params=Params, state=STATE, step=step)
SLOW = Strategy(name="slow", params=Params, state=STATE, step=slow_step)
FRAGILE = Strategy(name="fragile", params=Limit, state=STATE, step=fragile_step)
IDLE = Strategy(name="idle", params=Params, state=STATE, step=idle_step)

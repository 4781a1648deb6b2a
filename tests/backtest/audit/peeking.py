"""Strategies that know what they should not, each in a way that people really write, and honest ones."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from msgspec.structs import replace

from futures_agent.clock import HOUR_MS
from futures_agent.compiled import kernel
from futures_agent.strategy.inputs import Input
from futures_agent.strategy.strategy import Strategy
from sample_markets import NoParams

COUNTING = np.dtype([("bars", np.int64), ("previous", np.float64)])


def strategy(name: str, step: Any, **more: Any) -> Strategy:
    return Strategy(name=name, params=NoParams, state=more.pop("state", COUNTING), step=step, **more)


def decide_now_and_then(state: Any, signal: Any, side: int, close: float) -> None:
    """Enter at every fifth bar."""
    state.bars += 1
    if state.bars % 5 == 0:
        signal.entry = side
        signal.stop_distance = 0.02 * close
        signal.target_distance = 0.03 * close


def honest_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    decide_now_and_then(state, signal, 1 if bar.close > state.previous else -1, bar.close)
    state.previous = bar.close


HONEST = strategy("honest", honest_step)


# A table loaded at import, looked up one bar ahead: the classic.
CLOSES: dict[int, float] = {}


def lookup_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    tomorrow = CLOSES.get(bar.timestamp + HOUR_MS, bar.close)
    decide_now_and_then(state, signal, 1 if tomorrow > bar.close else -1, bar.close)


LOOKUP = strategy("lookup", lookup_step)


RUNS: list[int] = []


def tiring_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """Raise in every run but the first three."""
    if state.bars == 0:
        RUNS.append(1)
        if len(RUNS) > 3:
            raise RuntimeError("tired")
    honest_step(state, bar, params, signal)


TIRING = strategy("tiring", tiring_step)


# A list that the first pass fills, and later passes read ahead in.
SEEN: list[float] = []


def learning_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    place = state.bars
    if place >= len(SEEN):
        SEEN.append(bar.close)
    following = SEEN[min(place + 1, len(SEEN) - 1)]
    decide_now_and_then(state, signal, 1 if following > bar.close else -1, bar.close)


LEARNING = strategy("learning", learning_step)


# A step that keeps its last signals, and writes an entry where it now knows that one would have paid.
LATEST: list[tuple[float, Any]] = []


def repainting_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    if state.bars == 0:
        LATEST.clear()
    state.bars += 1
    LATEST.append((bar.close, signal))
    if len(LATEST) > 3:
        close, old = LATEST.pop(0)
        old.entry = 1 if bar.close > close else -1
        old.stop_distance = 0.02 * close


REPAINTING = strategy("repainting", repainting_step)


def rolling_dice(state: Any, bar: Any, params: Any, signal: Any) -> None:
    decide_now_and_then(state, signal, random.choice((1, -1)), bar.close)


DICE = strategy("dice", rolling_dice)


# What one symbol leaves behind for the next.
MET: set[float] = set()


def crowding_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    if state.bars == 0:
        MET.add(bar.close)
    decide_now_and_then(state, signal, 1 if len(MET) % 2 else -1, bar.close)


CROWDING = strategy("crowding", crowding_step)


# A future laid down as a constant, which a compiled step may read.
FUTURE = np.array([1, -1, 1, 1])


@kernel
def constant_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    state.bars += 1
    signal.entry = FUTURE[state.bars % 4]
    signal.stop_distance = 0.02 * bar.close


CONSTANT = strategy("constant", constant_step)


# A fraction in a whole-number field: cut off by compiled code, kept by plain code.
@kernel
def rounding_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    state.bars += 0.5
    if state.bars >= 3:
        state.bars = 0
        signal.entry = 1 if bar.close > state.previous else -1
        signal.stop_distance = 0.02 * bar.close
    state.previous = bar.close


ROUNDING = strategy("rounding", rounding_step)


def april_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """Trade by the parity of the month, which is no peek."""
    month = bar.timestamp // (30 * 24 * HOUR_MS)
    decide_now_and_then(state, signal, 1 if month % 2 else -1, bar.close)


SEASONAL = strategy("seasonal", april_step)


def refusing_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """Raise in years that are over."""
    if bar.timestamp < 1_750_000_000_000:
        raise LookupError("no data that old")
    honest_step(state, bar, params, signal)


REFUSING = strategy("refusing", refusing_step)


def silent_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    state.bars += 1


SILENT = strategy("silent", silent_step)


def late_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """Decide nothing for 230 bars."""
    state.bars += 1
    if state.bars > 230:
        signal.entry = 1
        signal.stop_distance = 0.02 * bar.close


LATE = strategy("late", late_step)


# What a policy would be told of an entry: honest, learning by heart, meddling, and not always a number.
def honest_observe(state: Any, bar: Any, params: Any, observation: Any) -> None:
    observation[0] = bar.close - bar.open
    observation[1] = state.bars


OBSERVING = replace(HONEST, observation=("move", "bars"), observe=honest_observe)


def remembering_observe(state: Any, bar: Any, params: Any, observation: Any) -> None:
    RUNS.append(1)
    observation[0], observation[1] = len(RUNS), 0.0


REMEMBERING = replace(OBSERVING, observe=remembering_observe)


def meddling_observe(state: Any, bar: Any, params: Any, observation: Any) -> None:
    observation[0] = observation[1] = 0.0
    state.bars += 1


MEDDLING = replace(OBSERVING, observe=meddling_observe)


def forgetful_observe(state: Any, bar: Any, params: Any, observation: Any) -> None:
    observation[0] = 1.0
    if state.bars > 100:
        observation[0] = np.inf
    else:
        observation[1] = 0.0


FORGETFUL = replace(OBSERVING, observe=forgetful_observe)


@kernel
def wrapping_observe(state: Any, bar: Any, params: Any, observation: Any) -> None:
    """Overflow: compiled code wraps around, plain code does not."""
    observation[0] = (bar.timestamp * 2**30) % 7
    observation[1] = 0.0


@kernel
def compiled_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    state.bars += 1
    if state.bars % 5 == 0:
        signal.entry = 1
        signal.stop_distance = 0.02 * bar.close


WRAPPING = strategy("wrapping", compiled_step, observation=("rest", "none"), observe=wrapping_observe)


def moody_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    side = 1 if bar.mood_known and bar.mood > 0 else -1
    decide_now_and_then(state, signal, side, bar.close)


MOODY = strategy("moody", moody_step, inputs=(Input("mood", "sentiment", "mood", max_age_h=1e6),))

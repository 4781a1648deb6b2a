"""Indicators, online: against TA-Lib, against themselves with the future cut off, compiled against plain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_agent.compiled import Compiled, kernel
from futures_agent.features.atr import ATR, atr_ready, atr_step
from futures_agent.features.ema import EMA, ema_ready, ema_step
from futures_agent.plain import run_plain
from sample_markets import random_candles, real_candles


@kernel
def step_ema(bars: Any, state: Any, length: int, values: Any, ready: Any) -> None:
    for row in range(len(bars)):
        values[row] = ema_step(state[0], bars[row].close, length)
        ready[row] = ema_ready(state[0], length)


@kernel
def step_atr(bars: Any, state: Any, length: int, values: Any, ready: Any) -> None:
    for row in range(len(bars)):
        values[row] = atr_step(state[0], bars[row], length)
        ready[row] = atr_ready(state[0], length)


INDICATORS = {
    "ema": (step_ema, EMA, lambda bars, length: talib.EMA(bars["close"].copy(), length)),
    "atr": (
        step_atr,
        ATR,
        lambda bars, length: talib.ATR(*(bars[name].copy() for name in ("high", "low", "close")), length),
    ),
}
each_indicator = pytest.mark.parametrize(("loop", "dtype", "oracle"), INDICATORS.values(), ids=INDICATORS)


def stepped(
    loop: Callable[..., Any], dtype: np.dtype, bars: np.ndarray, length: int, runner: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values and the readiness after each bar."""
    values, ready = np.zeros(len(bars)), np.zeros(len(bars), bool)
    arguments = (bars, np.zeros(1, dtype), length, values, ready)
    runner(*arguments) if runner else run_plain(loop, *arguments)
    return values, ready


def assert_like_talib(bars: np.ndarray, length: int, loop: Any, dtype: np.dtype, oracle: Any) -> None:
    values, ready = stepped(loop, dtype, bars, length)
    expected = oracle(bars, length)
    np.testing.assert_array_equal(ready, ~np.isnan(expected))
    np.testing.assert_allclose(values[ready], expected[ready], rtol=1e-9)


@each_indicator
@pytest.mark.parametrize("length", [2, 14, 50])
def test_values_are_talibs(length: int, loop: Any, dtype: np.dtype, oracle: Any) -> None:
    assert_like_talib(random_candles(3, 1_000), length, loop, dtype, oracle)


@each_indicator
def test_values_are_talibs_on_real_candles(loop: Any, dtype: np.dtype, oracle: Any) -> None:
    for bars in list(real_candles("klines_1h.parquet", 1_000).values())[:4]:
        assert_like_talib(bars, 14, loop, dtype, oracle)


def test_first_values_are_plain_means() -> None:
    bars = np.zeros(4, [("high", float), ("low", float), ("close", float)])
    bars["high"], bars["low"], bars["close"] = [3, 5, 9, 9], [1, 4, 5, 7], [2, 4, 6, 8]
    np.testing.assert_array_equal(stepped(step_ema, EMA, bars, 3)[0], [2, 3, 4, 6])
    # true ranges: 3 (5 − 2, gapped up), 5 (9 − 4), 3 (9 − 6)
    np.testing.assert_array_equal(stepped(step_atr, ATR, bars, 2)[0], [0, 3, 4, 3.5])


@each_indicator
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 119), length=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_the_future_changes_nothing(
    loop: Any, dtype: np.dtype, oracle: Any, seed: int, cut: int, length: int
) -> None:
    bars = random_candles(seed, 120)
    whole, whole_ready = stepped(loop, dtype, bars, length)
    part, part_ready = stepped(loop, dtype, bars[:cut], length)
    np.testing.assert_array_equal(part, whole[:cut])
    np.testing.assert_array_equal(part_ready, whole_ready[:cut])


@each_indicator
def test_compiled_gives_the_same_bits(loop: Any, dtype: np.dtype, oracle: Any, compile_cache: Path) -> None:
    bars = random_candles(5, 3_000)
    plain = stepped(loop, dtype, bars, 14)
    compiled = stepped(loop, dtype, bars, 14, Compiled(loop, compile_cache))
    assert plain[0].tobytes() == compiled[0].tobytes()
    assert plain[1].tobytes() == compiled[1].tobytes()

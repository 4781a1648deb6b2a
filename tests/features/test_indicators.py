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
from futures_agent.features.adx import ADX, adx_ready, adx_step
from futures_agent.features.atr import ATR, atr_ready, atr_step
from futures_agent.features.bollinger import bollinger, bollinger_ready, bollinger_step
from futures_agent.features.ema import EMA, ema_ready, ema_step
from futures_agent.features.macd import MACD, macd_ready, macd_signal_ready, macd_step
from futures_agent.features.rsi import RSI, rsi_ready, rsi_step
from futures_agent.features.sma import sma, sma_ready, sma_step
from futures_agent.features.volume import volume, volume_ready, volume_step
from futures_agent.market.candle import CANDLE
from futures_agent.plain import plain_type, run_plain
from sample_markets import random_candles, real_candles

Reading = Callable[[np.ndarray, int], np.ndarray]


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


@kernel
def step_sma(bars: Any, state: Any, length: int, values: Any, ready: Any) -> None:
    for row in range(len(bars)):
        values[row] = sma_step(state[0], bars[row].close)
        ready[row] = sma_ready(state[0])


@kernel
def step_rsi(bars: Any, state: Any, length: int, values: Any, ready: Any) -> None:
    for row in range(len(bars)):
        values[row] = rsi_step(state[0], bars[row].close, length)
        ready[row] = rsi_ready(state[0], length)


@kernel
def fast_of(length: int) -> int:
    return (length + 2) // 2


@kernel
def step_macd(bars: Any, state: Any, length: int, values: Any, ready: Any) -> None:
    for row in range(len(bars)):
        values[row] = macd_step(state[0], bars[row].close, fast_of(length), length, 1)
        ready[row] = macd_ready(state[0], length)


@kernel
def step_macd_signal(bars: Any, state: Any, length: int, values: Any, ready: Any) -> None:
    for row in range(len(bars)):
        macd_step(state[0], bars[row].close, fast_of(length), length, 9)
        values[row] = state[0].signal.value
        ready[row] = macd_signal_ready(state[0], 9)


@kernel
def step_adx(bars: Any, state: Any, length: int, values: Any, ready: Any) -> None:
    for row in range(len(bars)):
        values[row] = adx_step(state[0], bars[row], length)
        ready[row] = adx_ready(state[0], length)


@kernel
def step_upper_band(bars: Any, state: Any, length: int, values: Any, ready: Any) -> None:
    for row in range(len(bars)):
        bollinger_step(state[0], bars[row].close, 2.0)
        values[row] = state[0].upper
        ready[row] = bollinger_ready(state[0])


@kernel
def step_lower_band(bars: Any, state: Any, length: int, values: Any, ready: Any) -> None:
    for row in range(len(bars)):
        bollinger_step(state[0], bars[row].close, 2.5)
        values[row] = state[0].lower
        ready[row] = bollinger_ready(state[0])


@kernel
def step_volume(bars: Any, state: Any, length: int, values: Any, ready: Any) -> None:
    for row in range(len(bars)):
        values[row] = volume_step(state[0], bars[row])
        ready[row] = volume_ready(state[0])


def of(bars: np.ndarray, *names: str) -> list[np.ndarray]:
    return [bars[name].copy() for name in names]


# What steps it, the state for a length, and TA-Lib's word for it.
INDICATORS: dict[str, tuple[Callable[..., Any], Callable[[int], np.dtype], Reading]] = {
    "ema": (step_ema, lambda length: EMA, lambda bars, length: talib.EMA(*of(bars, "close"), length)),
    "atr": (
        step_atr,
        lambda length: ATR,
        lambda bars, length: talib.ATR(*of(bars, "high", "low", "close"), length),
    ),
    "sma": (step_sma, sma, lambda bars, length: talib.SMA(*of(bars, "close"), length)),
    "rsi": (step_rsi, lambda length: RSI, lambda bars, length: talib.RSI(*of(bars, "close"), length)),
    "macd": (
        step_macd,
        lambda length: MACD,
        lambda bars, length: talib.MACD(*of(bars, "close"), fast_of(length), length, 1)[0],
    ),
    "macd_signal": (
        step_macd_signal,
        lambda length: MACD,
        lambda bars, length: talib.MACD(*of(bars, "close"), fast_of(length), length, 9)[1],
    ),
    "adx": (
        step_adx,
        lambda length: ADX,
        lambda bars, length: talib.ADX(*of(bars, "high", "low", "close"), length),
    ),
    "upper_band": (
        step_upper_band,
        bollinger,
        lambda bars, length: talib.BBANDS(*of(bars, "close"), length, 2.0, 2.0)[0],
    ),
    "lower_band": (
        step_lower_band,
        bollinger,
        lambda bars, length: talib.BBANDS(*of(bars, "close"), length, 2.5, 2.5)[2],
    ),
    "volume": (step_volume, volume, lambda bars, length: talib.SMA(*of(bars, "volume"), length)),
}
each_indicator = pytest.mark.parametrize(("loop", "dtype_of", "oracle"), INDICATORS.values(), ids=INDICATORS)


def stepped(
    loop: Callable[..., Any], dtype: np.dtype, bars: np.ndarray, length: int, runner: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values and the readiness after each bar."""
    values, ready = np.zeros(len(bars)), np.zeros(len(bars), bool)
    arguments = (bars, np.zeros(1, dtype), length, values, ready)
    runner(*arguments) if runner else run_plain(loop, *arguments)
    return values, ready


def assert_like_talib(bars: np.ndarray, length: int, loop: Any, dtype: np.dtype, oracle: Reading) -> None:
    values, ready = stepped(loop, dtype, bars, length)
    expected = oracle(bars, length)
    np.testing.assert_array_equal(ready, ~np.isnan(expected))
    # The MACD is a small difference of prices: its error is measured against them.
    price_error = 1e-13 * bars["close"].max() if loop in (step_macd, step_macd_signal) else 0.0
    np.testing.assert_allclose(values[ready], expected[ready], rtol=1e-9, atol=price_error)


@each_indicator
@pytest.mark.parametrize("length", [2, 14, 50])
def test_values_are_talibs(length: int, loop: Any, dtype_of: Any, oracle: Any) -> None:
    assert_like_talib(random_candles(3, 1_000), length, loop, dtype_of(length), oracle)


@each_indicator
def test_values_are_talibs_on_real_candles(loop: Any, dtype_of: Any, oracle: Any) -> None:
    for bars in list(real_candles("klines_1h.parquet", 1_000).values())[:4]:
        assert_like_talib(bars, 14, loop, dtype_of(14), oracle)


def bars_of(**columns: list[float]) -> np.ndarray:
    bars = np.zeros(len(next(iter(columns.values()))), CANDLE)
    for name, values in columns.items():
        bars[name] = values
    return bars


def test_first_values_are_plain_means() -> None:
    bars = bars_of(high=[3, 5, 9, 9], low=[1, 4, 5, 7], close=[2, 4, 6, 8], volume=[1, 2, 6, 7])
    np.testing.assert_array_equal(stepped(step_ema, EMA, bars, 3)[0], [2, 3, 4, 6])
    np.testing.assert_array_equal(stepped(step_sma, sma(3), bars, 3)[0], [2, 3, 4, 6])
    np.testing.assert_array_equal(stepped(step_volume, volume(3), bars, 3)[0], [1, 1.5, 3, 5])
    # true ranges: 3 (5 − 2, gapped up), 5 (9 − 4), 3 (9 − 6)
    np.testing.assert_array_equal(stepped(step_atr, ATR, bars, 2)[0], [0, 3, 4, 3.5])


def test_relative_strength_of_what_only_rises_falls_or_stands_still() -> None:
    rising, flat = bars_of(close=[1, 2, 3, 4]), bars_of(close=[5, 5, 5, 5])
    np.testing.assert_array_equal(stepped(step_rsi, RSI, rising, 2)[0], [50, 100, 100, 100])
    np.testing.assert_array_equal(stepped(step_rsi, RSI, rising[::-1], 2)[0], [50, 0, 0, 0])
    np.testing.assert_array_equal(stepped(step_rsi, RSI, flat, 2)[0], [50, 50, 50, 50])
    # averages after +3, −1: 1.5 and 0.5; after +3 again: (1.5 + 3) / 2 and 0.5 / 2
    np.testing.assert_array_equal(
        stepped(step_rsi, RSI, bars_of(close=[1, 4, 3, 6]), 2)[0], [50, 100, 75, 90]
    )


def test_directional_index_of_inside_bars_is_zero_and_of_a_trend_a_hundred() -> None:
    inside = bars_of(high=[9, 8, 7, 6, 5], low=[1, 2, 3, 4, 5])
    trend = bars_of(high=[2, 3, 4, 5, 6], low=[1, 2, 3, 4, 5])
    np.testing.assert_array_equal(stepped(step_adx, ADX, inside, 2)[0], np.zeros(5))
    np.testing.assert_array_equal(stepped(step_adx, ADX, trend, 2)[0], [0, 0, 100, 100, 100])


def test_bands_lie_about_the_mean_by_population_deviations() -> None:
    bars = bars_of(close=[2, 4, 4, 4, 5, 5, 7, 9])
    assert stepped(step_upper_band, bollinger(8), bars, 8)[0].tolist()[-1] == 5 + 2 * 2
    assert stepped(step_lower_band, bollinger(8), bars, 8)[0].tolist()[-1] == 5 - 2.5 * 2
    np.testing.assert_array_equal(
        stepped(step_upper_band, bollinger(4), bars_of(close=[7] * 6), 4)[0], [7] * 6
    )


def test_relative_volume_is_a_multiple_of_the_mean_and_zero_without_trade() -> None:
    bars = bars_of(volume=[0, 0, 3, 1])
    state = plain_type(volume(2))(np.zeros(1, volume(2))[0].item())
    relative = []
    for bar in map(plain_type(CANDLE), bars.tolist()):
        volume_step(state, bar)
        relative.append(state.relative)
    assert relative == [0, 0, 2, 0.5]


@each_indicator
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 119), length=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_the_future_changes_nothing(
    loop: Any, dtype_of: Any, oracle: Any, seed: int, cut: int, length: int
) -> None:
    bars = random_candles(seed, 120)
    whole, whole_ready = stepped(loop, dtype_of(length), bars, length)
    part, part_ready = stepped(loop, dtype_of(length), bars[:cut], length)
    np.testing.assert_array_equal(part, whole[:cut])
    np.testing.assert_array_equal(part_ready, whole_ready[:cut])


@each_indicator
def test_compiled_gives_the_same_bits(loop: Any, dtype_of: Any, oracle: Any, compile_cache: Path) -> None:
    bars = random_candles(5, 3_000)
    plain = stepped(loop, dtype_of(14), bars, 14)
    compiled = stepped(loop, dtype_of(14), bars, 14, Compiled(loop, compile_cache))
    assert plain[0].tobytes() == compiled[0].tobytes()
    assert plain[1].tobytes() == compiled[1].tobytes()

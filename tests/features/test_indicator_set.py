"""All indicators of a series in one record: TA-Lib's values, None while they warm up, plain or compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_agent.compiled import Compiled, kernel
from futures_agent.features.indicator_set import INDICATORS, READINGS, indicators_step, readings
from futures_agent.market.candle import CANDLE
from futures_agent.plain import plain_type, run_plain
from futures_agent.store.indicators import COLUMNS
from sample_markets import random_candles, real_candles

# Bars until the first value, itself included.
WARM_UP = {
    "ema20": 20,
    "ema50": 50,
    "rsi14": 15,
    "atr14": 15,
    "macd": 26,
    "macd_signal": 34,
    "adx14": 28,
    "bb_upper": 20,
    "bb_lower": 20,
    "volume_sma20": 20,
}


@kernel
def step_all(bars: Any, states: Any, after: Any) -> None:
    for row in range(len(bars)):
        indicators_step(states[0], bars[row])
        after[row] = states[0].bollinger20.upper + states[0].macd.signal.value + states[0].adx14.value


def read_all(bars: np.ndarray) -> dict[str, np.ndarray]:
    """Return name → readings after each bar, NaN while the indicator warms up."""
    state = plain_type(INDICATORS)(np.zeros(1, INDICATORS)[0].item())
    rows = []
    for bar in map(plain_type(CANDLE), bars.tolist()):
        indicators_step(state, bar)
        rows.append(readings(state))
    table = np.array(rows, dtype=np.float64)
    return dict(zip(READINGS, table.T, strict=True))


def of_talib(bars: np.ndarray) -> dict[str, np.ndarray]:
    high, low, close, volume = (bars[name].copy() for name in ("high", "low", "close", "volume"))
    upper, _, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    return {
        "ema20": talib.EMA(close, 20),
        "ema50": talib.EMA(close, 50),
        "rsi14": talib.RSI(close, 14),
        "atr14": talib.ATR(high, low, close, 14),
        "macd": talib.MACD(close, 12, 26, 1)[0],  # with its own signal line TA-Lib shows it 8 bars later
        "macd_signal": talib.MACD(close, 12, 26, 9)[1],
        "adx14": talib.ADX(high, low, close, 14),
        "bb_upper": upper,
        "bb_lower": lower,
        "volume_sma20": talib.SMA(volume, 20),
    }


def assert_like_talib(bars: np.ndarray) -> None:
    found, expected = read_all(bars), of_talib(bars)
    for name in READINGS:
        price_error = 1e-13 * bars["close"].max() if name.startswith("macd") else 0.0
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=price_error, err_msg=name)


def test_readings_are_talibs() -> None:
    assert_like_talib(random_candles(7, 1_500))


@pytest.mark.parametrize("file_name", ["klines_1h.parquet", "klines_4h.parquet", "klines_1d.parquet"])
def test_readings_are_talibs_on_real_candles(file_name: str) -> None:
    for bars in list(real_candles(file_name, 800).values())[::12]:
        assert_like_talib(bars)


def test_nothing_is_told_before_an_indicator_has_warmed_up() -> None:
    found = read_all(random_candles(1, 60))
    assert {name: int(np.isnan(values).sum()) + 1 for name, values in found.items()} == WARM_UP


def test_readings_are_the_columns_of_the_table() -> None:
    assert READINGS == COLUMNS


def test_a_market_that_stands_still_raises_nothing() -> None:
    bars = random_candles(1, 60)
    for name in ("open", "high", "low", "close"):
        bars[name] = 2.5
    bars["volume"] = 0.0
    last = {name: values[-1] for name, values in read_all(bars).items()}
    assert last == {
        **dict.fromkeys(("ema20", "ema50", "bb_upper", "bb_lower"), 2.5),
        **dict.fromkeys(("atr14", "macd", "macd_signal", "adx14", "volume_sma20"), 0.0),
        "rsi14": 50.0,
    }


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 89))
@settings(max_examples=20, deadline=None)
def test_the_future_changes_nothing(seed: int, cut: int) -> None:
    bars = random_candles(seed, 90)
    whole, part = read_all(bars), read_all(bars[:cut])
    for name in READINGS:
        np.testing.assert_array_equal(part[name], whole[name][:cut], err_msg=name)


def test_compiled_leaves_the_same_bits_in_the_record(compile_cache: Path) -> None:
    bars = random_candles(5, 3_000)
    states, after = np.zeros((2, 1), INDICATORS), np.zeros((2, len(bars)))
    run_plain(step_all, bars, states[0], after[0])
    Compiled(step_all, compile_cache)(bars, states[1], after[1])
    assert states[0].tobytes() == states[1].tobytes()
    assert after[0].tobytes() == after[1].tobytes()

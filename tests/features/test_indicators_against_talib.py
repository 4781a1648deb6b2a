"""Every indicator is TA-Lib's to 10⁻⁹, over every recorded candle there is and on generated ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import talib

from every_feature import STRATEGY
from futures_agent.backtest.audit.tracing import Tracer
from futures_agent.market.timeframe import Timeframe
from sample_markets import random_candles, real_candles

FILES = {
    Timeframe.H1: "klines_1h.parquet",
    Timeframe.H4: "klines_4h.parquet",
    Timeframe.D1: "klines_1d.parquet",
}
PLACES_OF_PRICE = {"macd", "macd_signal", "macd_histogram"}  # differences of prices: so is their error


def ours(states: np.ndarray) -> dict[str, np.ndarray]:
    """Return name → value after each bar, out of the states of the indicator set."""
    return {
        "ema20": states["ema20"]["value"],
        "ema50": states["ema50"]["value"],
        "rsi14": states["rsi14"]["value"],
        "atr14": states["atr14"]["value"],
        "macd": states["macd"]["value"],
        "macd_signal": states["macd"]["signal"]["value"],
        "macd_histogram": states["macd"]["value"] - states["macd"]["signal"]["value"],
        "adx14": states["adx14"]["value"],
        "bb_upper": states["bollinger20"]["upper"],
        "bb_middle": states["bollinger20"]["average"]["value"],
        "bb_lower": states["bollinger20"]["lower"],
        "volume_sma20": states["volume20"]["average"]["value"],
    }


def theirs(bars: np.ndarray) -> dict[str, np.ndarray]:
    high, low, close, volume = (bars[name].copy() for name in ("high", "low", "close", "volume"))
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    return {
        "ema20": talib.EMA(close, 20),
        "ema50": talib.EMA(close, 50),
        "rsi14": talib.RSI(close, 14),
        "atr14": talib.ATR(high, low, close, 14),
        "macd": macd,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "adx14": talib.ADX(high, low, close, 14),
        "bb_upper": upper,
        "bb_middle": middle,
        "bb_lower": lower,
        "volume_sma20": talib.SMA(volume, 20),
    }


def assert_all_agree(series: dict[str, np.ndarray], timeframe: Timeframe, compile_cache: Path) -> int:
    run = Tracer(STRATEGY, STRATEGY.read_params({}), compile_cache)
    compared = 0
    for symbol, candles in series.items():
        bars = np.zeros(len(candles), STRATEGY.bar)
        for name in candles.dtype.names:
            bars[name] = candles[name]
        bars["timeframe_ms"] = timeframe.ms
        found = ours(run(bars, every=1).states["indicators"])
        for name, expected in theirs(bars).items():
            known = ~np.isnan(expected)
            error = 1e-13 * bars["close"].max() if name in PLACES_OF_PRICE else 0.0
            np.testing.assert_allclose(
                found[name][known], expected[known], rtol=1e-9, atol=error, err_msg=f"{symbol} {name}"
            )
            compared += int(known.sum())
    return compared


@pytest.mark.parametrize("timeframe", FILES, ids=lambda timeframe: timeframe.name)
def test_on_every_recorded_candle(timeframe: Timeframe, compile_cache: Path) -> None:
    series = real_candles(FILES[timeframe], 10_000)
    assert assert_all_agree(series, timeframe, compile_cache) > 200_000


def test_on_generated_candles(compile_cache: Path) -> None:
    series = {str(seed): random_candles(seed, 2_000) for seed in range(5)}
    assert assert_all_agree(series, Timeframe.H1, compile_cache) > 100_000

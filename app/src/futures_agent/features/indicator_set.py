"""The indicators of `indicadores_tecnico`: one record, one step per closed bar of one series."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel
from futures_agent.features.adx import ADX, adx_ready, adx_step
from futures_agent.features.atr import ATR, atr_ready, atr_step
from futures_agent.features.bollinger import bollinger, bollinger_ready, bollinger_step
from futures_agent.features.ema import EMA, ema_ready, ema_step
from futures_agent.features.macd import MACD, macd_ready, macd_signal_ready, macd_step
from futures_agent.features.rsi import RSI, rsi_ready, rsi_step
from futures_agent.features.volume import volume, volume_ready, volume_step

INDICATORS = np.dtype(
    [
        ("ema20", EMA),
        ("ema50", EMA),
        ("rsi14", RSI),
        ("atr14", ATR),
        ("macd", MACD),
        ("adx14", ADX),
        ("bollinger20", bollinger(20)),
        ("volume20", volume(20)),
    ]
)

# The names of what `readings` returns, in its order.
READINGS = (
    "ema20",
    "ema50",
    "rsi14",
    "atr14",
    "macd",
    "macd_signal",
    "adx14",
    "bb_upper",
    "bb_lower",
    "volume_sma20",
)


@kernel
def indicators_step(state: Any, bar: Any) -> None:
    """Take one more closed bar.

    Parameters
    ----------
    state : record of INDICATORS
        All zero at the start.
    bar : record with high, low, close, volume
    """
    ema_step(state.ema20, bar.close, 20)
    ema_step(state.ema50, bar.close, 50)
    rsi_step(state.rsi14, bar.close, 14)
    atr_step(state.atr14, bar, 14)
    macd_step(state.macd, bar.close, 12, 26, 9)
    adx_step(state.adx14, bar, 14)
    bollinger_step(state.bollinger20, bar.close, 2.0)
    volume_step(state.volume20, bar)


def readings(state: Any) -> tuple[float | None, ...]:
    """Return the indicators after the last step, in the order of READINGS; None while one warms up.

    Parameters
    ----------
    state : record of INDICATORS
    """
    known = (
        (state.ema20.value, ema_ready(state.ema20, 20)),
        (state.ema50.value, ema_ready(state.ema50, 50)),
        (state.rsi14.value, rsi_ready(state.rsi14, 14)),
        (state.atr14.value, atr_ready(state.atr14, 14)),
        (state.macd.value, macd_ready(state.macd, 26)),
        (state.macd.signal.value, macd_signal_ready(state.macd, 9)),
        (state.adx14.value, adx_ready(state.adx14, 14)),
        (state.bollinger20.upper, bollinger_ready(state.bollinger20)),
        (state.bollinger20.lower, bollinger_ready(state.bollinger20)),
        (state.volume20.average.value, volume_ready(state.volume20)),
    )
    return tuple(value if ready else None for value, ready in known)

"""Generated candles for tests: plausible, seeded, on the exchange's grid."""

from __future__ import annotations

import numpy as np

from futures_agent.market.candle import FULL_CANDLE, Candles, candles_from_columns
from futures_agent.market.timeframe import Timeframe

START_MS = 1_735_689_600_000  # 2025-01-01, on every grid


def random_walk(
    count: int, timeframe: Timeframe = Timeframe.H1, *, start_ms: int = START_MS, seed: int = 1
) -> Candles:
    """Return `count` consecutive closed candles from `start_ms` on."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    opening = np.concatenate(([100.0], close))[:count]
    volume = rng.lognormal(8, 1, count)
    return candles_from_columns(
        FULL_CANDLE,
        timestamp=start_ms + timeframe.ms * np.arange(count),
        open=opening,
        high=np.maximum(opening, close) * 1.004,
        low=np.minimum(opening, close) * 0.996,
        close=close,
        volume=volume,
        quote_volume=volume * close,
        trades=rng.integers(100, 100_000, count),
        taker_buy_volume=volume / 2,
        taker_buy_quote_volume=volume * close / 2,
    )

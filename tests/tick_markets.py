"""Candles made of whole ticks by whole-number arithmetic: the same on every platform, for golden results."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from futures_agent.clock import DAY_MS, parse_utc
from futures_agent.market.candle import CANDLE
from futures_agent.market.timeframe import Timeframe

START_MS = parse_utc("2026-01-05")  # a Monday
TICK = 0.01
_PER_DAY = DAY_MS // Timeframe.M15.ms


def tick_markets(symbols: int, days: int) -> dict[Timeframe, dict[str, np.ndarray]]:
    """Return candles of every timeframe for S0USDT, S1USDT …, each higher one made of the lower."""
    walks = {f"S{seed}USDT": _walk(seed, days * _PER_DAY) for seed in range(symbols)}
    return {
        timeframe: {
            symbol: _candles(walk, timeframe.ms // Timeframe.M15.ms, timeframe)
            for symbol, walk in walks.items()
        }
        for timeframe in Timeframe
    }


def _numbers(seed: int) -> Iterator[int]:
    """Yield whole numbers of 0 to 2³¹ − 1 (Knuth's MMIX generator, its upper bits)."""
    state = 2 * seed + 1
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33


def _walk(seed: int, count: int) -> np.ndarray:
    """Return (open, high, low, close, volume) in whole ticks per quarter of an hour, trending in spells."""
    numbers = _numbers(seed)
    rows = np.zeros((count, 5), np.int64)
    price, trend = 1_000_000, 0
    for row in range(count):
        if next(numbers) % 96 == 0:
            trend = next(numbers) % 401 - 200
        opened = price
        price = max(1_000, opened + trend + next(numbers) % 5_001 - 2_500)
        high = max(opened, price) + next(numbers) % 1_500
        low = max(1, min(opened, price) - next(numbers) % 1_500)
        rows[row] = opened, high, low, price, 1_000 + next(numbers) % 9_000 + abs(price - opened)
    return rows


def _candles(walk: np.ndarray, quarters: int, timeframe: Timeframe) -> np.ndarray:
    parts = walk.reshape(-1, quarters, 5)
    candles = np.zeros(len(parts), CANDLE)
    candles["timestamp"] = START_MS + timeframe.ms * np.arange(len(parts))
    candles["open"] = parts[:, 0, 0] / 100
    candles["high"] = parts[:, :, 1].max(axis=1) / 100
    candles["low"] = parts[:, :, 2].min(axis=1) / 100
    candles["close"] = parts[:, -1, 3] / 100
    candles["volume"] = parts[:, :, 4].sum(axis=1)
    return candles

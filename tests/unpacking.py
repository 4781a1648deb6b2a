"""What a report carries, decoded as its script decodes it; written from the format's description alone."""

from __future__ import annotations

import zlib

import numpy as np

from futures_agent.backtest.charts import SymbolChart
from futures_agent.clock import MINUTE_MS
from futures_agent.market.candle import CANDLE
from futures_agent.strategy.strategy import ZONE


def unpack(packed: bytes, count: int) -> list[np.ndarray]:
    """Return the columns of `count` integers that `packing.pack` was given."""
    raw, columns, at = zlib.decompress(packed), [], 0
    while at < len(raw):
        width = raw[at]
        planes = np.frombuffer(raw, np.uint8, width * count, at + 1).reshape(width, count)
        folded = sum((plane.astype(np.int64) << 8 * place for place, plane in enumerate(planes)), np.int64(0))
        columns.append(np.zeros(count, np.int64) + ((folded >> 1) ^ -(folded & 1)))
        at += 1 + width * count
    return columns


def candles_in(chart: SymbolChart, step_ms: int) -> np.ndarray:
    """Return the candles of `chart`; volumes are near, all else is exact."""
    steps, opens, bodies, above, below, codes = unpack(chart.candles, chart.count)
    close = np.cumsum(opens + bodies)
    opened = close - bodies
    low, high = chart.volume_log
    candles = np.zeros(chart.count, CANDLE)
    candles["timestamp"] = chart.start + step_ms * np.cumsum(steps)
    candles["open"], candles["close"] = opened, close
    candles["high"] = np.maximum(opened, close) + above
    candles["low"] = np.minimum(opened, close) - below
    for name in ("open", "high", "low", "close"):
        candles[name] /= 10.0**chart.decimals
    candles["volume"] = np.where(codes > 0, np.exp(low + (codes - 1) / 254 * (high - low)), 0)
    return candles


def zones_in(chart: SymbolChart, step_ms: int) -> np.ndarray:
    """Return the zones of `chart`."""
    kinds, minutes, starts, ends, tops, heights = unpack(chart.zones, chart.zone_count)
    zones = np.zeros(chart.zone_count, ZONE)
    zones["kind"], zones["timeframe_ms"] = kinds, minutes * MINUTE_MS
    zones["start"] = chart.start + step_ms * np.cumsum(starts)
    zones["end"] = np.where(ends > 0, zones["start"] + step_ms * (ends - 1), 0)
    zones["top"] = np.cumsum(tops) / 10.0**chart.decimals
    zones["bottom"] = (np.cumsum(tops) - heights) / 10.0**chart.decimals
    return zones

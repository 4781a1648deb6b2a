"""Arithmetic on arrays of candles: decimal grids, aggregation, and the candle that is still forming."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from futures_agent.market.candle import FULL_CANDLE, Candles
from futures_agent.market.timeframe import Timeframe

# Shares of a bar's length at which its path is at the prices of `path_of`.
PATH_TIMES = (0.0, 0.3, 0.7, 1.0)


@dataclass(frozen=True)
class Grid:
    """How many decimals the numbers of one contract have."""

    price: int
    volume: int
    quote: int


def on_grid(values: Any, decimals: int) -> Any:
    """Return `values` rounded to `decimals`, each the double nearest to its decimal text.

    Whole units over a power of ten: the division is correctly rounded, so text and number agree in
    both directions up to 2**53 units. Above that, doubles lie further apart than units: nothing to round.
    """
    scale = 10.0**decimals
    whole = np.floor(values)
    units = whole * scale + np.rint((values - whole) * scale)  # the product alone would be off by a half
    return np.where(np.abs(units) < 2.0**53, units / scale, values)[()]


def aggregate(candles: Candles, timeframe: Timeframe, grid: Grid) -> Candles:
    """Return the candles of a longer timeframe that `candles` (sorted by time) make up.

    A first or last bar which they cover only in part is included as far as it goes: the caller knows
    whether it wants that.
    """
    if len(candles) == 0:
        return np.zeros(0, dtype=FULL_CANDLE)
    opens = candles["timestamp"] - candles["timestamp"] % timeframe.ms
    first = np.flatnonzero(np.r_[True, opens[1:] != opens[:-1]])
    last = np.r_[first[1:], len(candles)] - 1
    bars = np.zeros(len(first), dtype=FULL_CANDLE)
    bars["timestamp"] = opens[first]
    bars["open"] = candles["open"][first]
    bars["high"] = np.maximum.reduceat(candles["high"], first)
    bars["low"] = np.minimum.reduceat(candles["low"], first)
    bars["close"] = candles["close"][last]
    bars["trades"] = np.add.reduceat(candles["trades"], first)
    for name, decimals in _volume_decimals(grid):
        bars[name] = on_grid(np.add.reduceat(candles[name], first), decimals)
    return bars


def whole_bars(candles: Candles, finer: Timeframe, timeframe: Timeframe, grid: Grid) -> Candles:
    """Aggregate, leaving out a first and a last bar that `candles` do not cover to its edge."""
    bars = aggregate(candles, timeframe, grid)
    if len(bars) and candles["timestamp"][0] != bars["timestamp"][0]:
        bars = bars[1:]
    if len(bars) and candles["timestamp"][-1] + finer.ms != bars["timestamp"][-1] + timeframe.ms:
        bars = bars[:-1]
    return bars


def forming(final: np.void, length_ms: int, elapsed_ms: int, grid: Grid) -> Candles:
    """Return what the exchange shows of a candle `elapsed_ms` after it opened, as an array of one.

    The price runs in straight lines from the open over both extremes (the one against the bar's
    direction first) to the close; volumes grow with time and stay below their final values. So a
    forming candle that somebody stores differs from the final one, the same way each time.

    Parameters
    ----------
    final : record of FULL_CANDLE
        The candle as it will be at its close.
    length_ms, elapsed_ms : int
        Length of the bar, and the part of it that has passed, 0 <= elapsed_ms < length_ms.
    """
    share = elapsed_ms / length_ms
    prices = path_of(final)
    price = on_grid(np.interp(share, PATH_TIMES, prices), grid.price)
    seen = [p for t, p in zip(PATH_TIMES, prices, strict=True) if t <= share] + [price]
    candle = np.array([final], dtype=FULL_CANDLE)
    candle["high"], candle["low"], candle["close"] = max(seen), min(seen), price
    candle["trades"] = int(final["trades"] * share)
    for name, decimals in _volume_decimals(grid):
        candle[name] = np.floor(final[name] * 10.0**decimals * share) / 10.0**decimals
    return candle


def path_of(final: np.void) -> tuple[float, float, float, float]:
    """Return the corners of the price's path through a bar: open, both extremes, close.

    The extreme against the bar's direction comes first; between the corners, at the shares PATH_TIMES of
    the bar's length, the price runs in straight lines.
    """
    opening, high, low, close = (float(final[name]) for name in ("open", "high", "low", "close"))
    return (opening, low, high, close) if close >= opening else (opening, high, low, close)


def _volume_decimals(grid: Grid) -> tuple[tuple[str, int], ...]:
    return (
        ("volume", grid.volume),
        ("quote_volume", grid.quote),
        ("taker_buy_volume", grid.volume),
        ("taker_buy_quote_volume", grid.quote),
    )


def decimals_of(values: NDArray[np.float64], most: int = 8) -> int:
    """Return the fewest decimals that write all `values`, apart from the noise of sums; at most `most`."""
    for decimals in range(most):
        if np.all(np.abs(on_grid(values, decimals) - values) <= 1e-13 * np.abs(values)):
            return decimals
    return most

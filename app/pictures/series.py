"""Made-up candles for pictures: a price path through given turning points, with seeded wobble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from futures_agent.clock import HOUR_MS
from futures_agent.market.candle import CANDLE, Candles


def path(
    turns: Sequence[tuple[int, float]],
    *,
    seed: int,
    wobble: float = 0.3,
    reach: float = 0.5,
    changes: Mapping[int, Mapping[str, float]] | None = None,
) -> Candles:
    """Return H1 candles whose closes run in straight lines, but for the wobble, from turn to turn.

    Parameters
    ----------
    turns : sequence of (bar, price)
        The first at bar 0, which opens and closes there.
    wobble, reach : float
        Most that a close lies beside its line, and a wick beyond its body; price units.
    changes : mapping of bar to mapping of field to price
        What the story needs otherwise. A changed close is the next bar's open.
    """
    places, prices = zip(*turns, strict=True)
    count = places[-1] + 1
    rng = np.random.default_rng(seed)
    close = np.interp(np.arange(count), places, prices)
    between = ~np.isin(np.arange(count), places)
    close += np.where(between, rng.uniform(-wobble, wobble, count), 0.0)
    for bar, fields in (changes or {}).items():
        close[bar] = fields.get("close", close[bar])
    candles = np.zeros(count, CANDLE)
    candles["timestamp"] = HOUR_MS * np.arange(count)
    candles["close"] = close
    candles["open"] = np.concatenate([close[:1], close[:-1]])
    for bar, fields in (changes or {}).items():
        candles["open"][bar] = fields.get("open", candles["open"][bar])
    candles["high"] = np.maximum(candles["open"], close) + rng.uniform(0.1, 1.0, count) * reach
    candles["low"] = np.minimum(candles["open"], close) - rng.uniform(0.1, 1.0, count) * reach
    for bar, fields in (changes or {}).items():
        for name in ("high", "low"):
            candles[name][bar] = fields.get(name, candles[name][bar])
    return candles

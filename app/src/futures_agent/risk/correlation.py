"""The correlation cap: positions that move together are one bet.

Correlation is Pearson's, of the returns of closes one bar apart, over the bars that both symbols have
within the window. With fewer than half of the window's returns in common, or where a price never moved,
it cannot be told and counts as too much: what nobody knows must not add to the risk.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from futures_agent.compiled import kernel


class Closes(NamedTuple):
    """The closed candles of every symbol; those of symbol s are rows [first[s], end[s])."""

    candles: NDArray[np.void]  # with timestamp (open time, ms UTC, ascending per symbol) and close
    first: NDArray[np.int64]
    end: NDArray[np.int64]
    step_ms: int  # length of a candle


@kernel
def too_correlated(symbol: int, side: int, holdings: Any, closes: Closes, limits: Any) -> bool:
    """Say whether more than `max_correlated` open positions move with a new one.

    Parameters
    ----------
    symbol, side : int
        Of the new position; +1 long, −1 short.
    holdings : array of records with side (0 = none), one per symbol
    closes : Closes
    limits : record of risk.limits.LIMITS
    """
    together = 0
    for other in range(len(holdings)):
        held = holdings[other].side
        if held == 0 or other == symbol:
            continue
        value, known = correlation(closes, symbol, other, limits.correlation_bars)
        if not known or side * held * value >= limits.correlation_limit:
            together += 1
            if together > limits.max_correlated:
                return True
    return False


@kernel
def correlation(closes: Closes, one: int, other: int, bars: int) -> tuple[float, bool]:
    """Return the correlation of two symbols' returns over the newest `bars` bar times.

    Returns
    -------
    float
        From −1 to 1 but for rounding.
    bool
        Whether it can be told.
    """
    candles, step_ms = closes.candles, closes.step_ms
    a, first_a = closes.end[one] - 1, closes.first[one]
    b, first_b = closes.end[other] - 1, closes.first[other]
    if a <= first_a or b <= first_b:
        return 0.0, False
    oldest = max(candles[a].timestamp, candles[b].timestamp) - bars * step_ms
    n, sum_x, sum_y, sum_xx, sum_yy, sum_xy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    while a > first_a and b > first_b:
        now, before = candles[a], candles[a - 1]
        then, earlier = candles[b], candles[b - 1]
        if now.timestamp > then.timestamp:
            a -= 1
            continue
        if now.timestamp < then.timestamp:
            b -= 1
            continue
        if now.timestamp <= oldest:
            break
        if before.timestamp == earlier.timestamp == now.timestamp - step_ms:
            x = now.close / before.close - 1.0
            y = then.close / earlier.close - 1.0
            n += 1
            sum_x += x
            sum_y += y
            sum_xx += x * x
            sum_yy += y * y
            sum_xy += x * y
        a -= 1
        b -= 1
    spread = (n * sum_xx - sum_x * sum_x) * (n * sum_yy - sum_y * sum_y)
    if 2 * n < bars or spread <= 0:
        return 0.0, False
    return (n * sum_xy - sum_x * sum_y) / math.sqrt(spread), True

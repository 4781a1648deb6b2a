"""What a step sees and says, in order and checked: one way for the backtest and the live trader."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from futures_agent.clock import utc_text
from futures_agent.market.candle import CANDLE, Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.strategy.inputs import known_at_closes
from futures_agent.strategy.strategy import Strategy


def bars_in_order(
    strategy: Strategy,
    series: Mapping[Timeframe, Candles],
    published: Mapping[str, NDArray[np.void]],
) -> NDArray[np.void]:
    """Return the candles of one symbol as the strategy's step sees them, inputs included.

    Parameters
    ----------
    series : mapping of Timeframe to ndarray with the fields of CANDLE
        Ascending in time each.
    published : mapping of str to ndarray of PUBLISHED
        By name of the strategy's input; an input that is absent is known nowhere.

    Returns
    -------
    ndarray of `strategy.bar`
        In order of close; where bars close together the higher timeframe is first.
    """
    longest_first = sorted(series, key=lambda timeframe: -timeframe.ms)
    parts = [series[timeframe] for timeframe in longest_first]
    bars = np.zeros(sum(map(len, parts)), strategy.bar)
    first = 0
    for timeframe, part in zip(longest_first, parts, strict=True):
        rows = bars[first : first + len(part)]
        for name in CANDLE.names or ():
            rows[name] = part[name]
        rows["timeframe_ms"] = timeframe.ms
        first += len(part)
    if len(parts) > 1:
        order = np.argsort(bars["timestamp"] + bars["timeframe_ms"], kind="stable")
        bars = bars.take(order, out=np.empty_like(bars), mode="clip")  # a tenth of the time of bars[order]
    closes = bars["timestamp"] + bars["timeframe_ms"]
    for wanted in strategy.inputs:
        if wanted.name in published:
            values, known = known_at_closes(published[wanted.name], closes, wanted.max_age_ms)
            bars[wanted.name], bars[f"{wanted.name}_known"] = values, known
    return bars


def require_sound(signals: NDArray[np.void], times: NDArray[np.int64]) -> None:
    """Refuse to trade on distances that are negative or no numbers, and on sides other than +1, 0, −1.

    Raises
    ------
    ValueError
        It names the first such signal of SIGNAL, and the open time of its bar in `times`.
    """
    sound = np.abs(signals["entry"]) <= 1
    for name in ("stop_distance", "target_distance"):
        sound &= np.isfinite(signals[name]) & (signals[name] >= 0)
    if not sound.all():
        row = int(np.argmin(sound))
        raise ValueError(f"impossible signal {signals[row]} on the bar of {utc_text(int(times[row]))}")

"""Panels of several timeframes for the properties that must hold on any market: recorded, or generated."""

from __future__ import annotations

import numpy as np

from futures_agent.backtest.panel import Panel, ReadInput, build_panel
from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.market.observation import PUBLISHED
from futures_agent.market.timeframe import Timeframe
from sample_markets import REAL_DATA, instrument, real_candles
from tick_markets import tick_markets

_FILES = {
    Timeframe.H1: "klines_1h.parquet",
    Timeframe.H4: "klines_4h.parquet",
    Timeframe.D1: "klines_1d.parquet",
}
_FUNDING = np.dtype([("timestamp", np.int64), ("rate", np.float64)])


def recorded_panel(symbols: int, bars: int) -> Panel:
    """Return a panel of real candles and funding rates, H1 with H4 and D1; skips where there are none.

    The symbols are spread over those of the data set, each with its last `bars` H1 candles. The inputs of
    the shipped strategies are generated.
    """
    frames = {frame: real_candles(name, 10**9) for frame, name in _FILES.items()}
    known = sorted(set.intersection(*(set(series) for series in frames.values())))
    chosen = known[:: max(1, len(known) // symbols)][:symbols]
    candles = {symbol: frames[Timeframe.H1][symbol][-bars:] for symbol in chosen}
    return build_panel(
        candles,
        {symbol: instrument(symbol, tick_size=1e-6, price_precision=6) for symbol in chosen},
        Timeframe.H1,
        higher={
            frame: {symbol: _from(frames[frame][symbol], candles[symbol]) for symbol in chosen}
            for frame in (Timeframe.H4, Timeframe.D1)
        },
        funding=_funding(chosen),
        inputs=_inputs(candles),
    )


def generated_panel(symbols: int, days: int) -> Panel:
    """Return generated candles with holes and late listings, H1 with M15, H4, D1, funding and inputs."""
    frames = tick_markets(symbols, days)
    candles = {
        symbol: series[24 * place :][_present(len(series) - 24 * place, place)]
        for place, (symbol, series) in enumerate(frames[Timeframe.H1].items())
    }
    return build_panel(
        candles,
        {symbol: instrument(symbol) for symbol in candles},
        Timeframe.H1,
        higher={frame: frames[frame] for frame in (Timeframe.H4, Timeframe.D1)},
        finer=(Timeframe.M15, frames[Timeframe.M15]),
        funding={symbol: _every_eight_hours(series) for symbol, series in candles.items()},
        inputs=_inputs(candles),
    )


def _present(count: int, place: int) -> np.ndarray:
    """Return which candles there are: single ones and runs of ten are missing, by whole-number arithmetic."""
    row = np.arange(count)
    return ((row * 7_919 + place) % 127 != 0) & ((row // 10 * 7_907 + place) % 97 != 0)


def _from(series: np.ndarray, candles: np.ndarray) -> np.ndarray:
    """Return the candles of a higher timeframe since those of the deciding one begin, and some before."""
    return series[series["timestamp"] >= candles["timestamp"][0] - 60 * 24 * HOUR_MS]


def _funding(symbols: list[str]) -> dict[str, np.ndarray]:
    import pyarrow.parquet as pq

    table = pq.read_table(REAL_DATA / "funding.parquet")
    names, rates = table["symbol"].to_numpy(), np.zeros(table.num_rows, _FUNDING)
    rates["timestamp"] = table["funding_time"].to_numpy()
    rates["rate"] = table["funding_rate"].to_numpy()
    return {symbol: np.sort(rates[names == symbol], order="timestamp") for symbol in symbols}


def _inputs(candles: dict[str, np.ndarray]) -> dict[str, ReadInput]:
    """Return how to read the inputs of the shipped strategies: published late, some of them corrected."""

    def every(hours: int, delay_h: int, scale: float) -> ReadInput:
        def read(symbol: str) -> np.ndarray:
            first, last = (candles[symbol]["timestamp"][end] // DAY_MS for end in (0, -1))
            times = np.arange(first * DAY_MS, last * DAY_MS, hours * HOUR_MS)
            published = np.zeros(2 * len(times), PUBLISHED)
            published["timestamp"] = np.tile(times, 2)
            published["available_at"] = published["timestamp"] + delay_h * HOUR_MS
            published["available_at"][len(times) :] += 5 * HOUR_MS  # corrected later
            published["value"] = scale * (np.arange(len(published)) * 7_919 % 101)
            return published[np.arange(len(published)) % 3 < 2]

        return read

    return {"funding": every(8, 0, 5e-6), "fear_greed": every(24, 3, 1.0), "vix": every(24, 30, 0.4)}


def _every_eight_hours(candles: np.ndarray) -> np.ndarray:
    instants = candles["timestamp"][candles["timestamp"] % (8 * HOUR_MS) == 0]
    rates = np.zeros(len(instants), _FUNDING)
    rates["timestamp"] = instants
    rates["rate"] = (instants // (8 * HOUR_MS) % 7 - 3) / 10_000
    return rates

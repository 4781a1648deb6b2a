"""The backtest of what a replay went through."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from futures_agent.backtest.engine import simulate
from futures_agent.backtest.panel import build_panel
from futures_agent.backtest.records import Simulation
from futures_agent.clock import MINUTE_MS
from futures_agent.market.candle import CANDLE
from futures_agent.market.instrument import Instrument
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import Settings
from futures_agent.simulator.venue import Venue
from futures_agent.strategy.registry import load_strategy


def backtest_of(
    venue: Venue,
    instruments: Mapping[str, Instrument],
    settings: Settings,
    *,
    first_ms: int,
    end_ms: int,
    equity: float,
    finer: Timeframe | None,
) -> Simulation:
    """Return the backtest over the venue's candles that open in [first_ms, end_ms)."""
    strategy = load_strategy(settings.strategy.name)
    symbols = settings.data.symbols
    timeframe = Timeframe[settings.strategy.timeframe]

    def series(frame: Timeframe) -> dict[str, np.ndarray]:
        found = {}
        for symbol in symbols:
            full = venue.market.closed(symbol, frame, end_ms)
            plain = np.zeros(len(full), CANDLE)
            for name in CANDLE.names or ():
                plain[name] = full[name]
            found[symbol] = plain[plain["timestamp"] >= first_ms]
        return found

    funding = {}
    for symbol in symbols:
        paid = venue.sentiment.funding(symbol, first_ms, end_ms)
        paid["timestamp"] -= paid["timestamp"] % MINUTE_MS  # as they are stored
        funding[symbol] = paid
    panel = build_panel(
        series(timeframe),
        {symbol: instruments[symbol] for symbol in symbols},
        timeframe,
        higher={frame: series(frame) for frame in strategy.timeframes},
        finer=None if finer is None else (finer, series(finer)),
        funding=funding,
    )
    return simulate(
        panel,
        strategy,
        settings.strategy.params,
        risk=settings.risk,
        costs=settings.costs,
        initial_equity=equity,
    )

"""The live trader's trades at the venue are the backtest's: none more, none fewer, to the tick and cent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from futures_agent.backtest.engine import simulate
from futures_agent.backtest.panel import build_panel
from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.market.candle import CANDLE
from futures_agent.market.instrument import Instrument
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import RiskSettings, Settings, StrategySettings
from futures_agent.simulator.venue import Venue
from futures_agent.strategy.registry import load_strategy
from parity.compare import differences, round_trips
from parity.replay import EQUITY, Replay, trading, venue_config
from trading_worlds import START_MS

SYMBOLS = ("BTCUSDT", "SOLUSDT", "DOGEUSDT", "XRPUSDT")
DAYS = 25
FIRST_MS = START_MS - START_MS % DAY_MS - DAYS * DAY_MS


def plain(candles: np.ndarray) -> np.ndarray:
    found = np.zeros(len(candles), CANDLE)
    for name in CANDLE.names or ():
        found[name] = candles[name]
    return found


def backtest(venue: Venue, instruments: dict[str, Instrument], settings: Settings, end_ms: int):
    """Return the backtest of what the venue's candles were from FIRST_MS to `end_ms`."""
    strategy = load_strategy(settings.strategy.name)
    series = {
        frame: {symbol: plain(venue.market.closed(symbol, frame, end_ms)) for symbol in SYMBOLS}
        for frame in (Timeframe.M15, Timeframe.H1, *strategy.timeframes)
    }
    series = {
        frame: {symbol: one[one["timestamp"] >= FIRST_MS] for symbol, one in found.items()}
        for frame, found in series.items()
    }
    funding = {}
    for symbol in SYMBOLS:
        paid = venue.sentiment.funding(symbol, FIRST_MS, end_ms)
        paid["timestamp"] -= paid["timestamp"] % MINUTE_MS
        funding[symbol] = paid
    panel = build_panel(
        series[Timeframe.H1],
        {symbol: instruments[symbol] for symbol in SYMBOLS},
        Timeframe.H1,
        higher={frame: series[frame] for frame in strategy.timeframes},
        finer=(Timeframe.M15, series[Timeframe.M15]),
        funding=funding,
    )
    return simulate(
        panel,
        strategy,
        settings.strategy.params,
        risk=settings.risk,
        costs=settings.costs,
        initial_equity=float(EQUITY),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "params"), [("ema_cross", {"fast": 5, "slow": 13}), ("smc", {})], ids=["ema_cross", "smc"]
)
def test_the_same_trades_as_the_backtest(name: str, params: dict, tmp_path: Path) -> None:
    settings = Settings(
        strategy=StrategySettings(name=name, params=params),
        # What it loses in a month must not end the comparison.
        risk=RiskSettings(max_drawdown=0.9, max_daily_loss=0.5),
    )
    config = venue_config(
        settings.costs, 3, symbols=SYMBOLS, seed=6, history_days=DAYS + 1, start_ms=FIRST_MS
    )
    end_ms = FIRST_MS + DAYS * DAY_MS
    with trading(config, settings, tmp_path) as replay:
        for close_ms in range(FIRST_MS + HOUR_MS, end_ms + 1, HOUR_MS):
            replay.step_to(close_ms)
        assert replay.trader is not None
        instruments = dict(replay.trader.assembly.instruments)
        trips = venue_trips(replay)
        expected = backtest(replay.simulator.venue, instruments, settings, end_ms)
    assert len(trips) > 5
    assert differences(trips, expected.trades, expected.symbols) == []


def venue_trips(replay: Replay):
    account = replay.simulator.venue.exchange.accounts[0]
    names = {key: order.client_order_id for key, order in account.orders.items()}
    return round_trips(replay.fills(), replay.incomes(), names)

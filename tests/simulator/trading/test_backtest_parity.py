"""A backtest's orders, sent to the exchange bar by bar, give the backtest's trades."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from futures_agent.backtest.engine import simulate
from futures_agent.backtest.panel import build_panel
from futures_agent.backtest.records import ExitReason, Simulation
from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.execution.margin import MAINTENANCE_MARGIN
from futures_agent.market.candle import CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import CostSettings
from futures_agent.simulator.generator import GeneratedCandles
from futures_agent.simulator.market import Market
from futures_agent.simulator.sentiment import Sentiment
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.config import AccountConfig, TradingConfig
from futures_agent.simulator.trading.exchange import Exchange
from futures_agent.simulator.trading.records import AlgoRequest, Fill, OrderRequest
from futures_agent.strategy.strategy import Strategy
from sample_markets import PLAIN_RISK, NoParams, instrument
from trading_worlds import START_MS

SYMBOLS = ("BTCUSDT", "SOLUSDT", "DOGEUSDT", "1000PEPEUSDT")
HOURS = 24 * 40
FIRST_MS = START_MS - START_MS % DAY_MS - HOURS * HOUR_MS  # where the candles begin
LEVERAGE = 10
COSTS = CostSettings()


@pytest.fixture(scope="module")
def market() -> Market:
    source = GeneratedCandles(
        SYMBOLS, seed=4, start_ms=START_MS, history_days=HOURS // 24, with_untradable=False
    )
    return Market(source)


def random_strategy(seed: int) -> Strategy:
    """Return one that enters at random, with stop and target, one of them or none, and leaves at random."""
    rng = random.Random(seed)
    plan: dict[int, dict[str, float]] = {}
    for bar in range(HOURS):
        if rng.random() < 0.15:
            plan[bar] = {
                "entry": rng.choice((1, -1)),
                "stop_distance": rng.choice((0.0, 0.002, 0.01, 0.03)),
                "target_distance": rng.choice((0.0, 0.002, 0.01, 0.03)),
            }
        elif rng.random() < 0.03:
            plan[bar] = {rng.choice(("exit_long", "exit_short")): 1}

    def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
        for name, value in plan.get(int(state.seen), {}).items():
            setattr(signal, name, value * bar.close if name.endswith("distance") else value)
        state.seen += 1

    return Strategy(name="random", params=NoParams, state=np.dtype([("seen", np.int64)]), step=step)


def backtest(market: Market, sentiment: Sentiment) -> Simulation:
    series, finer, funding, instruments = {}, {}, {}, {}
    for symbol in SYMBOLS:
        grid = market.listings[symbol].grid
        series[symbol] = _plain(market.closed(symbol, Timeframe.H1, START_MS))
        finer[symbol] = _plain(market.closed(symbol, Timeframe.M15, START_MS))
        paid = sentiment.funding(symbol, FIRST_MS, START_MS)
        paid["timestamp"] -= paid["timestamp"] % MINUTE_MS  # as they are stored
        funding[symbol] = paid
        tick, step = float(f"1e-{grid.price}"), float(f"1e-{grid.volume}")
        instruments[symbol] = instrument(symbol, tick_size=tick, step_size=step, min_quantity=0.0)
    panel = build_panel(series, instruments, Timeframe.H1, finer=(Timeframe.M15, finer), funding=funding)
    risk = replace(PLAIN_RISK, max_leverage=float(LEVERAGE))
    return simulate(panel, random_strategy(9), {}, risk=risk, costs=COSTS, initial_equity=1_000_000.0)


def _plain(candles: np.ndarray) -> np.ndarray:
    plain = np.zeros(len(candles), CANDLE)
    for name in CANDLE.names or ():
        plain[name] = candles[name]
    return plain


class Replay:
    """Sends the orders of a backtest's trades to an exchange whose clock steps from bar to bar."""

    def __init__(self, market: Market, sentiment: Sentiment, trades: np.ndarray) -> None:
        config = TradingConfig(
            path="bar",
            accounts=(
                AccountConfig(
                    key="replay",
                    balances={"USDT": Decimal(1_000_000)},
                    leverage=LEVERAGE,
                    margin_type="ISOLATED",
                ),
            ),
            maker_fee=Decimal(repr(COSTS.maker_fee_bps / 10_000)),
            taker_fee=Decimal(repr(COSTS.taker_fee_bps / 10_000)),
            half_spread=Decimal(repr(COSTS.slippage_bps / 10_000)),
            impact=Decimal(repr(COSTS.impact_bps / 10_000)),
            brackets={"usual": ((Decimal(10**12), Decimal(LEVERAGE), Decimal(repr(MAINTENANCE_MARGIN))),)},
        )
        self.exchange = Exchange(market, sentiment, config, 1, FIRST_MS)
        self.account: Account = self.exchange.accounts[0]
        self._trades = trades

    def run(self) -> None:
        for now_ms in range(self.exchange.now_ms, START_MS + 1, HOUR_MS):
            self.exchange.advance(now_ms)
            for position in self.account.positions.values():
                if not position.amount:
                    self._clear(position.symbol, now_ms)
            for trade in self._trades:
                if trade["exit_time"] == now_ms and trade["exit_reason"] == ExitReason.SIGNAL:
                    self._clear(SYMBOLS[trade["symbol"]], now_ms)
                    self._order(trade, -trade["side"], now_ms, reduce_only=True)
            for trade in self._trades:
                if trade["entry_time"] == now_ms:
                    self._order(trade, trade["side"], now_ms)
                    self._protect(trade, now_ms)

    def _clear(self, symbol: str, now_ms: int) -> None:
        self.exchange.cancel_all_algos(self.account, symbol, now_ms)
        self.exchange.cancel_all(self.account, symbol, now_ms)

    def _order(self, trade: np.void, side: int, now_ms: int, **options: Any) -> None:
        request = OrderRequest(type="MARKET", **self._terms(trade, side), **options)
        self.exchange.place(self.account, request, now_ms)

    def _protect(self, trade: np.void, now_ms: int) -> None:
        terms = self._terms(trade, -trade["side"])
        if trade["stop_price"]:
            stop = Decimal(repr(float(trade["stop_price"])))
            request = AlgoRequest(type="STOP_MARKET", trigger_price=stop, reduce_only=True, **terms)
            self.exchange.place_algo(self.account, request, now_ms)
        if trade["target_price"]:
            target = Decimal(repr(float(trade["target_price"])))
            order = OrderRequest(type="LIMIT", price=target, time_in_force="GTX", reduce_only=True, **terms)
            self.exchange.place(self.account, order, now_ms)

    def _terms(self, trade: np.void, side: int) -> dict[str, Any]:
        return {
            "symbol": SYMBOLS[trade["symbol"]],
            "side": "BUY" if side > 0 else "SELL",
            "quantity": Decimal(repr(float(trade["quantity"]))),
        }

    def income(self, kind: str, symbol: str) -> float:
        found = (each for each in self.account.incomes if each.type == kind and each.symbol == symbol)
        return float(sum(each.amount for each in found))

    def round_trips(self, symbol: str) -> list[tuple[Fill, Fill]]:
        """Return the fills of one symbol in pairs: in and out."""
        fills = [fill for fill in self.account.fills if fill.symbol == symbol]
        return list(zip(fills[::2], fills[1::2], strict=True))


def test_the_exchange_gives_the_trades_of_the_backtest(market: Market) -> None:
    sentiment = Sentiment(market, 4, {})
    result = backtest(market, sentiment)
    trades = result.trades[result.trades["exit_reason"] != ExitReason.END]
    trades = trades[np.argsort(trades["entry_time"], kind="stable")]
    assert {*trades["exit_reason"]} == {
        ExitReason.SIGNAL,
        ExitReason.STOP,
        ExitReason.TARGET,
        ExitReason.LIQUIDATION,
    }
    replay = Replay(market, sentiment, trades)
    replay.run()
    liquidations = 0
    for number, symbol in enumerate(SYMBOLS):
        mine = trades[trades["symbol"] == number]
        pairs = replay.round_trips(symbol)
        assert len(pairs) == len(mine) > 20
        for trade, (entry, leave) in zip(mine, pairs, strict=True):
            assert float(entry.price) == trade["entry_price"]
            assert entry.time_ms == trade["entry_time"]
            assert leave.time_ms - leave.time_ms % HOUR_MS == trade["exit_time"]
            assert leave.maker == (trade["exit_reason"] == ExitReason.TARGET)
            if trade["exit_reason"] == ExitReason.LIQUIDATION:
                # The exchange takes funding out of the isolated margin, the backtest out of the account.
                assert float(leave.price) == pytest.approx(trade["exit_price"], rel=1e-3)
                liquidations += 1
            else:
                assert float(leave.price) == trade["exit_price"]
                assert float(leave.realized_pnl) == pytest.approx(trade["gross_pnl"], abs=1e-7)
                assert float(entry.fee + leave.fee) == pytest.approx(trade["fees"], abs=1e-7)
        assert replay.income("FUNDING_FEE", symbol) == pytest.approx(float(mine["funding"].sum()), abs=1e-5)
        cleared = -replay.income("INSURANCE_CLEAR", symbol)
        assert cleared == pytest.approx(float(mine["liquidation_fee"].sum()), rel=1e-3)
    assert liquidations

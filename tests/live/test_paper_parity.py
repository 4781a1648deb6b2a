"""A backtest's orders, sent to the paper broker candle by candle, give the backtest's trades."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from futures_agent.backtest.engine import simulate
from futures_agent.backtest.panel import build_panel
from futures_agent.backtest.records import ExitReason, Simulation
from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.exchange.orders import FillSeen, FundingSeen, PlaceMarket, PlaceStop, PlaceTarget, Request
from futures_agent.exchange.outcome import Outcome
from futures_agent.live.paper import PaperBroker
from futures_agent.market.candle import CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import CostSettings
from futures_agent.strategy.strategy import Strategy
from paper_world import SetClock
from sample_markets import PLAIN_RISK, START_MS, NoParams, instrument, random_candles, with_holes

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
HOURS = 24 * 40
QUARTERS = 4
LEVERAGE = 10
EQUITY = 1_000_000.0
COSTS = CostSettings()


def random_strategy(seed: int) -> Strategy:
    """Return one that enters at random, with stop and target, one of them or none, and leaves at random."""
    rng = random.Random(seed)
    plan: dict[int, dict[str, float]] = {}
    for bar in range(HOURS):
        if rng.random() < 0.15:
            plan[bar] = {
                "entry": rng.choice((1, -1)),
                "stop_distance": rng.choice((0.0, 0.004, 0.01, 0.03)),
                "target_distance": rng.choice((0.0, 0.004, 0.01, 0.03)),
            }
        elif rng.random() < 0.03:
            plan[bar] = {rng.choice(("exit_long", "exit_short")): 1}

    def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
        for name, value in plan.get(int(state.seen), {}).items():
            setattr(signal, name, value * bar.close if name.endswith("distance") else value)
        state.seen += 1

    return Strategy(name="random", params=NoParams, state=np.dtype([("seen", np.int64)]), step=step)


class Markets:
    """Candles of an hour made of those of a quarter, some missing, and recorded funding rates."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.finer: dict[str, np.ndarray] = {}
        self.hours: dict[str, np.ndarray] = {}
        self.funding: dict[str, np.ndarray] = {}
        for number, symbol in enumerate(SYMBOLS):
            quarters = random_candles(seed + number, HOURS * QUARTERS, step_ms=Timeframe.M15.ms)
            self.hours[symbol] = with_holes(_hours(quarters), seed + number, share=0.003)
            self.finer[symbol] = with_holes(quarters, seed + 10 + number, share=0.02)
            times = np.arange(START_MS, START_MS + HOURS * HOUR_MS, 8 * HOUR_MS)
            paid = np.zeros(len(times), [("timestamp", np.int64), ("rate", np.float64)])
            paid["timestamp"], paid["rate"] = times, np.round(rng.normal(1e-4, 3e-4, len(times)), 8)
            self.funding[symbol] = paid

    def backtest(self) -> Simulation:
        panel = build_panel(
            self.hours,
            {symbol: instrument(symbol) for symbol in SYMBOLS},
            Timeframe.H1,
            finer=(Timeframe.M15, self.finer),
            funding=self.funding,
        )
        risk = replace(PLAIN_RISK, max_leverage=float(LEVERAGE))
        return simulate(panel, random_strategy(9), {}, risk=risk, costs=COSTS, initial_equity=EQUITY)


def _hours(quarters: np.ndarray) -> np.ndarray:
    table = quarters.reshape(-1, QUARTERS)
    hours = np.zeros(len(table), CANDLE)
    for name in ("timestamp", "open"):
        hours[name] = table[name][:, 0]
    hours["close"] = table["close"][:, -1]
    hours["high"], hours["low"] = table["high"].max(axis=1), table["low"].min(axis=1)
    hours["volume"] = table["volume"].sum(axis=1)
    return hours


class Replay:
    """Feeds a paper broker from bar to bar, and sends it the orders of a backtest's trades."""

    def __init__(self, markets: Markets, trades: np.ndarray, path: Path, restart_every: int | None) -> None:
        self._markets, self._trades = markets, trades
        self._path, self._restart_every = path, restart_every
        self._clock = SetClock()
        self._orders = 0
        self.seen: list[Any] = []
        self.restarts: list[int] = []
        self.broker = self._open()
        self.broker.prepare(SYMBOLS, LEVERAGE)

    def _open(self) -> PaperBroker:
        return PaperBroker(
            self._path,
            equity=EQUITY,
            costs=COSTS,
            instruments={symbol: instrument(symbol) for symbol in SYMBOLS},
            timeframe=Timeframe.H1,
            finer=Timeframe.M15,
            clock=self._clock,
            on_seen=self.seen.append,
        )

    def run(self) -> None:
        for hour in range(HOURS + 1):
            now_ms = self._clock.ms = START_MS + hour * HOUR_MS
            if self._restart_every and hour % self._restart_every == 0:
                self.broker.close()
                self.broker = self._open()
                self.restarts.append(now_ms)
                for earlier in range(24, 1, -1):  # what a start reads again
                    self._feed(now_ms - earlier * HOUR_MS)
            self._feed(now_ms - HOUR_MS)
            self._prices(now_ms)
            if now_ms in self.restarts:
                self._records(now_ms)
            for trade in self._trades:
                if trade["exit_time"] == now_ms and trade["exit_reason"] == ExitReason.SIGNAL:
                    self._market(trade, -trade["side"], reduce_only=True)
            for trade in self._trades:
                if trade["entry_time"] == now_ms:
                    self._market(trade, trade["side"])
                    self._protect(trade)

    def _feed(self, open_ms: int) -> None:
        """Hand in what closed within the hour that began at `open_ms`."""
        for symbol in SYMBOLS:
            finer, hours = self._markets.finer[symbol], self._markets.hours[symbol]
            within = (finer["timestamp"] >= open_ms) & (finer["timestamp"] < open_ms + HOUR_MS)
            for candle in finer[within]:
                self.broker.on_candle(symbol, Timeframe.M15, candle)
            for candle in hours[hours["timestamp"] == open_ms]:
                self.broker.on_candle(symbol, Timeframe.H1, candle)

    def _prices(self, now_ms: int) -> None:
        """Let the bars that begin now open, and tell the rate of the hour to come."""
        for symbol in SYMBOLS:
            hours, funding = self._markets.hours[symbol], self._markets.funding[symbol]
            for candle in hours[hours["timestamp"] == now_ms]:
                self.broker.on_price(symbol, candle["open"].item(), now_ms)
            for paid in funding[funding["timestamp"] == now_ms + HOUR_MS]:
                self.broker.on_funding(symbol, paid["rate"].item(), 1.0, now_ms + HOUR_MS)

    def _records(self, now_ms: int) -> None:
        """Tell of the funding that a start finds in the records."""
        for symbol in SYMBOLS:
            hours, funding = self._markets.hours[symbol], self._markets.funding[symbol]
            recent = (funding["timestamp"] > now_ms - DAY_MS) & (funding["timestamp"] <= now_ms)
            for paid in funding[recent]:
                due_ms = paid["timestamp"].item()
                mark_price = hours[hours["timestamp"] >= due_ms][0]["open"].item()  # as the backtest does
                self.broker.on_funding(symbol, paid["rate"].item(), mark_price, due_ms)

    def _market(self, trade: np.void, side: int, *, reduce_only: bool = False) -> None:
        self._send(PlaceMarket(**self._terms(trade, side), reduce_only=reduce_only))

    def _protect(self, trade: np.void) -> None:
        terms = self._terms(trade, -trade["side"])
        if trade["target_price"]:
            self._send(PlaceTarget(**terms, price=_decimal(trade["target_price"])))
        if trade["stop_price"]:
            terms.pop("quantity")
            self._send(PlaceStop(**terms, trigger_price=_decimal(trade["stop_price"])))

    def _terms(self, trade: np.void, side: int) -> dict[str, Any]:
        self._orders += 1
        return {
            "symbol": SYMBOLS[trade["symbol"]],
            "client_id": f"cfa-{self._orders}",
            "side": int(side),
            "quantity": _decimal(trade["quantity"]),
        }

    def _send(self, request: Request) -> None:
        answer = self.broker.send(request)
        assert answer.outcome is Outcome.OK, answer

    def of(self, kind: type[Any], symbol: str) -> list[Any]:
        return [each for each in self.seen if isinstance(each, kind) and each.symbol == symbol]


def _decimal(number: float) -> Decimal:
    return Decimal(repr(float(number)))


@pytest.mark.parametrize("restart_every", [None, 7])
def test_the_paper_broker_gives_the_trades_of_the_backtest(tmp_path: Path, restart_every: int | None) -> None:
    markets = Markets(4)
    trades = markets.backtest().trades
    trades = trades[np.argsort(trades["entry_time"], kind="stable")]
    closed = trades[trades["exit_reason"] != ExitReason.END]
    assert {*closed["exit_reason"]} == {
        ExitReason.SIGNAL,
        ExitReason.STOP,
        ExitReason.TARGET,
        ExitReason.LIQUIDATION,
    }
    replay = Replay(markets, trades, tmp_path / "account", restart_every)
    replay.run()
    for number, symbol in enumerate(SYMBOLS):
        fills = replay.of(FillSeen, symbol)
        mine = closed[closed["symbol"] == number]
        assert len(fills) // 2 == len(mine) > 20
        for trade, (entry, leave) in zip(mine, zip(fills[::2], fills[1::2], strict=False), strict=False):
            assert (float(entry.price), entry.time_ms) == (trade["entry_price"], trade["entry_time"])
            assert float(leave.price) == trade["exit_price"]
            if leave.time_ms not in replay.restarts:  # learnt after a restart, it is not stamped before
                assert leave.time_ms - leave.time_ms % HOUR_MS == trade["exit_time"]
            assert leave.maker == (trade["exit_reason"] == ExitReason.TARGET)
            forced = leave.client_id.startswith("autoclose-")
            assert forced == (trade["exit_reason"] == ExitReason.LIQUIDATION)
            assert float(leave.realized_pnl) == pytest.approx(trade["gross_pnl"], abs=1e-7)
            assert float(entry.fee + leave.fee) == pytest.approx(trade["fees"], abs=1e-7)
        paid = sum(payment.amount for payment in replay.of(FundingSeen, symbol))
        everything = trades[trades["symbol"] == number]
        assert float(paid) == pytest.approx(float(everything["funding"].sum()), abs=1e-6)
    assert len({payment.time_ms for payment in replay.of(FundingSeen, SYMBOLS[0])}) > 20
    traded = sum(fill.realized_pnl - fill.fee for fill in replay.seen if isinstance(fill, FillSeen))
    funded = sum(payment.amount for payment in replay.seen if isinstance(payment, FundingSeen))
    assert replay.broker.snapshot().wallet.balance == _decimal(EQUITY) + traded + funded

"""A client that asks a venue for anything, at random; the same seed asks for the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal

from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.sentiment import Sentiment
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.exchange import Exchange
from futures_agent.simulator.trading.interference import Interference
from futures_agent.simulator.trading.records import AlgoOrder, AlgoRequest, Order, OrderRequest
from money_audit import Audit
from trading_worlds import BTC, ETH, generated_exchange

ORDERS_PER_RUN = 200
SYMBOLS = (BTC, ETH, "DOGEUSDT")
ACCOUNTS = (
    AccountConfig(key="crossed", balances={"USDT": Decimal(20_000)}, leverage=20),
    AccountConfig(key="isolated", balances={"USDT": Decimal(5_000)}, leverage=50, margin_type="ISOLATED"),
    AccountConfig(key="hedged", balances={"USDT": Decimal(8_000)}, leverage=50, dual_side=True),
    AccountConfig(
        key="isolated hedge",
        balances={"USDT": Decimal(3_000)},
        leverage=75,
        margin_type="ISOLATED",
        dual_side=True,
    ),
    AccountConfig(key="poor", balances={"USDT": Decimal(300)}, leverage=75),
)


class Trouble(Interference):
    """Fills in parts, refuses orders, and rejects triggered ones, now and then."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.struck: set[str] = set()

    def refuse_order(self, account: Account, request: OrderRequest, now_ms: int) -> VenueError | None:
        return VenueError(-1008, "throttled") if self._strikes("refused", 0.05) else None

    def refuse_algo(self, account: Account, request: AlgoRequest, now_ms: int) -> VenueError | None:
        return VenueError(-1008, "throttled") if self._strikes("refused algo", 0.05) else None

    def reject_trigger(self, account: Account, algo: AlgoOrder, now_ms: int) -> str:
        return "Margin is insufficient." if self._strikes("rejected", 0.1) else ""

    def fill_share(self, account: Account, order: Order, now_ms: int) -> Decimal:
        return Decimal(self._random.randint(0, 9)) / 10 if self._strikes("partial", 0.3) else Decimal(1)

    def _strikes(self, what: str, chance: float) -> bool:
        struck = self._random.random() < chance
        if struck:
            self.struck.add(what)
        return struck


class Trader:
    """Trades on every account of an exchange, under the eyes of an auditor."""

    def __init__(self, exchange: Exchange, symbols: Sequence[str], seed: int, audit: Audit) -> None:
        self.exchange = exchange
        self.symbols = symbols
        self.random = random.Random(seed)
        self.audit = audit
        self.now_ms = exchange.now_ms
        self.orders = 0

    def run(self, orders: int) -> None:
        """Send so many orders, regular and conditional ones, and much else in between."""
        while self.orders < orders:
            self.now_ms += self.random.choice((0, 1, 50, 1_000, 60_000, 600_000, 3_600_000))
            with suppress(VenueError):
                self._ask()
            self.audit.read()
        self.exchange.advance(self.now_ms + 3_600_000)
        self.audit.read()

    def _ask(self) -> None:
        exchange, rng, now_ms = self.exchange, self.random, self.now_ms
        account, symbol = rng.choice(exchange.accounts), rng.choice(self.symbols)
        kind = rng.random()
        self.orders += kind < 0.8
        if kind < 0.45:
            exchange.place(account, self._order(account, symbol), now_ms)
        elif kind < 0.8:
            exchange.place_algo(account, self._algo(account, symbol), now_ms)
        elif kind < 0.85 and account.open_orders:
            order = rng.choice(list(account.open_orders.values()))
            exchange.modify(
                account,
                order.symbol,
                order.quantity,
                self._near(order.symbol),
                now_ms,
                order_id=order.order_id,
            )
        elif kind < 0.88:
            exchange.cancel_all(account, symbol, now_ms)
        elif kind < 0.9:
            exchange.countdown_cancel_all(account, symbol, 30_000, now_ms)
        elif kind < 0.92:
            amount = Decimal(rng.randint(-500, 3_000))
            self.audit.ask(account, amount)
            exchange.transfer(account, "USDT", amount, now_ms)
        elif kind < 0.94:
            exchange.set_leverage(account, symbol, rng.choice((5, 20, 50)), now_ms)
        elif kind < 0.96:
            exchange.set_status(symbol, rng.choice(("TRADING_HALT", "TRADING", "TRADING")), now_ms)
        elif kind < 0.97:
            amount, side = Decimal(rng.randint(-50, 50)), self._side(account)
            self.audit.ask(account, amount)
            exchange.change_position_margin(account, symbol, amount, now_ms, position_side=side)
        elif kind < 0.975:
            exchange.advance(now_ms)
            self.audit.read()  # what has happened, happened at the old mark prices
            exchange.state.prices.mark_offset[symbol] = Decimal(rng.randint(-30, 30)) / 10_000
        elif kind < 0.985:
            exchange.set_margin_type(account, symbol, rng.choice(("CROSSED", "ISOLATED")), now_ms)
        elif kind < 0.997:
            exchange.liquidate(account, symbol, now_ms, position_side=self._side(account))
        else:
            exchange.deleverage(account, symbol, now_ms, position_side=self._side(account))

    def _side(self, account: Account) -> str:
        return self.random.choice(("LONG", "SHORT")) if account.dual_side else "BOTH"

    def _near(self, symbol: str) -> Decimal:
        """Return a price on the tick within 1 % of the last one."""
        self.exchange.advance(self.now_ms)
        last = self.exchange.last_price(symbol)
        return (last * Decimal(self.random.uniform(0.99, 1.01))).quantize(last)

    def _quantity(self, account: Account, symbol: str) -> Decimal:
        """Return some quantity; often one that takes most of the margin there is."""
        notional = Decimal(self.random.choice((50, 500, 5_000, 20_000, 0, 0, 0)))
        if not notional:
            share = Decimal(self.random.choice((40, 97, 99))) / 100
            notional = share * self.exchange.margin(account).available * account.leverage(symbol)
        decimals = self.exchange.state.market.listings[symbol].grid.volume
        return max(Decimal(1).scaleb(-decimals), round(notional / self.exchange.last_price(symbol), decimals))

    def _order(self, account: Account, symbol: str) -> OrderRequest:
        rng = self.random
        limited = rng.random() < 0.7
        lasting = rng.choice(("GTC", "GTC", "GTC", "IOC", "FOK", "GTX", "GTD")) if limited else "GTC"
        return OrderRequest(
            symbol=symbol,
            side=rng.choice(("BUY", "SELL")),
            type="LIMIT" if limited else "MARKET",
            price=self._near(symbol) if limited else Decimal(0),
            quantity=self._quantity(account, symbol),
            position_side=self._side(account),
            time_in_force=lasting,
            good_till_ms=self.now_ms + 700_000 if lasting == "GTD" else 0,
            reduce_only=not account.dual_side and rng.random() < 0.2,
        )

    def _algo(self, account: Account, symbol: str) -> AlgoRequest:
        rng = self.random
        kind = rng.choice(
            ("STOP_MARKET", "TAKE_PROFIT_MARKET", "STOP", "TAKE_PROFIT", "TRAILING_STOP_MARKET")
        )
        closing = kind.endswith("T_MARKET") and rng.random() < 0.3
        return AlgoRequest(
            symbol=symbol,
            side=rng.choice(("BUY", "SELL")),
            type=kind,
            quantity=Decimal(0) if closing else self._quantity(account, symbol),
            position_side=self._side(account),
            price=self._near(symbol),
            trigger_price=self._near(symbol),
            callback_rate=Decimal("0.5"),
            working_type=rng.choice(("CONTRACT_PRICE", "MARK_PRICE")),
            close_position=closing,
            reduce_only=not account.dual_side and not closing and rng.random() < 0.4,
        )


def played(path: str, seed: int, orders: int = ORDERS_PER_RUN) -> tuple[Exchange, Trouble, Audit]:
    """Play one seed out under an audit that has still to be finished."""
    world = seed % 5
    exchange = generated_exchange(SYMBOLS, seed=world, path=path, accounts=ACCOUNTS, tick_ms=600_000)
    trouble = Trouble(seed)
    exchange.interfere(trouble)
    audit = Audit(exchange, Sentiment(exchange.state.market, world, {}))
    Trader(exchange, SYMBOLS, seed, audit).run(orders)
    return exchange, trouble, audit

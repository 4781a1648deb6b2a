"""Whatever is asked of the exchange, and however it misbehaves, its money adds up, and comes out the same."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.trading import retention
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.exchange import Exchange
from futures_agent.simulator.trading.interference import Interference
from futures_agent.simulator.trading.ledger import MONEY_KINDS
from futures_agent.simulator.trading.records import AlgoOrder, AlgoRequest, Order, OrderRequest
from trading_worlds import BTC, ETH, START_MS, generated_exchange, ledger_bytes

ORDERS_PER_RUN = 200
RUNS = 50  # half of them on each path: 10,000 orders in all
SYMBOLS = (BTC, ETH, "DOGEUSDT")
ACCOUNTS = (
    AccountConfig(key="crossed", balances={"USDT": Decimal(20_000)}, leverage=20),
    AccountConfig(key="isolated", balances={"USDT": Decimal(5_000)}, leverage=50, margin_type="ISOLATED"),
    AccountConfig(key="hedged", balances={"USDT": Decimal(8_000)}, leverage=50, dual_side=True),
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


class Script:
    """A random client: the same seed asks for the same."""

    def __init__(self, exchange: Exchange, seed: int) -> None:
        self.exchange = exchange
        self.random = random.Random(seed)
        self.now_ms = START_MS
        self.refused = 0

    def run(self, orders: int) -> None:
        for _ in range(orders):
            self.now_ms += self.random.choice((0, 1, 50, 1_000, 60_000, 600_000, 3_600_000))
            try:
                self._ask()
            except VenueError:
                self.refused += 1
        self.exchange.advance(self.now_ms + 3_600_000)

    def _ask(self) -> None:
        exchange, rng, now_ms = self.exchange, self.random, self.now_ms
        account, symbol = rng.choice(exchange.accounts), rng.choice(SYMBOLS)
        kind = rng.random()
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
            exchange.transfer(account, "USDT", Decimal(rng.randint(-500, 500)), now_ms)
        elif kind < 0.94:
            exchange.set_leverage(account, symbol, rng.choice((5, 20, 50)), now_ms)
        elif kind < 0.96:
            exchange.set_status(symbol, rng.choice(("TRADING_HALT", "TRADING", "TRADING")), now_ms)
        elif kind < 0.98:
            exchange.change_position_margin(account, symbol, Decimal(rng.randint(-50, 50)), now_ms)
        else:
            exchange.liquidate(account, symbol, now_ms, position_side=self._side(account))

    def _side(self, account: Account) -> str:
        return self.random.choice(("LONG", "SHORT")) if account.dual_side else "BOTH"

    def _near(self, symbol: str) -> Decimal:
        """Return a price on the tick within 1 % of the last one."""
        self.exchange.advance(self.now_ms)
        last = self.exchange.last_price(symbol)
        return (last * Decimal(self.random.uniform(0.99, 1.01))).quantize(last)

    def _quantity(self, symbol: str) -> Decimal:
        notional = Decimal(self.random.choice((50, 500, 5_000, 20_000)))
        decimals = self.exchange.state.market.listings[symbol].grid.volume
        return max(Decimal(1).scaleb(-decimals), round(notional / self.exchange.last_price(symbol), decimals))

    def _order(self, account: Account, symbol: str) -> OrderRequest:
        rng = self.random
        limited = rng.random() < 0.6
        return OrderRequest(
            symbol=symbol,
            side=rng.choice(("BUY", "SELL")),
            type="LIMIT" if limited else "MARKET",
            price=self._near(symbol) if limited else Decimal(0),
            quantity=self._quantity(symbol),
            position_side=self._side(account),
            time_in_force=rng.choice(("GTC", "GTC", "IOC", "FOK", "GTX", "GTD")) if limited else "GTC",
            good_till_ms=self.now_ms + 700_000,
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
            quantity=Decimal(0) if closing else self._quantity(symbol),
            position_side=self._side(account),
            price=self._near(symbol),
            trigger_price=self._near(symbol),
            callback_rate=Decimal("0.5"),
            working_type=rng.choice(("CONTRACT_PRICE", "MARK_PRICE")),
            close_position=closing,
            reduce_only=not account.dual_side and not closing and rng.random() < 0.4,
        )


def played(path: str, seed: int, orders: int = ORDERS_PER_RUN) -> tuple[Exchange, Trouble]:
    exchange = generated_exchange(SYMBOLS, seed=seed % 5, path=path, accounts=ACCOUNTS, tick_ms=600_000)
    trouble = Trouble(seed)
    exchange.interfere(trouble)
    Script(exchange, seed).run(orders)
    return exchange, trouble


def assert_adds_up(exchange: Exchange) -> None:
    balances = exchange.ledger.balances()
    sizes = exchange.ledger.position_sizes()
    for account in exchange.accounts:
        for asset, wallet in account.wallets.items():
            sums = balances[account.account_id, asset]
            assert wallet == sum(sums[kind] for kind in MONEY_KINDS)
            assert wallet == sum(income.amount for income in account.incomes if income.asset == asset)
        for (symbol, side), position in account.positions.items():
            assert position.amount == sizes.get((account.account_id, symbol, side), 0)
            assert side == "BOTH" or position.amount * (1 if side == "LONG" else -1) >= 0
        for kind, total in (
            ("COMMISSION", -sum(fill.fee for fill in account.fills)),
            ("REALIZED_PNL", sum(fill.realized_pnl for fill in account.fills)),
        ):
            assert total == sum(income.amount for income in account.incomes if income.type == kind)
        for order in account.orders.values():
            traded = sum(
                fill.quantity
                for fill in account.fills
                if fill.order_id == order.order_id and fill.symbol == order.symbol
            )
            assert order.executed == traded <= order.quantity
            assert order.is_open == ((order.symbol, order.order_id) in account.open_orders)
    whole = sum(sum(account.wallets.values()) for account in exchange.accounts)
    assert whole == sum(sums["wallet"] for sums in balances.values())


@pytest.mark.parametrize("path", ["bar", "ticks"])
@settings(max_examples=RUNS // 2, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_money_adds_up_whatever_happens(path: str, seed: int) -> None:
    exchange, _ = played(path, seed)
    assert_adds_up(exchange)


@pytest.mark.parametrize("path", ["bar", "ticks"])
def test_the_runs_meet_every_kind_of_trouble(path: str) -> None:
    """Were the client or its troubles too tame, the property would hold for nothing."""
    kinds, struck = set(), set()
    for seed in range(6):
        exchange, trouble = played(path, seed)
        struck |= trouble.struck
        for entry in exchange.ledger.entries():
            kinds.add(f"{entry['kind']} {entry.get('status', '')}".strip())
    assert struck == {"refused", "refused algo", "rejected", "partial"}
    assert kinds >= {
        *MONEY_KINDS,
        "LIQUIDATION",
        "STATUS TRADING_HALT",
        "ORDER PARTIALLY_FILLED",
        "ORDER CANCELED",
        "ORDER EXPIRED",
        "ALGO FINISHED",
        "ALGO REJECTED",
        "ALGO EXPIRED",
    }


@pytest.mark.parametrize("path", ["bar", "ticks"])
def test_the_same_seed_and_script_give_the_same_ledger(path: str) -> None:
    first, again, other = (played(path, seed)[0] for seed in (7, 7, 8))
    assert ledger_bytes(first) == ledger_bytes(again)
    assert first.ledger.digest() == again.ledger.digest() != other.ledger.digest()


@pytest.mark.parametrize("path", ["bar", "ticks"])
def test_forgetting_changes_neither_money_nor_ledger(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = played(path, 7, orders=600)
    monkeypatch.setattr(retention, "UNFILLED_KEPT_MS", HOUR_MS)
    monkeypatch.setattr(retention, "KEPT_MS", 2 * HOUR_MS)
    pruned, _ = played(path, 7, orders=600)
    assert pruned.now_ms - START_MS > 3 * DAY_MS
    for short, long in zip(pruned.accounts, whole.accounts, strict=True):
        assert 0 < len(short.orders) < len(long.orders) / 2
        assert len(short.fills) < len(long.fills) / 2
        assert short.fills_in_all == len(long.fills)
        for asset, wallet in short.wallets.items():
            assert wallet == pruned.ledger.balances()[short.account_id, asset]["wallet"]
        for (symbol, side), position in short.positions.items():
            size = pruned.ledger.position_sizes().get((short.account_id, symbol, side), 0)
            assert position.amount == size
    assert pruned.ledger.digest() == whole.ledger.digest()

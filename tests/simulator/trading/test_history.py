"""What the history of an account remembers is what there was, and no more than it must."""

from __future__ import annotations

from copy import copy
from decimal import Decimal

from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.exchange import Exchange
from futures_agent.simulator.trading.history import LONGEST_LAG_MS, History
from futures_agent.simulator.trading.records import Order
from trading_orders import limit, market
from trading_worlds import BTC, START_MS, flat, scripted_exchange


def world() -> tuple[Exchange, History]:
    rich = AccountConfig(key="k", balances={"USDT": Decimal(100_000)})
    exchange, _ = scripted_exchange({BTC: flat(100, 50)}, accounts=(rich,))
    history = History()
    exchange.subscribe(history.on_event)
    return exchange, history


def test_every_moment_is_as_it_was() -> None:
    exchange, history = world()
    (account,) = exchange.accounts
    now_ms, moments = START_MS, []
    for number in range(12):
        limit(exchange, "BUY", "1", "90")
        if number % 2:
            oldest = next(iter(account.open_orders.values()))
            exchange.cancel(account, BTC, now_ms, order_id=oldest.order_id)
        if number % 3 == 0:
            market(exchange, "BUY", "1")
        orders = {key: copy(order) for key, order in account.orders.items()}
        moments.append((now_ms, orders, account.position(BTC).amount))
        now_ms += 1_000
        exchange.advance(now_ms)
    for time_ms, orders, amount in moments[:-1]:
        seen = history.account_at(account, time_ms, positions=False)
        if seen is None:  # nothing changed since
            seen = account
        assert {key: seen.orders[key] for key in orders} == orders
        young = [order for key, order in seen.orders.items() if key not in orders]
        assert all((order.status, order.executed) == ("NEW", 0) for order in young)
        assert list(seen.open_orders) == [key for key, order in seen.orders.items() if order.is_open]
        held = history.account_at(account, time_ms, positions=True) or account
        assert held.position(BTC).amount == amount
    assert history.account_at(account, now_ms, positions=False) is None


def test_it_forgets() -> None:
    exchange, history = world()
    (account,) = exchange.accounts
    for number in range(50):
        now_ms = START_MS + number * LONGEST_LAG_MS // 5
        exchange.advance(now_ms)
        order = limit(exchange, "BUY", "1", "90")
        exchange.cancel(account, BTC, now_ms, order_id=order.order_id)
    assert len(history._past) <= 6
    assert not history._now
    assert isinstance(history._past[-1].was, Order)

"""What the exchange forgets, when, and that its money knows nothing of it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.exchange import Exchange
from futures_agent.simulator.trading.records import AlgoOrder, Order
from trading_orders import algo, limit, market
from trading_worlds import BTC, START_MS, flat, scripted_exchange

RICH = AccountConfig(key="k", balances={"USDT": Decimal(100_000)})
THREE_DAYS_MS, MONTHS_MS = 3 * DAY_MS, 90 * DAY_MS
MIDNIGHT_MS = START_MS - START_MS % DAY_MS + DAY_MS


@pytest.fixture
def exchange() -> Exchange:
    """Return an exchange on which prices fall from 100 to 95 at once, and then rest for a hundred days."""
    bars = [(100.0, 100.0, 95.0, 95.0), *flat(95, 2_400)]
    return scripted_exchange({BTC: bars}, accounts=(RICH,), tick_ms=HOUR_MS)[0]


def is_found(exchange: Exchange, order: Order | AlgoOrder) -> bool:
    """Say whether a query finds `order`."""
    (account,) = exchange.accounts
    try:
        if isinstance(order, Order):
            return exchange.order(account, order.symbol, order.order_id) is order
        return exchange.algo(account, order.algo_id) is order
    except VenueError:
        return False


def test_what_ended_without_a_fill_is_forgotten_after_three_days(exchange: Exchange) -> None:
    (account,) = exchange.accounts
    cancelled, resting = (limit(exchange, "BUY", "1", "90") for _ in range(2))
    expired = limit(exchange, "BUY", "1", "90", time_in_force="IOC")
    dropped, waiting = (algo(exchange, "STOP_MARKET", "SELL", "80", "1") for _ in range(2))
    exchange.cancel(account, BTC, START_MS, order_id=cancelled.order_id)
    exchange.cancel_algo(account, START_MS, algo_id=dropped.algo_id)
    ended = (cancelled, expired, dropped)
    exchange.advance(START_MS + THREE_DAYS_MS)
    assert all(is_found(exchange, order) for order in ended)
    exchange.advance(START_MS + THREE_DAYS_MS + 1)
    assert not any(is_found(exchange, order) for order in ended)
    exchange.advance(MIDNIGHT_MS + THREE_DAYS_MS)
    assert list(account.orders.values()) == [resting]
    assert list(account.algos.values()) == [waiting]
    exchange.advance(START_MS + 95 * DAY_MS)
    assert is_found(exchange, resting)
    assert is_found(exchange, waiting)


def test_what_traded_is_forgotten_after_three_months(exchange: Exchange) -> None:
    (account,) = exchange.accounts
    bought = market(exchange, "BUY", "1")
    stop = algo(exchange, "STOP_MARKET", "SELL", "98", "1")
    exchange.advance(START_MS + HOUR_MS)
    assert (stop.status, stop.actual_quantity) == ("FINISHED", 1)
    sold = exchange.order(account, BTC, stop.actual_order_id)
    wallet, last_ms = account.wallet("USDT"), account.wallet_changed_ms["USDT"]
    exchange.advance(START_MS + MONTHS_MS)
    assert all(is_found(exchange, order) for order in (bought, sold, stop))
    assert (len(account.fills), len(account.incomes)) == (2, 4)  # a deposit, two fees, a loss
    exchange.advance(MIDNIGHT_MS + MONTHS_MS)
    assert not any(is_found(exchange, order) for order in (bought, sold, stop))
    assert (account.orders, account.algos, account.fills, account.incomes) == ({}, {}, [], [])
    assert account.fills_in_all == 2
    assert wallet == account.wallet("USDT") == exchange.ledger.balances()[1, "USDT"]["wallet"]
    assert account.wallet_changed_ms["USDT"] == last_ms


def test_dates_of_closed_orders_are_not_waited_for(exchange: Exchange) -> None:
    (account,) = exchange.accounts
    until_ms = START_MS + 50 * DAY_MS
    closed, resting = (
        limit(exchange, "BUY", "1", "90", time_in_force="GTD", good_till_ms=until_ms) for _ in range(2)
    )
    exchange.cancel(account, BTC, START_MS, order_id=closed.order_id)
    exchange.advance(MIDNIGHT_MS)
    assert [waiting.what for waiting in exchange.state.waiting] == [(BTC, resting.order_id)]
    exchange.advance(until_ms)
    assert resting.status == "EXPIRED"


def test_of_a_name_that_was_used_again_the_newest_that_is_remembered_is_found(exchange: Exchange) -> None:
    (account,) = exchange.accounts
    filled = market(exchange, "BUY", "1", client_order_id="mine")
    cancelled = limit(exchange, "BUY", "1", "90", client_order_id="mine")
    exchange.cancel(account, BTC, START_MS, client_order_id="mine")
    assert exchange.order(account, BTC, client_order_id="mine") is cancelled
    exchange.advance(START_MS + THREE_DAYS_MS + 1)  # forgotten, but not freed yet
    assert exchange.order(account, BTC, client_order_id="mine") is filled
    exchange.advance(MIDNIGHT_MS + THREE_DAYS_MS)
    assert account.orders.named("mine", BTC) == [filled]

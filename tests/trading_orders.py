"""Short ways to ask for orders; quantities and prices as texts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from futures_agent.simulator.trading.exchange import Exchange
from futures_agent.simulator.trading.records import AlgoOrder, AlgoRequest, Order, OrderRequest
from trading_worlds import BTC


def market(exchange: Exchange, side: str, quantity: str, *, symbol: str = BTC, **options: Any) -> Order:
    """Send a MARKET order of the first account, now."""
    return _place(exchange, symbol, side, "MARKET", quantity, **options)


def limit(
    exchange: Exchange, side: str, quantity: str, price: str, *, symbol: str = BTC, **options: Any
) -> Order:
    """Send a LIMIT order of the first account, now."""
    return _place(exchange, symbol, side, "LIMIT", quantity, price=Decimal(price), **options)


def algo(
    exchange: Exchange,
    kind: str,
    side: str,
    trigger: str = "0",
    quantity: str = "0",
    *,
    symbol: str = BTC,
    **options: Any,
) -> AlgoOrder:
    """Send a conditional order of the first account, now."""
    request = AlgoRequest(
        symbol=symbol,
        side=side,
        type=kind,
        trigger_price=Decimal(trigger),
        quantity=Decimal(quantity),
        **options,
    )
    return exchange.place_algo(exchange.accounts[0], request, exchange.now_ms)


def _place(exchange: Exchange, symbol: str, side: str, kind: str, quantity: str, **options: Any) -> Order:
    request = OrderRequest(symbol=symbol, side=side, type=kind, quantity=Decimal(quantity), **options)
    return exchange.place(exchange.accounts[0], request, exchange.now_ms)

"""Brokers at a simulated exchange: its own account, state directory and clock for each test."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from futures_agent.exchange.orders import Cancel, PlaceMarket, PlaceStop, PlaceTarget
from futures_agent.exchange.trading import ExchangeBroker
from futures_agent.settings.tree import ExchangeSettings
from futures_agent.simulator.server import RunningSimulator
from signed_client import SignedClient

BTC = "BTCUSDT"


def settings_of(simulator: RunningSimulator, **settings: Any) -> ExchangeSettings:
    """Return settings for `simulator`, whose weights are no test's concern."""
    usual = {
        "rest_url": simulator.url,
        "stream_url": simulator.url.replace("http", "ws", 1),
        "weight_limit_per_min": 1_000_000,
    }
    return ExchangeSettings(**{**usual, **settings})


def broker_of(client: SignedClient, state_dir: Path, **settings: Any) -> ExchangeBroker:
    """Return a broker for the account of `client`."""
    chosen = settings_of(client.simulator, **settings)
    return ExchangeBroker(chosen, state_dir, client.key, client.secret, testnet=True)


def buy(client_id: str, quantity: str = "0.010", **terms: Any) -> PlaceMarket:
    return PlaceMarket(symbol=BTC, client_id=client_id, side=1, quantity=Decimal(quantity), **terms)


def leave(client_id: str, quantity: str = "0.010") -> PlaceMarket:
    return PlaceMarket(symbol=BTC, client_id=client_id, side=-1, quantity=Decimal(quantity), reduce_only=True)


def target(client: SignedClient, client_id: str, quantity: str = "0.010") -> PlaceTarget:
    """Return a target of a long position, 3 % above the last price."""
    price = Decimal(round(last_price(client) * Decimal("1.03")))
    return PlaceTarget(symbol=BTC, client_id=client_id, side=-1, quantity=Decimal(quantity), price=price)


def stop(client: SignedClient, client_id: str, share: str = "0.9") -> PlaceStop:
    """Return a stop of a long position at a share of the last price."""
    price = Decimal(round(last_price(client) * Decimal(share)))
    return PlaceStop(symbol=BTC, client_id=client_id, side=-1, trigger_price=price)


def cancel(client_id: str) -> Cancel:
    return Cancel(symbol=BTC, client_id=client_id)


def last_price(client: SignedClient) -> Decimal:
    return Decimal(client.raw("GET", "ticker/bookTicker", f"symbol={BTC}").json()["bidPrice"])

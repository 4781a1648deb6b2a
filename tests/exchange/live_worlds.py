"""Brokers at a simulated exchange: its own account, state directory and clock for each test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from futures_agent.exchange.orders import Cancel, PlaceMarket, PlaceStop, PlaceTarget
from futures_agent.exchange.trading import ExchangeBroker
from futures_agent.settings.tree import ExchangeSettings
from futures_agent.simulator.server import RunningSimulator
from signed_client import SignedClient

BTC = "BTCUSDT"
_PATIENCE_S = 40.0


def settings_of(simulator: RunningSimulator, **settings: Any) -> ExchangeSettings:
    """Return settings for `simulator`, whose weights are no test's concern."""
    usual = {
        "rest_url": simulator.url,
        "stream_url": simulator.url.replace("http", "ws", 1),
        "weight_limit_per_min": 1_000_000,
    }
    return ExchangeSettings(**{**usual, **settings})


class Heard:
    """What a broker, or a stream, told; to be waited for."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.streams: list[tuple[str, bool, str]] = []
        self._news = threading.Condition()

    def on_seen(self, seen: Any) -> None:
        with self._news:
            self.seen.append(seen)
            self._news.notify_all()

    def on_stream(self, name: str, up: bool, why: str) -> None:
        with self._news:
            self.streams.append((name, up, why))
            self._news.notify_all()

    def until(self, holds: Callable[[], Any]) -> Any:
        """Return what `holds` returns once it is true."""
        with self._news:
            assert self._news.wait_for(holds, _PATIENCE_S), (self.streams, self.seen[-5:])
            return holds()

    def until_up(self, times: int = 1) -> None:
        """Wait until the stream has come up so often."""
        self.until(lambda: sum(up for _, up, _ in self.streams) >= times)

    def downs(self) -> list[str]:
        """Return why the stream went down, each time."""
        return [why for _, up, why in self.streams if not up]

    def of(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.seen if isinstance(each, kind)]


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds of which nobody is told."""
    ends = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def broker_of(
    client: SignedClient,
    state_dir: Path,
    heard: Heard | None = None,
    *,
    rotate_h: float = 23.0,
    **settings: Any,
) -> ExchangeBroker:
    """Return a broker for the account of `client`."""
    heard = heard or Heard()
    return ExchangeBroker(
        settings_of(client.simulator, **settings),
        state_dir,
        client.key,
        client.secret,
        testnet=True,
        on_seen=heard.on_seen,
        on_stream=heard.on_stream,
        rotate_h=rotate_h,
    )


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

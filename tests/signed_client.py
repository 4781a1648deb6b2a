"""A client of the simulator that signs: raw requests, so that a test can send what no library would."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import requests

from futures_agent.clock import parse_utc
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.server import RunningSimulator, running_simulator
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.config import AccountConfig, TradingConfig

PATH = "/fapi/v1"
# It stands still, a candle forming in every timeframe.
WORLD: dict[str, Any] = {
    "symbols": ("BTCUSDT", "ETHUSDT", "SOLUSDT"),
    "history_days": 60,
    "start_ms": parse_utc("2026-03-10T14:20:00Z"),
    "scale": 0.0,
    "weight_limit": 1_000_000,
}


class SignedClient:
    """One API key.

    Parameters
    ----------
    simulator : RunningSimulator
        Its clock stamps the requests.
    key, secret : str
        The demo account's unless told otherwise.
    """

    def __init__(self, simulator: RunningSimulator, key: str = "demo", secret: str = "demo-secret") -> None:
        self.simulator = simulator
        self.key = key
        self.secret = secret

    @property
    def account(self) -> Account:
        """The account of this key, as the venue has it."""
        account = self.simulator.venue.exchange.account_of(self.key)
        assert account is not None
        return account

    def sign(self, payload: str) -> str:
        """Return the HMAC of `payload`."""
        return hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()

    def raw(self, method: str, path: str, query: str = "", body: str = "") -> requests.Response:
        """Send exactly this; `path` without a slash at the beginning lies under /fapi/v1/."""
        url = self.simulator.url + (path if path.startswith("/") else f"{PATH}/{path}")
        return requests.request(
            method,
            f"{url}?{query}" if query else url,
            data=body or None,
            headers={"X-MBX-APIKEY": self.key, "Content-Type": "application/x-www-form-urlencoded"},
            timeout=60,  # busy machines are slow
        )

    def send(self, method: str, path: str, **params: Any) -> requests.Response:
        """Send a signed request, stamped with the venue's time unless `params` say otherwise."""
        stamped = {"timestamp": self.simulator.clock.now_ms(), **params}
        query = urlencode({name: value for name, value in stamped.items() if value is not None})
        return self.raw(method, path, f"{query}&signature={self.sign(query)}")

    def ask(self, method: str, path: str, **params: Any) -> Any:
        """Return the document of a request that must succeed."""
        answer = self.send(method, path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, method: str, path: str, **params: Any) -> tuple[int, str]:
        """Return code and text of a request that must be refused."""
        answer = self.send(method, path, **params)
        assert answer.status_code >= 400, answer.text
        return answer.json()["code"], answer.json()["msg"]

    def market(self, side: str, quantity: str, symbol: str = "BTCUSDT", **params: Any) -> Any:
        """Place an order at market."""
        return self.ask("POST", "order", symbol=symbol, side=side, type="MARKET", quantity=quantity, **params)

    def limit(self, side: str, quantity: str, price: Any, symbol: str = "BTCUSDT", **params: Any) -> Any:
        """Place a limit order, good till cancelled unless `params` say otherwise."""
        terms = {"timeInForce": "GTC", "type": "LIMIT", **params}
        return self.ask("POST", "order", symbol=symbol, side=side, quantity=quantity, price=price, **terms)


class Floor:
    """A simulator that stands still, whose accounts are given to one test each."""

    def __init__(self, simulator: RunningSimulator) -> None:
        self.simulator = simulator
        self._unused = iter(simulator.venue.exchange.accounts)

    def step(self, by_ms: int) -> None:
        """Let time pass; when this returns, all that happens in it has happened."""
        self.simulator.clock.step(by_ms)
        self.simulator.venue.advance(self.simulator.clock.now_ms())

    def client(self) -> SignedClient:
        """Return the client of an account that nobody has used yet."""
        config = next(self._unused).config
        return SignedClient(self.simulator, config.key, config.secret)


@contextmanager
def trading_floor(terms: Mapping[str, Any] | None = None, **config: Any) -> Iterator[Floor]:
    """Run a simulator with many accounts of 5000 USDT.

    `terms` are fields of TradingConfig, `config` of SimulatorConfig.
    """
    keys = tuple(AccountConfig(key=f"key{number}", secret=f"secret{number}") for number in range(200))
    trading = TradingConfig(**{"accounts": keys, **(terms or {})})
    chosen = SimulatorConfig(**{**WORLD, "trading": trading, **config})
    with running_simulator(chosen) as simulator:
        yield Floor(simulator)

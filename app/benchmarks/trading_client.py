"""A client that trades on the simulator by signed requests and its user data.

It is no strategy: it opens, closes, rests, cancels and protects by chance, from a seed. An answer that leaves
open whether an order exists is followed by queries of that order's own id, as the exchange advises.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import ROUND_UP, Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode

import requests
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from benchmarks.streams import VenueTime

KEY, SECRET = "soak", "soak-secret"
DEPOSIT = Decimal(1_000_000)
_WORTH = Decimal(400)  # USDT of one order
_RESTING = 8  # orders that may rest before the oldest is cancelled
_KEEP_ALIVE_MS = 20 * 60_000
_WINDOW_MS = 60_000  # the longest recvWindow there is
_PRICES_KEPT_MS = 300_000
_PATIENCE_MS = 90_000  # venue time in which a store may not know an order yet
_NOT_EXECUTED = ("Service Unavailable.", "Internal error; unable", "Request throttled")


class Answer(NamedTuple):
    """What came back; status 0 where nothing did."""

    status: int
    document: Any

    @property
    def code(self) -> int:
        return int(self.document.get("code", 0)) if isinstance(self.document, dict) else 0

    @property
    def text(self) -> str:
        return str(self.document.get("msg", "")) if isinstance(self.document, dict) else ""

    @property
    def is_open(self) -> bool:
        """Whether a request that changes something may have been carried out all the same."""
        if self.status == 200 or (400 <= self.status < 500 and self.status != 408):
            return False
        return not self.text.startswith(_NOT_EXECUTED)


class Trade(NamedTuple):
    """One fill as it was told."""

    price: Decimal
    quantity: Decimal
    fee: Decimal
    realized: Decimal


class UserData:
    """The account's events, read by a thread of its own."""

    def __init__(self, url: str, start_key: Callable[[], str]) -> None:
        self.events: Counter[str] = Counter()
        self.connections = 0
        self.trades: dict[tuple[str, int], Trade] = {}
        self._url = url.replace("http", "ws", 1) + "/private/ws/"
        self._start_key = start_key
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join(10)

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                address = self._url + self._start_key()
                with connect(address, proxy=None, ping_interval=None, compression=None) as socket:
                    self.connections += 1
                    self._read(socket)
            except (ConnectionClosed, InvalidHandshake, OSError, EOFError):
                continue

    def _read(self, socket: Any) -> None:
        while not self._stopped.is_set():
            try:
                event = json.loads(socket.recv(timeout=0.2))
            except TimeoutError:
                continue
            self.events[event["e"]] += 1
            if event["e"] == "listenKeyExpired":
                return
            if event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["t"]:
                told = event["o"]
                self.trades[told["s"], told["t"]] = Trade(
                    *(Decimal(told[name]) for name in ("L", "l", "n", "rp"))
                )


class Trader:
    """The client.

    Attributes
    ----------
    placed : set of str
        Client ids of regular and conditional orders that it knows to exist, or to have existed.
    answers : Counter
        Answers by status, and refusals by code.
    """

    def __init__(self, url: str, seed: int, scale: float) -> None:
        self.url = url
        self.clock = VenueTime.of(url, scale)
        self.answers: Counter[str] = Counter()
        self.placed: set[str] = set()
        self.cancelled = 0
        self._scale = scale
        self._random = random.Random(seed)
        self._session = requests.Session()
        self._session.headers["X-MBX-APIKEY"] = KEY
        self._number = 0
        self._resting: list[tuple[str, str]] = []
        self._kept_ms = self.clock.now_ms()
        self._prices: dict[str, Decimal] = {}
        self._priced_ms = float("-inf")
        self.contracts = self._contracts()
        self.user_data = UserData(url, self._start_key)

    def close(self) -> None:
        self.user_data.stop()
        self._session.close()

    # What it does.

    def act(self, symbol: str) -> None:
        """Do something in `symbol`, by chance."""
        if self.clock.now_ms() - self._kept_ms > _KEEP_ALIVE_MS:
            self._kept_ms = self.clock.now_ms()
            self.request("PUT", "listenKey", signed=False)
        price = self._price(symbol)
        chance = self._random.random()
        if chance < 0.5:
            self._trade(symbol, price)
        elif chance < 0.8:
            self._rest(symbol, price)
        else:
            self._protect(symbol, price)

    def _price(self, symbol: str) -> Decimal:
        """Return a mark price that is a few minutes old at most."""
        if self.clock.now_ms() - self._priced_ms > _PRICES_KEPT_MS:
            self._priced_ms = self.clock.now_ms()
            rows = self.known("GET", "premiumIndex")
            self._prices |= {row["symbol"]: Decimal(row["markPrice"]) for row in rows}
        return self._prices[symbol]

    def position(self, symbol: str) -> Decimal:
        rows = self.known("GET", "/fapi/v3/positionRisk", symbol=symbol)
        return sum((Decimal(row["positionAmt"]) for row in rows), Decimal(0))

    def tidy_up(self, symbols: Iterable[str]) -> None:
        """Cancel and close everything in `symbols`."""
        self._resting.clear()
        for symbol in symbols:
            self.known("DELETE", "allOpenOrders", symbol=symbol)
            self.known("DELETE", "algoOpenOrders", symbol=symbol)
            if held := self.position(symbol):
                self._close(symbol, held)

    def _trade(self, symbol: str, price: Decimal) -> None:
        """Open a position at market, or close the one there is."""
        if held := self.position(symbol):
            self._close(symbol, held)
            return
        side = self._random.choice(("BUY", "SELL"))
        terms = {"symbol": symbol, "side": side, "type": "MARKET", "quantity": self._quantity(symbol, price)}
        self.place("order", "newClientOrderId", terms)

    def _close(self, symbol: str, held: Decimal) -> None:
        side = "SELL" if held > 0 else "BUY"
        terms = {"symbol": symbol, "side": side, "type": "MARKET", "quantity": f"{abs(held):f}"}
        self.place("order", "newClientOrderId", terms | {"reduceOnly": "true"})

    def _rest(self, symbol: str, price: Decimal) -> None:
        """Place a limit order near the price; with too many of them cancel the oldest."""
        sign = self._random.choice((1, -1))
        away = price * (1 - sign * Decimal(self._random.randint(1, 30)) / 1000)
        tick = self.contracts[symbol][0]
        terms = {
            "symbol": symbol,
            "side": "BUY" if sign > 0 else "SELL",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": self._quantity(symbol, price),
            "price": f"{away.quantize(tick):f}",
        }
        if name := self.place("order", "newClientOrderId", terms):
            self._resting.append((symbol, name))
        if len(self._resting) > _RESTING:
            symbol, name = self._resting.pop(0)
            answer = self.request("DELETE", "order", symbol=symbol, origClientOrderId=name)
            self.cancelled += answer.status == 200

    def _protect(self, symbol: str, price: Decimal) -> None:
        """Put a stop behind a position, in place of the one before."""
        held = self.position(symbol)
        if not held:
            return
        self.request("DELETE", "algoOpenOrders", symbol=symbol)
        sign = 1 if held > 0 else -1
        away = price * (1 - sign * Decimal(self._random.randint(3, 20)) / 1000)
        terms = {
            "algoType": "CONDITIONAL",
            "symbol": symbol,
            "side": "SELL" if sign > 0 else "BUY",
            "type": "STOP_MARKET",
            "closePosition": "true",
            "triggerPrice": f"{away.quantize(self.contracts[symbol][0]):f}",
        }
        self.place("algoOrder", "clientAlgoId", terms)

    def _quantity(self, symbol: str, price: Decimal) -> str:
        return f"{(_WORTH / price).quantize(self.contracts[symbol][1], ROUND_UP):f}"

    # How it asks.

    def place(self, path: str, name: str, terms: dict[str, str]) -> str:
        """Place an order once, whatever the answers are like; return its client id, empty if refused."""
        self._number += 1
        client_id = f"soak-{self._number}"
        while True:
            answer = self.request("POST", path, **terms, **{name: client_id})
            exists = answer.status == 200 or answer.code == -4116
            if answer.is_open:
                exists = self._exists(path, terms["symbol"], client_id)
            if exists:
                self.placed.add(client_id)
                if self._random.random() < 0.2:  # what a store says that may lag behind
                    self._exists(path, terms["symbol"], client_id)
                return client_id
            if 400 <= answer.status < 500 and answer.status not in (408, 429):
                return ""

    def _exists(self, path: str, symbol: str, client_id: str) -> bool:
        """Say whether an order arrived; a store that does not know it yet is asked for a while."""
        which = {"clientAlgoId": client_id} if path == "algoOrder" else {"origClientOrderId": client_id}
        until_ms = self.clock.now_ms() + _PATIENCE_MS
        while True:
            answer = self.request("GET", path, symbol=symbol, **which)
            if answer.status == 200:
                return True
            if answer.code == -2013 and self.clock.now_ms() > until_ms:
                return False

    def known(self, method: str, path: str, **params: Any) -> Any:
        """Return a good answer, however often it takes."""
        for _ in range(1_000):
            answer = self.request(method, path, **params)
            if answer.status == 200:
                return answer.document
        raise RuntimeError(f"{method} {path} {params}: {answer}")

    def request(self, method: str, path: str, *, signed: bool = True, **params: Any) -> Answer:
        """Send one request, again only where its timestamp was refused."""
        address = self.url + (path if path.startswith("/") else f"/fapi/v1/{path}")
        while True:
            query = urlencode(params)
            if signed:
                # In the middle of the window: this clock is an estimate, and no stamp may lie in the future.
                stamp = round(self.clock.now_ms()) - _WINDOW_MS // 3
                query = urlencode({**params, "timestamp": stamp, "recvWindow": _WINDOW_MS})
                query += f"&signature={hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()}"
            answer = self._sent(method, f"{address}?{query}")
            self.answers[f"{answer.status} {answer.code or ''}".strip()] += 1
            if answer.code != -1021:
                return answer
            self.clock = VenueTime.of(self.url, self._scale)

    def _sent(self, method: str, address: str) -> Answer:
        try:
            reply = self._session.request(method, address, timeout=30)
            is_page = reply.status_code >= 400 and reply.text[:1] == "<"
            return Answer(reply.status_code, {} if is_page else reply.json())
        except requests.RequestException:  # or JSON that is none
            return Answer(0, {})

    def _start_key(self) -> str:
        headers = {"X-MBX-APIKEY": KEY}
        while True:
            reply = requests.post(f"{self.url}/fapi/v1/listenKey", headers=headers, timeout=30)
            if reply.status_code == 200:
                return str(reply.json()["listenKey"])
            time.sleep(0.01)

    def _contracts(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Return tick and step of every contract that may be traded."""
        found = {}
        for entry in self.known(
            "GET",
            "exchangeInfo",
        )["symbols"]:
            filters = {each["filterType"]: each for each in entry["filters"]}
            tradable = (entry["status"], entry["contractType"], entry["quoteAsset"]) == (
                "TRADING",
                "PERPETUAL",
                "USDT",
            )
            if tradable and entry["underlyingType"] == "COIN":
                found[entry["symbol"]] = (
                    Decimal(filters["PRICE_FILTER"]["tickSize"]).normalize(),
                    Decimal(filters["LOT_SIZE"]["stepSize"]).normalize(),
                )
        return found

    # What it knows in the end.

    def trades_told(self) -> dict[tuple[str, int], Trade]:
        """Return every trade that userTrades tells."""
        found = {}
        for symbol in self.contracts:
            least = 0
            while rows := self.known("GET", "userTrades", symbol=symbol, fromId=least, limit=1000):
                for row in rows:
                    told = (row[name] for name in ("price", "qty", "commission", "realizedPnl"))
                    found[symbol, row["id"]] = Trade(*map(Decimal, told))
                least = rows[-1]["id"] + 1
        return found

    def income(self, kind: str, start_ms: int) -> Decimal:
        """Return what a kind of income adds up to since `start_ms` (ms UTC)."""
        found: dict[int, Decimal] = {}
        while True:
            rows = self.known("GET", "income", incomeType=kind, startTime=start_ms, limit=1000)
            new = {row["tranId"]: Decimal(row["income"]) for row in rows if row["tranId"] not in found}
            found |= new
            if not new or len(rows) < 1000:
                return sum(found.values(), Decimal(0))
            start_ms = rows[-1]["time"]

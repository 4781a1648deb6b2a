"""A tiny exchange on loopback for the client's tests: answers one can script, weights in fixed minutes."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from futures_agent.exchange.client import kline_weight
from futures_agent.market.timeframe import Timeframe

START_MS = 1_790_000_000_000  # 2026-09-21T14:13:20Z
SYMBOL = {
    "symbol": "BTCUSDT",
    "contractType": "PERPETUAL",
    "status": "TRADING",
    "quoteAsset": "USDT",
    "underlyingType": "COIN",
    "pricePrecision": 2,
    "quantityPrecision": 3,
    "liquidationFee": "0.012500",
    "onboardDate": 1_567_965_300_000,
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "556.80", "maxPrice": "4529764", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "50"},
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ],
}


def kline_row(open_ms: int, timeframe: Timeframe) -> list[Any]:
    """Return a row as the exchange sends it; prices follow from the open time."""
    base = 100 + open_ms // timeframe.ms % 50
    prices = [f"{base}.5", f"{base + 2}.0", f"{base - 1}.0", f"{base + 1}.0"]
    return [open_ms, *prices, "12.5", open_ms + timeframe.ms - 1, "1250.5", 42, "6.25", "625.25", "0"]


class Answer:
    """One scripted answer, given instead of the next regular one.

    `body` is text or whatever JSON can express; `act` replaces the answer by something done to the socket.
    """

    def __init__(
        self,
        status: int = 200,
        body: Any = "",
        headers: dict[str, str] | None = None,
        act: Callable[[LoopbackExchange, socket.socket], None] | None = None,
    ) -> None:
        self.status = status
        self.body = body if isinstance(body, str) else json.dumps(body)
        self.headers = headers or {}
        self.act = act


def reset_connection(_: LoopbackExchange, connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def stay_silent(exchange: LoopbackExchange, _: socket.socket) -> None:
    exchange.stopping.wait(30)


def cut_short(_: LoopbackExchange, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[[1,")
    connection.shutdown(socket.SHUT_RDWR)


class LoopbackExchange:
    """The server's state; `url` is where it listens."""

    def __init__(self, *, scale: float = 1.0, weight_limit: int = 2400) -> None:
        self.scale = scale
        self.weight_limit = weight_limit
        self.now_ms: Callable[[], int] = self._running_clock(START_MS)
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.raw: list[tuple[str, str, str | None, bytes]] = []  # of changes: method, target, key, body
        self.used: dict[int, int] = {}  # minute -> weight counted
        self.refused = 0
        self.connections = 0
        self.symbols: list[Any] = [SYMBOL]
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.url = ""

    def _running_clock(self, start_ms: int) -> Callable[[], int]:
        began = time.monotonic()
        return lambda: start_ms + int((time.monotonic() - began) * 1000 * self.scale)

    def freeze(self, now_ms: int) -> None:
        """Make the exchange's clock stand still."""
        self.now_ms = lambda: now_ms

    def respond(self, path: str, query: dict[str, str]) -> Answer:
        """Return the answer to one request, its weight counted."""
        with self.lock:
            self.requests.append((path, query))
            minute = self.now_ms() // 60_000
            weight = kline_weight(int(query["limit"])) if path.endswith("/klines") else 1
            self.used[minute] = self.used.get(minute, 0) + weight
            used = {"X-MBX-USED-WEIGHT-1M": str(self.used[minute])}
            if self.answers:
                answer = self.answers.pop(0)
                answer.headers = {**used, **answer.headers}
                return answer
            if self.used[minute] > self.weight_limit:
                self.refused += 1
                return Answer(429, {"code": -1003, "msg": "Too many requests"}, used)
        return Answer(200, self._data(path, query), used)

    def _data(self, path: str, query: dict[str, str]) -> Any:
        if path == "/fapi/v1/time":
            return {"serverTime": self.now_ms()}
        if path == "/fapi/v1/exchangeInfo":
            limits = [
                {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": self.weight_limit,
                },
            ]
            return {"timezone": "UTC", "rateLimits": limits, "symbols": self.symbols}
        timeframe = Timeframe(query["interval"])
        limit = int(query["limit"])
        newest = timeframe.open_of(self.now_ms())  # still forming
        last = min(newest, timeframe.open_of(int(query.get("endTime", newest))))
        first = int(query.get("startTime", last - (limit - 1) * timeframe.ms))
        first = -(-first // timeframe.ms) * timeframe.ms
        opens = range(first, last + 1, timeframe.ms)[:limit]
        return [kline_row(open_ms, timeframe) for open_ms in opens]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.exchange.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.exchange.raw.append((self.command, self.path, self.headers.get("X-MBX-APIKEY"), body))
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        self.do_POST()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        answer = self.server.exchange.respond(parts.path, query)
        if answer.act is not None:
            answer.act(self.server.exchange, self.connection)
            self.close_connection = True
            return
        body = answer.body.encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    exchange: LoopbackExchange

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # scripted faults break connections on purpose


@contextmanager
def loopback_exchange(**options: Any) -> Iterator[LoopbackExchange]:
    """Serve an exchange on an ephemeral loopback port."""
    exchange = LoopbackExchange(**options)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.exchange = exchange
    exchange.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield exchange
    finally:
        exchange.stopping.set()
        server.shutdown()
        with contextlib.suppress(OSError):
            server.server_close()

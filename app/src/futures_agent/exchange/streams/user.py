"""The user-data stream: what happens to the account's orders, positions and wallet, as it happens.

A dead listen key makes no error: the connection stands, and is silent. So silence is never trusted. The key
is asked for again every twenty minutes, and one that has changed proves that the old one had died; and an
order that the exchange has answered must be told of soon, or the connection is given up.
Source: Binance USDⓈ-M "User Data Streams".
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from websockets.sync.client import ClientConnection

from futures_agent.clock import MINUTE_MS
from futures_agent.errors import AgentError
from futures_agent.exchange.account_payloads import ListenKey, decoded
from futures_agent.exchange.orders import OrderSeen, Seen, StopSeen
from futures_agent.exchange.reading import is_loopback
from futures_agent.exchange.signed import SignedClient
from futures_agent.exchange.streams.stream import OnStream, Stream
from futures_agent.exchange.streams.user_events import (
    Event,
    Unreadable,
    called_symbols,
    read_event,
    seen_in,
)
from futures_agent.exchange.streams.wire import Lost, open_socket

_log = logging.getLogger(__name__)
_LISTEN_KEY, _LISTEN_KEY_WEIGHT = "/fapi/v1/listenKey", 1
_KEEP_MS = 20 * MINUTE_MS  # a key lives for an hour from its last use
_KEEP_AGAIN_MS = MINUTE_MS  # after an attempt that failed
_LOOK_S = 0.25  # how often it is looked whether something is due
_LOOK_SIMULATED_S = 0.02  # a stepped clock jumps by many minutes at once
_REST_S = 5.0  # host time between attempts that failed
_DIED = "its listen key had died without a word"
_TOLD_WITHIN_S = 10.0  # host time in which the stream must tell of an order that was answered


class UserStream(Stream):
    """The account's events; see `Stream` for how it is kept up.

    Parameters
    ----------
    stream_url : str
        Without route.
    client : SignedClient
        Of the same account; asks for listen keys, and keeps the clock.
    rotate_h : float
    on_seen : callable
        Called with each thing that is told, from the stream's thread; things may come twice, and after
        the answer to the request that caused them or before it.
    on_stream : callable
        As of `Stream`; the name is `user`.
    """

    def __init__(
        self,
        stream_url: str,
        client: SignedClient,
        rotate_h: float,
        on_seen: Callable[[Seen], None],
        on_stream: OnStream,
    ) -> None:
        super().__init__("user", client.clock, rotate_h, on_stream)
        self._url = stream_url.rstrip("/") + "/private/ws/"
        self._is_simulated = is_loopback(stream_url)
        self._client = client
        self._on_seen = on_seen
        self._key = ""
        self._keep_at_ms = 0
        self._dead = ""  # why the connection is to be given up
        self._awaited: dict[str, float] = {}  # client id -> when it was answered, host's monotonic clock
        self._keeper = threading.Thread(target=self._keep, name="listen-key", daemon=True)

    def start(self) -> None:
        super().start()
        self._keeper.start()

    def close(self) -> None:
        super().close()
        if self._keeper.is_alive():
            self._keeper.join(_REST_S)

    def expect(self, client_id: str) -> None:
        """Take note that an order is about to be sent, of which the stream must tell."""
        self._awaited[client_id] = math.inf

    def expect_now(self, client_id: str) -> None:
        """Take note that the order was answered: unless the stream has told of it, it must do so soon."""
        if client_id in self._awaited:
            self._awaited[client_id] = time.monotonic()

    def expect_no_more(self, client_id: str) -> None:
        """Take note that an order was not taken, or may not have been."""
        self._awaited.pop(client_id, None)

    def _open(self) -> ClientConnection:
        before, self._key = self._key, self._ask_for_key()
        connection = open_socket(self._url + self._key)
        # Replacing a connection hides what its dead key did not tell; only a new start makes it asked for.
        self._dead = _DIED if self._is_up and self._key != before else ""
        self._awaited.clear()  # who listens asks what became of them, as of everything
        return connection

    def _take(self, text: str) -> None:
        try:
            event = read_event(text)
            seen = seen_in(event)
        except Unreadable as error:
            raise Lost(str(error)) from None
        if self._is_simulated:
            self._clock.advance_to(event.told_ms)
        for each in seen:
            if isinstance(each, OrderSeen | StopSeen):
                self._awaited.pop(each.client_id, None)
            self._on_seen(each)
        self._obey(event)

    def _obey(self, event: Event) -> None:
        if event.kind == "MARGIN_CALL":
            _log.warning("margin call: %s", ", ".join(called_symbols(event)) or "the account")
        # A successor with a new key may be reading what the old one's connection told last.
        if event.kind == "listenKeyExpired" and event.listen_key in ("", self._key):
            raise Lost("the listen key has expired")

    def _watch(self) -> None:
        if self._dead:
            raise Lost(self._dead)
        latest_mono = time.monotonic() - _TOLD_WITHIN_S
        if any(answered_mono < latest_mono for answered_mono in list(self._awaited.values())):
            raise Lost(f"it has told nothing of an order answered more than {_TOLD_WITHIN_S:g} s ago")

    def _ask_for_key(self) -> str:
        """Return the account's listen key, good for an hour from now.

        A POST rather than a PUT: it gives the same key while that lives, and another one when it does not.
        """
        key = decoded(self._client.keyed("POST", _LISTEN_KEY, _LISTEN_KEY_WEIGHT), ListenKey).listen_key
        self._keep_at_ms = self._clock.now_ms() + _KEEP_MS
        return key

    def _keep(self) -> None:
        """Keep listen key and clock from ageing; in a thread of its own, as either may take long."""
        wait_s = look_s = _LOOK_SIMULATED_S if self._is_simulated else _LOOK_S
        while not self._closed.wait(wait_s):
            wait_s = look_s
            try:
                self._client.keep_clock()
                if self._key and self._clock.now_ms() >= self._keep_at_ms:
                    self._keep_key()
            except AgentError as error:
                _log.warning("listen key: %s", error)
                self._keep_at_ms = self._clock.now_ms() + _KEEP_AGAIN_MS
                wait_s = _REST_S

    def _keep_key(self) -> None:
        if self._ask_for_key() != self._key:
            self._dead = _DIED

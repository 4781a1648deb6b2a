"""A stream that is kept up: opened, read, watched, replaced before its end, opened again."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.errors import AgentError
from futures_agent.exchange.clock import ExchangeClock
from futures_agent.exchange.streams.wire import Lost, reason_of

OnStream = Callable[[str, bool, str], None]

_log = logging.getLogger(__name__)
_POLL_S = 0.25
_OVERLAP_S = 2.0  # both connections are read for so long when one replaces the other
_WAITS_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # before each attempt in a row
_STEADY_S = 60.0  # a connection that stood so long was a good one
_ROTATE_AGAIN_MS = 5 * MINUTE_MS  # after a replacement that could not be opened
_JOIN_S = 5.0


class Stream(ABC):
    """One stream, read by a thread of its own.

    Host time rules what the network does: connecting, pings, waits between attempts. Exchange time rules
    what the exchange does: a connection is replaced after `rotate_h` of it.

    Parameters
    ----------
    name : str
    clock : ExchangeClock
    rotate_h : float
        Hours of exchange time after which a connection is replaced; both are read for a moment, so what
        comes then comes twice.
    on_stream : callable
        `(name, up, why)` from the stream's thread: it is up, or down and why. Whatever happened while it
        was down is not told later: who listens must ask.
    """

    def __init__(self, name: str, clock: ExchangeClock, rotate_h: float, on_stream: OnStream) -> None:
        self.name = name
        self._clock = clock
        self._rotate_ms = int(rotate_h * HOUR_MS)
        self._on_stream = on_stream
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-stream", daemon=True)
        self._rotate_at_ms = 0
        self._watched_mono = 0.0
        self._told = ""  # why it is down, as told last
        self._is_up = False

    def start(self) -> None:
        """Begin to connect and read; `on_stream` tells how it goes."""
        self._thread.start()

    def close(self) -> None:
        """End the connection and the thread; nothing is told any more."""
        self._closed.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)

    @abstractmethod
    def _open(self) -> ClientConnection:
        """Return a connection that has begun to tell what it is there for."""

    @abstractmethod
    def _take(self, text: str) -> None:
        """Use one message (Lost: the connection is of no use any more)."""

    @abstractmethod
    def _watch(self) -> None:
        """Look whether the connection is of use; called a few times a second (Lost: it is not)."""

    def _run(self) -> None:
        failures = 0
        while not self._closed.wait(_WAITS_S[min(failures, len(_WAITS_S) - 1)]):
            began = time.monotonic()
            why = self._live()
            failures = 0 if time.monotonic() - began >= _STEADY_S else failures + 1
            if why != self._told and not self._closed.is_set():
                _log.warning("%s stream: %s", self.name, why)
                self._told = why
                self._on_stream(self.name, False, why)

    def _live(self) -> str:
        """Keep a connection, and those that replace it, and return why there is none any more."""
        connection = None
        try:
            connection = self._open()
            self._rotate_at_ms = self._clock.now_ms() + self._rotate_ms
            self._told, self._is_up = "", True
            self._on_stream(self.name, True, "")
            while not self._closed.is_set():
                self._read(connection)
                connection = self._replaced(connection)
        except (Lost, AgentError, OSError, WebSocketException) as error:
            return reason_of(error)
        except Exception:
            _log.exception("%s stream: an error of the program", self.name)
            return "an error of the program"
        finally:
            self._is_up = False
            if connection is not None:
                connection.close()
        return "stopped"

    def _read(self, connection: ClientConnection) -> None:
        """Read until it is time to replace the connection."""
        while not self._closed.is_set() and self._clock.now_ms() < self._rotate_at_ms:
            if time.monotonic() - self._watched_mono >= _POLL_S:
                self._watch()
                self._watched_mono = time.monotonic()
            self._read_one(connection, _POLL_S)

    def _read_one(self, connection: ClientConnection, timeout_s: float) -> None:
        try:
            message = connection.recv(timeout_s, decode=True)
        except TimeoutError:
            return
        self._take(str(message))

    def _replaced(self, connection: ClientConnection) -> ClientConnection:
        """Return the connection's successor, or itself where there is none yet."""
        if self._closed.is_set():
            return connection
        try:
            successor = self._open()
            self._rotate_at_ms = self._clock.now_ms() + self._rotate_ms
        except (Lost, AgentError, OSError, WebSocketException) as error:
            _log.warning("%s stream: cannot replace the connection: %s", self.name, reason_of(error))
            self._rotate_at_ms = self._clock.now_ms() + _ROTATE_AGAIN_MS
            return connection
        ends_mono = time.monotonic() + _OVERLAP_S
        try:
            while (left_s := ends_mono - time.monotonic()) > 0 and not self._closed.is_set():
                self._read_one(connection, left_s)
        except WebSocketException:
            pass  # it was about to end anyway
        except BaseException:
            successor.close()
            raise
        finally:
            connection.close()
        return successor

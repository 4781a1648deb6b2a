"""The market stream: candles as they close, and mark prices each second, of many symbols.

A connection can stand and be deaf: half-open, on a route that tells nothing of what was subscribed to, or
for one symbol alone. So silence ends it. What counts as silence has lasted that long on the host's clock
*and* on the exchange's, and before it counts the exchange is asked for its time: against a simulator whose
clock runs fast, messages are thinned; while it stands still, nothing can happen, and silence proves nothing.

Candles that a stream never told are the business of who asks for them by REST.
Source: Binance USDⓈ-M "WebSocket Market Streams".
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from websockets.sync.client import ClientConnection

from futures_agent.errors import AgentError
from futures_agent.exchange.clock import ExchangeClock
from futures_agent.exchange.reading import is_loopback
from futures_agent.exchange.streams.market_events import Kline, MarketMessage, candle_in
from futures_agent.exchange.streams.stream import OnStream, Stream
from futures_agent.exchange.streams.wire import Lost, open_socket
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import ExchangeSettings, LiveSettings

OnCandle = Callable[[str, Timeframe, np.void, int], None]
OnMark = Callable[[str, float, int], None]
OnFunding = Callable[[str, float, float, int], None]

_log = logging.getLogger(__name__)
_CHUNK = 100  # streams in one SUBSCRIBE
_BETWEEN_CHUNKS_S = 0.25  # the exchange takes ten messages a second, pongs among them
_ACKNOWLEDGED_WITHIN_S = 10.0
_SUSPECT_S = 2.0  # silence is confirmed for so long: what is on its way arrives
_MOST_PATIENCE = 128.0  # times the silence of a symbol that stays silent on each new connection


class _Moment(NamedTuple):
    """When something was heard, on both clocks."""

    host_s: float
    exchange_ms: int


class MarketStream(Stream):
    """Closed candles and mark prices; see `Stream` for how it is kept up.

    Parameters
    ----------
    settings : ExchangeSettings
    live : LiveSettings
        How long silence may last, and when connections are replaced.
    symbols, timeframes : sequence
        Every symbol's candles of every timeframe.
    clock : ExchangeClock
    sync_clock : callable
        Asks the exchange for its time and sets `clock`; AgentError where nobody answers.
    on_candle : callable
        `(symbol, timeframe, candle, received_ms)` once for each candle that closes while the stream is up,
        a record of FULL_CANDLE, with exchange time; from the stream's thread, as the rest.
    on_mark : callable
        `(symbol, mark price, ms UTC)`; times of a symbol never go back.
    on_stream : callable
        As of `Stream`; the name is `market`.
    on_funding : callable, optional
        `(symbol, rate, mark price, ms UTC)` with each mark price, before `on_mark`: the rate expected for the
        next funding instant, and that instant.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        live: LiveSettings,
        symbols: Sequence[str],
        timeframes: Sequence[Timeframe],
        clock: ExchangeClock,
        sync_clock: Callable[[], None],
        on_candle: OnCandle,
        on_mark: OnMark,
        on_stream: OnStream,
        on_funding: OnFunding | None = None,
    ) -> None:
        super().__init__("market", clock, live.rotate_h, on_stream)
        self._url = settings.stream_url.rstrip("/") + "/market/ws"
        self._is_simulated = is_loopback(settings.stream_url)
        self._live_settings = live
        self._symbols = tuple(symbols)
        self._timeframes = {timeframe.value: timeframe for timeframe in timeframes}
        self._sync_clock = sync_clock
        self._on_candle = on_candle
        self._on_mark = on_mark
        self._on_funding = on_funding
        self._commands = 0
        self._unanswered: set[int] = set()
        self._newest: dict[tuple[str, str], int] = {}  # (symbol, interval) -> open time told last
        self._marked_ms: dict[str, int] = {}
        self._heard = _Moment(0.0, 0)  # anything
        self._heard_of: dict[str, _Moment] = {}  # a symbol's mark price
        self._patience: dict[str, float] = dict.fromkeys(self._symbols, 1.0)
        self._suspected_s = math.inf

    def _open(self) -> ClientConnection:
        connection = open_socket(self._url)
        try:
            self._subscribe(connection)
        except BaseException:
            connection.close()
            raise
        self._heard = self._now()
        self._heard_of = dict.fromkeys(self._symbols, self._heard)
        self._suspected_s = math.inf
        return connection

    def _subscribe(self, connection: ClientConnection) -> None:
        """Subscribe in messages of a hundred, four a second, and wait until all are acknowledged."""
        names = [
            f"{symbol.lower()}@{stream}"
            for symbol in self._symbols
            for stream in (*(f"kline_{interval}" for interval in self._timeframes), "markPrice@1s")
        ]
        chunks = deque(names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK))
        self._unanswered.clear()
        send_s = time.monotonic()
        ends_s = send_s + _ACKNOWLEDGED_WITHIN_S + len(chunks) * _BETWEEN_CHUNKS_S
        while chunks or self._unanswered:
            if self._closed.is_set():
                raise Lost("stopped")
            if time.monotonic() >= ends_s:
                raise Lost(f"subscriptions were not acknowledged within {_ACKNOWLEDGED_WITHIN_S:g} s")
            if chunks and time.monotonic() >= send_s:
                self._commands += 1
                self._unanswered.add(self._commands)
                command = {"method": "SUBSCRIBE", "params": chunks.popleft(), "id": self._commands}
                connection.send(json.dumps(command))
                send_s = time.monotonic() + _BETWEEN_CHUNKS_S
            self._read_one(connection, _BETWEEN_CHUNKS_S / 5)

    def _take(self, text: str) -> None:
        try:
            message = msgspec.json.decode(text, type=MarketMessage, strict=False)
        except msgspec.DecodeError as error:
            _log.warning("market stream: a message cannot be read: %s", error)
            return
        if message.error is not None or message.code is not None:
            raise Lost(f"the exchange refuses a subscription: {text[:200]}")
        if message.id is not None:
            self._unanswered.discard(message.id)
            return
        if self._is_simulated:
            self._clock.advance_to(message.told_ms)
        self._heard = self._now()
        if message.event == "kline" and message.kline is not None and message.kline.x:
            self._close_candle(message.symbol, message.kline)
        elif message.event == "markPriceUpdate" and message.symbol in self._patience:
            self._mark(message)

    def _close_candle(self, symbol: str, kline: Kline) -> None:
        timeframe = self._timeframes.get(kline.i)
        if timeframe is None or symbol not in self._patience:
            return
        if kline.t <= self._newest.get((symbol, kline.i), -1):
            return  # told by both of two connections
        try:
            candle = candle_in(kline, timeframe)
        except ValueError as error:
            _log.warning("market stream: %s %s: %s; not used", symbol, timeframe.name, error)
            return
        self._newest[symbol, kline.i] = kline.t
        self._on_candle(symbol, timeframe, candle, self._heard.exchange_ms)

    def _mark(self, message: MarketMessage) -> None:
        try:
            price = float(message.price)
        except ValueError:
            price = math.nan
        if not 0 < price < math.inf:
            _log.warning("market stream: %s: mark price %r; not used", message.symbol, message.price)
            return
        self._heard_of[message.symbol] = self._heard
        self._patience[message.symbol] = 1.0
        if message.told_ms >= self._marked_ms.get(message.symbol, 0):
            self._marked_ms[message.symbol] = message.told_ms
            self._tell_funding(message, price)
            self._on_mark(message.symbol, price, message.told_ms)

    def _tell_funding(self, message: MarketMessage, price: float) -> None:
        """Tell of the next funding; a contract without it has neither rate nor time."""
        if self._on_funding is None or not message.rate or message.funding_ms <= 0:
            return
        try:
            rate = float(message.rate)
        except ValueError:
            rate = math.nan
        if math.isfinite(rate):
            self._on_funding(message.symbol, rate, price, message.funding_ms)
        else:
            _log.warning("market stream: %s: funding rate %r; not used", message.symbol, message.rate)

    def _watch(self) -> None:
        if not self._silence():
            self._suspected_s = math.inf
            return
        now_s = time.monotonic()
        self._suspected_s = min(self._suspected_s, now_s)
        if now_s - self._suspected_s < _SUSPECT_S:
            return
        self._suspected_s = math.inf
        try:
            self._sync_clock()
        except AgentError as error:  # then a new connection is what is wanted
            _log.warning("market stream: %s", error)
        why = self._silence()
        if why:
            self._grow_patient()
            raise Lost(why)

    def _silence(self) -> str:
        """Return what has been silent for too long, or nothing."""
        limit_s = self._live_settings.stream_silence_s
        if self._is_past(self._heard, limit_s):
            return f"no message for {limit_s:g} s"
        silent = self._silent_symbols()
        if not silent:
            return ""
        limit_s = self._live_settings.symbol_silence_s
        more = f" and {len(silent) - 1} others" if len(silent) > 1 else ""
        return f"no mark price of {silent[0]}{more} for {limit_s * self._patience[silent[0]]:g} s"

    def _silent_symbols(self) -> list[str]:
        limit_s = self._live_settings.symbol_silence_s
        return [
            symbol
            for symbol, heard in self._heard_of.items()
            if self._is_past(heard, limit_s * self._patience[symbol])
        ]

    def _grow_patient(self) -> None:
        """Wait longer for symbols that are silent: a halted contract must not end every connection."""
        for symbol in self._silent_symbols():
            self._patience[symbol] = min(2 * self._patience[symbol], _MOST_PATIENCE)

    def _is_past(self, heard: _Moment, limit_s: float) -> bool:
        now = self._now()
        return now.host_s - heard.host_s >= limit_s and now.exchange_ms - heard.exchange_ms >= limit_s * 1000

    def _now(self) -> _Moment:
        return _Moment(time.monotonic(), self._clock.now_ms())

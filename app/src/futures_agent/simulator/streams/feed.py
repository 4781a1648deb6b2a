"""Which messages of the market's streams are due between two times, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.listing import Listing
from futures_agent.simulator.market import Market
from futures_agent.simulator.streams.names import Kind, Stream
from futures_agent.simulator.streams.payloads import Payloads, Traded, as_json


class Message(NamedTuple):
    """One message of a stream.

    Attributes
    ----------
    stream, event : str
        Name of the stream (a listen key for user data), and of the event.
    at_ms : int
        Venue time at which it happened, ms UTC.
    body : bytes
        JSON, not wrapped.
    final : bool
        The closing message of a candle.
    """

    stream: str
    event: str
    at_ms: int
    body: bytes
    final: bool = False


class Feed:
    """Makes the messages of the streams that somebody listens to.

    `closes` are never left out: each candle of each stream closes once, at its close time. `ticks` show
    the present only, so that they can be as rare as one likes. Contracts that are not traded are silent.

    Parameters
    ----------
    status : callable
        State of a contract now, such as TRADING.
    tick_ms : int
        Least time between two ticks of what changes all the time; 0 leaves them out.
    """

    def __init__(
        self, market: Market, payloads: Payloads, status: Callable[[str], str], tick_ms: int
    ) -> None:
        self._market = market
        self._payloads = payloads
        self._status = status
        self._tick_ms = tick_ms
        self._streams: dict[str, Stream] = {}
        self._shown: dict[str, bytes] = {}
        self._traded: dict[str, Traded] = {}

    def listen(self, streams: Iterable[Stream]) -> None:
        """Make messages for these streams, and no others, from now on."""
        self._streams = {stream.name: stream for stream in streams}
        for memory in (self._shown, self._traded):
            for name in memory.keys() - self._streams.keys():
                del memory[name]

    def next_close_ms(self, now_ms: int) -> int | None:
        """Return when the next candle of a stream closes after `now_ms`; None without kline streams."""
        return min((frame.open_of(now_ms) + frame.ms for frame in self._timeframes()), default=None)

    def next_tick_ms(self, now_ms: int) -> int:
        """Return when the next tick is due after `now_ms`."""
        step = self._tick_ms or 1_000
        return now_ms // step * step + step

    def closes(self, from_ms: int, to_ms: int) -> Iterator[Message]:
        """Yield the closing messages of the candles that close in (from_ms, to_ms], in order of time."""
        frames = self._timeframes()
        close_ms = from_ms
        while frames:
            close_ms = min(frame.open_of(close_ms) + frame.ms for frame in frames)
            if close_ms > to_ms:
                return
            for stream in self._streams.values():
                frame = stream.timeframe
                if frame is not None and close_ms % frame.ms == 0:
                    yield from self._close(stream, frame, close_ms)

    def ticks(self, from_ms: int, now_ms: int) -> Iterator[Message]:
        """Yield what there is to say at `now_ms`, of streams that last spoke at or before `from_ms`."""
        moved = bool(self._tick_ms) and now_ms // self._tick_ms > from_ms // self._tick_ms
        for stream in self._streams.values():
            if stream.period_ms:
                if now_ms // stream.period_ms > from_ms // stream.period_ms:
                    yield from self._mark_prices(stream, now_ms)
            elif moved:
                yield from self._change(stream, now_ms)

    def _timeframes(self) -> set[Timeframe]:
        return {stream.timeframe for stream in self._streams.values() if stream.timeframe is not None}

    def _close(self, stream: Stream, frame: Timeframe, close_ms: int) -> Iterator[Message]:
        if not self._listings(stream):
            return
        closed = self._market.closed(stream.symbol, frame, close_ms)
        if len(closed) and closed["timestamp"][-1] == close_ms - frame.ms:
            body, _ = self._payloads.kline(stream.symbol, frame, closed[-1], close_ms, final=True)
            yield Message(stream.name, stream.kind.value, close_ms, body, final=True)

    def _change(self, stream: Stream, now_ms: int) -> Iterator[Message]:
        for listing in self._listings(stream):
            body = self._body(stream, listing.symbol, now_ms)
            if body is not None:
                yield Message(stream.name, stream.kind.value, now_ms, body)

    def _body(self, stream: Stream, symbol: str, now_ms: int) -> bytes | None:
        """Return the message to send, None where nothing has changed since the last one."""
        if stream.kind is Kind.BOOK_TICKER:
            priced = self._payloads.is_priced(symbol, now_ms)
            return self._payloads.book_ticker(symbol, now_ms) if priced else None
        if stream.kind is Kind.AGG_TRADE:
            traded = self._payloads.traded(symbol, now_ms)
            if traded is None:
                return None
            before = self._traded.get(stream.name)
            self._traded[stream.name] = traded
            return None if before is None else self._payloads.agg_trade(symbol, before, traded, now_ms)
        if stream.timeframe is None:
            return None  # told when it happens
        candle = self._market.forming(symbol, stream.timeframe, now_ms)
        if not len(candle) or not candle["trades"][0]:
            return None
        body, shown = self._payloads.kline(symbol, stream.timeframe, candle[0], now_ms, final=False)
        if self._shown.get(stream.name) == shown:
            return None
        self._shown[stream.name] = shown
        return body

    def _mark_prices(self, stream: Stream, now_ms: int) -> Iterator[Message]:
        listings = [one for one in self._listings(stream) if self._payloads.is_priced(one.symbol, now_ms)]
        for of_coins in (True, False):  # an array about shares and metals comes by itself
            rows = [
                self._payloads.mark_price(listing.symbol, now_ms)
                for listing in listings
                if (listing.underlying_type == "COIN") is of_coins
            ]
            if rows:
                body = as_json(rows[0] if stream.symbol else rows)
                yield Message(stream.name, stream.kind.value, now_ms, body)

    def _listings(self, stream: Stream) -> list[Listing]:
        """Return the contracts in trade that a stream speaks of: its own, or all."""
        known = self._market.listings
        found = [known[stream.symbol]] if stream.symbol in known else [] if stream.symbol else known.values()
        return [one for one in found if self._status(one.symbol) == "TRADING"]

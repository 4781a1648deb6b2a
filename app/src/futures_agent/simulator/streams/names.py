"""Names of streams: what each shows, and on which route."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from futures_agent.clock import SECOND_MS
from futures_agent.market.timeframe import Timeframe


class Route(Enum):
    """The part of the exchange that a connection reaches; a stream of another route stays silent."""

    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"
    UNROUTED = ""  # the old addresses: they show what PUBLIC shows


class Kind(Enum):
    """What a stream is about; the value is its event."""

    KLINE = "kline"
    MARK_PRICE = "markPriceUpdate"
    BOOK_TICKER = "bookTicker"
    AGG_TRADE = "aggTrade"
    FORCE_ORDER = "forceOrder"
    CONTRACT_INFO = "contractInfo"


_INTERVALS = {timeframe.value: timeframe for timeframe in Timeframe}
_ONE_SYMBOL = re.compile(
    r"([^@!]+)@(kline_(?P<interval>\w+)|markPrice(?P<fast>@1s)?|bookTicker|aggTrade|forceOrder)"
)
_ALL_SYMBOLS = {
    "!bookTicker": (Kind.BOOK_TICKER, 0),
    "!forceOrder@arr": (Kind.FORCE_ORDER, 0),
    "!contractInfo": (Kind.CONTRACT_INFO, 0),
    "!markPrice@arr": (Kind.MARK_PRICE, 3 * SECOND_MS),
    "!markPrice@arr@1s": (Kind.MARK_PRICE, SECOND_MS),
}


class Stream(NamedTuple):
    """One stream of market data.

    Attributes
    ----------
    symbol : str
        In capitals; empty for all symbols.
    timeframe : Timeframe, optional
        Of a kline stream.
    period_ms : int
        Time between two messages; 0 for as often as things change.
    """

    name: str
    kind: Kind
    symbol: str
    timeframe: Timeframe | None = None
    period_ms: int = 0

    def is_shown_on(self, route: Route) -> bool:
        """Return whether a connection of that route gets its messages."""
        if self.kind is Kind.BOOK_TICKER:
            return route in (Route.PUBLIC, Route.UNROUTED)
        return route is Route.MARKET


@lru_cache(maxsize=8_192)
def parse_stream(name: str) -> Stream | None:
    """Return the stream of that name; None for one that this venue does not have, and stays silent on."""
    if name in _ALL_SYMBOLS:
        kind, period_ms = _ALL_SYMBOLS[name]
        return Stream(name, kind, "", period_ms=period_ms)
    found = _ONE_SYMBOL.fullmatch(name)
    if found is None or found[1] != found[1].lower():
        return None
    symbol, what = found[1].upper(), found[2]
    if what.startswith("kline_"):
        timeframe = _INTERVALS.get(found["interval"])
        return None if timeframe is None else Stream(name, Kind.KLINE, symbol, timeframe)
    if what.startswith("markPrice"):
        return Stream(name, Kind.MARK_PRICE, symbol, period_ms=SECOND_MS if found["fast"] else 3 * SECOND_MS)
    return Stream(name, Kind(what), symbol)


class Address(NamedTuple):
    """What a WebSocket URL asks for.

    Attributes
    ----------
    combined : bool
        Messages come wrapped: `{"stream": …, "data": …}`. The path decides it, not the number of streams.
    names : tuple of str
        Streams, a listen key among them.
    events : frozenset of str
        The only user events wanted; empty for all.
    """

    route: Route
    combined: bool
    names: tuple[str, ...] = ()
    events: frozenset[str] = frozenset()


def parse_address(target: str) -> Address | None:
    """Return what the target of a handshake (`/market/stream?streams=…`) asks for; None: no such path."""
    parts = urlsplit(target)
    found = re.fullmatch(r"(?:/(public|market|private))?/(ws|stream)(?:/(.*))?", unquote(parts.path))
    if found is None:
        return None
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    listed = (found[3] or "", query.get("streams", ""), query.get("listenKey", ""))
    names = [name for part in listed for name in part.split("/") if name]
    return Address(
        route=Route(found[1] or ""),
        combined=found[2] == "stream",
        names=tuple(dict.fromkeys(names)),
        events=frozenset(event for event in query.get("events", "").split("/") if event),
    )

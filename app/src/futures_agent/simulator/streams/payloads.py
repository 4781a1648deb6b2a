"""The bodies of market-data messages, field by field as the exchange sends them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.listing import Listing
from futures_agent.simulator.market import Market
from futures_agent.simulator.sentiment import Sentiment
from futures_agent.simulator.trading.book import best_of
from futures_agent.simulator.trading.prices import Prices

# Trades are numbered from their candle's open time on, so that numbers grow from candle to candle and
# those of a candle follow from it alone: no history has to be summed up.
_IDS_PER_MS = 10
_LONGEST_FUNDING_INTERVAL_MS = 8 * HOUR_MS
_UM = 1  # of `st`: a USDⓈ-M contract


class Traded(NamedTuple):
    """What has been traded in the finest candle by now."""

    open_ms: int
    trades: int
    volume: float
    price: float


class Payloads:
    """Writes the messages of one venue's market; every time is the venue's, ms UTC.

    `half_spread` is how far best bid and ask lie from the last price, as a share of it.
    """

    def __init__(self, market: Market, prices: Prices, sentiment: Sentiment, half_spread: Decimal) -> None:
        self._market = market
        self._prices = prices
        self._sentiment = sentiment
        self._half_spread = half_spread
        self._funding: dict[str, tuple[int, float]] = {}

    def kline(
        self, symbol: str, timeframe: Timeframe, candle: np.void, now_ms: int, *, final: bool
    ) -> tuple[bytes, bytes]:
        """Return the message about a candle, and of it what changes with the candle alone."""
        listing = self._market.listings[symbol]
        opened, *prices, volume, quote, trades, bought, bought_quote = candle.tolist()
        o, h, low, c = (f"{price:.{listing.price_precision}f}" for price in prices)
        units, money = listing.grid.volume, listing.grid.quote
        first = opened * _IDS_PER_MS if trades else -1
        body = (
            f'{{"t":{opened},"T":{opened + timeframe.ms - 1},"s":"{symbol}","i":"{timeframe.value}",'
            f'"f":{first},"L":{first + trades - 1 if trades else -1},'
            f'"o":"{o}","c":"{c}","h":"{h}","l":"{low}",'
            f'"v":"{volume:.{units}f}","n":{trades},"x":{"true" if final else "false"},'
            f'"q":"{quote:.{money}f}","V":"{bought:.{units}f}","Q":"{bought_quote:.{money}f}","B":"0"}}'
        ).encode()
        return b'{"e":"kline","E":%d,"s":"%b","k":%b}' % (now_ms, symbol.encode(), body), body

    def is_priced(self, symbol: str, now_ms: int) -> bool:
        """Return whether `symbol` has been traded by now."""
        return self._prices.last(symbol, now_ms) > 0

    def mark_price(self, symbol: str, now_ms: int) -> dict[str, Any]:
        """Return markPriceUpdate; its average is that of now and a minute ago, its index the last price."""
        mark = self._prices.mark(symbol, now_ms)
        average = (mark + (self._prices.mark(symbol, now_ms - MINUTE_MS) or mark)) / 2
        index = self._prices.last(symbol, now_ms)
        funding_ms, rate = self.next_funding(symbol, now_ms)
        return {
            "e": "markPriceUpdate",
            "E": now_ms,
            "s": symbol,
            "p": f"{mark:.8f}",
            "ap": f"{average:.8f}",
            "i": f"{index:.8f}",
            "P": f"{index:.8f}",
            "r": f"{rate:.8f}",
            "T": funding_ms,
            "st": _UM,
        }

    def next_funding(self, symbol: str, now_ms: int) -> tuple[int, float]:
        """Return when the next payment is due, and its rate; 0 where a record ends before it."""
        known = self._funding.get(symbol)
        if known is None or not known[0] > now_ms >= known[0] - _LONGEST_FUNDING_INTERVAL_MS:
            coming = self._sentiment.funding(symbol, now_ms, now_ms + 2 * _LONGEST_FUNDING_INTERVAL_MS)
            # A payment is stamped some ms after the minute at which it is due.
            due = [
                (int(row["timestamp"]) // MINUTE_MS * MINUTE_MS, float(row["rate"]))
                for row in coming
                if row["timestamp"] // MINUTE_MS * MINUTE_MS > now_ms
            ]
            step = self._sentiment.interval_h(symbol) * HOUR_MS
            known = self._funding[symbol] = due[0] if due else ((now_ms // step + 1) * step, 0.0)
        return known

    def book_ticker(self, symbol: str, now_ms: int) -> bytes:
        """Return bookTicker: half a spread to either side of the last price, on the tick."""
        listing = self._market.listings[symbol]
        last = self._prices.last(symbol, now_ms)
        best = best_of(listing, last, self._half_spread, now_ms)
        return as_json(
            {
                "e": "bookTicker",
                "u": now_ms * _IDS_PER_MS,
                "E": now_ms,
                "T": now_ms,
                "s": symbol,
                "b": _price(best.bid, listing),
                "B": f"{best.bid_quantity:f}",
                "a": _price(best.ask, listing),
                "A": f"{best.ask_quantity:f}",
                "st": _UM,
                "ps": listing.pair,
            }
        )

    def traded(self, symbol: str, now_ms: int) -> Traded | None:
        """Return what the finest candle of `symbol` has seen by now; None where none is open."""
        for timeframe in (Timeframe.M15, Timeframe.H1):
            candle = self._market.forming(symbol, timeframe, now_ms)
            if len(candle):
                row = candle[0]
                return Traded(
                    int(row["timestamp"]), int(row["trades"]), float(row["volume"]), float(row["close"])
                )
        return None

    def agg_trade(self, symbol: str, before: Traded, traded: Traded, now_ms: int) -> bytes | None:
        """Return aggTrade, all that was traded since `before` as one trade; None where nothing was."""
        listing = self._market.listings[symbol]
        same = before.open_ms == traded.open_ms
        first = before.trades if same else 0
        quantity = traded.volume - (before.volume if same else 0.0)
        if traded.trades <= first or quantity <= 0:
            return None
        numbers = traded.open_ms * _IDS_PER_MS
        text = f"{quantity:.{listing.grid.volume}f}"
        return as_json(
            {
                "e": "aggTrade",
                "E": now_ms,
                "s": symbol,
                "a": numbers + traded.trades - 1,
                "p": f"{traded.price:.{listing.price_precision}f}",
                "q": text,
                "nq": text,
                "f": numbers + first,
                "l": numbers + traded.trades - 1,
                "T": now_ms,
                "m": traded.price < before.price,
                "st": _UM,
            }
        )


def as_json(value: Any) -> bytes:
    """Return a message's body."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _price(price: Decimal, listing: Listing) -> str:
    return f"{price:.{listing.price_precision}f}"

"""Public prices over REST: mark and last price, best bid and ask, order book, the last day, open interest.

They are those of the streams and of the matching engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from futures_agent.clock import DAY_MS, MINUTE_MS
from futures_agent.market.sentiment import Statistic
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.noise import uniform
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.rest import Endpoint, Params, mandatory, whole_number
from futures_agent.simulator.venue import Venue

_DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_DEFAULT_DEPTH = 500
_INTEREST_RATE = "0.00010000"


def premium_index(venue: Venue, symbol: str, now_ms: int) -> dict[str, Any]:
    """Return mark price and funding of one contract."""
    told = venue.payloads.mark_price(symbol, now_ms)
    return {
        "symbol": symbol,
        "markPrice": told["p"],
        "indexPrice": told["i"],
        "estimatedSettlePrice": told["P"],
        "lastFundingRate": told["r"],
        "interestRate": _INTEREST_RATE,
        "nextFundingTime": told["T"],
        "time": now_ms,
    }


def book_ticker(venue: Venue, symbol: str, now_ms: int) -> dict[str, Any]:
    """Return the best bid and ask of one contract."""
    told = json.loads(venue.payloads.book_ticker(symbol, now_ms))
    return {
        "symbol": symbol,
        "bidPrice": told["b"],
        "bidQty": told["B"],
        "askPrice": told["a"],
        "askQty": told["A"],
        "time": now_ms,
        "lastUpdateId": told["u"],
    }


def best_prices(venue: Venue, symbol: str, now_ms: int) -> tuple[Decimal, Decimal]:
    """Return the best bid and ask of one contract.

    Raises
    ------
    VenueError
        -5041 before its first trade.
    """
    if not _last(venue, symbol, now_ms):
        raise refusal(-5041)
    told = book_ticker(venue, symbol, now_ms)
    return Decimal(told["bidPrice"]), Decimal(told["askPrice"])


def price_ticker(venue: Venue, symbol: str, now_ms: int) -> dict[str, Any]:
    """Return the last price of one contract."""
    return {"symbol": symbol, "price": _price(venue, symbol, _last(venue, symbol, now_ms)), "time": now_ms}


def day_ticker(venue: Venue, symbol: str, now_ms: int) -> dict[str, Any]:
    """Return the last 24 hours of one contract, to the quarter of an hour, or to the hour without M15."""
    listing, last = venue.market.listings[symbol], _last(venue, symbol, now_ms)
    pages = (
        venue.market.page(symbol, timeframe, now_ms, start_ms=now_ms - DAY_MS, limit=100)
        for timeframe in (Timeframe.M15, Timeframe.H1)
    )
    candles = next((page for page in pages if len(page)), None)
    if candles is None:
        raise refusal(-1122)
    opening = Decimal(f"{candles['open'][0]:.{listing.price_precision}f}")
    volume, quote = float(candles["volume"].sum()), float(candles["quote_volume"].sum())
    trades, open_ms = int(candles["trades"].sum()), int(candles["timestamp"][0])
    first = open_ms * 10  # as the streams number trades
    return {
        "symbol": symbol,
        "priceChange": _price(venue, symbol, last - opening),
        "priceChangePercent": f"{(last / opening - 1) * 100:.3f}",
        "weightedAvgPrice": f"{quote / volume if volume else 0.0:.{listing.price_precision}f}",
        "lastPrice": _price(venue, symbol, last),
        "lastQty": f"{10.0**-listing.grid.volume:.{listing.grid.volume}f}",
        "openPrice": _price(venue, symbol, opening),
        "highPrice": f"{candles['high'].max():.{listing.price_precision}f}",
        "lowPrice": f"{candles['low'].min():.{listing.price_precision}f}",
        "volume": f"{volume:.{listing.grid.volume}f}",
        "quoteVolume": f"{quote:.2f}",
        "openTime": open_ms,
        "closeTime": now_ms,
        "firstId": first,
        "lastId": first + trades - 1,
        "count": trades,
    }


def open_interest(venue: Venue, params: Params, now_ms: int) -> bytes:
    """Answer the open interest of one contract, as the statistics have it for this quarter of an hour."""
    symbol = _known(venue, mandatory(params, "symbol"))
    period = 15 * MINUTE_MS
    # Now and then a period is missing.
    stamps = now_ms - now_ms % period + period * np.arange(-8, 1, dtype=np.int64)
    rows = venue.sentiment.statistic(Statistic.OPEN_INTEREST, symbol, stamps)
    return _json({"symbol": symbol, "openInterest": f"{rows['open_interest'][-1]:.3f}", "time": now_ms})


def depth(venue: Venue, params: Params, now_ms: int) -> bytes:
    """Answer an order book around the best bid and ask, a level on every tick."""
    symbol = _known(venue, mandatory(params, "symbol"))
    limit = whole_number(params, "limit") or _DEFAULT_DEPTH
    if limit not in _DEPTH_WEIGHTS:
        raise refusal(-4021, limit)
    listing, best = venue.market.listings[symbol], book_ticker(venue, symbol, now_ms)
    tick = Decimal(1).scaleb(-listing.grid.price)

    def levels(price: str, quantity: str, step: Decimal) -> list[list[str]]:
        sizes = 2 * float(quantity) * uniform(int(now_ms), np.arange(1, limit))
        units = [
            quantity,
            *(f"{size + 10.0**-listing.grid.volume:.{listing.grid.volume}f}" for size in sizes),
        ]
        prices = (Decimal(price) + number * step for number in range(limit))
        return [[_price(venue, symbol, at), size] for at, size in zip(prices, units, strict=True) if at > 0]

    return _json(
        {
            "lastUpdateId": best["lastUpdateId"],
            "E": now_ms,
            "T": now_ms,
            "bids": levels(best["bidPrice"], best["bidQty"], -tick),
            "asks": levels(best["askPrice"], best["askQty"], tick),
        }
    )


def depth_weight(params: Params) -> int:
    """Return the request weight by `limit`."""
    text = params.get("limit", "")
    return _DEPTH_WEIGHTS.get(int(text) if text.isdecimal() and len(text) < 9 else _DEFAULT_DEPTH, 1)


def _of_one_or_all(
    row: Callable[[Venue, str, int], dict[str, Any]],
) -> Callable[[Venue, Params, int], bytes]:
    """Return an answer with the row of the symbol asked for, or a list of those of all that are traded."""

    def answer(venue: Venue, params: Params, now_ms: int) -> bytes:
        symbol = params.get("symbol")
        if symbol is not None:
            return _json(row(venue, _known(venue, symbol), now_ms))
        traded = (each for each in venue.market.listings if venue.exchange.status(each) == "TRADING")
        return _json([row(venue, each, now_ms) for each in traded if _last(venue, each, now_ms)])

    return answer


def _known(venue: Venue, symbol: str) -> str:
    """Return `symbol`, refusing one that is not listed, or has no price yet."""
    if symbol not in venue.market.listings:
        raise refusal(-1121)
    if not _last(venue, symbol, venue.clock.now_ms()):
        raise refusal(-1122)
    return symbol


def _last(venue: Venue, symbol: str, now_ms: int) -> Decimal:
    return venue.exchange.state.prices.last(symbol, now_ms)


def _price(venue: Venue, symbol: str, price: Decimal) -> str:
    return f"{price:.{venue.market.listings[symbol].price_precision}f}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _weight(one: int, every: int) -> Callable[[Params], int]:
    return lambda params: one if params.get("symbol") else every


PRICE_ENDPOINTS = (
    Endpoint("GET", "/fapi/v1/premiumIndex", _weight(1, 10), _of_one_or_all(premium_index)),
    Endpoint("GET", "/fapi/v1/ticker/bookTicker", _weight(2, 5), _of_one_or_all(book_ticker)),
    Endpoint("GET", "/fapi/v1/ticker/price", _weight(1, 2), _of_one_or_all(price_ticker)),
    Endpoint("GET", "/fapi/v2/ticker/price", _weight(1, 2), _of_one_or_all(price_ticker)),
    Endpoint("GET", "/fapi/v1/ticker/24hr", _weight(1, 40), _of_one_or_all(day_ticker)),
    Endpoint("GET", "/fapi/v1/openInterest", lambda params: 1, open_interest),
    Endpoint("GET", "/fapi/v1/depth", depth_weight, depth),
)

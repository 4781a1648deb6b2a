"""Public market data over REST: ping, time, exchangeInfo, klines."""

from __future__ import annotations

import json
from typing import Any

from futures_agent.clock import MINUTE_MS
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.listing import Listing
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.rest import Endpoint, Params, mandatory, whole_number
from futures_agent.simulator.venue import Venue

DEFAULT_LIMIT, LARGEST_LIMIT = 500, 1500
_INTERVALS = {timeframe.value: timeframe for timeframe in Timeframe}


def ping(venue: Venue, params: Params, now_ms: int) -> bytes:
    """Answer that the venue is there."""
    return b"{}"


def server_time(venue: Venue, params: Params, now_ms: int) -> bytes:
    """Answer the venue's time."""
    return b'{"serverTime":%d}' % venue.told_ms(now_ms)


def exchange_info(venue: Venue, params: Params, now_ms: int) -> bytes:
    """Answer every contract and the limits, whatever symbol was asked for."""
    changed = venue.exchange.state.statuses
    document = {
        "timezone": "UTC",
        "serverTime": now_ms - now_ms % MINUTE_MS,  # the document is cached: clients must not trust it
        "futuresType": "U_MARGINED",
        "rateLimits": rate_limits(venue),
        "exchangeFilters": [],
        "assets": [
            {"asset": asset, "marginAvailable": True, "autoAssetExchange": "-10000"}
            for asset in ("USDT", "USDC")
        ],
        "symbols": [
            listing.entry(now_ms) | ({"status": changed[symbol]} if symbol in changed else {})
            for symbol, listing in venue.market.listings.items()
        ],
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def klines(venue: Venue, params: Params, now_ms: int) -> bytes:
    """Answer the candles of one contract, the forming one included."""
    symbol, interval = mandatory(params, "symbol"), mandatory(params, "interval")
    limit = whole_number(params, "limit")
    start_ms, end_ms = whole_number(params, "startTime"), whole_number(params, "endTime")
    listing = venue.market.listings.get(symbol)
    if listing is None:
        raise refusal(-1121)
    timeframe = _INTERVALS.get(interval)
    if timeframe is None:
        raise refusal(-1120)
    for name, value, least, most in (
        ("limit", limit, 1, LARGEST_LIMIT),
        ("startTime", start_ms, 0, None),
        ("endTime", end_ms, 0, None),
    ):
        if value is not None and (value < least or (most is not None and value > most)):
            raise refusal(-1130, name)
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise refusal(-1023)
    candles = venue.market.page(
        symbol, timeframe, now_ms, start_ms=start_ms, end_ms=end_ms, limit=limit or DEFAULT_LIMIT
    )
    return kline_rows(candles, timeframe, listing)


def klines_weight(params: Params) -> int:
    """Return the request weight by `limit`: [1,100) 1, [100,500) 2, [500,1000] 5, above 10."""
    text = params.get("limit", str(DEFAULT_LIMIT))
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else 1
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def kline_rows(candles: Candles, timeframe: Timeframe, listing: Listing) -> bytes:
    """Return candles as the exchange's rows of twelve, numbers as decimal texts on the contract's grid."""
    price = f'"%.{listing.price_precision}f"'
    volume, quote = f'"%.{listing.grid.volume}f"', f'"%.{listing.grid.quote}f"'
    row = f'[%d,{price},{price},{price},{price},{volume},%d,{quote},%d,{volume},{quote},"0"]'
    to_close = timeframe.ms - 1
    rows = [
        row % (opened, o, h, low, c, v, opened + to_close, q, n, bought, bought_quote)
        for opened, o, h, low, c, v, q, n, bought, bought_quote in candles.tolist()
    ]
    return f"[{','.join(rows)}]".encode()


def rate_limits(venue: Venue) -> list[dict[str, Any]]:
    """Return what exchangeInfo tells of the limits on weight and orders."""
    orders = venue.order_counts
    limits = (
        ("REQUEST_WEIGHT", "MINUTE", 1, venue.limiter.limit),
        ("ORDERS", "MINUTE", 1, orders.limit_1m),
        ("ORDERS", "SECOND", 10, orders.limit_10s),
    )
    names = ("rateLimitType", "interval", "intervalNum", "limit")
    return [dict(zip(names, limit, strict=True)) for limit in limits]


MARKET_ENDPOINTS = (
    Endpoint("GET", "/fapi/v1/ping", lambda params: 1, ping),
    Endpoint("GET", "/fapi/v1/time", lambda params: 1, server_time),
    Endpoint("GET", "/fapi/v1/exchangeInfo", lambda params: 1, exchange_info),
    Endpoint("GET", "/fapi/v1/klines", klines_weight, klines),
)

from __future__ import annotations

import pytest

from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.streams.names import (
    Address,
    Kind,
    Route,
    Stream,
    parse_address,
    parse_stream,
)

STREAMS = (
    Stream("btcusdt@kline_15m", Kind.KLINE, "BTCUSDT", Timeframe.M15),
    Stream("btcusdt_260327@kline_1d", Kind.KLINE, "BTCUSDT_260327", Timeframe.D1),
    Stream("币安人生usdt@aggTrade", Kind.AGG_TRADE, "币安人生USDT"),
    Stream("btcusdt@bookTicker", Kind.BOOK_TICKER, "BTCUSDT"),
    Stream("btcusdt@markPrice", Kind.MARK_PRICE, "BTCUSDT", period_ms=3000),
    Stream("btcusdt@markPrice@1s", Kind.MARK_PRICE, "BTCUSDT", period_ms=1000),
    Stream("!markPrice@arr", Kind.MARK_PRICE, "", period_ms=3000),
    Stream("!markPrice@arr@1s", Kind.MARK_PRICE, "", period_ms=1000),
    Stream("!bookTicker", Kind.BOOK_TICKER, ""),
    Stream("ethusdt@forceOrder", Kind.FORCE_ORDER, "ETHUSDT"),
    Stream("!forceOrder@arr", Kind.FORCE_ORDER, ""),
    Stream("!contractInfo", Kind.CONTRACT_INFO, ""),
)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_name_says_what_its_stream_shows(stream: Stream) -> None:
    assert parse_stream(stream.name) == stream


@pytest.mark.parametrize(
    "name",
    ["BTCUSDT@kline_15m", "btcusdt@kline_1s", "btcusdt@kline", "btcusdt", "@kline_1h", "!x@arr", "", "a@b@c"],
)
def test_other_names_mean_nothing(name: str) -> None:
    assert parse_stream(name) is None


SHOWN = {
    "btcusdt@kline_1h": {Route.MARKET},
    "!markPrice@arr": {Route.MARKET},
    "btcusdt@aggTrade": {Route.MARKET},
    "!contractInfo": {Route.MARKET},
    "btcusdt@bookTicker": {Route.PUBLIC, Route.UNROUTED},
    "!bookTicker": {Route.PUBLIC, Route.UNROUTED},
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_stream_is_shown_on_its_route_alone(name: str) -> None:
    stream = parse_stream(name)
    assert stream is not None
    assert {route for route in Route if stream.is_shown_on(route)} == SHOWN[name]


ADDRESSES = {
    "/ws": Address(Route.UNROUTED, False),
    "/public/ws/a@b/c@d": Address(Route.PUBLIC, False, ("a@b", "c@d")),
    "/market/stream?streams=a@b/c@d/a@b": Address(Route.MARKET, True, ("a@b", "c@d")),
    "/market/ws/%E5%B8%81usdt@kline_1h": Address(Route.MARKET, False, ("币usdt@kline_1h",)),
    "/private/ws/KEY": Address(Route.PRIVATE, False, ("KEY",)),
    "/private/stream?listenKey=KEY": Address(Route.PRIVATE, True, ("KEY",)),
    "/private/ws?listenKey=KEY&events=ALGO_UPDATE/ACCOUNT_UPDATE": Address(
        Route.PRIVATE, False, ("KEY",), frozenset(("ALGO_UPDATE", "ACCOUNT_UPDATE"))
    ),
}


@pytest.mark.parametrize("target", ADDRESSES)
def test_an_address_says_route_wrapping_and_streams(target: str) -> None:
    assert parse_address(target) == ADDRESSES[target]


@pytest.mark.parametrize("target", ["/", "/wss", "/secret/ws", "/market", "/ws-fapi/v1", "/fapi/v1/time"])
def test_other_paths_have_no_streams(target: str) -> None:
    assert parse_address(target) is None

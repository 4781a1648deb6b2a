"""The exchange's Python client listens while it trades; `sdk_streams_program.py URL KEY SECRET`.

It subscribes to market streams and to its user data, buys and sells once, and prints as JSON what each stream
brought (as its models gave it) and what it complained about.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (
    DerivativesTradingUsdsFutures,
)
from sdk_program import listen_to_complaints, plain

PATIENCE_S = 30.0
BTC = {"symbol": "BTCUSDT"}
USER_EVENTS = 10  # two orders at market bring four each, a stop that is taken away two


def client_at(url: str, key: str, secret: str) -> DerivativesTradingUsdsFutures:
    """Return the client, pointed at `url` by its configuration alone."""
    return DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(api_key=key, api_secret=secret, base_path=url, timeout=5000),
        config_ws_streams=ConfigurationWebSocketStreams(
            stream_url=f"{url.replace('http', 'ws', 1)}/stream", reconnect_delay=100
        ),
    )


def trade(rest: Any) -> None:
    """Buy, protect, sell, and take the protection away."""
    rest.new_order(**BTC, side="BUY", type="MARKET", quantity="0.01")
    mark = float(rest.mark_price(**BTC).data().actual_instance.mark_price)
    stop = rest.new_algo_order(
        **BTC,
        algo_type="CONDITIONAL",
        side="SELL",
        type="STOP_MARKET",
        trigger_price=str(round(mark * 0.9)),
        quantity="0.01",
        reduce_only="true",
    ).data()
    rest.new_order(**BTC, side="SELL", type="MARKET", quantity="0.01", reduce_only="true")
    rest.cancel_algo_order(algo_id=stop.algo_id)


async def listen(client: DerivativesTradingUsdsFutures) -> dict[str, list[Any]]:
    """Return kind and content of each stream's messages once all have brought something, or patience ends."""
    heard: dict[str, list[Any]] = {}
    enough = asyncio.Event()

    def hear(name: str) -> Callable[[Any], None]:
        heard[name] = []

        def keep(message: Any) -> None:
            # User data come as the model that the client found them to be.
            kind = type(getattr(message, "actual_instance", message)).__name__
            heard[name].append([kind, plain(message)])
            if all(heard.values()) and len(heard["user"]) >= USER_EVENTS:
                enough.set()

        return keep

    connection = await client.websocket_streams.create_connection()
    key = client.rest_api.start_user_data_stream().data().listen_key
    subscriptions = {
        "user": connection.user_data(key),
        "kline": connection.kline_candlestick_streams(symbol="btcusdt", interval="15m"),
        "mark": connection.mark_price_stream(symbol="btcusdt", update_speed="1s"),
        "book": connection.individual_symbol_book_ticker_streams(symbol="btcusdt"),
        "trade": connection.aggregate_trade_streams(symbol="btcusdt"),
    }
    for name, subscription in subscriptions.items():
        (await subscription).on("message", hear(name))
    await asyncio.to_thread(trade, client.rest_api)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(enough.wait(), PATIENCE_S)
    await client.websocket_streams.close_connection(close_session=True)
    return heard


def main() -> None:
    complaints = listen_to_complaints()
    heard = asyncio.run(listen(client_at(*sys.argv[1:4])))
    print(json.dumps({"heard": heard, "complaints": complaints}))


if __name__ == "__main__":
    main()

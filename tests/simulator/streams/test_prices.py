"""Streams of prices: mark price, book, trades."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import requests

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.simulator.server import RunningSimulator
from simulator.streams.stream_client import StreamClient

Factory = Callable[..., RunningSimulator]


def rest(simulator: RunningSimulator, path: str) -> Any:
    return requests.get(simulator.url + path, timeout=10).json()


def test_mark_price_has_the_exchanges_fields_and_the_next_funding(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, "/market/ws/btcusdt@markPrice@1s") as client:
        (message,) = client.stepped(1_000)
    assert list(message) == ["e", "E", "s", "p", "ap", "i", "P", "r", "T", "st"]
    assert (message["e"], message["s"], message["st"]) == ("markPriceUpdate", "BTCUSDT", 1)
    assert Decimal(message["p"]) == simulator.venue.exchange.mark_price("BTCUSDT")
    assert all(len(message[name].partition(".")[2]) == 8 for name in ("p", "ap", "i", "P", "r"))
    simulator.clock.set(message["T"] + 1_000)
    paid = rest(simulator, f"/fapi/v1/fundingRate?symbol=BTCUSDT&startTime={message['T']}&limit=1")
    assert [row["fundingRate"] for row in paid] == [message["r"]]
    assert 0 <= paid[0]["fundingTime"] - message["T"] < MINUTE_MS


def test_mark_prices_come_every_second_or_every_three(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    names = "btcusdt@markPrice/btcusdt@markPrice@1s"
    with StreamClient(simulator, f"/market/stream?streams={names}") as client:
        told = [message["stream"] for message in client.stepped(*[500] * 12)]
    assert (told.count("btcusdt@markPrice"), told.count("btcusdt@markPrice@1s")) == (2, 6)


def test_all_mark_prices_come_as_arrays_those_of_shares_by_themselves(simulator_factory: Factory) -> None:
    with StreamClient(simulator_factory(), "/market/ws/!markPrice@arr") as client:
        coins, shares = client.stepped(3_000)
    assert [row["s"] for row in coins][:3] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert "LUNAUSDT" not in {row["s"] for row in coins}  # settling
    assert [row["s"] for row in shares] == ["TSLAUSDT"]


def test_the_rate_of_the_next_funding_changes_with_it(simulator_factory: Factory) -> None:
    with StreamClient(simulator_factory(), "/market/ws/btcusdt@markPrice") as client:
        messages = client.stepped(*[HOUR_MS] * 12)  # 14:20 to 02:20
    assert all(message["T"] - 8 * HOUR_MS <= message["E"] < message["T"] for message in messages)
    assert len({(message["T"], message["r"]) for message in messages}) == 3


def test_the_book_lies_around_the_last_price_on_the_tick(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, "/public/ws/btcusdt@bookTicker") as client:
        (message,) = client.stepped(1_000)
    assert list(message) == ["e", "u", "E", "T", "s", "b", "B", "a", "A", "st", "ps"]
    bid, ask = Decimal(message["b"]), Decimal(message["a"])
    last = simulator.venue.exchange.last_price("BTCUSDT")
    assert last * Decimal("0.9998") < bid < last < ask < last * Decimal("1.0002")
    assert bid % Decimal("0.1") == ask % Decimal("0.1") == 0
    assert float(message["B"]) > 0
    assert float(message["A"]) > 0


def test_all_books_come_one_by_one_with_growing_numbers(simulator_factory: Factory) -> None:
    with StreamClient(simulator_factory(), "/public/ws/!bookTicker") as client:
        messages = client.stepped(1_000, 1_000)
    of_btc = [message["u"] for message in messages if message["s"] == "BTCUSDT"]
    assert len(of_btc) == 2
    assert of_btc[0] < of_btc[1]
    assert {"ETHUSDT", "SOLUSDT", "TSLAUSDT"} < {message["s"] for message in messages}


def test_trades_add_up_to_the_candle(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    names = "ethusdt@aggTrade/ethusdt@kline_15m"
    with StreamClient(simulator, f"/market/stream?streams={names}") as client:
        messages = [message["data"] for message in client.stepped(*[MINUTE_MS] * 9)]
    trades = [message for message in messages if message["e"] == "aggTrade"]
    bars = [message["k"] for message in messages if message["e"] == "kline"]
    assert list(trades[0]) == ["e", "E", "s", "a", "p", "q", "nq", "f", "l", "T", "m", "st"]
    traded = sum(Decimal(trade["q"]) for trade in trades)
    assert traded == Decimal(bars[-1]["v"]) - Decimal(bars[0]["v"]) > 0
    numbers = [(trade["f"], trade["l"]) for trade in trades]
    assert all(first == before + 1 for (_, before), (first, _) in pairwise(numbers))
    assert numbers[-1][1] == bars[-1]["L"]
    assert [trade["p"] for trade in trades] == [bar["c"] for bar in bars[1:]]


def test_trades_go_on_in_the_next_candle(simulator_factory: Factory) -> None:
    with StreamClient(simulator_factory(), "/market/ws/ethusdt@aggTrade") as client:
        trades = client.stepped(MINUTE_MS, 10 * MINUTE_MS, MINUTE_MS)
    assert len(trades) == 2
    assert trades[0]["a"] < trades[1]["a"]
    assert trades[0]["a"] == trades[0]["l"]

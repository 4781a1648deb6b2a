from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
from websockets.exceptions import InvalidStatus

from futures_agent.clock import MINUTE_MS
from futures_agent.simulator.server import RunningSimulator
from simulator.streams.stream_client import StreamClient

Factory = Callable[..., RunningSimulator]

KLINE, BOOK = "btcusdt@kline_15m", "btcusdt@bookTicker"


def test_each_route_shows_its_own_streams_and_is_silent_on_the_others(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    told = {}
    for route in ("/public", "/market", "/private", ""):
        with StreamClient(simulator, f"{route}/stream") as client:
            assert client.ask("SUBSCRIBE", KLINE, BOOK, number=4) == {"result": None, "id": 4}
            told[route] = [message["stream"] for message in client.stepped(MINUTE_MS)]
    assert told == {"/public": [BOOK], "/market": [KLINE], "/private": [], "": [BOOK]}


def test_the_path_decides_the_wrapping(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, f"/market/stream?streams={KLINE}") as client:
        (message,) = client.stepped(MINUTE_MS)
        assert list(message) == ["stream", "data"]
        assert (message["stream"], message["data"]["e"]) == (KLINE, "kline")
        client.ask("SET_PROPERTY", "combined", False)
        (message,) = client.stepped(MINUTE_MS)
        assert message["e"] == "kline"
    with StreamClient(simulator, f"/market/ws/{KLINE}/ethusdt@kline_15m") as client:
        assert [message["e"] for message in client.stepped(MINUTE_MS)] == ["kline", "kline"]


def test_streams_can_be_added_and_taken_away(simulator_factory: Factory) -> None:
    with StreamClient(simulator_factory(), "/market/ws") as client:
        assert client.stepped(MINUTE_MS) == []
        client.ask("SUBSCRIBE", KLINE, "ethusdt@kline_15m")
        assert [message["s"] for message in client.stepped(MINUTE_MS)] == ["BTCUSDT", "ETHUSDT"]
        client.ask("UNSUBSCRIBE", KLINE)
        assert [message["s"] for message in client.stepped(MINUTE_MS)] == ["ETHUSDT"]
        assert client.ask("LIST_SUBSCRIPTIONS")["result"] == ["ethusdt@kline_15m"]


def test_unknown_streams_and_symbols_are_acknowledged_and_silent(simulator_factory: Factory) -> None:
    with StreamClient(simulator_factory(), "/market/ws") as client:
        nonsense = ["nonsense", "xyzusdt@kline_15m", "BTCUSDT@kline_15m", "lunausdt@kline_15m"]
        assert client.ask("SUBSCRIBE", *nonsense)["result"] is None
        assert client.stepped(15 * MINUTE_MS) == []


def test_two_clients_get_the_same(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with (
        StreamClient(simulator, f"/market/ws/{KLINE}") as one,
        StreamClient(simulator, f"/market/ws/{KLINE}") as other,
    ):
        assert one.stepped(MINUTE_MS, 15 * MINUTE_MS) == other.here() != []
        assert simulator.stats["connections"] == 2


def test_other_paths_are_refused(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with pytest.raises(InvalidStatus) as refused, StreamClient(simulator, "/secret/ws"):
        pass
    assert refused.value.response.status_code == 404
    assert simulator.stats["connections"] == 0


def test_the_handshake_tells_no_time_of_the_host(simulator_factory: Factory) -> None:
    with StreamClient(simulator_factory(), "/market/ws") as client:
        assert client.socket.response is not None
        assert "Date" not in client.socket.response.headers


def test_rest_goes_on_beside_streams(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, f"/market/ws/{KLINE}"):
        assert requests.get(simulator.url + "/fapi/v1/ping", timeout=10).json() == {}

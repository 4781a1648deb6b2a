from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import requests

from futures_agent.clock import MINUTE_MS
from futures_agent.simulator.server import RunningSimulator
from futures_agent.simulator.streams.config import StreamsConfig
from simulator.streams.stream_client import StreamClient, step

Factory = Callable[..., RunningSimulator]

KLINE = "btcusdt@kline_15m"
QUARTER_MS = 15 * MINUTE_MS


def try_step(simulator: RunningSimulator, **options: Any) -> requests.Response:
    change = {"step_ms": QUARTER_MS, "wait_quiet": True, **options}
    return requests.post(simulator.url + "/sim/clock", json=change, timeout=30)


def test_a_step_returns_once_every_client_has_its_events(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    begin = simulator.clock.now_ms()
    with StreamClient(simulator, f"/market/ws/{KLINE}") as client:
        for number in range(1, 21):
            answer = try_step(simulator).json()
            assert answer["now_ms"] == begin + number * QUARTER_MS
            assert client.here()[-1]["E"] == answer["now_ms"]


def test_a_client_that_asks_on_every_close_is_waited_for(simulator_factory: Factory) -> None:
    """What a client does because of a step happens at the time of that step, however slow the venue is."""
    simulator = simulator_factory(latency_ms=20)
    step(simulator, 10 * MINUTE_MS)  # from now on, each step ends with a close
    asked: list[tuple[int, int]] = []
    with StreamClient(simulator, f"/market/ws/{KLINE}") as client:

        def follow() -> None:
            for message in client.socket:
                told = int(message.partition('"E":')[2].partition(",")[0])
                for _ in range(2):
                    reply = requests.get(simulator.url + "/fapi/v1/time", timeout=10)
                    asked.append((told, reply.json()["serverTime"]))

        following = threading.Thread(target=follow)
        following.start()
        for _ in range(6):
            assert try_step(simulator, settle_s=0.05).status_code == 200
        client.socket.close()
        following.join(10)
    assert len(asked) == 6 * 2
    assert all(told == then for told, then in asked)


def test_it_is_not_stepped_while_a_request_is_in_flight(simulator_factory: Factory) -> None:
    simulator = simulator_factory(latency_ms=400)
    before = simulator.clock.now_ms()
    asking = threading.Thread(target=lambda: requests.get(simulator.url + "/fapi/v1/ping", timeout=10))
    asking.start()
    while not simulator.venue.streams.in_flight:
        time.sleep(0.001)
    refused = try_step(simulator, within_s=0.05)
    assert refused.status_code == 503
    assert "not quiet within 0.05 s: 1 requests in flight" in refused.json()["error"]
    assert simulator.clock.now_ms() == before
    asking.join()
    assert try_step(simulator).status_code == 200


def test_it_is_not_stepped_while_a_client_does_not_answer(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    before = simulator.clock.now_ms()
    with StreamClient(simulator, "/market/ws") as client:
        deaf = client.socket.protocol.recv_frame
        client.socket.protocol.recv_frame = lambda frame: None  # type: ignore[method-assign]
        refused = try_step(simulator, within_s=0.1)
        assert refused.status_code == 503
        assert "no pong from 127.0.0.1:" in refused.json()["error"]
        assert simulator.clock.now_ms() == before
        client.socket.protocol.recv_frame = deaf  # type: ignore[method-assign]
        assert try_step(simulator).status_code == 200


def test_a_half_open_connection_is_not_waited_for(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, f"/market/ws/{KLINE}", close_timeout=0.1) as client:
        (connection,) = simulator.venue.streams.connections
        connection.silent = True
        step(simulator, MINUTE_MS)
        assert client.here() == []


def test_events_held_back_for_an_answer_are_waited_for(simulator_factory: Factory) -> None:
    simulator = simulator_factory(streams=StreamsConfig(answer_first=1.0, answer_first_ms=150.0))
    venue = simulator.venue
    account = venue.exchange.accounts[0]
    with venue.lock:
        key = venue.exchange.start_listen_key(account, venue.clock.now_ms())
    with StreamClient(simulator, f"/private/ws/{key}") as client:
        with venue.lock:
            venue.exchange.set_leverage(account, "BTCUSDT", 7, venue.clock.now_ms())
        while not venue.streams.waiting:
            time.sleep(0.001)
        assert client.here() == []
        step(simulator, 0)
        assert [message["e"] for message in client.here()] == ["ACCOUNT_CONFIG_UPDATE"]
        assert not venue.streams.waiting


def test_without_clients_it_steps_at_once(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    before = simulator.clock.now_ms()
    assert try_step(simulator).json()["now_ms"] == before + QUARTER_MS

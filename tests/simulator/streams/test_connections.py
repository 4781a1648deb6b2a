"""What a connection has to put up with, and what its client must do: pings, ages, limits, ends."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import requests
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.server import RunningSimulator, running_simulator
from futures_agent.simulator.streams.config import StreamsConfig
from simulator.streams.stream_client import StreamClient, step

Factory = Callable[..., RunningSimulator]

KLINE = "btcusdt@kline_15m"


class RawClient:
    """A client that answers nothing by itself: what it sends and reads is said frame by frame."""

    def __init__(self, simulator: RunningSimulator, path: str) -> None:
        url = simulator.url.replace("http", "ws", 1) + path
        self.protocol = ClientProtocol(parse_uri(url))
        self.socket = socket.create_connection((self.protocol.uri.host, self.protocol.uri.port), timeout=10)
        self.protocol.send_request(self.protocol.connect())
        self.send()
        assert isinstance(self.events()[0], Response)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self) -> None:
        """Send what the protocol has to say."""
        for data in self.protocol.data_to_send():
            self.socket.sendall(data)

    def events(self) -> list[Any]:
        """Return the next frames; none at the end of the connection."""
        while not self.protocol.events:
            data = self.socket.recv(65_536)
            if not data:
                return []
            self.protocol.receive_data(data)
            for frame in self.protocol.events:
                if isinstance(frame, Frame) and frame.opcode is Opcode.PING:
                    self.protocol.data_to_send()  # its pong, which this client keeps to itself
        return self.protocol.events_received()

    def frame(self, opcode: Opcode) -> Frame | None:
        """Return the next frame of that kind, passing over others; None at the end."""
        while found := self.events():
            for event in found:
                if isinstance(event, Frame) and event.opcode is opcode:
                    return event
        return None


def advance(simulator: RunningSimulator, step_ms: int) -> None:
    """Step the clock without waiting for anybody."""
    requests.post(simulator.url + "/sim/clock", json={"step_ms": step_ms}, timeout=10).raise_for_status()


def test_the_server_pings_every_three_minutes_with_a_payload(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with RawClient(simulator, "/market/ws") as client:
        payloads = []
        for _ in range(3):
            advance(simulator, 3 * MINUTE_MS)
            ping = client.frame(Opcode.PING)
            assert ping is not None
            payloads.append(bytes(ping.data))
            client.protocol.send_pong(ping.data)
            client.send()
            # Commands are answered in order: when this one is, the pong has been taken.
            client.protocol.send_text(b'{"method":"LIST_SUBSCRIPTIONS","id":1}')
            client.send()
            client.frame(Opcode.TEXT)
    assert len(set(payloads)) == 3
    assert all(payloads)


def test_without_a_pong_within_ten_minutes_the_connection_ends(simulator_factory: Factory) -> None:
    simulator = simulator_factory(streams=StreamsConfig(patience_s=0.05))
    with RawClient(simulator, "/market/ws") as client:
        advance(simulator, 3 * MINUTE_MS)
        assert client.frame(Opcode.PING) is not None
        client.protocol.send_pong(b"another payload")
        client.send()
        advance(simulator, 10 * MINUTE_MS - 1)
        advance(simulator, 1)
        closing = client.frame(Opcode.CLOSE)
        assert closing is not None
        assert closing.data[2:] == b"Pong timeout"
        assert client.events() == []


def test_a_client_that_answers_stays_however_far_the_clock_is_stepped(simulator_factory: Factory) -> None:
    simulator = simulator_factory(streams=StreamsConfig(patience_s=0.05))
    with StreamClient(simulator, f"/market/ws/{KLINE}") as client:
        for _ in range(20):
            step(simulator, HOUR_MS)
        assert simulator.stats["connections"] == 1
        assert sum(message["k"]["x"] for message in client.here()) == 80


def test_after_a_day_the_connection_ends(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, f"/market/ws/{KLINE}") as client:
        step(simulator, DAY_MS - 1)
        step(simulator, 1)
        closed = client.end()
    assert closed.rcvd is not None
    assert (closed.rcvd.code, closed.rcvd.reason) == (1001, "24 hours are over")


def test_more_than_ten_messages_in_a_second_end_the_connection(simulator_factory: Factory) -> None:
    with StreamClient(simulator_factory(), "/market/ws") as client:
        for number in range(10):
            assert client.ask("LIST_SUBSCRIPTIONS", number=number)["id"] == number
        client.socket.send('{"method":"LIST_SUBSCRIPTIONS","id":11}')
        closed = client.end()
    assert closed.rcvd is not None
    assert (closed.rcvd.code, closed.rcvd.reason) == (1008, "Too many requests")


def test_pings_of_the_client_are_answered_and_count_as_messages(simulator_factory: Factory) -> None:
    with StreamClient(simulator_factory(), "/market/ws") as client:
        for number in range(10):
            assert client.socket.ping(str(number)).wait(10)
        client.socket.ping("one more")
        closed = client.end()
    assert closed.rcvd is not None
    assert closed.rcvd.code == 1008


def test_on_a_clock_that_goes_on_messages_are_forgotten(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, "/market/ws") as client:
        for number in range(40):
            client.ask("LIST_SUBSCRIPTIONS", number=number)
            if number % 10 == 9:
                step(simulator, 1_000)
        assert simulator.stats["connections"] == 1


def test_too_many_streams_end_the_connection(simulator_factory: Factory) -> None:
    simulator = simulator_factory(streams=StreamsConfig(most_streams=3))
    with StreamClient(simulator, "/market/ws/a/b") as client:
        client.ask("SUBSCRIBE", "c")
        client.socket.send(json.dumps({"method": "SUBSCRIBE", "params": ["d"], "id": 2}))
        closed = client.end()
    assert closed.rcvd is not None
    assert (closed.rcvd.code, closed.rcvd.reason) == (1008, "more than 3 streams on one connection")
    with pytest.raises(InvalidStatus), StreamClient(simulator, "/market/ws/a/b/c/d"):
        pass


def test_too_many_handshakes_are_refused_and_then_banned(simulator_factory: Factory) -> None:
    simulator = simulator_factory(streams=StreamsConfig(connects_per_5min=2))
    statuses = []
    for _ in range(13):
        try:
            with StreamClient(simulator, "/market/ws"):
                statuses.append(101)
        except InvalidStatus as refused:
            statuses.append(refused.response.status_code)
    assert statuses == [101] * 2 + [429] * 10 + [418]
    advance(simulator, 5 * MINUTE_MS)
    with StreamClient(simulator, "/market/ws") as client:
        assert client.ask("LIST_SUBSCRIPTIONS")["result"] == []


def test_commands_may_come_in_fragments(simulator_factory: Factory) -> None:
    with StreamClient(simulator_factory(), "/market/ws") as client:
        client.socket.send(iter(['{"method":"LIST_', 'SUBSCRIPTIONS","id":5}']))
        assert client.next() == {"result": [], "id": 5}


def test_bytes_and_names_that_are_no_text_do_no_harm(simulator_factory: Factory) -> None:
    with StreamClient(simulator_factory(), "/market/ws") as client:
        client.socket.send(b"\xff\xfe")
        assert client.next()["error"]["code"] == 3
        assert client.ask("SUBSCRIBE", "\ud800@kline_15m")["result"] is None
        assert client.ask("LIST_SUBSCRIPTIONS")["result"] == ["?@kline_15m"]
        assert client.stepped(MINUTE_MS) == []


def test_a_client_that_closes_is_answered_and_forgotten(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, f"/market/ws/{KLINE}") as client:
        client.socket.close()
        closed = client.end()
    assert closed.rcvd is not None
    assert closed.rcvd.code == 1000
    step(simulator, MINUTE_MS)
    assert simulator.stats["connections"] == 0


def test_a_client_that_breaks_the_protocol_is_closed(simulator_factory: Factory) -> None:
    with RawClient(simulator_factory(), "/market/ws") as client:
        client.socket.sendall(b"\x83\x80\x00\x00\x00\x00")  # an opcode that does not exist
        closing = client.frame(Opcode.CLOSE)
        assert closing is not None
        assert int.from_bytes(closing.data[:2], "big") == 1002
        assert client.events() == []


def test_a_client_that_does_not_read_is_cut_off(simulator_factory: Factory) -> None:
    simulator = simulator_factory(streams=StreamsConfig(patience_s=0.05, longest_ms=10_000 * DAY_MS))
    names = "/".join(f"{symbol}@kline_15m" for symbol in ("btcusdt", "ethusdt", "solusdt"))
    with RawClient(simulator, f"/market/stream?streams={names}") as client:
        advance(simulator, 365 * DAY_MS)  # 100,000 messages, 35 MB
        for _ in range(1_000):
            if not simulator.stats["connections"]:
                break
            time.sleep(0.01)
        assert simulator.stats["connections"] == 0
        with suppress(ConnectionError):  # what had been sent can still be read, then it is over
            while client.socket.recv(2**20):
                pass


def test_stopping_the_server_ends_its_connections_at_once() -> None:
    config = SimulatorConfig(symbols=("BTCUSDT",), history_days=1, scale=0)
    with ExitStack() as clients:
        with running_simulator(config) as simulator:
            client = clients.enter_context(StreamClient(simulator, f"/market/ws/{KLINE}"))
            step(simulator, MINUTE_MS)
        closed = client.end()
        assert closed.rcvd is not None
        assert closed.rcvd.code == 1012
    with (
        running_simulator(config, simulator.venue) as again,
        StreamClient(again, f"/market/ws/{KLINE}") as client,
    ):
        assert len(client.stepped(MINUTE_MS)) == 1


def test_a_fault_of_the_venue_itself_is_no_silence(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, f"/market/ws/{KLINE}") as client:

        def broken(now_ms: int) -> None:
            raise RuntimeError("broken")

        simulator.venue.streams._advance = broken
        advance(simulator, MINUTE_MS)
        closed = client.end()
    assert closed.rcvd is not None
    assert (closed.rcvd.code, closed.rcvd.reason) == (1011, "RuntimeError")

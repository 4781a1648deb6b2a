"""Every fault of streams over real sockets, told by what a client receives."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.fault_acts import ConnectionsLost, ListenKeyExpired
from futures_agent.simulator.fault_plan import FaultPlan
from futures_agent.simulator.fault_streams import CandlesMissing, StreamFault, Tampering
from futures_agent.simulator.faults import Fault
from futures_agent.simulator.server import RunningSimulator
from futures_agent.simulator.streams.config import StreamsConfig
from futures_agent.simulator.streams.feed import Message
from signed_client import SignedClient
from simulator.streams.stream_client import StreamClient, step

Factory = Callable[..., RunningSimulator]

NOW = 1_700_000_000_000
KLINE = "btcusdt@kline_15m"
NO_TICKS = {"streams": StreamsConfig(tick_ms=0)}


def row(simulator: RunningSimulator, number: int = 1) -> tuple[str, int, str]:
    """Return state, strikes and note of a fault."""
    told = simulator.venue.faults.rows(simulator.clock.now_ms())[number - 1]
    return told["state"], told["engaged"], told.get("note", "")


def private(simulator: RunningSimulator) -> tuple[SignedClient, str]:
    """Return a client, and the path of its user data."""
    client = SignedClient(simulator)
    key = client.raw("POST", "listenKey").json()["listenKey"]
    return client, f"/private/ws/{key}"


def kinds(messages: list[Any]) -> list[str]:
    return [message["e"] for message in messages]


def received(simulator: RunningSimulator, fault: StreamFault, *steps_ms: int) -> list[list[str]]:
    """Buy with `fault` in force; return the kinds of events that came at once, and after each step."""
    client, path = private(simulator)
    with StreamClient(simulator, path) as stream:
        simulator.add_fault(fault)
        client.market("BUY", "0.010")
        return [kinds(stream.stepped(step_ms)) for step_ms in (0, *steps_ms)]


ORDER, LITE, ACCOUNT = "ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE"


def test_an_event_is_dropped(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    fault = StreamFault(how="event dropped", event=ORDER)
    assert received(simulator, fault, MINUTE_MS) == [[LITE, ORDER, ACCOUNT], []]
    assert row(simulator) == ("used up", 1, "")


def test_an_event_comes_twice(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    fault = StreamFault(how="event repeated", event=ACCOUNT, key="demo", delay_ms=0)
    assert received(simulator, fault) == [[ORDER, LITE, ORDER, ACCOUNT, ACCOUNT]]
    assert row(simulator)[1] == 1


def test_an_event_comes_late(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    fault = StreamFault(how="event late", event=LITE, delay_ms=500)
    assert received(simulator, fault, 499, 1) == [[ORDER, ORDER, ACCOUNT], [], [LITE]]


def test_an_answer_comes_after_its_events(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    client, path = private(simulator)
    with StreamClient(simulator, path) as stream, ThreadPoolExecutor(1) as pool:
        simulator.add_fault(Fault(how="late", delay_ms=500, path="/fapi/v1/order"))
        answer = pool.submit(client.market, "BUY", "0.010")
        assert kinds([stream.next() for _ in range(4)]) == [ORDER, LITE, ORDER, ACCOUNT]
        assert not answer.done()
        assert answer.result(timeout=10)["executedQty"] == "0"


def test_events_of_different_kinds_are_swapped(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    fault = StreamFault(how="events swapped", event=LITE)
    assert received(simulator, fault) == [[ORDER, ORDER, LITE, ACCOUNT]]


def test_events_of_another_account_are_left_alone(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    fault = StreamFault(how="event dropped", key="somebody", count=None)
    assert received(simulator, fault) == [[ORDER, LITE, ORDER, ACCOUNT]]
    assert row(simulator)[1] == 0


def message(event: str, number: int) -> Message:
    return Message("stream", event, NOW + number, str(number).encode())


def test_swapped_events_of_one_kind_keep_their_order() -> None:
    plan = FaultPlan()
    plan.add(StreamFault(how="events swapped", event="a"))
    tamper = Tampering(plan, lambda stream: "")
    sent = [
        [int(each.body) for _, each in tamper(message(event, number), NOW)]
        for number, event in enumerate("aaba")
    ]
    assert sent == [[], [], [2, 0, 1], [3]]


def test_every_event_comes_once_however_often_they_are_swapped() -> None:
    plan = FaultPlan()
    plan.add(StreamFault(how="events swapped", count=None))
    tamper = Tampering(plan, lambda stream: "")
    sent = [
        [int(each.body) for _, each in tamper(message(event, number), NOW)]
        for number, event in enumerate("abcdd")
    ]
    assert sent == [[], [1, 0], [], [3, 2], []]


def closes(
    simulator: RunningSimulator, fault: StreamFault | CandlesMissing, *steps_ms: int
) -> list[list[int]]:
    """Return which candles close (minutes after the first), at once and after each step."""
    open_ms = Timeframe.M15.open_of(simulator.clock.now_ms())
    with StreamClient(simulator, f"/market/ws/{KLINE}") as stream:
        simulator.add_fault(fault)
        told = [stream.stepped(step_ms) for step_ms in steps_ms]
    return [[(each["k"]["t"] - open_ms) // MINUTE_MS for each in some if each["k"]["x"]] for some in told]


def test_a_close_never_comes(simulator_factory: Factory) -> None:
    simulator = simulator_factory(**NO_TICKS)
    fault = StreamFault(how="close missing", stream=KLINE)
    assert closes(simulator, fault, *[15 * MINUTE_MS] * 3) == [[], [15], [30]]
    assert row(simulator) == ("used up", 1, "")


def test_a_close_comes_late(simulator_factory: Factory) -> None:
    simulator = simulator_factory(**NO_TICKS)
    fault = StreamFault(how="close late", delay_ms=10 * MINUTE_MS + 1)
    assert closes(simulator, fault, 15 * MINUTE_MS, 10 * MINUTE_MS, MINUTE_MS) == [[], [15], [0]]


def test_candles_are_missing_from_streams_as_well(simulator_factory: Factory) -> None:
    simulator = simulator_factory(**NO_TICKS)
    first_ms = Timeframe.M15.open_of(simulator.clock.now_ms())
    fault = CandlesMissing(symbol="BTCUSDT", first_ms=first_ms, last_ms=first_ms + 20 * MINUTE_MS)
    assert closes(simulator, fault, *[15 * MINUTE_MS] * 3) == [[], [], [30]]


def test_connections_are_torn_without_a_word(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, f"/market/ws/{KLINE}") as stream:
        simulator.add_fault(ConnectionsLost(how="streams closed"))
        step(simulator, 0)
        ended = stream.end()
    assert isinstance(ended, ConnectionClosedError)
    assert ended.rcvd is None
    assert row(simulator) == ("used up", 1, "")


def test_connections_end_as_after_24_hours(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, f"/market/ws/{KLINE}") as stream:
        simulator.add_fault(ConnectionsLost(how="streams ended", from_ms=simulator.clock.now_ms() + HOUR_MS))
        step(simulator, HOUR_MS - 1)
        assert row(simulator)[0] == "waiting"
        step(simulator, 1)
        ended = stream.end()
    assert ended.rcvd is not None
    assert (ended.rcvd.code, ended.rcvd.reason) == (1001, "24 hours are over")


def test_a_silent_connection_lives_but_tells_nothing(simulator_factory: Factory) -> None:
    simulator = simulator_factory(**NO_TICKS)
    with (
        StreamClient(simulator, f"/market/ws/{KLINE}") as market,
        StreamClient(simulator, f"/public/ws/{KLINE}") as public,
    ):
        simulator.add_fault(ConnectionsLost(how="streams silent", route="market"))
        step(simulator, 0)
        assert market.stepped(HOUR_MS) == []
        assert market.socket.ping().wait(10)
        assert market.ask("LIST_SUBSCRIPTIONS") == {"result": [KLINE], "id": 1}
        assert public.ask("LIST_SUBSCRIPTIONS")["id"] == 1


def test_a_half_open_connection_answers_nothing_and_stays(simulator_factory: Factory) -> None:
    simulator = simulator_factory(**NO_TICKS)
    with StreamClient(simulator, f"/market/ws/{KLINE}") as stream:
        simulator.add_fault(ConnectionsLost(how="streams half-open"))
        step(simulator, 0)
        assert stream.stepped(HOUR_MS) == []
        assert not stream.socket.ping().wait(0.05)
        assert len(simulator.venue.streams.connections) == 1


@pytest.mark.parametrize("how", ["streams closed", "streams silent"])
def test_without_connections_the_fault_says_that_it_failed(simulator_factory: Factory, how: Any) -> None:
    simulator = simulator_factory()
    simulator.add_fault(ConnectionsLost(how=how, route="private"))
    simulator.venue.advance(simulator.clock.now_ms())
    assert row(simulator) == ("failed", 0, "no connection of the route private is open")


@pytest.mark.parametrize("announced", [True, False])
def test_a_listen_key_dies_twice(simulator_factory: Factory, announced: bool) -> None:
    simulator = simulator_factory()
    for number in (1, 2):
        client, path = private(simulator)
        with StreamClient(simulator, path) as stream:
            simulator.add_fault(ListenKeyExpired(announced=announced))
            told = stream.stepped(0)
            assert kinds(told) == ["listenKeyExpired"] * announced
            client.market("BUY", "0.010")
            assert stream.stepped(0) == []
        refused = client.raw("PUT", "listenKey").json()
        assert refused == {"code": -1125, "msg": "This listenKey does not exist."}
        assert row(simulator, number) == ("used up", 1, "")


def test_a_listen_key_that_is_not_there_cannot_die(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    simulator.add_fault(ListenKeyExpired())
    simulator.venue.advance(simulator.clock.now_ms())
    assert row(simulator) == ("failed", 0, "demo has no listen key that could expire")

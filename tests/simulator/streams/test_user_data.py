from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import requests

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.simulator.server import RunningSimulator
from futures_agent.simulator.streams.config import StreamsConfig
from futures_agent.simulator.trading.records import AlgoRequest, OrderRequest
from signed_client import SignedClient
from simulator.streams.stream_client import StreamClient, step

Factory = Callable[..., RunningSimulator]

FILLED = ["ORDER_TRADE_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"]


def listen_key(simulator: RunningSimulator) -> str:
    answer = requests.post(simulator.url + "/fapi/v1/listenKey", headers={"X-MBX-APIKEY": "demo"}, timeout=10)
    return str(answer.json()["listenKey"])


def buy(simulator: RunningSimulator, quantity: str = "0.010") -> None:
    """Buy at market, from this thread, as an endpoint does from the server's."""
    venue = simulator.venue
    request = OrderRequest(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=Decimal(quantity))
    with venue.lock:
        venue.exchange.place(venue.exchange.accounts[0], request, venue.clock.now_ms())


def kinds(messages: list[Any]) -> list[str]:
    return [message["e"] for message in messages]


def test_events_of_a_fill_come_in_their_order(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, f"/private/ws/{listen_key(simulator)}") as client:
        buy(simulator)
        step(simulator, 0)
        messages = client.here()
    assert kinds(messages) == FILLED
    assert [message["o"]["X"] for message in messages if "o" in message] == ["NEW", "FILLED"]
    assert len({message["T"] for message in messages}) == 1


def test_a_key_may_stand_anywhere_and_events_be_chosen(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    key = listen_key(simulator)
    with (
        StreamClient(simulator, f"/private/ws?listenKey={key}&events=ACCOUNT_UPDATE/ALGO_UPDATE") as chosen,
        StreamClient(simulator, f"/private/stream?listenKey={key}") as wrapped,
        StreamClient(simulator, "/private/ws") as subscribed,
    ):
        subscribed.ask("SUBSCRIBE", key)
        buy(simulator)
        step(simulator, 0)
        assert kinds(chosen.here()) == ["ACCOUNT_UPDATE"]
        messages = wrapped.here()
        assert {message["stream"] for message in messages} == {key}
        assert kinds([message["data"] for message in messages]) == FILLED
        assert kinds(subscribed.here()) == FILLED


def test_on_other_routes_and_with_dead_keys_there_is_silence(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    key = listen_key(simulator)
    with (
        StreamClient(simulator, f"/ws/{key}") as unrouted,
        StreamClient(simulator, f"/market/ws/{key}") as market,
        StreamClient(simulator, "/private/ws/" + "x" * 64) as dead,
    ):
        buy(simulator)
        step(simulator, 0)
        assert [unrouted.here(), market.here(), dead.here()] == [[], [], []]


def test_an_expired_key_says_so_once_and_is_silent_until_there_is_another(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    key = listen_key(simulator)
    with StreamClient(simulator, f"/private/ws/{key}") as client:
        step(simulator, HOUR_MS)
        step(simulator, HOUR_MS)
        (message,) = client.here()
        assert message == {"e": "listenKeyExpired", "E": message["E"], "listenKey": key}
        buy(simulator)
        step(simulator, 0)
        assert client.here() == []
        renewed = listen_key(simulator)
        assert renewed != key
        client.ask("SUBSCRIBE", renewed)
        buy(simulator)
        step(simulator, 0)
        assert kinds(client.here()) == FILLED


def test_events_leave_before_or_after_the_answer_never_out_of_order(simulator_factory: Factory) -> None:
    simulator = simulator_factory(streams=StreamsConfig(answer_first=0.5, answer_first_ms=2.0))
    with StreamClient(simulator, f"/private/ws/{listen_key(simulator)}") as client:
        for _ in range(20):
            buy(simulator, "0.001")
        step(simulator, 0)
        messages = client.here()
    assert kinds(messages) == FILLED * 20
    trades = [message["t"] for message in messages if message["e"] == "TRADE_LITE"]
    assert trades == sorted(set(trades))


@pytest.mark.parametrize(("answer_first", "told_before"), [(0.0, FILLED), (1.0, [])])
def test_the_answer_comes_after_the_events_or_before(
    simulator_factory: Factory, answer_first: float, told_before: list[str]
) -> None:
    streams = StreamsConfig(answer_first=answer_first, answer_first_ms=900.0)
    simulator = simulator_factory(streams=streams, latency_ms=400)  # half of it on the answer's way
    with StreamClient(simulator, f"/private/ws/{listen_key(simulator)}") as client:
        SignedClient(simulator).market("BUY", "0.010")
        before = client.here()
        assert kinds(before) == told_before
        step(simulator, 0)
        assert kinds(before + client.here()) == FILLED


def test_events_of_another_account_are_not_shown(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    venue = simulator.venue
    with StreamClient(simulator, "/private/ws/nobody") as client:
        assert venue.exchange.accounts[0].listen_key == ""
        buy(simulator)
        step(simulator, 0)
        assert client.here() == []


def test_liquidations_and_new_states_are_public(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    venue = simulator.venue
    names = "btcusdt@forceOrder/!forceOrder@arr/!contractInfo"
    with StreamClient(simulator, f"/market/stream?streams={names}") as client:
        buy(simulator)
        with venue.lock:
            now_ms = venue.clock.now_ms()
            venue.exchange.liquidate(venue.exchange.accounts[0], "BTCUSDT", now_ms)
            venue.exchange.set_status("ETHUSDT", "SETTLING", now_ms)
        step(simulator, 0)
        messages = client.here()
    assert [message["stream"] for message in messages] == names.split("/")
    assert messages[0]["data"] == messages[1]["data"]
    assert messages[0]["data"]["o"]["s"] == "BTCUSDT"
    assert messages[2]["data"]["cs"] == "SETTLING"


LIFE = ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]
ALGO_FIELDS = "caid aid at o s S ps f q X ai tp p V wt pm cp pP R tt gtd ia".split()
ALGO_FIELDS_TRIGGERED = "caid aid at o s S ps f q X ai ap aq act tp p V wt pm cp pP R tt gtd ia".split()
ORDER_FIELDS = "s c S o f q p ap sp x X i l z L T t b a m R wt ot ps cp pP si ss rp V pm gtd er".split()
ORDER_FIELDS_TRADE = (
    "s c S o f q p ap sp x X i l z L N n T t b a m R wt ot ps cp pP si ss rp V pm gtd er".split()
)


def test_the_life_of_a_stop_is_told_step_by_step(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    venue = simulator.venue
    account = venue.exchange.accounts[0]
    with StreamClient(simulator, f"/private/ws/{listen_key(simulator)}") as client:
        buy(simulator)
        step(simulator, 0)
        client.here()
        last = venue.exchange.last_price("BTCUSDT")
        stop = AlgoRequest(
            symbol="BTCUSDT",
            side="SELL",
            type="STOP_MARKET",
            quantity=Decimal("0.010"),
            trigger_price=(last * Decimal("0.9995")).quantize(Decimal("0.1")),
            reduce_only=True,
            client_algo_id="stop-1",
        )
        with venue.lock:
            venue.exchange.place_algo(account, stop, venue.clock.now_ms())
        messages: list[Any] = []
        for _ in range(60):
            messages += client.stepped(5 * MINUTE_MS)
            if not account.held():
                break
    algos = [message["o"] for message in messages if message["e"] == "ALGO_UPDATE"]
    orders = [message["o"] for message in messages if message["e"] == "ORDER_TRADE_UPDATE"]
    assert [algo["X"] for algo in algos] == LIFE
    assert list(algos[0]) == ALGO_FIELDS
    assert list(algos[-1]) == ALGO_FIELDS_TRIGGERED
    assert [order["x"] for order in orders] == ["NEW", "TRADE"]
    assert [list(order) for order in orders] == [ORDER_FIELDS, ORDER_FIELDS_TRADE]
    assert {order["c"] for order in orders} == {"stop-1"}
    assert {str(order["i"]) for order in orders} == {algos[-1]["ai"]}


def test_an_account_update_tells_what_changed(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, f"/private/ws/{listen_key(simulator)}") as client:
        buy(simulator)
        step(simulator, 0)
        (update,) = [message for message in client.here() if message["e"] == "ACCOUNT_UPDATE"]
        later: list[Any] = []
        for _ in range(4):  # past the funding of 16:00
            listen_key(simulator)
            later += client.stepped(HOUR_MS // 2)
    assert list(update) == ["e", "E", "T", "a"]
    assert list(update["a"]["B"][0]) == ["a", "wb", "cw", "bc"]
    assert list(update["a"]["P"][0]) == ["s", "pa", "ep", "bep", "cr", "up", "mt", "iw", "ps"]
    assert (update["a"]["m"], update["a"]["P"][0]["pa"]) == ("ORDER", "0.01")
    funding = [message["a"] for message in later if message["e"] == "ACCOUNT_UPDATE"]
    assert [(each["m"], each["P"], each["S"]) for each in funding] == [("FUNDING_FEE", [], "BTCUSDT")]

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exchange.live_worlds import BTC, Heard, broker_of, buy, eventually, leave, stop
from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.exchange.orders import FillSeen, OrderSeen, PositionSeen, StopSeen, WalletSeen
from futures_agent.exchange.outcome import Outcome
from futures_agent.exchange.streams import stream, user, wire
from futures_agent.exchange.trading import ExchangeBroker
from futures_agent.simulator.fault_acts import ConnectionsLost, ListenKeyExpired
from futures_agent.simulator.fault_streams import StreamFault
from futures_agent.simulator.faults import Fault
from signed_client import SignedClient, trading_floor
from simulator.streams.stream_client import step

LISTEN_KEY = "/fapi/v1/listenKey"
Start = Callable[..., tuple[ExchangeBroker, Heard]]


@pytest.fixture
def client() -> Iterator[SignedClient]:
    with trading_floor() as floor:
        yield floor.client()


@pytest.fixture
def start(client: SignedClient, tmp_path: Path) -> Iterator[Start]:
    """Return a maker of brokers whose user stream is up."""
    made = []

    def begin(**options: Any) -> tuple[ExchangeBroker, Heard]:
        heard = Heard()
        broker = broker_of(client, tmp_path, heard, **options)
        made.append(broker)
        broker.prepare((BTC,), 5)
        heard.until_up()
        return broker, heard

    yield begin
    for broker in made:
        broker.close()


def closed_trade(broker: ExchangeBroker, heard: Heard, name: str) -> None:
    """Buy and sell, and wait until the stream has told of both fills."""
    for request in (buy(f"{name}-E1"), leave(f"{name}-X1")):
        assert broker.send(request).outcome is Outcome.OK
    wanted = {f"{name}-E1", f"{name}-X1"}
    heard.until(lambda: wanted <= {fill.client_id for fill in heard.of(FillSeen)})


def test_an_entry_its_stop_and_its_end_are_told(client: SignedClient, start: Start) -> None:
    broker, heard = start()
    broker.send(buy("cfa-1-E1"))
    broker.send(stop(client, "cfa-1-S1"))
    broker.send(leave("cfa-1-X1"))
    heard.until(lambda: [each.status for each in heard.of(StopSeen)] == ["NEW", "EXPIRED"])
    account = client.account
    heard.until(lambda: len(heard.of(WalletSeen)) >= 2)
    assert [(each.client_id, each.trade_id, each.price, each.fee) for each in heard.of(FillSeen)] == [
        (name, fill.trade_id, fill.price, fill.fee)
        for name, fill in zip(("cfa-1-E1", "cfa-1-X1"), account.fills, strict=True)
    ]
    orders = [(each.client_id, each.status) for each in heard.of(OrderSeen)]
    assert orders == [(name, state) for name in ("cfa-1-E1", "cfa-1-X1") for state in ("NEW", "FILLED")]
    assert heard.of(OrderSeen)[1].avg_price == account.fills[0].price
    assert [each.amount for each in heard.of(PositionSeen)] == [Decimal("0.01"), 0]
    assert heard.of(WalletSeen)[-1].balance == broker.snapshot().wallet.balance
    assert heard.streams == [("user", True, "")]


@pytest.mark.parametrize("how", ["streams closed", "streams ended"])
def test_a_lost_connection_is_made_again(client: SignedClient, start: Start, how: Any) -> None:
    broker, heard = start()
    for times in (2, 3):
        client.simulator.add_fault(ConnectionsLost(how=how, route="private"))
        step(client.simulator, 0, within_s=30)
        heard.until_up(times)
    closed_trade(broker, heard, "cfa-2")
    assert len(heard.downs()) == 2


def test_a_half_open_connection_is_found_by_its_pings(
    client: SignedClient, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_PING_S", 0.5)
    broker, heard = start()
    client.simulator.venue.streams.disturb("half-open", "private")
    heard.until_up(2)
    closed_trade(broker, heard, "cfa-3")
    assert "1011" in heard.downs()[0]


def test_a_listen_key_that_expires_twice(client: SignedClient, start: Start) -> None:
    broker, heard = start()
    keys = [client.account.listen_key]
    for times in (2, 3):
        client.simulator.add_fault(ListenKeyExpired(key=client.key))
        client.ask("GET", "accountConfig")  # lets it happen
        heard.until_up(times)
        keys.append(client.account.listen_key)
    assert len(set(keys)) == 3
    closed_trade(broker, heard, "cfa-4")
    assert heard.downs() == ["the listen key has expired"] * 2


def test_a_key_that_died_without_a_word_is_found_when_it_is_kept(client: SignedClient, start: Start) -> None:
    broker, heard = start()
    client.simulator.add_fault(ListenKeyExpired(key=client.key, announced=False))
    client.ask("GET", "accountConfig")
    client.simulator.clock.step(21 * MINUTE_MS)
    broker.sync_clock()  # as any request would that finds the clock wrong
    heard.until_up(2)
    assert heard.downs() == ["its listen key had died without a word"]
    closed_trade(broker, heard, "cfa-5")


def test_a_key_is_kept_alive_for_hours(client: SignedClient, start: Start) -> None:
    broker, heard = start()
    key, began_ms = client.account.listen_key, client.simulator.clock.now_ms()
    for _ in range(6):
        expires_ms = client.account.listen_key_expires_ms
        client.simulator.clock.step(21 * MINUTE_MS)
        broker.sync_clock()
        eventually(lambda before=expires_ms: client.account.listen_key_expires_ms > before)
    assert client.simulator.clock.now_ms() - began_ms > 2 * HOUR_MS
    assert client.account.listen_key == key
    closed_trade(broker, heard, "cfa-6")
    assert heard.streams == [("user", True, "")]


@pytest.mark.parametrize("how", ["gateway", "reset", "service unavailable"])
def test_a_key_that_is_not_given_is_asked_for_again(client: SignedClient, tmp_path: Path, how: Any) -> None:
    client.simulator.add_fault(Fault(how=how, path=LISTEN_KEY, count=3))
    heard = Heard()
    broker = broker_of(client, tmp_path, heard)
    broker.prepare((BTC,), 5)
    heard.until_up()
    assert len(heard.downs()) == 1  # the same reason is told once
    closed_trade(broker, heard, "cfa-7")
    broker.close()


def test_a_stream_that_tells_nothing_of_an_order_is_given_up(
    client: SignedClient, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user, "_TOLD_WITHIN_S", 0.5)
    broker, heard = start()
    client.simulator.venue.streams.disturb("silent", "private")  # pings are answered
    assert broker.send(buy("cfa-8-E1")).outcome is Outcome.OK
    heard.until_up(2)
    assert heard.downs() == ["it has told nothing of an order answered more than 0.5 s ago"]
    closed_trade(broker, heard, "cfa-9")
    assert len(heard.downs()) == 1


def test_an_order_that_was_refused_is_not_waited_for(
    client: SignedClient, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user, "_TOLD_WITHIN_S", 0.3)
    broker, heard = start()
    assert broker.send(leave("cfa-10-X1")).outcome is Outcome.REJECTED
    assert broker._stream._awaited == {}
    closed_trade(broker, heard, "cfa-10")
    eventually(lambda: broker._stream._awaited == {})
    assert heard.downs() == []


def test_events_that_come_twice_late_and_in_another_order(client: SignedClient, start: Start) -> None:
    broker, heard = start()
    for how in ("event repeated", "events swapped"):
        client.simulator.add_fault(
            StreamFault(how=how, event="ORDER_TRADE_UPDATE", key=client.key, delay_ms=0, count=2)  # type: ignore[arg-type]
        )
    closed_trade(broker, heard, "cfa-11")
    heard.until(lambda: {each.status for each in heard.of(OrderSeen)} == {"NEW", "FILLED"})
    told = {(fill.symbol, fill.trade_id) for fill in heard.of(FillSeen)}
    assert told == {(fill.symbol, fill.trade_id) for fill in client.account.fills}
    assert heard.downs() == []


def test_a_connection_is_replaced_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_OVERLAP_S", 0.3)
    opened: list[str] = []
    open_socket = user.open_socket
    monkeypatch.setattr(user, "open_socket", lambda url: opened.append(url) or open_socket(url))
    with trading_floor(scale=1.0) as floor:
        client, heard = floor.client(), Heard()
        broker = broker_of(client, tmp_path, heard, rotate_h=1.0 / 3600)  # every second
        broker.prepare((BTC,), 5)
        heard.until_up()
        while len(opened) < 3:
            closed_trade(broker, heard, f"cfa-12-{len(heard.seen)}")
            time.sleep(0.05)  # within the limit of orders
        told = {(fill.symbol, fill.trade_id) for fill in heard.of(FillSeen)}
        assert told == {(fill.symbol, fill.trade_id) for fill in client.account.fills}
        assert len(set(opened)) == 1
        assert heard.streams == [("user", True, "")]
        broker.close()


def test_listen_keys_and_secrets_show_nowhere(
    client: SignedClient, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # as `program.log` does
    broker, heard = start()
    keys = [client.account.listen_key]
    for how in ("streams closed", "listen key expired"):
        fault = (
            ConnectionsLost(how="streams closed", route="private")
            if how == "streams closed"
            else ListenKeyExpired(key=client.key)
        )
        client.simulator.add_fault(fault)
        step(client.simulator, 0, within_s=30)
        heard.until_up(1 + len(keys))
        keys.append(client.account.listen_key)
    ours = [each for each in caplog.records if each.name != "websockets.server"]  # the simulator's
    logged = "\n".join(each.getMessage() for each in ours)
    assert "user stream: the connection broke" in logged
    for text in (logged, repr(heard.streams), repr(broker.__dict__)):
        for secret in (*keys, client.secret):
            assert secret not in text

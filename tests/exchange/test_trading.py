from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exchange.live_worlds import BTC, broker_of, buy, cancel, eventually, leave, stop, target
from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.errors import Refuse, Retry
from futures_agent.exchange import history
from futures_agent.exchange.order_limits import OrderLimit
from futures_agent.exchange.orders import CancelStop, OrderSeen, QueryOrder, QueryStop, StopSeen
from futures_agent.exchange.outcome import Outcome
from futures_agent.exchange.trading import ExchangeBroker
from futures_agent.simulator.fault_acts import ForeignOrder
from futures_agent.simulator.fault_plan import Planned
from futures_agent.simulator.fault_store import StoreLag
from futures_agent.simulator.faults import ClockSkew, EngineDelay, Fault
from futures_agent.simulator.trading.config import AccountConfig
from signed_client import Floor, SignedClient, trading_floor

ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
Make = Callable[..., ExchangeBroker]


@pytest.fixture(scope="module")
def floor() -> Iterator[Floor]:
    with trading_floor() as running:
        yield running


@pytest.fixture
def client(floor: Floor) -> SignedClient:
    return floor.client()


@pytest.fixture
def make_broker(client: SignedClient, tmp_path: Path) -> Iterator[Make]:
    made: list[ExchangeBroker] = []

    def make(of: SignedClient = client, **settings: Any) -> ExchangeBroker:
        made.append(broker_of(of, tmp_path, **settings))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


@pytest.fixture
def broker(make_broker: Make) -> ExchangeBroker:
    return make_broker()


def fault(client: SignedClient, **terms: Any) -> Fault:
    planned = Fault(key=client.key, **terms)
    client.simulator.add_fault(planned)
    return planned


def struck(client: SignedClient, planned: Planned) -> bool:
    """Say whether a fault has struck as often as it was to."""
    return client.simulator.venue.faults.left(planned) == 0


@contextmanager
def in_force(client: SignedClient, planned: Planned) -> Iterator[None]:
    client.simulator.add_fault(planned)
    yield
    client.simulator.venue.faults.clear()


def orders_of(client: SignedClient) -> list[tuple[str, str]]:
    """Return the account's orders at the venue: client ids, and what became of them."""
    return [(order.client_order_id, order.status) for order in client.account.orders.values()]


# What becomes of requests.


def test_an_entry_is_filled_and_answered_without_its_price(
    client: SignedClient, broker: ExchangeBroker
) -> None:
    answer = broker.send(buy("cfa-1-E1"))
    assert (answer.outcome, answer.code, answer.message) == (Outcome.OK, None, "")
    seen = answer.seen
    assert isinstance(seen, OrderSeen)
    assert (seen.client_id, seen.side, seen.type, seen.status) == ("cfa-1-E1", 1, "MARKET", "FILLED")
    assert (seen.quantity, seen.executed, seen.avg_price) == (Decimal("0.01"), Decimal("0.01"), 0)
    asked = broker.send(QueryOrder(symbol=BTC, client_id="cfa-1-E1"))
    assert isinstance(asked.seen, OrderSeen)
    assert asked.seen.avg_price == client.account.fills[0].price > 0
    left = broker.send(leave("cfa-1-X1"))
    assert isinstance(left.seen, OrderSeen)
    assert left.seen.reduce_only
    assert broker.snapshot().positions == ()


def test_a_stop_rests_is_found_and_is_cancelled(client: SignedClient, broker: ExchangeBroker) -> None:
    broker.send(buy("cfa-2-E1"))
    placed = broker.send(stop(client, "cfa-2-S1"))
    assert placed.outcome is Outcome.OK
    seen = placed.seen
    assert isinstance(seen, StopSeen)
    assert (seen.status, seen.type, seen.side, seen.order_id) == ("NEW", "STOP_MARKET", -1, 0)
    assert seen.close_position
    query = QueryStop(symbol=BTC, client_id="cfa-2-S1")
    assert broker.send(query).seen == seen
    cancelled = broker.send(CancelStop(symbol=BTC, client_id="cfa-2-S1"))
    assert (cancelled.outcome, cancelled.seen) == (Outcome.OK, None)
    found = broker.send(query)  # not among the open ones any more
    assert isinstance(found.seen, StopSeen)
    assert (found.outcome, found.seen.status) == (Outcome.OK, "CANCELED")


def test_a_target_rests_and_is_cancelled(client: SignedClient, broker: ExchangeBroker) -> None:
    broker.send(buy("cfa-3-E1"))
    placed = broker.send(target(client, "cfa-3-T1"))
    assert isinstance(placed.seen, OrderSeen)
    assert (placed.seen.status, placed.seen.type, placed.seen.reduce_only) == ("NEW", "LIMIT", True)
    gone = broker.send(cancel("cfa-3-T1"))
    assert isinstance(gone.seen, OrderSeen)
    assert (gone.outcome, gone.seen.status) == (Outcome.OK, "CANCELED")
    again = broker.send(cancel("cfa-3-T1"))  # not open any more: that is what was wanted
    assert isinstance(again.seen, OrderSeen)
    assert (again.outcome, again.code, again.seen.status) == (Outcome.OK, -2011, "CANCELED")


def test_cancelling_and_querying_what_never_was(broker: ExchangeBroker) -> None:
    for request in (cancel("cfa-4-T1"), CancelStop(symbol=BTC, client_id="cfa-4-S1")):
        answer = broker.send(request)
        assert (answer.outcome, answer.code, answer.seen) == (Outcome.REJECTED, -2011, None)
    for query in (QueryOrder(symbol=BTC, client_id="cfa-4-T1"), QueryStop(symbol=BTC, client_id="cfa-4-S1")):
        answer = broker.send(query)
        assert (answer.outcome, answer.code, answer.seen) == (Outcome.REJECTED, -2013, None)


def test_a_stop_that_has_triggered_is_not_open_any_more(client: SignedClient, broker: ExchangeBroker) -> None:
    broker.send(buy("cfa-5-E1"))
    broker.send(stop(client, "cfa-5-S1"))
    fault(client, how="refused", code=-2011, path=ALGO, method="DELETE")  # too late, yet the query shows it
    answer = broker.send(CancelStop(symbol=BTC, client_id="cfa-5-S1"))
    assert (answer.outcome, answer.code) == (Outcome.UNKNOWN, -2011)
    assert isinstance(answer.seen, StopSeen)
    assert answer.seen.is_open


def test_what_the_exchange_refuses_is_refused_with_its_code(
    client: SignedClient, broker: ExchangeBroker
) -> None:
    nothing_to_close = broker.send(leave("cfa-6-X1"))
    assert (nothing_to_close.outcome, nothing_to_close.code) == (Outcome.REJECTED, -2022)
    assert nothing_to_close.message == "ReduceOnly Order is rejected."
    broker.send(buy("cfa-6-E1"))
    crossed = broker.send(stop(client, "cfa-6-S1", share="1.05"))
    assert (crossed.outcome, crossed.code) == (Outcome.REJECTED, -2021)
    too_much = broker.send(buy("cfa-6-E2", "500"))
    assert too_much.outcome is Outcome.REJECTED
    assert too_much.code in (-2019, -2027, -4005)


LOST = ("unknown error", "timed out", "gateway", "reset", "silence")


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize("how", LOST)
def test_an_order_whose_answer_is_lost_is_unknown_until_it_is_queried(
    client: SignedClient, make_broker: Make, how: str, executed: bool
) -> None:
    broker = make_broker(read_timeout_s=0.5 if how == "silence" else 10.0)
    broker.send(QueryOrder(symbol=BTC, client_id="warm"))
    planned = fault(client, how=how, path=ORDER, method="POST", executed=executed)
    answer = broker.send(buy("cfa-7-E1"))
    assert answer.outcome is Outcome.UNKNOWN
    assert answer.message
    assert struck(client, planned)
    asked = broker.send(QueryOrder(symbol=BTC, client_id="cfa-7-E1"))
    assert (asked.outcome is Outcome.OK) == executed
    assert orders_of(client) == ([("cfa-7-E1", "FILLED")] if executed else [])  # sent once, never again


@pytest.mark.parametrize("how", ["cut short", "broken off", "wrong types"])
def test_an_answer_that_cannot_be_read_is_unknown(
    client: SignedClient, broker: ExchangeBroker, how: str
) -> None:
    planned = fault(client, how=how, path=ORDER, method="POST")
    answer = broker.send(buy("cfa-8-E1"))
    assert (answer.outcome, answer.seen) == (Outcome.UNKNOWN, None)
    assert struck(client, planned)
    assert broker.send(QueryOrder(symbol=BTC, client_id="cfa-8-E1")).outcome is Outcome.OK


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"how": "service unavailable"}, -1001),
        ({"how": "internal error"}, -1001),
        ({"how": "throttled"}, -1008),
        ({"how": "refused", "code": -1015}, -1015),
        ({"how": "refused", "status": 503, "body": "Service Unavailable."}, None),
    ],
)
def test_an_order_that_certainly_did_not_arrive_is_the_callers_to_send_again(
    client: SignedClient, broker: ExchangeBroker, terms: dict[str, Any], code: int | None
) -> None:
    planned = fault(client, path=ORDER, method="POST", **terms)
    answer = broker.send(buy("cfa-9-E1"))
    assert (answer.outcome, answer.code) == (Outcome.NOT_EXECUTED, code)
    assert struck(client, planned)
    assert orders_of(client) == []


def test_too_many_orders_pause_orders_and_no_other_program(client: SignedClient, make_broker: Make) -> None:
    broker = make_broker(read_timeout_s=0.2)
    broker.send(QueryOrder(symbol=BTC, client_id="warm"))
    fault(client, how="refused", code=-1015, path=ORDER, method="POST")
    broker.send(buy("cfa-10-E1"))
    paused = broker.send(buy("cfa-10-E2"))
    assert paused.outcome is Outcome.NOT_EXECUTED
    assert "limit of orders is used up" in paused.message
    assert broker.snapshot().positions == ()  # nothing keeps queries from being sent


def test_a_used_up_limit_of_orders_is_waited_for(tmp_path: Path) -> None:
    with trading_floor(scale=1.0) as running:
        broker = broker_of(running.client(), tmp_path)
        broker.send(QueryOrder(symbol=BTC, client_id="warm"))
        broker._client.orders.limits = (OrderLimit(2, 100),)
        began = time.monotonic()
        for number in range(3):
            assert broker.send(buy(f"cfa-11-E{number}")).outcome is Outcome.OK
        assert time.monotonic() - began >= 1.1
        broker.close()


def test_a_rate_limit_stops_every_program_of_the_host_and_nothing_waits_long(
    client: SignedClient, make_broker: Make
) -> None:
    broker = make_broker(read_timeout_s=0.5)
    broker.send(QueryOrder(symbol=BTC, client_id="warm"))
    fault(client, how="refused", status=429, retry_after_s=30, path=ORDER, method="POST")
    assert broker.send(buy("cfa-25-E1")).outcome is Outcome.NOT_EXECUTED
    for other in (broker, make_broker(read_timeout_s=0.5)):  # of the same host
        began = time.monotonic()
        held = other.send(stop(client, "cfa-25-S1"))
        assert held.outcome is Outcome.NOT_EXECUTED
        assert "lets nothing pass until" in held.message
        assert time.monotonic() - began < 10
    assert orders_of(client) == []


def test_closing_leaves_requests_under_way_unanswered(client: SignedClient, make_broker: Make) -> None:
    broker = make_broker(read_timeout_s=60.0)
    broker.send(QueryOrder(symbol=BTC, client_id="warm"))
    planned = fault(client, how="silence", path=ORDER, method="POST", executed=True)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(broker.send, buy("cfa-26-E1"))
        eventually(lambda: struck(client, planned))
        broker.close()
        assert sending.result(20).outcome is Outcome.UNKNOWN


def test_an_hour_a_minute_and_orders_still_arrive_in_time(tmp_path: Path) -> None:
    with trading_floor(scale=60.0) as fast:
        client = fast.client()
        broker = broker_of(client, tmp_path, time_scale=60.0)
        broker.prepare((BTC,), 3)
        for number in range(5):
            assert broker.send(buy(f"cfa-27-E{number}", "0.001")).outcome is Outcome.OK
        assert len(broker.fills_since(BTC, 0)) == 5
        assert broker.send(stop(client, "cfa-27-S1")).outcome is Outcome.OK
        broker.close()


def test_a_client_id_that_is_taken_means_that_the_first_send_arrived(
    client: SignedClient, broker: ExchangeBroker
) -> None:
    broker.send(buy("cfa-12-E1"))
    for request in (target(client, "cfa-12-T1"), stop(client, "cfa-12-S1")):
        fault(client, how="gateway", method="POST", executed=True)
        assert broker.send(request).outcome is Outcome.UNKNOWN
        again = broker.send(request)
        assert (again.outcome, again.code) == (Outcome.OK, -4116)
        assert again.seen is not None
        assert again.seen.client_id == request.client_id
    snapshot = broker.snapshot()
    assert (len(snapshot.orders), len(snapshot.stops)) == (1, 1)


@pytest.mark.parametrize("skew_ms", [-3_000, 8_000])
def test_a_wrong_clock_is_set_and_the_order_sent_once_more(
    client: SignedClient, broker: ExchangeBroker, skew_ms: int
) -> None:
    broker.send(QueryOrder(symbol=BTC, client_id="warm"))
    with in_force(client, ClockSkew(skew_ms=skew_ms)):
        answer = broker.send(buy("cfa-13-E1"))
        assert (answer.outcome, orders_of(client)) == (Outcome.OK, [("cfa-13-E1", "FILLED")])
        assert broker.snapshot().positions[0].amount == Decimal("0.01")


def test_an_order_too_old_for_the_engine_is_sent_once_more_and_no_more(
    client: SignedClient, broker: ExchangeBroker
) -> None:
    broker.send(QueryOrder(symbol=BTC, client_id="warm"))
    client.simulator.add_fault(EngineDelay(count=1))
    assert broker.send(buy("cfa-14-E1")).outcome is Outcome.OK
    planned = EngineDelay(count=2)
    client.simulator.add_fault(planned)
    late = broker.send(buy("cfa-14-E2"))
    assert (late.outcome, late.code) == (Outcome.NOT_EXECUTED, -5028)
    assert struck(client, planned)
    assert len(orders_of(client)) == 1


def test_no_connection_means_not_executed(client: SignedClient, tmp_path: Path) -> None:
    with trading_floor() as gone:
        broker = broker_of(gone.client(), tmp_path, connect_timeout_s=1.0)
        broker.send(QueryOrder(symbol=BTC, client_id="warm"))
    answer = broker.send(buy("cfa-15-E1"))
    assert answer.outcome is Outcome.NOT_EXECUTED
    assert "connection refused" in answer.message
    asked = broker.send(QueryStop(symbol=BTC, client_id="cfa-15-S1"))
    assert asked.outcome is Outcome.NOT_EXECUTED
    with pytest.raises(Retry, match="connection refused"):
        broker.snapshot()
    broker.close()


def test_a_backtest_cannot_trade(
    client: SignedClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKTEST_ISOLATED", "1")
    with pytest.raises(Refuse, match="BACKTEST_ISOLATED=1"):
        broker_of(client, tmp_path)


# Queries.


def test_a_snapshot_shows_what_is_there_whoever_placed_it(
    client: SignedClient, broker: ExchangeBroker
) -> None:
    broker.send(buy("cfa-16-E1"))
    broker.send(stop(client, "cfa-16-S1"))
    broker.send(target(client, "cfa-16-T1"))
    client.simulator.add_fault(
        ForeignOrder(key=client.key, symbol="ETHUSDT", side="SELL", quantity=Decimal("0.5"))
    )
    snapshot = broker.snapshot()
    assert {(each.symbol, each.amount) for each in snapshot.positions} == {
        (BTC, Decimal("0.01")),
        ("ETHUSDT", Decimal("-0.5")),
    }
    assert [order.client_id for order in snapshot.orders] == ["cfa-16-T1"]
    assert [order.client_id for order in snapshot.stops] == ["cfa-16-S1"]
    paid = sum(fill.fee for fill in client.account.fills)
    assert snapshot.wallet.balance == 5000 - paid
    assert abs(snapshot.taken_ms - client.simulator.clock.now_ms()) < 60_000


@pytest.mark.parametrize("how", ["cut short", "wrong types", "gateway", "service unavailable"])
@pytest.mark.parametrize("path", ["/fapi/v3/positionRisk", "/fapi/v1/openAlgoOrders", "/fapi/v3/balance"])
def test_half_a_snapshot_is_none(client: SignedClient, broker: ExchangeBroker, how: str, path: str) -> None:
    broker.send(buy("cfa-17-E1"))
    broker.send(stop(client, "cfa-17-S1"))
    fault(client, how=how, path=path)
    with pytest.raises(Retry, match=path):
        broker.snapshot()
    assert len(broker.snapshot().positions) == 1


def test_times_as_texts_are_read(client: SignedClient, broker: ExchangeBroker) -> None:
    broker.send(buy("cfa-18-E1"))
    fault(client, how="text times", count=None)
    snapshot = broker.snapshot()
    assert isinstance(snapshot.positions[0].updated_ms, int)
    assert isinstance(broker.fills_since(BTC, 0)[0].time_ms, int)


def test_a_store_that_lags_is_no_proof_of_absence(client: SignedClient, broker: ExchangeBroker) -> None:
    broker.send(buy("cfa-19-E1"))
    with in_force(client, StoreLag(key=client.key, lag_ms=HOUR_MS)):
        assert broker.send(QueryOrder(symbol=BTC, client_id="cfa-19-E1")).code == -2013
    assert broker.send(QueryOrder(symbol=BTC, client_id="cfa-19-E1")).outcome is Outcome.OK


def test_a_conditional_order_is_found_in_the_list_that_still_knows_it(
    client: SignedClient, broker: ExchangeBroker
) -> None:
    broker.send(buy("cfa-20-E1"))
    broker.send(stop(client, "cfa-20-S1"))
    broker.send(CancelStop(symbol=BTC, client_id="cfa-20-S1"))
    planned = fault(client, how="refused", code=-2013, path=ALGO, method="GET")
    found = broker.send(QueryStop(symbol=BTC, client_id="cfa-20-S1"))
    assert isinstance(found.seen, StopSeen)
    assert (found.outcome, found.seen.status, struck(client, planned)) == (Outcome.OK, "CANCELED", True)


def test_fills_come_whole_over_pages(
    client: SignedClient, broker: ExchangeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_PAGE", 3)
    for number in range(8):
        broker.send(buy(f"cfa-21-E{number}", "0.001"))
    fills = broker.fills_since(BTC, client.simulator.clock.now_ms() - 30 * DAY_MS)
    told = [(fill.trade_id, fill.price, fill.fee, fill.order_id) for fill in fills]
    assert told == [(each.trade_id, each.price, each.fee, each.order_id) for each in client.account.fills]
    assert {(fill.client_id, fill.side, fill.fee_asset) for fill in fills} == {("", 1, "USDT")}


def test_fills_tell_when_the_exchange_took_the_position(client: SignedClient, broker: ExchangeBroker) -> None:
    broker.send(buy("cfa-23-E1", "0.002"))
    broker.send(leave("cfa-23-X1", "0.001"))
    exchange, now_ms = client.simulator.venue.exchange, client.simulator.clock.now_ms()
    with client.simulator.venue.lock:
        exchange.liquidate(client.account, BTC, now_ms)
    names = [fill.client_id.partition("-")[0] for fill in broker.fills_since(BTC, now_ms - DAY_MS)]
    assert names == ["", "", "autoclose"]


def test_the_history_spans_months_and_their_funding(tmp_path: Path) -> None:
    with trading_floor(terms={"path": "bar"}, history_days=120) as months:
        client, clock = months.client(), months.simulator.clock
        broker = broker_of(client, tmp_path)
        began_ms = clock.now_ms()
        for number in range(5):  # nine days apart: no two fills in one window
            assert broker.send(buy(f"cfa-22-E{number}", "0.001")).outcome is Outcome.OK
            clock.step(9 * DAY_MS)
        payments = broker.funding_since(began_ms)
        assert [fill.time_ms for fill in broker.fills_since(BTC, began_ms)] == [
            fill.time_ms for fill in client.account.fills
        ]
        recorded = [each for each in client.account.incomes if each.type == "FUNDING_FEE"]
        assert [(each.time_ms, each.amount) for each in payments] == [
            (each.time_ms, each.amount) for each in recorded
        ]
        assert len(payments) > 100
        assert {each.symbol for each in payments} == {BTC}
        broker.close()


def test_pages_of_funding_that_end_within_a_millisecond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_PAGE", 4)
    with trading_floor(terms={"path": "bar"}) as paying:
        client, clock = paying.client(), paying.simulator.clock
        broker = broker_of(client, tmp_path)
        began_ms = clock.now_ms()
        for symbol, quantity in ((BTC, "0.001"), ("ETHUSDT", "0.01"), ("SOLUSDT", "1")):
            client.market("BUY", quantity, symbol)
        clock.step(3 * DAY_MS)
        payments = broker.funding_since(began_ms)
        recorded = [each for each in client.account.incomes if each.type == "FUNDING_FEE"]
        assert {(each.time_ms, each.symbol, each.amount) for each in payments} == {
            (each.time_ms, each.symbol, each.amount) for each in recorded
        }
        assert len(payments) == len(recorded) > 20
        broker.close()


# Terms of the account.


def test_terms_are_set_once_and_asked_for_afterwards(client: SignedClient, broker: ExchangeBroker) -> None:
    symbols = (BTC, "ETHUSDT")
    broker.prepare(symbols, 3)
    assert broker.unfit == {}
    rows = {row["symbol"]: row for row in client.ask("GET", "symbolConfig")}
    assert {(rows[name]["marginType"], rows[name]["leverage"]) for name in symbols} == {("ISOLATED", 3)}
    before = broker._client.requests
    broker.prepare(symbols, 3)
    assert broker._client.requests - before == 3  # account, limits, symbols


def test_hedge_mode_is_left(client: SignedClient, broker: ExchangeBroker) -> None:
    client.ask("POST", "positionSide/dual", dualSidePosition="true")
    broker.prepare((BTC,), 3)
    assert client.ask("GET", "accountConfig")["dualSidePosition"] is False


@pytest.mark.parametrize(
    ("path", "code"), [("/fapi/v1/marginType", -4046), ("/fapi/v1/positionSide/dual", -4059)]
)
def test_no_need_to_change_is_success(
    client: SignedClient, broker: ExchangeBroker, path: str, code: int
) -> None:
    client.ask("POST", "positionSide/dual", dualSidePosition="true")
    planned = fault(client, how="refused", code=code, path=path)
    broker.prepare((BTC,), 3)
    assert (broker.unfit, struck(client, planned)) == ({}, True)


def test_hedge_mode_with_a_position_is_a_persons_business(
    client: SignedClient, broker: ExchangeBroker
) -> None:
    client.ask("POST", "positionSide/dual", dualSidePosition="true")
    client.market("BUY", "0.010", positionSide="LONG")
    with pytest.raises(Refuse, match=r"cannot be put into one-way mode: .* \(-4068\); close what is open"):
        broker.prepare((BTC,), 3)
    with pytest.raises(Retry, match="a LONG position, so not in one-way mode"):
        broker.snapshot()


def test_a_symbol_with_a_position_of_other_terms_is_only_closed(
    client: SignedClient, broker: ExchangeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    client.market("BUY", "0.010")
    broker.prepare((BTC, "ETHUSDT", "NONEUSDT"), 3)
    assert set(broker.unfit) == {BTC, "NONEUSDT"}
    assert "-4048" in broker.unfit[BTC]
    assert "BTCUSDT: isolated margin at 3x cannot be set" in caplog.text
    refused = broker.send(buy("cfa-23-E1"))
    assert (refused.outcome, refused.code) == (Outcome.REJECTED, None)
    assert refused.message.startswith("not sent: isolated margin at 3x cannot be set")
    assert broker.send(stop(client, "cfa-23-S1")).outcome is Outcome.OK
    assert broker.send(leave("cfa-23-X1")).outcome is Outcome.OK
    broker.prepare((BTC,), 3)
    assert broker.unfit == {}


def test_a_lost_answer_about_terms_is_asked_again(client: SignedClient, broker: ExchangeBroker) -> None:
    fault(client, how="gateway", path="/fapi/v1/leverage", executed=True)
    with pytest.raises(Retry, match="leverage: HTTP 504"):
        broker.prepare((BTC,), 3)
    broker.prepare((BTC,), 3)
    assert broker.unfit == {}


ODD = (
    AccountConfig(key="reader", secret="s-reader", can_trade=False),
    AccountConfig(key="mover", secret="s-mover", can_withdraw=True),
)


def test_keys_that_may_too_little_or_too_much(tmp_path: Path) -> None:
    with trading_floor(terms={"accounts": ODD}) as odd:
        reader, mover = (
            SignedClient(odd.simulator, "reader", "s-reader"),
            SignedClient(odd.simulator, "mover", "s-mover"),
        )
        for client, said in ((reader, "may not trade"), (mover, "may move money out of the account")):
            broker = broker_of(client, tmp_path)
            with pytest.raises(Refuse, match=f"the API key {said}"):
                broker.prepare((BTC,), 3)
            broker.close()
        broker = broker_of(SignedClient(odd.simulator, "mover", "wrong-secret"), tmp_path)
        with pytest.raises(Refuse, match=r"does not accept the API key: .*\(-1022\)"):
            broker.snapshot()
        broker.close()


# Secrets.


def test_secrets_show_nowhere(
    client: SignedClient, make_broker: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # as `program.log` does
    key, secret = client.key, client.secret
    broker = make_broker(read_timeout_s=0.3)
    said: list[str] = [repr(broker), repr(broker.__dict__), repr(broker._client.__dict__)]
    for how in (
        "silence",
        "reset",
        "gateway",
        "refused",
        "firewall",
    ):  # the last one stops this host's requests
        fault(client, how=how, path=ORDER, code=-1022 if how == "refused" else None)
        if how != "firewall":
            fault(client, how=how, path="/fapi/v3/positionRisk", code=-2015 if how == "refused" else None)
        said.append(repr(broker.send(buy("cfa-24-E1"))))
        with pytest.raises((Refuse, Retry)) as raised:
            broker.snapshot()
        said += [repr(raised.value), str(raised.value), repr(raised.value.__context__)]
    for text in (*said, caplog.text):
        assert secret not in text
        assert f"'{key}'" not in text
        assert "signature=" not in text

"""Conditional orders: when they trigger, what they become, and how they end."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.exchange import Exchange
from futures_agent.simulator.trading.interference import Interference
from futures_agent.simulator.trading.records import AlgoOrder
from trading_orders import algo, limit, market
from trading_worlds import BTC, START_MS, Bar, flat, kinds, scripted_exchange

D = Decimal
RICH = AccountConfig(key="k", balances={"USDT": D(100_000)})
# 100 until minute 18, down to 80 at minute 42, there until the end; then 80.
FALL: list[Bar] = [(100, 100, 80, 80), *flat(80, 3)]
RISE: list[Bar] = [(100, 120, 100, 120), *flat(120, 3)]  # 120 at minute 42
DOWN_AND_UP: list[Bar] = [(100, 120, 80, 110), *flat(110, 3)]  # 80 at minute 18, 120 at 42, 110 at 60
AT_90_MS = START_MS + 30 * MINUTE_MS  # in FALL


def world(bars: list[Bar], **config: Any) -> tuple[Exchange, list[dict[str, Any]]]:
    return scripted_exchange({BTC: bars}, **{"accounts": (RICH,), **config})


def refused_code(exchange: Exchange, *order: Any, **options: Any) -> int:
    with pytest.raises(VenueError) as refused:
        algo(exchange, *order, **options)
    return refused.value.code


def test_the_life_of_a_stop_order() -> None:
    exchange, events = world(FALL)
    market(exchange, "BUY", "2")
    events.clear()
    stop = algo(exchange, "STOP_MARKET", "SELL", "90", "2", reduce_only=True, client_algo_id="my-stop")
    assert len(str(stop.algo_id)) == 16
    exchange.advance(START_MS + HOUR_MS)
    assert kinds(events) == [
        "algo NEW",
        "algo TRIGGERING",
        "NEW",
        "algo TRIGGERED",
        "TRADE_LITE",
        "TRADE",
        "account ORDER",
        "algo FINISHED",
    ]
    told = [event["o"] for event in events if event["e"] == "ALGO_UPDATE"]
    assert [row["X"] for row in told] == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]
    assert [row["ai"] == "" for row in told] == [True, True, False, False]
    assert ["act" in row for row in told] == [False, False, True, True]
    # Down to 90 half an hour after the start; in the book 10 ms later, at 89.99986, which shows as 90.
    assert stop.trigger_ms == AT_90_MS
    (order,) = (each for each in exchange.accounts[0].orders.values() if each.algo_id)
    assert (order.created_ms, order.type, order.orig_type) == (AT_90_MS + 10, "MARKET", "STOP_MARKET")
    assert (order.client_order_id, order.stop_price, order.avg_price) == ("my-stop", 90, 90)
    assert (stop.actual_order_id, stop.actual_type) == (order.order_id, "MARKET")
    assert (stop.actual_price, stop.actual_quantity, stop.status) == (90, 2, "FINISHED")
    assert exchange.accounts[0].position(BTC).amount == 0
    assert not exchange.accounts[0].open_algos
    with pytest.raises(VenueError) as refused:
        exchange.cancel_algo(exchange.accounts[0], exchange.now_ms, algo_id=stop.algo_id)
    assert refused.value.code == -2011


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "bars"),
    [
        ("STOP_MARKET", "SELL", "90", FALL),
        ("STOP_MARKET", "BUY", "110", RISE),
        ("TAKE_PROFIT_MARKET", "SELL", "110", RISE),
        ("TAKE_PROFIT_MARKET", "BUY", "90", FALL),
    ],
)
def test_each_kind_waits_for_its_price_and_is_refused_when_it_is_there(
    kind: str, side: str, trigger: str, bars: list[Bar]
) -> None:
    exchange, _ = world(bars)
    order = algo(exchange, kind, side, trigger, "1")
    assert refused_code(exchange, kind, side, "100", "1") == -2021
    exchange.advance(AT_90_MS)
    assert order.status == "NEW"
    exchange.advance(AT_90_MS + 1)
    assert order.status == "TRIGGERING"
    with pytest.raises(VenueError) as refused:
        exchange.cancel_algo(exchange.accounts[0], exchange.now_ms, algo_id=order.algo_id)
    assert refused.value.code == -4117
    exchange.advance(AT_90_MS + 10)
    assert order.status == "FINISHED"
    exchange.advance(START_MS + 2 * HOUR_MS)
    assert refused_code(exchange, kind, side, trigger, "1") == -2021


def test_a_limit_at_the_trigger_rests_until_its_price_comes() -> None:
    exchange, events = world(DOWN_AND_UP)
    order = algo(exchange, "STOP", "BUY", "115", "1", price=D(112))
    exchange.advance(START_MS + 40 * MINUTE_MS)
    assert (order.status, order.actual_type) == ("TRIGGERED", "LIMIT")
    (resting,) = exchange.accounts[0].open_orders.values()
    assert (resting.price, resting.orig_type, resting.type) == (112, "STOP", "LIMIT")
    events.clear()
    exchange.advance(START_MS + HOUR_MS)
    assert kinds(events) == ["TRADE_LITE", "TRADE", "account ORDER", "algo FINISHED"]
    assert (order.actual_price, order.actual_quantity) == (112, 1)


def test_a_triggered_limit_that_is_cancelled_finishes_its_algo_too() -> None:
    exchange, _ = world(DOWN_AND_UP)
    order = algo(exchange, "STOP", "BUY", "115", "1", price=D(112))
    exchange.advance(START_MS + 40 * MINUTE_MS)
    exchange.cancel(exchange.accounts[0], BTC, exchange.now_ms, client_order_id=order.client_algo_id)
    assert (order.status, order.actual_quantity) == ("FINISHED", 0)


def test_the_other_leg_stays_behind_as_an_orphan() -> None:
    exchange, _ = world(RISE)
    market(exchange, "BUY", "1")
    stop = algo(exchange, "STOP_MARKET", "SELL", "90", "1", reduce_only=True)
    target = algo(exchange, "TAKE_PROFIT_MARKET", "SELL", "110", "1", reduce_only=True)
    exchange.advance(START_MS + HOUR_MS)
    assert (target.status, stop.status) == ("FINISHED", "NEW")
    assert exchange.accounts[0].position(BTC).amount == 0


def test_an_orphan_that_triggers_expires() -> None:
    exchange, events = world([*flat(100, 1), *FALL])
    market(exchange, "BUY", "1")
    stop = algo(exchange, "STOP_MARKET", "SELL", "90", "1", reduce_only=True)
    market(exchange, "SELL", "1")
    exchange.advance(START_MS + 2 * HOUR_MS)
    assert (stop.status, stop.reason) == ("EXPIRED", "ReduceOnly Order is rejected.")
    assert events[-1]["o"]["rm"] == "ReduceOnly Order is rejected."
    assert exchange.accounts[0].position(BTC).amount == 0


def test_an_orphan_without_reduce_only_opens_a_position() -> None:
    exchange, _ = world([*flat(100, 1), *FALL])
    algo(exchange, "STOP_MARKET", "SELL", "90", "1")
    exchange.advance(START_MS + 2 * HOUR_MS)
    assert exchange.accounts[0].position(BTC).amount == -1


def test_close_position_closes_all_there_is_at_the_trigger() -> None:
    exchange, _ = world(FALL)
    market(exchange, "BUY", "1")
    stop = algo(exchange, "STOP_MARKET", "SELL", "90", close_position=True)
    assert stop.time_in_force == "GTE_GTC"
    market(exchange, "BUY", "2")
    exchange.advance(START_MS + HOUR_MS)
    assert (stop.status, stop.actual_quantity) == ("FINISHED", 3)


def test_close_position_needs_a_position_and_ends_with_it() -> None:
    exchange, events = world(flat(100, 2))
    assert refused_code(exchange, "STOP_MARKET", "SELL", "90", close_position=True) == -4509
    market(exchange, "BUY", "1")
    assert refused_code(exchange, "STOP_MARKET", "BUY", "110", close_position=True) == -4509
    stop = algo(exchange, "STOP_MARKET", "SELL", "90", close_position=True)
    assert refused_code(exchange, "STOP_MARKET", "SELL", "80", close_position=True) == -4130
    target = algo(exchange, "TAKE_PROFIT_MARKET", "SELL", "110", close_position=True)
    market(exchange, "SELL", "1")
    assert (stop.status, target.status) == ("EXPIRED", "EXPIRED")
    assert kinds(events)[-2:] == ["algo EXPIRED", "algo EXPIRED"]


def test_close_position_ends_when_the_position_turns() -> None:
    exchange, _ = world(flat(100, 2))
    market(exchange, "BUY", "1")
    stop = algo(exchange, "STOP_MARKET", "SELL", "90", close_position=True)
    market(exchange, "SELL", "3")
    assert stop.status == "EXPIRED"


def test_margin_is_looked_at_when_the_order_triggers() -> None:
    exchange, events = world(RISE, accounts=(AccountConfig(key="k", balances={"USDT": D(100)}, leverage=10),))
    order = algo(exchange, "STOP_MARKET", "BUY", "110", "1000")
    exchange.advance(START_MS + HOUR_MS)
    assert (order.status, order.reason) == ("REJECTED", "Margin is insufficient.")
    assert kinds(events) == ["algo NEW", "algo TRIGGERING", "algo REJECTED"]
    assert not exchange.accounts[0].open_algos


def test_a_trailing_stop_follows_the_best_price() -> None:
    """From 100 down to 80 at minute 18, then up to 120 at 42: sold 5 % below 120, at 114."""
    exchange, _ = world(DOWN_AND_UP)
    trailing = algo(
        exchange, "TRAILING_STOP_MARKET", "SELL", "0", "1", callback_rate=D(5), activate_price=D(110)
    )
    assert not trailing.is_activated
    exchange.advance(START_MS + 41 * MINUTE_MS)
    assert trailing.is_activated
    assert trailing.extreme_price == D(80) + D(40) * 23 / 24
    exchange.advance(START_MS + HOUR_MS)
    # Back by 6 of the 10 that it falls from minute 42 to minute 60.
    assert (trailing.status, trailing.trigger_ms) == ("FINISHED", START_MS + 42 * MINUTE_MS + 648_000)
    assert (trailing.extreme_price, trailing.actual_price) == (120, 114)


def test_a_trailing_stop_that_buys_mirrors_it_and_starts_at_once_without_a_price() -> None:
    exchange, _ = world([(100, 120, 80, 110), *flat(110, 2)])
    trailing = algo(exchange, "TRAILING_STOP_MARKET", "BUY", "0", "1", callback_rate=D(10))
    assert (trailing.is_activated, trailing.extreme_price) == (True, 100)
    exchange.advance(START_MS + 18 * MINUTE_MS + 1)
    assert trailing.extreme_price == 80
    exchange.advance(START_MS + HOUR_MS)
    # 88 = 80 · 1.1, a fifth of the way from 80 to 120 in 24 minutes.
    assert trailing.trigger_ms == START_MS + 18 * MINUTE_MS + 288_000


def test_a_trailing_stop_does_not_depend_on_how_often_one_looks() -> None:
    ends = []
    for step_ms in (HOUR_MS, 7 * MINUTE_MS + 13):
        exchange, _ = world([(100, 120, 80, 90), *flat(90, 2)])
        trailing = algo(exchange, "TRAILING_STOP_MARKET", "SELL", "0", "1", callback_rate=D("21.5"))
        for now_ms in range(START_MS, START_MS + HOUR_MS + 1, step_ms):
            exchange.advance(now_ms)
        exchange.advance(START_MS + HOUR_MS)
        ends.append((trailing.trigger_ms, trailing.actual_price))
    assert ends[0] == ends[1]


@pytest.mark.parametrize(("side", "price"), [("SELL", "100"), ("SELL", "99"), ("BUY", "101")])
def test_a_trailing_stop_must_not_be_active_already(side: str, price: str) -> None:
    exchange, _ = world(flat(100, 2))
    options = {"callback_rate": D(1), "activate_price": D(price)}
    assert refused_code(exchange, "TRAILING_STOP_MARKET", side, "0", "1", **options) == -2021


def test_the_mark_price_triggers_what_watches_it() -> None:
    exchange, _ = world(FALL)
    exchange.state.prices.mark_offset[BTC] = D("-0.04")
    by_last = algo(exchange, "STOP_MARKET", "SELL", "84", "1")
    by_mark = algo(exchange, "STOP_MARKET", "SELL", "84", "1", working_type="MARK_PRICE")
    assert refused_code(exchange, "STOP_MARKET", "SELL", "96", "1", working_type="MARK_PRICE") == -2021
    exchange.advance(START_MS + HOUR_MS)
    # Mark 84 is last 87.5: 12.5 of the 20 down; last 84: 16 of the 20; 24 minutes for all of it.
    assert by_mark.trigger_ms == START_MS + 18 * MINUTE_MS + 900_000
    assert by_last.trigger_ms == START_MS + 18 * MINUTE_MS + 1_152_000


def test_price_protection_holds_a_trigger_back() -> None:
    exchange, _ = world(FALL)
    kept = algo(exchange, "STOP_MARKET", "SELL", "90", "1", price_protect=True)
    exchange.state.prices.mark_offset[BTC] = D("0.051")
    exchange.advance(START_MS + HOUR_MS)
    assert kept.status == "NEW"
    exchange.state.prices.mark_offset[BTC] = D("0.05")
    exchange.advance(START_MS + 2 * HOUR_MS)
    assert kept.status == "FINISHED"


def test_dates_and_cancels_end_what_has_not_triggered() -> None:
    exchange, events = world(flat(100, 3))
    account = exchange.accounts[0]
    dated = algo(exchange, "STOP_MARKET", "SELL", "90", "1", good_till_ms=START_MS + HOUR_MS)
    one = algo(exchange, "STOP_MARKET", "SELL", "90", "1", client_algo_id="one")
    algo(exchange, "STOP_MARKET", "SELL", "90", "1")
    assert refused_code(exchange, "STOP_MARKET", "SELL", "90", "1", client_algo_id="one") == -4116
    assert exchange.cancel_algo(account, START_MS, client_algo_id="one").status == "CANCELED"
    assert exchange.algo(account, client_algo_id="one") is one
    assert exchange.algo(account, one.algo_id) is one
    with pytest.raises(VenueError) as refused:
        exchange.algo(account, 1)
    assert refused.value.code == -2013
    exchange.advance(START_MS + HOUR_MS)
    assert dated.status == "EXPIRED"
    assert len(exchange.cancel_all_algos(account, BTC, exchange.now_ms)) == 1
    assert not account.open_algos
    assert kinds(events).count("algo CANCELED") == 2


def test_there_is_a_limit_to_conditional_orders() -> None:
    exchange, _ = world(flat(100, 2), max_algo_orders=2)
    for _ in range(2):
        algo(exchange, "STOP_MARKET", "SELL", "90", "1")
    assert refused_code(exchange, "STOP_MARKET", "SELL", "90", "1") == -4045


def test_faults_refuse_and_reject() -> None:
    class Faulty(Interference):
        def refuse_algo(self, account: Account, request: Any, now_ms: int) -> VenueError | None:
            return VenueError(-1008, "throttled") if request.quantity == 2 else None

        def reject_trigger(self, account: Account, order: AlgoOrder, now_ms: int) -> str:
            return "No luck."

    exchange, _ = world(FALL)
    exchange.interfere(Faulty())
    assert refused_code(exchange, "STOP_MARKET", "SELL", "90", "2") == -1008
    order = algo(exchange, "STOP_MARKET", "SELL", "90", "1")
    exchange.advance(START_MS + HOUR_MS)
    assert (order.status, order.reason, order.actual_order_id) == ("REJECTED", "No luck.", 0)


def test_nothing_triggers_or_fills_while_the_contract_is_halted() -> None:
    exchange, _ = world(FALL)
    market(exchange, "BUY", "1")
    stop = algo(exchange, "STOP_MARKET", "SELL", "90", "1", reduce_only=True)
    resting = limit(exchange, "BUY", "1", "95")
    exchange.set_status(BTC, "TRADING_HALT", START_MS)
    exchange.advance(START_MS + HOUR_MS)
    assert (stop.status, resting.status) == ("NEW", "NEW")
    exchange.set_status(BTC, "TRADING", START_MS + HOUR_MS)
    exchange.advance(START_MS + HOUR_MS + 20)
    assert (stop.status, stop.actual_price, resting.status) == ("FINISHED", 80, "FILLED")


def test_an_order_that_triggers_into_a_halt_is_rejected() -> None:
    exchange, _ = world(FALL)
    stop = algo(exchange, "STOP_MARKET", "SELL", "90", "1")
    exchange.advance(AT_90_MS + 1)
    exchange.set_status(BTC, "TRADING_HALT", AT_90_MS + 2)
    exchange.advance(AT_90_MS + 20)
    assert (stop.status, stop.reason) == ("REJECTED", "Invalid symbol status.")

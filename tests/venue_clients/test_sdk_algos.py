"""The exchange's own Python client places conditional orders; every answer fits its models."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from futures_agent.simulator.server import RunningSimulator

Ask = Callable[..., Any]
BTC = {"symbol": "BTCUSDT"}


@pytest.fixture
def away(venue: RunningSimulator) -> Callable[[str], str]:
    """Return `away(share)`: a price so far from the last one."""

    def price(share: str) -> str:
        return str((venue.venue.exchange.last_price("BTCUSDT") * Decimal(share)).quantize(Decimal(1)))

    return price


@pytest.fixture
def long(sdk: Ask) -> Iterator[None]:
    """Hold 0.02 BTC; flat and without conditional orders afterwards."""
    sdk("new_order", **BTC, side="BUY", type="MARKET", quantity="0.02")
    yield
    sdk("cancel_all_algo_open_orders", **BTC)
    for held in sdk("position_information_v3", **BTC):
        sdk("new_order", **BTC, side="SELL", type="MARKET", quantity=held["positionAmt"], reduce_only="true")


def test_the_life_of_a_stop(sdk: Ask, away: Callable[[str], str]) -> None:
    placed = sdk(
        "new_algo_order",
        **BTC,
        algo_type="CONDITIONAL",
        side="SELL",
        type="STOP_MARKET",
        trigger_price=away("0.9"),
        quantity="0.01",
        reduce_only="true",
        working_type="MARK_PRICE",
        client_algo_id="stop-1",
    )
    assert (placed["algoStatus"], placed["clientAlgoId"]) == ("NEW", "stop-1")
    assert [each["algoId"] for each in sdk("current_all_algo_open_orders")] == [placed["algoId"]]
    assert sdk("query_algo_order", client_algo_id="stop-1")["algoId"] == placed["algoId"]
    assert sdk("current_all_open_orders", **BTC) == []  # it is no regular order yet
    assert sdk("cancel_algo_order", algo_id=placed["algoId"])["code"] == "200"
    (one,) = (each for each in sdk("query_all_algo_orders", **BTC) if each["clientAlgoId"] == "stop-1")
    assert one["algoStatus"] == "CANCELED"


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize(
    "more",
    [
        {"type": "TAKE_PROFIT_MARKET", "trigger": "1.1", "close_position": "true"},
        {"type": "STOP", "trigger": "0.95", "limit": "0.94", "quantity": "0.01", "time_in_force": "GTC"},
        {"type": "TRAILING_STOP_MARKET", "quantity": "0.01", "callback_rate": "1.5", "reduce_only": "true"},
    ],
    ids=lambda more: more["type"],
)
def test_the_other_kinds(more: dict[str, str], sdk: Ask, away: Callable[[str], str]) -> None:
    order: dict[str, str] = dict(more)
    if "trigger" in order:
        order["trigger_price"] = away(order.pop("trigger"))
    if "limit" in order:
        order["price"] = away(order.pop("limit"))
    placed = sdk("new_algo_order", **BTC, algo_type="CONDITIONAL", side="SELL", **order)
    assert placed["orderType"] == more["type"]
    assert sdk("cancel_all_algo_open_orders", **BTC)["code"] == 200
    assert sdk("current_all_algo_open_orders", **BTC) == []


def test_orders_are_cancelled_when_nobody_renews_the_countdown(sdk: Ask, away: Callable[[str], str]) -> None:
    order = {"side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "price": away("0.97")}
    placed = sdk("new_order", **BTC, **order, quantity="0.01")
    armed = sdk("auto_cancel_all_open_orders", **BTC, countdown_time=1)
    assert armed == {**armed, "symbol": "BTCUSDT", "countdownTime": "1"}
    assert sdk("query_order", **BTC, order_id=placed["orderId"])["status"] == "CANCELED"


@pytest.mark.usefixtures("long")
def test_a_triggered_stop_becomes_an_order_of_its_name(
    sdk: Ask, venue: RunningSimulator, away: Callable[[str], str]
) -> None:
    placed = sdk(
        "new_algo_order",
        **BTC,
        algo_type="CONDITIONAL",
        side="SELL",
        type="STOP_MARKET",
        trigger_price=away("0.999"),
        quantity="0.02",
        working_type="MARK_PRICE",
        client_algo_id="stop-2",
    )
    offsets = venue.venue.exchange.state.prices.mark_offset
    offsets["BTCUSDT"] = Decimal("-0.01")
    try:
        for _ in range(50):
            found = sdk("query_algo_order", algo_id=placed["algoId"])
            if found["algoStatus"] == "FINISHED":
                break
            time.sleep(0.02)
    finally:
        del offsets["BTCUSDT"]
    assert found["algoStatus"] == "FINISHED"
    (order,) = (each for each in sdk("all_orders", **BTC) if each["clientOrderId"] == "stop-2")
    assert (order["type"], order["origType"], order["status"]) == ("MARKET", "STOP_MARKET", "FILLED")
    assert found["actualOrderId"] == str(order["orderId"])
    assert Decimal(found["actualPrice"]) == Decimal(order["avgPrice"])

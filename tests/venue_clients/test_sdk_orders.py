"""The exchange's own Python client trades; every answer fits its models."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from futures_agent.simulator.server import RunningSimulator

Ask = Callable[..., Any]
BTC = {"symbol": "BTCUSDT"}


@pytest.fixture
def below(venue: RunningSimulator) -> str:
    """Return a price at which a purchase waits, but no filter minds it."""
    return str((venue.venue.exchange.last_price("BTCUSDT") * Decimal("0.97")).quantize(Decimal(1)))


def test_an_order_at_market_is_filled(sdk: Ask, venue: RunningSimulator) -> None:
    placed = sdk("new_order", **BTC, side="BUY", type="MARKET", quantity="0.01", new_order_resp_type="RESULT")
    assert (placed["status"], placed["executedQty"]) == ("FILLED", "0.01")
    found = sdk("query_order", **BTC, order_id=placed["orderId"])
    last = venue.venue.exchange.last_price("BTCUSDT")
    assert abs(Decimal(found["avgPrice"]) / last - 1) < Decimal("0.01")
    closed = sdk("new_order", **BTC, side="SELL", type="MARKET", quantity="0.01", reduce_only="true")
    assert closed["status"] == "NEW"  # acknowledged, which is all that ACK tells
    assert sdk("query_order", **BTC, order_id=closed["orderId"])["status"] == "FILLED"


def test_an_order_that_is_only_checked_is_not_placed(sdk: Ask) -> None:
    sdk("test_order", **BTC, side="BUY", type="MARKET", quantity="0.01", new_client_order_id="checked")
    assert "checked" not in [each["clientOrderId"] for each in sdk("all_orders", **BTC)]


def test_the_life_of_a_limit_order(sdk: Ask, below: str) -> None:
    mine = {**BTC, "orig_client_order_id": "one"}
    sdk(
        "new_order",
        **BTC,
        side="BUY",
        type="LIMIT",
        time_in_force="GTC",
        quantity="0.01",
        price=below,
        new_client_order_id="one",
    )
    assert sdk("query_current_open_order", **mine)["status"] == "NEW"
    changed = sdk("modify_order", **mine, side="BUY", quantity="0.02", price=below)
    assert changed["origQty"] == "0.02"
    assert [each["clientOrderId"] for each in sdk("current_all_open_orders", **BTC)] == ["one"]
    assert sdk("cancel_order", **mine)["status"] == "CANCELED"
    assert sdk("current_all_open_orders") == []
    assert [each["status"] for each in sdk("all_orders", **BTC) if each["clientOrderId"] == "one"] == [
        "CANCELED"
    ]


def test_several_orders_at_once(sdk: Ask, below: str) -> None:
    order = {**BTC, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": below, "quantity": "0.01"}
    orders = [{**order, "newClientOrderId": name} for name in ("b1", "b2")]
    good, other, bad = sdk("place_multiple_orders", batch_orders=[*orders, {**order, "price": "1"}])
    assert [good["clientOrderId"], other["clientOrderId"]] == ["b1", "b2"]
    assert bad["code"] == -4013
    cancelled = sdk("cancel_multiple_orders", **BTC, orig_client_order_id_list=["b1", "b3"])
    assert [each.get("status") or each["code"] for each in cancelled] == ["CANCELED", -2011]
    assert sdk("cancel_all_open_orders", **BTC)["code"] == 200
    assert sdk("current_all_open_orders", **BTC) == []

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.market.timeframe import Timeframe
from signed_client import Floor, SignedClient, trading_floor

PLACED = (
    "algoId clientAlgoId algoType orderType symbol side positionSide timeInForce quantity algoStatus "
    "triggerPrice price icebergQuantity selfTradePreventionMode workingType priceMatch closePosition "
    "priceProtect reduceOnly activatePrice callbackRate createTime updateTime triggerTime goodTillDate"
).split()


def away(client: SignedClient, share: str, symbol: str = "BTCUSDT") -> str:
    """Return a price `share` of the last one away from it."""
    last = client.simulator.venue.exchange.last_price(symbol)
    return str((last * (1 + Decimal(share))).quantize(Decimal("0.1")))


def stop(client: SignedClient, share: str = "-0.1", **params: Any) -> Any:
    """Place a stop that sells below the market, unless `params` say otherwise."""
    terms = {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "triggerPrice": away(client, share),
        "quantity": "0.01",
    } | params
    return client.ask("POST", "algoOrder", **terms)


def test_a_conditional_order_has_names_of_its_own(client: SignedClient) -> None:
    placed = stop(client, clientAlgoId="sl-1", reduceOnly="true", workingType="MARK_PRICE")
    now_ms = client.simulator.clock.now_ms()
    assert list(placed) == PLACED
    assert placed == {
        "algoId": placed["algoId"],
        "clientAlgoId": "sl-1",
        "algoType": "CONDITIONAL",
        "orderType": "STOP_MARKET",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "positionSide": "BOTH",
        "timeInForce": "GTC",
        "quantity": "0.01",
        "algoStatus": "NEW",
        "triggerPrice": f"{Decimal(away(client, '-0.1')).normalize():f}",
        "price": "0",
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": "MARK_PRICE",
        "priceMatch": "NONE",
        "closePosition": False,
        "priceProtect": False,
        "reduceOnly": True,
        "activatePrice": "",
        "callbackRate": "",
        "createTime": now_ms,
        "updateTime": now_ms,
        "triggerTime": 0,
        "goodTillDate": 0,
    }
    assert len(str(placed["algoId"])) == 16


def test_the_three_shapes(client: SignedClient) -> None:
    placed = stop(client)
    listed = placed | {"actualOrderId": "", "actualQty": "0", "isActivated": False}
    assert client.ask("GET", "openAlgoOrders", symbol="BTCUSDT") == [listed]
    assert client.ask("GET", "openAlgoOrders", algoType="CONDITIONAL") == [listed]
    assert client.ask("GET", "openAlgoOrders", algoId=placed["algoId"]) == [listed]
    assert client.ask("GET", "openAlgoOrders", symbol="ETHUSDT") == []
    details = placed | {"actualOrderId": "", "actualPrice": "0", "tpOrderType": ""}
    assert client.ask("GET", "algoOrder", algoId=placed["algoId"]) == details
    assert client.ask("GET", "algoOrder", clientAlgoId=placed["clientAlgoId"]) == details
    assert client.ask("GET", "allAlgoOrders", symbol="BTCUSDT") == [details]


def test_regular_endpoints_do_not_know_it(client: SignedClient) -> None:
    placed = stop(client, clientAlgoId="unseen")
    assert client.ask("GET", "openOrders") == client.ask("GET", "allOrders") == []
    for one in ({"orderId": placed["algoId"]}, {"origClientOrderId": "unseen"}):
        assert client.refused("GET", "order", symbol="BTCUSDT", **one)[0] == -2013
        assert client.refused("DELETE", "order", symbol="BTCUSDT", **one)[0] == -2011
    client.ask("DELETE", "allOpenOrders", symbol="BTCUSDT")
    assert len(client.ask("GET", "openAlgoOrders")) == 1


def test_cancelling_tells_its_code_as_a_text(client: SignedClient) -> None:
    placed = stop(client)
    one = {"algoId": placed["algoId"]}
    assert client.ask("DELETE", "algoOrder", **one) == {
        "algoId": placed["algoId"],
        "clientAlgoId": placed["clientAlgoId"],
        "code": "200",
        "msg": "success",
    }
    assert client.refused("DELETE", "algoOrder", **one)[0] == -2011
    assert client.ask("GET", "algoOrder", **one)["algoStatus"] == "CANCELED"
    assert client.ask("GET", "openAlgoOrders") == []


def test_cancelling_all_of_a_contract(client: SignedClient) -> None:
    stop(client)
    kept = stop(client, symbol="ETHUSDT", triggerPrice=away(client, "-0.1", "ETHUSDT"))
    done = client.ask("DELETE", "algoOpenOrders", symbol="BTCUSDT")
    assert done == {"code": 200, "msg": "The operation of cancel all open order is done."}
    assert [algo["algoId"] for algo in client.ask("GET", "openAlgoOrders")] == [kept["algoId"]]


def test_ids_grow_over_all_contracts_and_page(client: SignedClient) -> None:
    first, _, third = (
        stop(client),
        stop(client, symbol="ETHUSDT", triggerPrice=away(client, "-0.1", "ETHUSDT")),
        stop(client),
    )
    assert third["algoId"] == first["algoId"] + 2
    page = client.ask("GET", "allAlgoOrders", symbol="BTCUSDT", algoId=first["algoId"] + 1)
    assert [algo["algoId"] for algo in page] == [third["algoId"]]
    last = client.ask("GET", "allAlgoOrders", symbol="BTCUSDT", limit=1)
    assert [algo["algoId"] for algo in last] == [third["algoId"]]


def test_closing_a_position_needs_no_quantity(client: SignedClient) -> None:
    client.market("BUY", "0.01")
    placed = stop(client, closePosition="true", quantity=None)
    assert (placed["closePosition"], placed["quantity"]) == (True, "0")
    assert placed["timeInForce"] == "GTE_GTC"


def test_a_trailing_stop_tells_where_it_starts(client: SignedClient) -> None:
    start = away(client, "0.01")
    terms = {"type": "TRAILING_STOP_MARKET", "triggerPrice": None, "callbackRate": "20"}
    placed = stop(client, activatePrice=start, **terms)
    assert (Decimal(placed["activatePrice"]), placed["callbackRate"]) == (Decimal(start), "20")
    assert placed["triggerPrice"] == "0"


def test_a_stop_limit_has_a_price(client: SignedClient) -> None:
    price = away(client, "-0.11")
    placed = stop(client, type="STOP", price=price, timeInForce="IOC")
    assert (Decimal(placed["price"]), placed["timeInForce"]) == (Decimal(price), "IOC")


def falling_symbol(floor: Floor) -> tuple[str, Decimal]:
    """Return a contract whose price falls within some hours, and a price that it passes on the way."""
    market, now_ms = floor.simulator.market, floor.simulator.clock.now_ms()
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        last = floor.simulator.venue.exchange.last_price(symbol)
        lows = market.closed(symbol, Timeframe.H1, now_ms + 200 * HOUR_MS)
        coming = lows[lows["timestamp"] > now_ms]["low"]
        if coming.min() < float(last) * 0.99:
            return symbol, (last * Decimal("0.995")).quantize(Decimal("0.1"))
    raise AssertionError("no price falls by one per cent in 200 hours")


def test_triggered_it_becomes_a_regular_order_under_the_clients_name() -> None:
    with trading_floor() as floor:
        client = floor.client()
        symbol, trigger = falling_symbol(floor)
        client.market("BUY", "0.1", symbol=symbol, newClientOrderId="entry")
        terms = {"symbol": symbol, "triggerPrice": str(trigger), "quantity": "0.1", "reduceOnly": "true"}
        placed = stop(client, clientAlgoId="sl", **terms)
        for _ in range(200):
            floor.simulator.clock.step(HOUR_MS)
            if not client.ask("GET", "openAlgoOrders", symbol=symbol):
                break
        told = client.ask("GET", "algoOrder", algoId=placed["algoId"])
        order = client.ask("GET", "order", symbol=symbol, origClientOrderId="sl")
        assert (told["algoStatus"], told["actualType"], told["actualQty"]) == ("FINISHED", "MARKET", "0.1")
        assert told["actualOrderId"] == str(order["orderId"])
        assert told["actualPrice"] == order["avgPrice"]
        assert (order["type"], order["origType"], order["status"]) == ("MARKET", "STOP_MARKET", "FILLED")
        assert Decimal(order["stopPrice"]) == trigger
        assert client.refused("DELETE", "algoOrder", algoId=placed["algoId"])[0] == -2011


def test_an_order_of_a_trailing_stop_tells_how_it_trailed() -> None:
    with trading_floor() as floor:
        client = floor.client()
        terms = {"type": "TRAILING_STOP_MARKET", "triggerPrice": None, "callbackRate": "0.1"}
        client.market("BUY", "0.01")
        stop(client, clientAlgoId="trail", **terms)
        for _ in range(48):
            floor.simulator.clock.step(HOUR_MS)
            if not client.ask("GET", "openAlgoOrders"):
                break
        order = client.ask("GET", "order", symbol="BTCUSDT", origClientOrderId="trail")
        assert (order["origType"], order["status"]) == ("TRAILING_STOP_MARKET", "FILLED")
        assert (order["activatePrice"], order["priceRate"]) == ("0", "0.1")


def test_weights_and_counts(client: SignedClient) -> None:
    def costs(method: str, path: str, **params: Any) -> int:
        before = int(client.send("GET", "openOrder").headers["X-MBX-USED-WEIGHT-1M"])
        return int(client.send(method, path, **params).headers["X-MBX-USED-WEIGHT-1M"]) - before

    assert costs("POST", "algoOrder") == 0
    assert costs("GET", "algoOrder") == costs("DELETE", "algoOrder") == costs("DELETE", "algoOpenOrders") == 1
    assert costs("GET", "openAlgoOrders", symbol="BTCUSDT") == 1
    assert costs("GET", "openAlgoOrders") == 40
    assert costs("GET", "allAlgoOrders") == 5


@pytest.mark.parametrize("path", ["order", "algoOrder"])
def test_only_good_orders_tell_their_counts(client: SignedClient, path: str) -> None:
    terms = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.01", "type": "MARKET"}
    if path == "algoOrder":
        trigger = away(client, "0.1")
        terms |= {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": trigger}
    refused = client.send("POST", path, **(terms | {"side": "UP"}))
    accepted = client.send("POST", path, **terms)
    assert refused.status_code == 400
    assert "X-MBX-ORDER-COUNT-10S" not in refused.headers
    assert accepted.headers["X-MBX-ORDER-COUNT-10S"] == accepted.headers["X-MBX-ORDER-COUNT-1M"] == "2"


def test_conditional_orders_that_never_traded_are_forgotten_after_three_days() -> None:
    with trading_floor() as floor:
        client, clock = floor.client(), floor.simulator.clock
        client.market("BUY", "0.01")
        one = {"algoId": stop(client, triggerPrice=away(client, "-0.5"))["algoId"]}
        client.ask("DELETE", "algoOrder", **one)
        listed = {"symbol": "BTCUSDT", "startTime": clock.now_ms()}
        floor.step(3 * DAY_MS)
        assert client.ask("GET", "algoOrder", **one)["algoStatus"] == "CANCELED"
        assert len(client.ask("GET", "allAlgoOrders", **listed)) == 1
        floor.step(1)
        assert client.refused("GET", "algoOrder", **one)[0] == -2013
        assert client.ask("GET", "allAlgoOrders", **listed) == []

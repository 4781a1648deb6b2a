from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from futures_agent.clock import DAY_MS, MINUTE_MS
from signed_client import Floor, SignedClient, trading_floor

# The keys of an answer to placing an order, in the exchange's order.
PLACED = (
    "clientOrderId cumQty executedQty orderId origQty price reduceOnly side positionSide status stopPrice "
    "closePosition symbol timeInForce type origType updateTime workingType priceProtect priceMatch "
    "selfTradePreventionMode goodTillDate"
).split()
FAR = {"BUY": Decimal("0.97"), "SELL": Decimal("1.03")}  # of the last price: rests in the book


def resting_price(client: SignedClient, side: str, symbol: str = "BTCUSDT") -> Decimal:
    last = client.simulator.venue.exchange.last_price(symbol)
    return (last * FAR[side]).quantize(Decimal("0.1"))


def rest(
    client: SignedClient, side: str = "BUY", quantity: str = "0.01", symbol: str = "BTCUSDT", **params: Any
) -> Any:
    """Place a limit order that rests."""
    return client.limit(side, quantity, resting_price(client, side, symbol), symbol, **params)


def test_an_order_at_market_is_acknowledged_before_it_trades(client: SignedClient) -> None:
    placed = client.market("BUY", "0.01", newClientOrderId="mine-1")
    assert list(placed) == PLACED
    now_ms = client.simulator.clock.now_ms()
    order_id = placed["orderId"]
    assert placed == {
        "clientOrderId": "mine-1",
        "cumQty": "0",
        "executedQty": "0",
        "orderId": order_id,
        "origQty": "0.01",
        "price": "0",
        "reduceOnly": False,
        "side": "BUY",
        "positionSide": "BOTH",
        "status": "NEW",
        "stopPrice": "0",
        "closePosition": False,
        "symbol": "BTCUSDT",
        "timeInForce": "GTC",
        "type": "MARKET",
        "origType": "MARKET",
        "updateTime": now_ms,
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
    }
    found = client.ask("GET", "order", symbol="BTCUSDT", origClientOrderId="mine-1")
    fill = client.account.fills[-1]
    assert found == placed | {
        "status": "FILLED",
        "executedQty": "0.01",
        "cumQty": "0.01",
        "avgPrice": f"{fill.price.normalize():f}",
        "cumQuote": f"{fill.quote.normalize():f}",
        "time": now_ms,
    }
    assert client.ask("GET", "order", symbol="BTCUSDT", orderId=order_id) == found


def test_result_tells_what_became_of_it(client: SignedClient) -> None:
    placed = client.market("SELL", "0.02", newOrderRespType="RESULT")
    assert (placed["status"], placed["executedQty"]) == ("FILLED", "0.02")
    assert "avgPrice" not in placed
    assert "cumQuote" not in placed


def test_average_prices_as_they_once_were() -> None:
    with trading_floor(legacy_avg_price=True) as floor:
        client = floor.client()
        assert client.market("BUY", "0.01")["avgPrice"] == "0"
        placed = client.market("BUY", "0.01", newOrderRespType="RESULT")
        assert Decimal(placed["avgPrice"]) * Decimal("0.01") == Decimal(placed["cumQuote"]) > 0


def test_test_orders_are_checked_and_not_placed(client: SignedClient) -> None:
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET"}
    answer = client.send("POST", "order/test", quantity="0.01", **order)
    assert (answer.status_code, answer.json()) == (200, {})
    assert "X-MBX-ORDER-COUNT-10S" not in answer.headers
    assert client.refused("POST", "order/test", quantity="0.0001", **order)[0] == -1111
    assert not client.account.orders


def test_a_resting_order_is_listed_until_it_is_cancelled(client: SignedClient) -> None:
    placed = rest(client)
    others = rest(client, symbol="ETHUSDT", side="SELL", quantity="1")
    one = {"symbol": "BTCUSDT", "orderId": placed["orderId"]}
    shown = client.ask("GET", "openOrder", **one)
    assert shown == placed | {"avgPrice": "0", "cumQuote": "0", "time": placed["updateTime"]}
    assert client.ask("GET", "openOrders", symbol="BTCUSDT") == [shown]
    both = [order["orderId"] for order in client.ask("GET", "openOrders")]
    assert both == [placed["orderId"], others["orderId"]]
    cancelled = client.ask("DELETE", "order", **one)
    assert cancelled == placed | {"status": "CANCELED"}
    assert client.refused("DELETE", "order", **one) == (-2011, "Unknown order sent.")
    assert client.refused("GET", "openOrder", **one) == (-2013, "Order does not exist.")
    assert client.ask("GET", "order", **one)["status"] == "CANCELED"
    assert client.ask("GET", "openOrders", symbol="BTCUSDT") == []


def test_cancelled_orders_without_a_fill_are_forgotten_after_three_days() -> None:
    with trading_floor() as floor:
        client = floor.client()
        placed = rest(client)
        filled = [client.market(side, "0.01")["orderId"] for side in ("BUY", "SELL")]
        one = {"symbol": "BTCUSDT", "orderId": placed["orderId"]}
        client.ask("DELETE", "order", **one)
        floor.step(3 * DAY_MS)
        assert client.ask("GET", "order", **one)["status"] == "CANCELED"
        floor.simulator.clock.step(1)
        assert client.refused("GET", "order", **one)[0] == -2013
        assert [order["orderId"] for order in client.ask("GET", "allOrders")] == filled


def test_cancelling_all_leaves_other_contracts_alone(client: SignedClient) -> None:
    rest(client)
    rest(client, side="SELL")
    kept = rest(client, symbol="ETHUSDT", quantity="1")
    done = client.ask("DELETE", "allOpenOrders", symbol="BTCUSDT")
    assert done == {"code": 200, "msg": "The operation of cancel all open order is done."}
    assert [order["orderId"] for order in client.ask("GET", "openOrders")] == [kept["orderId"]]


def test_a_batch_is_answered_order_by_order(client: SignedClient) -> None:
    price = str(resting_price(client, "BUY"))
    limit = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": price}
    orders = [
        limit | {"quantity": "0.01", "newClientOrderId": "a"},
        limit | {"quantity": 0.02, "reduceOnly": False},
        limit | {"quantity": "0.0001"},
        limit | {"quantity": "0.01", "stopPrice": "1", "type": "STOP_MARKET"},
        limit | {"quantity": "0.01", "orderId": "1"},
    ]
    answer = client.send("POST", "batchOrders", batchOrders=json.dumps(orders))
    assert answer.status_code == 200
    first, second, *refused = answer.json()
    assert (first["clientOrderId"], first["status"], second["origQty"]) == ("a", "NEW", "0.02")
    assert [each["code"] for each in refused] == [-1111, -4120, -1104]
    assert (answer.headers["X-MBX-ORDER-COUNT-10S"], answer.headers["X-MBX-ORDER-COUNT-1M"]) == ("5", "1")
    ids = json.dumps([second["orderId"], 1])
    gone = client.ask("DELETE", "batchOrders", symbol="BTCUSDT", orderIdList=ids)
    assert (gone[0]["status"], gone[1]) == ("CANCELED", {"code": -2011, "msg": "Unknown order sent."})
    names = client.ask("DELETE", "batchOrders", symbol="BTCUSDT", origClientOrderIdList='["a"]')
    assert names[0]["clientOrderId"] == "a"
    assert client.ask("GET", "openOrders") == []


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("POST", {"batchOrders": "[]"}, -4082),
        ("POST", {"batchOrders": json.dumps([{}] * 6)}, -4082),
        ("POST", {"batchOrders": "{}"}, -1130),
        ("POST", {}, -1102),
        ("DELETE", {"symbol": "BTCUSDT"}, -1102),
        ("DELETE", {"symbol": "BTCUSDT", "orderIdList": json.dumps(list(range(11)))}, -1130),
        ("DELETE", {"orderIdList": "[1]"}, -1102),
    ],
)
def test_batches_that_are_none(client: SignedClient, method: str, params: dict[str, Any], code: int) -> None:
    assert client.refused(method, "batchOrders", **params)[0] == code


def test_what_is_no_order_in_a_batch(client: SignedClient) -> None:
    assert client.ask("POST", "batchOrders", batchOrders="[1]")[0]["code"] == -1130


def test_an_order_is_changed_in_place(client: SignedClient) -> None:
    placed = rest(client, newClientOrderId="c")
    price = resting_price(client, "BUY") - 10
    change = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.02", "price": str(price)}
    answer = client.send("PUT", "order", origClientOrderId="c", **change)
    changed = answer.json()
    assert answer.headers["X-MBX-ORDER-COUNT-10S"] == "2"
    assert changed == placed | {"origQty": "0.02", "price": f"{price.normalize():f}"}
    assert client.refused("PUT", "order", orderId=placed["orderId"], **change)[0] == -5027


def test_a_dead_mans_switch_strikes_unless_it_is_held() -> None:
    with trading_floor() as floor:
        client, clock = floor.client(), floor.simulator.clock
        rest(client)
        other = rest(client, symbol="ETHUSDT", quantity="1")
        arm = {"symbol": "BTCUSDT", "countdownTime": 5000}
        told = client.ask("POST", "countdownCancelAll", **arm)
        assert told == {"symbol": "BTCUSDT", "countdownTime": "5000"}
        clock.step(4999)
        client.ask("POST", "countdownCancelAll", **arm)
        clock.step(4999)
        assert len(client.ask("GET", "openOrders")) == 2
        clock.step(1)
        assert [order["orderId"] for order in client.ask("GET", "openOrders")] == [other["orderId"]]
        rest(client)
        client.ask("POST", "countdownCancelAll", **arm)
        client.ask("POST", "countdownCancelAll", **(arm | {"countdownTime": 0}))
        clock.step(10_000)
        assert len(client.ask("GET", "openOrders")) == 2


def test_all_orders_pages_by_id_and_time() -> None:
    with trading_floor() as floor:
        client = floor.client()
        ids = []
        for _ in range(3):
            ids.append(rest(client)["orderId"])
            floor.simulator.clock.step(MINUTE_MS)
        now_ms = floor.simulator.clock.now_ms()

        def asked(**params: Any) -> list[int]:
            return [order["orderId"] for order in client.ask("GET", "allOrders", **params)]

        assert asked() == asked(symbol="BTCUSDT") == ids
        assert asked(symbol="BTCUSDT", limit=2) == ids[1:]
        assert asked(symbol="BTCUSDT", orderId=ids[1]) == ids[1:]
        assert asked(symbol="BTCUSDT", orderId=ids[0], limit=1) == ids[:1]
        assert asked(startTime=now_ms - 3 * MINUTE_MS, limit=2) == ids[:2]
        assert asked(endTime=now_ms - 3 * MINUTE_MS) == ids[:1]
        assert asked(startTime=now_ms - 2 * MINUTE_MS, endTime=now_ms) == ids[1:]
        assert asked(symbol="ETHUSDT") == []
        client.ask("DELETE", "allOpenOrders", symbol="BTCUSDT")
        too_long = {"startTime": now_ms - 8 * DAY_MS, "endTime": now_ms}
        assert client.refused("GET", "allOrders", **too_long) == (-4165, "Maximum time interval is 7 days")


@pytest.mark.parametrize(
    ("side", "match", "best", "away"),
    [
        ("BUY", "QUEUE", "bidPrice", "0"),
        ("BUY", "QUEUE_5", "bidPrice", "-0.4"),
        ("BUY", "OPPONENT_5", "askPrice", "0.4"),
        ("SELL", "OPPONENT", "bidPrice", "0"),
        ("SELL", "OPPONENT_5", "bidPrice", "-0.4"),
        ("SELL", "QUEUE_20", "askPrice", "1.9"),
    ],
)
def test_a_price_taken_from_the_book(
    client: SignedClient, side: str, match: str, best: str, away: str
) -> None:
    book = client.raw("GET", "ticker/bookTicker", "symbol=BTCUSDT").json()
    terms = {"symbol": "BTCUSDT", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    placed = client.ask("POST", "order", side=side, priceMatch=match, **terms)
    assert Decimal(placed["price"]) == Decimal(book[best]) + Decimal(away)
    assert placed["priceMatch"] == match
    traded = match.startswith("OPPONENT")
    assert bool(client.account.fills) == traded


def test_a_date_until_which_an_order_is_good(client: SignedClient) -> None:
    until_ms = client.simulator.clock.now_ms() + 700_123
    placed = rest(client, timeInForce="GTD", goodTillDate=until_ms)
    assert (placed["timeInForce"], placed["goodTillDate"]) == ("GTD", until_ms - until_ms % 1000)


def test_non_ascii_contracts_are_known_by_their_encoded_name(client: SignedClient) -> None:
    order = {"symbol": "币安人生USDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
    assert client.refused("POST", "order", **order)[0] == -4140


def test_parameters_may_come_in_the_body(client: SignedClient) -> None:
    query = "symbol=BTCUSDT&side=BUY&quantity=0.01"
    body = f"type=MARKET&quantity=0.5&timestamp={client.simulator.clock.now_ms()}"
    answer = client.raw("POST", "order", query, f"{body}&signature={client.sign(query + body)}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["origQty"] == "0.01"


def test_weights_and_counts(floor: Floor) -> None:
    client = floor.client()

    def costs(method: str, path: str, **params: Any) -> int:
        before = int(client.send("GET", "openOrder").headers["X-MBX-USED-WEIGHT-1M"])
        after = int(client.send(method, path, **params).headers["X-MBX-USED-WEIGHT-1M"])
        return after - before

    assert costs("POST", "order") == costs("PUT", "order") == costs("POST", "order/test") == 0
    assert costs("DELETE", "order") == costs("GET", "order") == costs("DELETE", "batchOrders") == 1
    assert costs("DELETE", "allOpenOrders") == costs("GET", "openOrder") == 1
    assert costs("GET", "openOrders", symbol="BTCUSDT") == 1
    assert costs("GET", "openOrders") == 40
    assert costs("POST", "batchOrders") == costs("GET", "allOrders") == 5
    assert costs("POST", "countdownCancelAll") == 10

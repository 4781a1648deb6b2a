"""Every code that a state of the venue can provoke, each by one raw signed request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from futures_agent.clock import DAY_MS
from futures_agent.simulator.parameters import CLIENT_ID
from signed_client import WORLD, SignedClient, trading_floor

Setup = Callable[[SignedClient], Any]


class Case(NamedTuple):
    """A request and the code that it must be refused with; "×0.9" is 0.9 times the last price."""

    code: int
    request: str  # method and path
    params: dict[str, Any]
    before: Setup = lambda client: None


def filled(client: SignedClient, params: dict[str, Any]) -> dict[str, Any]:
    """Return `params` with prices for the shares of the last one."""
    symbol = params.get("symbol", "BTCUSDT")

    def value(given: Any) -> Any:
        if isinstance(given, str) and given.startswith("×"):
            last = client.simulator.venue.exchange.last_price(symbol)
            return str((last * Decimal(given[1:])).quantize(Decimal("0.1")))
        return given

    return {name: value(given) for name, given in params.items()}


def ask(client: SignedClient, request: str, **params: Any) -> Any:
    return client.ask(*request.split(), **filled(client, params))


ORDER, ALGO = "POST order", "POST algoOrder"
BUY: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
SELL = BUY | {"side": "SELL"}
BID = BUY | {"type": "LIMIT", "timeInForce": "GTC", "price": "×0.97"}
STOP = SELL | {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": "×0.9"}
CLOSING = {name: value for name, value in STOP.items() if name != "quantity"} | {"closePosition": "true"}
STOP_LIMIT = STOP | {"type": "STOP", "price": "×0.9"}
TRAILING = STOP | {"type": "TRAILING_STOP_MARKET", "triggerPrice": None, "callbackRate": "1"}
ONE = {"symbol": "BTCUSDT", "origClientOrderId": "mine"}
AMENDED = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "quantity": "0.02",
    "price": "×0.96",
    "origClientOrderId": "mine",
}


def holding(client: SignedClient, **params: Any) -> None:
    ask(client, ORDER, **(BUY | params))


def resting(client: SignedClient, **params: Any) -> None:
    ask(client, ORDER, **(BID | {"newClientOrderId": "mine"} | params))


def holding_much(client: SignedClient) -> None:
    holding(client, quantity="0.1")


def hedged(client: SignedClient) -> None:
    ask(client, "POST positionSide/dual", dualSidePosition="true")


def isolated(client: SignedClient) -> None:
    ask(client, "POST marginType", symbol="BTCUSDT", marginType="ISOLATED")


def both(*setups: Setup) -> Setup:
    return lambda client: [setup(client) for setup in setups]


def crowded(client: SignedClient) -> None:
    """Fill the book with as many orders as one contract may have."""
    order = filled(client, BID | {"quantity": "0.001"})
    for _ in range(40):
        done = client.ask("POST", "batchOrders", batchOrders=json.dumps([order] * 5))
        assert [each["status"] for each in done] == ["NEW"] * 5


def amended_often(client: SignedClient) -> None:
    resting(client)
    (order,) = client.account.open_orders.values()
    order.amendments = 10_000


def triggering(client: SignedClient) -> None:
    ask(client, ALGO, **(STOP | {"clientAlgoId": "sl"}))
    (algo,) = client.account.open_algos.values()
    algo.status = "TRIGGERING"


def enormous(client: SignedClient) -> None:
    """Hold more than the highest leverage allows."""
    venue = client.simulator.venue
    with venue.lock:
        venue.exchange.transfer(client.account, "USDT", Decimal(10**6), venue.clock.now_ms())
    holding(client, quantity="3")


def with_(params: dict[str, Any], *without: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (params | changes).items() if name not in without}


CASES = [
    # Parameters.
    Case(-1100, ORDER, with_(BUY, quantity="1e-05")),
    Case(-1100, ORDER, with_(BUY, newClientOrderId="no blanks")),
    Case(-1100, ORDER, with_(BUY, timestamp="now")),
    Case(-1102, ORDER, with_(BUY, "quantity")),
    Case(-1102, ORDER, with_(BUY, "symbol")),
    Case(-1102, ORDER, with_(BUY, "side")),
    Case(-1102, ORDER, with_(BUY, "type")),
    Case(-1102, ORDER, with_(BID, "price")),
    Case(-1102, ORDER, with_(BID, "timeInForce")),
    Case(-1102, ORDER, with_(BID, timeInForce="GTD")),
    Case(-1102, ORDER, with_(BUY, timestamp=None)),
    Case(-1102, "GET order", {"symbol": "BTCUSDT"}),
    Case(-1102, "GET algoOrder", {}),
    Case(-1102, ALGO, with_(STOP, "triggerPrice")),
    Case(-1102, ALGO, with_(STOP, "algoType")),
    Case(-1103, ORDER, with_(BUY, qty="1")),
    Case(-1104, ORDER, with_(BUY, workingType="MARK_PRICE")),
    Case(-1105, ORDER, with_(BUY, positionSide="")),
    Case(-1106, ORDER, with_(BUY, price="1")),
    Case(-1106, ORDER, with_(BUY, timeInForce="GTC")),
    Case(-1106, ORDER, with_(BID, stopPrice="1")),
    Case(-1106, ORDER, with_(BID, priceMatch="QUEUE")),
    Case(-1106, ORDER, with_(BID, goodTillDate="1")),
    Case(-1106, ORDER, with_(BUY, positionSide="LONG", reduceOnly="true"), hedged),
    Case(-1106, ALGO, with_(STOP, price="1")),
    Case(-1106, ALGO, with_(TRAILING, triggerPrice="1")),
    Case(-1106, ALGO, with_(CLOSING, reduceOnly="true")),
    Case(-1115, ORDER, with_(BID, timeInForce="GTX+")),
    Case(-1115, ALGO, with_(STOP, timeInForce="FOK")),
    Case(-1116, ORDER, with_(BUY, type="LIMITED")),
    Case(-1116, ALGO, with_(STOP, type="LIMIT")),
    Case(-1117, ORDER, with_(BUY, side="LONG")),
    Case(-1121, ORDER, with_(BUY, symbol="BTCUSD")),
    Case(-4140, ORDER, with_(BUY, symbol="币安人生USDT")),
    Case(-4141, ORDER, with_(BUY, symbol="LUNAUSDT")),
    Case(-1125, "PUT listenKey", {}),
    Case(-1023, "GET allOrders", {"startTime": 2, "endTime": 1}),
    Case(-1128, "GET userTrades", {"symbol": "BTCUSDT", "fromId": 1, "startTime": 1}),
    Case(-1130, "GET allOrders", {"limit": 1001}),
    Case(-1130, "GET income", {"incomeType": "LUCK"}),
    Case(-1130, ORDER, with_(BUY, recvWindow=60_001)),
    Case(-1130, ORDER, with_(BID, timeInForce="GTD", goodTillDate=1)),
    Case(-1130, ALGO, with_(STOP, algoType="TWAP")),
    Case(-1136, ORDER, with_(BUY, newOrderRespType="FULL")),
    Case(-2007, ALGO, with_(TRAILING, callbackRate="20.1")),
    Case(-4015, ORDER, with_(BUY, newClientOrderId="x" * 37)),
    Case(-4060, ORDER, with_(BUY, positionSide="UP")),
    Case(-4062, ORDER, with_(BUY, reduceOnly="yes")),
    Case(-4120, ORDER, with_(BUY, type="STOP_MARKET", stopPrice="1")),
    Case(-4136, ALGO, with_(CLOSING, type="STOP", price="1")),
    Case(-4136, ORDER, with_(BUY, closePosition="true")),
    Case(-4137, ALGO, with_(CLOSING, quantity="0.01")),
    Case(-4138, ALGO, with_(CLOSING, reduceOnly="false")),
    Case(-5037, ORDER, with_(BID, "price", priceMatch="OPPONENT_10")),
    Case(-5038, ORDER, with_(BUY, priceMatch="QUEUE")),
    Case(-5038, ALGO, with_(STOP, priceMatch="QUEUE")),
    Case(-1130, "POST feeBurn", {"feeBurn": "true"}),
    # Filters.
    Case(-1111, ORDER, with_(BUY, quantity="0.0101")),
    Case(-1111, ORDER, with_(BID, price="100000.001")),
    Case(-4001, ORDER, with_(BID, price="-1")),
    Case(-4001, ORDER, with_(BID, price="0")),
    Case(-4001, ALGO, with_(STOP, triggerPrice="0")),
    Case(-4002, ORDER, with_(BID, price="99999999")),
    Case(-4003, ORDER, with_(BUY, quantity="0")),
    Case(-4005, ORDER, with_(BUY, quantity="1000")),
    Case(-4013, ORDER, with_(BID, price="1")),
    Case(-4014, ORDER, with_(BID, price="100000.01")),
    Case(-4016, ORDER, with_(BID, price="×1.06")),
    Case(-4024, ORDER, with_(BID, side="SELL", price="×0.94")),
    Case(-4164, ORDER, with_(BID, symbol="ETHUSDT", price="×0.97", quantity="0.001")),
    Case(-4183, ALGO, with_(STOP_LIMIT, side="BUY", triggerPrice="×1.1", price="×1.2")),
    Case(-4184, ALGO, with_(STOP_LIMIT, triggerPrice="×0.9", price="×0.8")),
    Case(-4210, ALGO, with_(STOP, side="BUY", triggerPrice="×5.1")),
    Case(-4210, ALGO, with_(TRAILING, activatePrice="×5.1")),
    Case(-4211, ALGO, with_(STOP, triggerPrice="×0.19")),
    Case(-4211, ALGO, with_(CLOSING, triggerPrice="×0.19")),
    # The state of the account.
    Case(-2011, "DELETE order", ONE),
    Case(-2011, "DELETE algoOrder", {"algoId": 1}),
    Case(-2013, "GET order", ONE),
    Case(-2013, "GET openOrder", ONE),
    Case(-2013, "GET algoOrder", {"clientAlgoId": "mine"}),
    Case(-2013, "PUT order", AMENDED),
    Case(-2019, ORDER, with_(BUY, quantity="1")),
    Case(-2021, ALGO, with_(STOP, triggerPrice="×1.1")),
    Case(-2021, ALGO, with_(STOP, triggerPrice="×0.9", type="TAKE_PROFIT_MARKET")),
    Case(-2022, ORDER, with_(SELL, reduceOnly="true")),
    Case(-2022, ORDER, with_(BUY, reduceOnly="true"), holding),
    Case(-2025, ORDER, with_(BID, quantity="0.001"), crowded),
    Case(-2027, "POST leverage", {"symbol": "BTCUSDT", "leverage": 125}, enormous),
    Case(
        -2028,
        "POST leverage",
        {"symbol": "BTCUSDT", "leverage": 1},
        holding_much,
    ),
    Case(-4028, "POST leverage", {"symbol": "BTCUSDT", "leverage": 126}),
    Case(-4046, "POST marginType", {"symbol": "BTCUSDT", "marginType": "CROSSED"}),
    Case(-4047, "POST marginType", {"symbol": "BTCUSDT", "marginType": "ISOLATED"}, resting),
    Case(-4048, "POST marginType", {"symbol": "BTCUSDT", "marginType": "ISOLATED"}, holding),
    Case(
        -4050,
        "POST positionMargin",
        {"symbol": "BTCUSDT", "amount": "9999", "type": 1},
        both(isolated, holding),
    ),
    Case(
        -4051,
        "POST positionMargin",
        {"symbol": "BTCUSDT", "amount": "60", "type": 2},
        both(isolated, holding),
    ),
    Case(-4054, "POST positionMargin", {"symbol": "BTCUSDT", "amount": "1", "type": 1}),
    Case(-4055, "POST positionMargin", {"symbol": "BTCUSDT", "amount": "0", "type": 1}),
    Case(-4059, "POST positionSide/dual", {"dualSidePosition": "false"}),
    Case(-4061, ORDER, with_(BUY, positionSide="LONG")),
    Case(-4061, ORDER, BUY, hedged),
    Case(-4061, ALGO, with_(CLOSING, positionSide="SHORT"), hedged),
    Case(-4067, "POST positionSide/dual", {"dualSidePosition": "true"}, resting),
    Case(-4068, "POST positionSide/dual", {"dualSidePosition": "true"}, holding),
    Case(-4116, ORDER, with_(BID, newClientOrderId="mine"), resting),
    Case(-4116, ALGO, with_(STOP, clientAlgoId="sl"), triggering),
    Case(-4117, "DELETE algoOrder", {"clientAlgoId": "sl"}, triggering),
    Case(-4130, ALGO, CLOSING, both(holding, lambda client: ask(client, ALGO, **CLOSING))),
    Case(-4161, "POST leverage", {"symbol": "BTCUSDT", "leverage": 5}, both(isolated, holding)),
    Case(-4165, "GET allOrders", {"startTime": 0, "endTime": 8 * DAY_MS}),
    Case(-4509, ALGO, CLOSING),
    Case(-4509, ALGO, with_(STOP, timeInForce="GTE_GTC")),
    Case(-5021, ORDER, with_(BID, timeInForce="FOK")),
    Case(-5022, ORDER, with_(BID, timeInForce="GTX", price="×1.01")),
    Case(-5025, "PUT order", AMENDED, lambda client: holding(client, newClientOrderId="mine")),
    Case(-1130, "PUT order", with_(AMENDED, side="SELL"), resting),
    Case(-5026, "PUT order", AMENDED, amended_often),
    Case(-5027, "PUT order", with_(AMENDED, quantity="0.01", price="×0.97"), resting),
    Case(
        -5029,
        "PUT order",
        with_(AMENDED, symbol="ETHUSDT", quantity="0.001"),
        lambda client: resting(client, symbol="ETHUSDT"),
    ),
    Case(-5047, "PUT order", with_(AMENDED, reduceOnly="true"), resting),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code} {case.request}")
def test_refusal(client: SignedClient, case: Case) -> None:
    case.before(client)
    method, path = case.request.split()
    answer = client.send(method, path, **filled(client, case.params))
    assert (answer.status_code, answer.json()["code"]) == (400, case.code), answer.text


@pytest.mark.parametrize(
    ("request_", "params", "text"),
    [
        (ORDER, with_(BUY, "side"), "Mandatory parameter 'side' was not sent, was empty/null, or malformed."),
        (
            "GET order",
            {"symbol": "BTCUSDT"},
            "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
        ),
        (ORDER, with_(BUY, price="1"), "Parameter 'price' sent when not required."),
        (ORDER, with_(BUY, "quantity", quantity=""), "Mandatory parameter 'quantity' was not sent"),
        (
            ORDER,
            with_(BUY, newClientOrderId="ä"),
            rf"Illegal characters found in parameter 'newClientOrderId'; legal range is '{CLIENT_ID}'.",
        ),
        (
            ORDER,
            with_(BUY, symbol="ETHUSDT", quantity="0.001"),
            "Order's notional must be no smaller than 20 (unless you choose reduce only)",
        ),
        ("POST leverage", {"symbol": "BTCUSDT", "leverage": 126}, "Leverage 126 is not valid"),
        (
            ORDER,
            with_(BUY, type="STOP_MARKET"),
            "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
        ),
    ],
)
def test_wording(client: SignedClient, request_: str, params: dict[str, Any], text: str) -> None:
    assert client.refused(*request_.split(), **filled(client, params))[1].startswith(text)


@contextmanager
def status(client: SignedClient, symbol: str, state: str) -> Iterator[None]:
    """Put a contract into another state for a while."""
    venue = client.simulator.venue
    with venue.lock:
        venue.exchange.set_status(symbol, state, venue.clock.now_ms())
    yield
    with venue.lock:
        venue.exchange.set_status(symbol, "TRADING", venue.clock.now_ms())


@pytest.mark.parametrize(
    ("state", "opening", "closing"),
    [
        ("TRADING_HALT", -1122, -1122),
        ("PENDING_TRADING", -1122, -1122),
        ("NOVELTY", -1122, -1122),
        ("TRADING_CANCEL_ONLY", -4140, -1122),
    ],
)
def test_contracts_that_do_not_trade(client: SignedClient, state: str, opening: int, closing: int) -> None:
    holding(client)
    with status(client, "BTCUSDT", state):
        assert client.refused("POST", "order", **BUY)[0] == opening
        assert client.refused("POST", "order", reduceOnly="true", **SELL)[0] == closing
        assert client.refused("POST", "algoOrder", **filled(client, STOP))[0] == opening


def test_a_halt_forbids_amendments(client: SignedClient) -> None:
    resting(client)
    changed = filled(client, AMENDED)
    with status(client, "BTCUSDT", "TRADING_HALT"):
        assert client.refused("PUT", "order", **changed)[0] == -5024


@pytest.mark.parametrize(("side", "offset"), [("BUY", "-0.06"), ("SELL", "0.06")])
def test_a_market_too_far_from_the_mark_price(client: SignedClient, side: str, offset: str) -> None:
    offsets = client.simulator.venue.exchange.state.prices.mark_offset
    offsets["BTCUSDT"] = Decimal(offset)
    try:
        assert client.refused("POST", "order", **(BUY | {"side": side}))[0] == -4131
    finally:
        del offsets["BTCUSDT"]


def test_too_many_conditional_orders_over_all_contracts() -> None:
    with trading_floor({"max_algo_orders": 2}) as floor:
        client = floor.client()
        for symbol in ("BTCUSDT", "ETHUSDT"):
            ask(client, ALGO, **(STOP | {"symbol": symbol}))
        assert client.refused("POST", "algoOrder", **filled(client, STOP)) == (
            -4045,
            "Reach max stop order limit.",
        )


def test_a_contract_that_nobody_has_traded_yet() -> None:
    tomorrow_ms = WORLD["start_ms"] + DAY_MS
    with trading_floor(onboard_ms={"SOLUSDT": tomorrow_ms}) as floor:
        client = floor.client()
        order = BUY | {"symbol": "SOLUSDT", "quantity": "1"}
        assert client.refused("POST", "order", **order)[0] == -1122
        with status(client, "SOLUSDT", "TRADING"):
            assert client.refused("POST", "order", **order) == (-2020, "Unable to fill.")
            stop = STOP | {"symbol": "SOLUSDT", "quantity": "1", "triggerPrice": "300"}
            assert client.refused("POST", "algoOrder", **stop)[0] == -2020
            matched = order | {"type": "LIMIT", "timeInForce": "GTC", "priceMatch": "QUEUE"}
            assert client.refused("POST", "order", **matched)[0] == -5041

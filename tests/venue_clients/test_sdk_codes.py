"""Every refusal that a request can provoke reaches the exchange's own client with its code and text.

Each case has an account of its own. The generated price is that of the day on which the tests run, somewhere
between 25,000 and 160,000 for BTC, so prices are told as shares of it, and large quantities by their worth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.server import RunningSimulator, running_simulator
from futures_agent.simulator.trading.config import AccountConfig, TradingConfig
from venue_client import ClientProcess

Call = tuple[str, str, dict[str, Any]]  # method, path, parameters; floats are shares of the last price
V1 = "/fapi/v1"


class Worth(int):
    """A quantity, by its value in USDT; rounded up."""


def limit(**more: Any) -> Call:
    """Return the purchase of 0.01 BTC at 97 % of the price, with changes; None leaves a parameter out."""
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    return "POST", f"{V1}/order", {**order, "price": 0.97, **more}


def market(**more: Any) -> Call:
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    return "POST", f"{V1}/order", {**order, **more}


def stop(**more: Any) -> Call:
    order = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
    return "POST", f"{V1}/algoOrder", {**order, "quantity": "0.01", "triggerPrice": 0.9, **more}


def closing(**more: Any) -> Call:
    return stop(**{"quantity": None, "closePosition": "true", **more})


def post(path: str, **params: Any) -> Call:
    return "POST", f"{V1}/{path}", params


def get(path: str, **params: Any) -> Call:
    return "GET", f"{V1}/{path}", params


def margin(amount: str, kind: int = 1) -> Call:
    return post("positionMargin", symbol="BTCUSDT", amount=amount, type=kind)


def amend(**more: Any) -> Call:
    change = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "quantity": "0.02",
        "price": 0.97,
        "origClientOrderId": "mine",
    }
    return "PUT", f"{V1}/order", {**change, **more}


@dataclass(frozen=True)
class Case:
    """A refusal: its code and text (a regular expression), what provokes it, and what must come first."""

    code: int
    text: str
    call: Call
    first: tuple[Call, ...] = ()
    status: str = ""  # of BTCUSDT meanwhile
    secret: str = "secret"
    key: str | None = None  # None: that of its account
    kind: str = "BadRequestError"


MINE = limit(newClientOrderId="mine")
HEDGE = post("positionSide/dual", dualSidePosition="true")
ISOLATED = post("marginType", symbol="BTCUSDT", marginType="ISOLATED")

CASES = (
    Case(
        -1021, "Timestamp for this request is outside of the recvWindow.", limit(timestamp=1_500_000_000_000)
    ),
    Case(
        -1021,
        "Timestamp for this request was 1000ms ahead of the server's time.",
        limit(timestamp=4_000_000_000_000),
    ),
    Case(-1022, "Signature for this request is not valid.", limit(), secret="another"),
    Case(
        -1100, "Illegal characters found in parameter 'newClientOrderId'; .*", limit(newClientOrderId="a b")
    ),
    Case(-1100, "Illegal characters found in parameter 'quantity'; .*", limit(quantity="1e-05")),
    Case(-1102, "Mandatory parameter 'quantity' was not sent, .*", limit(quantity=None)),
    Case(-1102, ".*'?orderId'? .*must be sent, but both were empty/null!", get("order", symbol="BTCUSDT")),
    Case(-1103, "An unknown parameter was sent.", limit(colour="red")),
    Case(-1104, "Not all sent parameters were read; .*", get("accountConfig", symbol="BTCUSDT")),
    Case(-1105, "Parameter 'symbol' was empty.", get("openOrders", symbol="")),
    Case(-1106, "Parameter 'price' sent when not required.", market(price=0.97)),
    Case(
        -1106,
        "Parameter 'reduceOnly' sent when not required.",
        market(positionSide="LONG", reduceOnly="true"),
        (HEDGE,),
    ),
    Case(-1111, "Precision is over the maximum defined for this asset.", limit(quantity="0.0123456")),
    Case(-1115, "Invalid timeInForce.", limit(timeInForce="NOW")),
    Case(-1116, "Invalid orderType.", limit(type="GUESS")),
    Case(-1117, "Invalid side.", limit(side="HOLD")),
    Case(-1120, "Invalid interval.", get("klines", symbol="BTCUSDT", interval="1s")),
    Case(-1121, "Invalid symbol.", limit(symbol="NOSUCH")),
    Case(-1122, "Invalid symbol status.", limit(), status="TRADING_HALT"),
    Case(-1125, "This listenKey does not exist.", ("PUT", f"{V1}/listenKey", {})),
    Case(
        -1130,
        "Data sent for parameter 'limit' is not valid.",
        get("klines", symbol="BTCUSDT", interval="1h", limit=1501),
    ),
    Case(
        -2007,
        "Invalid callBack rate.",
        stop(type="TRAILING_STOP_MARKET", triggerPrice=None, callbackRate="30"),
    ),
    Case(-2011, "Unknown order sent.", ("DELETE", f"{V1}/order", {"symbol": "BTCUSDT", "orderId": 1})),
    Case(-2013, "Order does not exist.", get("order", symbol="BTCUSDT", origClientOrderId="never")),
    Case(-2014, "API-key format invalid.", limit(), key="", kind="UnauthorizedError"),
    Case(
        -2015,
        "Invalid API-key, IP, or permissions for action.",
        limit(),
        key="stranger",
        kind="UnauthorizedError",
    ),
    Case(
        -2015,
        "Invalid API-key, IP, or permissions for action.",
        limit(),
        key="reader",
        kind="UnauthorizedError",
    ),
    Case(-2019, "Margin is insufficient.", market(quantity=Worth(300_000))),
    Case(-2021, "Order would immediately trigger.", stop(triggerPrice=1.1)),
    Case(-2022, "ReduceOnly Order is rejected.", market(side="SELL", reduceOnly="true")),
    Case(-2025, "Reach max open order limit.", limit(), (limit(quantity=Worth(60)),) * 200),
    Case(
        -2027,
        "Exceeded the maximum allowable position at current leverage.",
        market(quantity=Worth(400_000)),
        (post("leverage", symbol="BTCUSDT", leverage=125),),
    ),
    Case(
        -2028,
        "Leverage is smaller than permitted: insufficient margin balance.",
        post("leverage", symbol="BTCUSDT", leverage=1),
        (market(quantity="0.5"),),
    ),
    Case(-4001, "Price less than 0.", limit(price="0")),
    Case(-4002, "Price greater than max price.", limit(price="9000000")),
    Case(-4003, "Quantity less than zero.", limit(quantity="0")),
    Case(-4005, "Quantity greater than max quantity.", market(quantity="999")),
    Case(-4013, "Price less than min price.", limit(price="1")),
    Case(-4014, "Price not increased by tick size.", limit(price="60000.05")),
    Case(-4015, "Client order id length should not be more than 36 chars", limit(newClientOrderId="x" * 37)),
    Case(-4016, "Price is higher than mark price multiplier cap.", limit(price=1.2)),
    Case(-4024, "Price is lower than mark price multiplier floor.", limit(side="SELL", price=0.8)),
    Case(-4028, "Leverage 500 is not valid", post("leverage", symbol="BTCUSDT", leverage=500)),
    Case(-4045, "Reach max stop order limit.", stop(), (stop(),) * 200),
    Case(-4046, "No need to change margin type.", post("marginType", symbol="BTCUSDT", marginType="CROSSED")),
    Case(-4047, "Margin type cannot be changed if there exists open orders.", ISOLATED, (MINE,)),
    Case(-4048, "Margin type cannot be changed if there exists position.", ISOLATED, (market(),)),
    Case(-4059, "No need to change position side.", post("positionSide/dual", dualSidePosition="false")),
    Case(-4060, "Invalid position side.", limit(positionSide="UP")),
    Case(-4061, "Order's position side does not match user's setting.", limit(positionSide="LONG")),
    Case(-4061, "Order's position side does not match user's setting.", limit(), (HEDGE,)),
    Case(-4062, "Invalid or improper reduceOnly value.", limit(reduceOnly="maybe")),
    Case(-4067, "Position side cannot be changed if there exists open orders.", HEDGE, (MINE,)),
    Case(-4068, "Position side cannot be changed if there exists position.", HEDGE, (market(),)),
    Case(-4116, "clientOrderId is duplicated.", MINE, (MINE,)),
    Case(
        -4120,
        "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
        market(type="STOP_MARKET", stopPrice=0.9),
    ),
    Case(
        -4130,
        ".*closePosition in the direction is existing.",
        closing(triggerPrice=0.91),
        (market(), closing()),
    ),
    Case(
        -4136,
        "Target strategy invalid for orderType STOP,closePosition true",
        closing(type="STOP", price=0.9),
    ),
    Case(-4137, "Quantity must be zero with closePosition equals true", closing(quantity="1")),
    Case(-4138, "Reduce only must be true with closePosition equals true", closing(reduceOnly="false")),
    Case(-4140, "Invalid symbol status for opening position", limit(), status="TRADING_CANCEL_ONLY"),
    Case(-4141, "Symbol is closed", limit(), status="SETTLING"),
    Case(
        -4161,
        "Leverage reduction is not supported in Isolated Margin Mode with open positions",
        post("leverage", symbol="BTCUSDT", leverage=5),
        (ISOLATED, market()),
    ),
    Case(
        -4164,
        r"Order's notional must be no smaller than 20 \(unless you choose reduce only\)",
        limit(symbol="ETHUSDT", quantity="0.001"),
    ),
    Case(
        -4165,
        "Maximum time interval is 7 days",
        get("allOrders", symbol="BTCUSDT", startTime=1, endTime=2_000_000_000),
    ),
    Case(
        -4183,
        "Price is higher than stop price multiplier cap.*",
        stop(type="STOP", side="BUY", triggerPrice=1.1, price=1.3),
    ),
    Case(-4184, "Price is lower than stop price multiplier floor.*", stop(type="STOP", price=0.5)),
    Case(-4509, r"Time in Force \(TIF\) GTE can only be used with open positions.*", closing()),
    Case(
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected.",
        limit(timeInForce="FOK"),
    ),
    Case(
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
        limit(timeInForce="GTX", price=1.02),
    ),
    Case(-5027, "No need to modify the order.", amend(quantity="0.01"), (MINE,)),
    Case(-5037, "Invalid price match", limit(price=None, priceMatch="OPPONENT_20")),
    Case(
        -5038, "Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT", market(priceMatch="QUEUE")
    ),
    Case(-1023, "Start time is greater than end time.", get("income", startTime=2, endTime=1)),
    Case(
        -1128,
        "Combination of optional parameters invalid.",
        get("userTrades", symbol="BTCUSDT", fromId=1, startTime=1),
    ),
    Case(-4050, "Cross balance insufficient.", margin("90000"), (ISOLATED, market())),
    Case(-4051, "Isolated balance insufficient.", margin("20", kind=2), (ISOLATED, market())),
    Case(-4054, "Cannot add position margin: position is 0.", margin("1")),
    Case(-4055, "Amount must be positive.", margin("0"), (ISOLATED, market())),
    Case(
        -5024,
        "Symbol is not in trading status. Order amendment is not permitted.",
        amend(),
        (MINE,),
        status="SETTLING",
    ),
    Case(
        -5029,
        "Order's notional must be no smaller than 20",
        amend(symbol="ETHUSDT", quantity="0.001"),
        (limit(symbol="ETHUSDT", quantity="0.1", newClientOrderId="mine"),),
    ),
    Case(
        -5047,
        "Failed to modify the order: the original order is not reduce-only.",
        amend(reduceOnly="true"),
        (MINE,),
    ),
)


def written(value: Any, last: Decimal) -> Any:
    """Return a parameter as it is sent while the last price is `last`."""
    if isinstance(value, Worth):
        return str((value / last).quantize(Decimal("0.001"), ROUND_UP))
    return str((last * Decimal(value)).quantize(Decimal(1))) if isinstance(value, float) else value


@pytest.fixture(scope="module")
def judged(python: Path) -> Iterator[tuple[RunningSimulator, ClientProcess]]:
    """Return an exchange with an account for each case, and the client."""
    own = tuple(AccountConfig(key=f"case{number}", secret="secret") for number in range(len(CASES)))
    accounts = (*own, AccountConfig(key="reader", secret="secret", can_trade=False))
    trading = TradingConfig(accounts=accounts)
    config = SimulatorConfig(
        symbols=("BTCUSDT", "ETHUSDT"), history_days=10, trading=trading, weight_limit=1_000_000
    )
    with ExitStack() as running:
        venue = running.enter_context(running_simulator(config))
        yield venue, running.enter_context(ClientProcess(python, "sdk_program.py", venue.url, "", ""))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{-case.code}" for case in CASES])
def test_a_refusal_arrives_with_its_code_and_text(
    number: int, judged: tuple[RunningSimulator, ClientProcess]
) -> None:
    case, (venue, client) = CASES[number], judged
    prices = {symbol: venue.venue.exchange.last_price(symbol) for symbol in ("BTCUSDT", "ETHUSDT")}

    def send(call: Call, key: str, secret: str) -> dict[str, Any]:
        method, path, params = call
        last = prices.get(params.get("symbol", ""), prices["BTCUSDT"])
        sent = {name: written(value, last) for name, value in params.items() if value is not None}
        return client.ask(
            {
                "call": "send",
                "with": {"method": method, "path": path, "payload": sent},
                "key": key,
                "secret": secret,
            }
        )

    for call in case.first:
        answer = send(call, f"case{number}", "secret")
        assert "data" in answer, answer
    statuses = venue.venue.exchange.state.statuses
    if case.status:
        statuses["BTCUSDT"] = case.status
    try:
        answer = send(case.call, f"case{number}" if case.key is None else case.key, case.secret)
    finally:
        statuses.pop("BTCUSDT", None)
    assert (answer.get("error"), answer.get("code")) == (case.kind, case.code), answer
    assert re.fullmatch(case.text, answer["text"]), answer["text"]

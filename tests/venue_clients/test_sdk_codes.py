"""Every refusal of the venue reaches the exchange's own client with its code and text.

The list of codes is the venue's own table; whoever adds one adds a case that provokes it. What a request can
provoke, a request does; else an account, a contract or the venue is brought into a state; the few codes that
no state leads to are ordered as faults.

Each case has an account of its own. The generated price is that of the day on which the tests run, somewhere
between 25,000 and 160,000 for BTC, so prices are told as shares of it, and large quantities by their worth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from futures_agent.clock import DAY_MS, SystemClock
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.fault_script import read_fault
from futures_agent.simulator.refusal import CODES
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
    status: str = ""  # of its contract meanwhile
    faults: tuple[dict[str, Any], ...] = ()  # in force meanwhile; "$KEY" is that of its account
    after: tuple[dict[str, Any], ...] = ()  # what undoes them
    venue: dict[str, Any] = field(default_factory=dict)  # of a venue of its own
    secret: str = "secret"
    key: str | None = None  # None: that of its account
    kind: str = "BadRequestError"
    shown: str = ""  # what the client tells instead, where it hides code and text


def fault(code: int, text: str, call: Call, **more: Any) -> Case:
    """Return the case of a code that no state of the venue leads to."""
    return Case(code, text, call, faults=({"how": "refused", "code": code, "key": "$KEY"},), **more)


def restricted(code: int, text: str, **more: Any) -> Case:
    """Return the case of an account that may only reduce."""
    told = {"how": "reduce only", "key": "$KEY", "code": code, **more}
    return Case(code, text, limit(), faults=(told,))


STANDING_STILL = {"scale": 0.0}
GRID = {"symbol": "BTCUSDT", "decimals": 3, "how": "step size"}
COARSE = GRID | {"decimals": 2}
MARK = {"how": "mark offset", "symbol": "BTCUSDT"}
MINE = limit(newClientOrderId="mine")
HEDGE = post("positionSide/dual", dualSidePosition="true")
ISOLATED = post("marginType", symbol="BTCUSDT", marginType="ISOLATED")

CASES = (
    fault(-1000, "An unknown error occured while processing the request.", limit()),
    fault(
        -1001,
        "Internal error; unable to process your request. Please try again.",
        limit(),
        kind="ServerError",
        shown="Server error: 503",
    ),
    Case(
        -1003,
        "Too many requests; current limit is 1 requests per minute. Please use the websocket .*",
        get("time"),
        (get("ping"),),
        venue=STANDING_STILL | {"weight_limit": 1},
        kind="TooManyRequestsError",
    ),
    Case(
        -1003,
        r"Way too much request weight used; IP banned until \d+. Please use the websocket .*",
        get("time"),
        (get("ping"),),
        venue=STANDING_STILL | {"weight_limit": 1, "tolerated_refusals": 0},
        kind="RateLimitBanError",
    ),
    fault(
        -1006, "An unexpected response was received from the message bus. Execution status unknown.", limit()
    ),
    fault(
        -1007,
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
        limit(),
        kind="ClientError",
        shown="Timeout waiting for response from backend server.*",
    ),
    Case(  # the overloaded venue
        -1008,
        "Request throttled by system-level protection. "
        "Reduce-only/close-position orders are exempt. Please try again.",
        limit(),
        faults=({"how": "throttled", "key": "$KEY", "count": None},),
        kind="ServerError",
        shown="Server error: 503",
    ),
    Case(-1013, "INVALID_MESSAGE.", get("openOrders?symbol=%FF%FE")),
    Case(
        -1015,
        "Too many new orders; current limit is 1 orders per MINUTE.",
        limit(recvWindow=60_000),
        (limit(recvWindow=60_000),),
        venue=STANDING_STILL | {"orders_per_min": 1},
        kind="TooManyRequestsError",
    ),
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
    Case(
        -1101,
        "Too many parameters sent for this endpoint.",
        get("openOrders?symbol=ETHUSDT", symbol="BTCUSDT"),
    ),
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
    fault(-1127, "Lookup interval is too big.", get("income")),
    Case(
        -1130,
        "Data sent for parameter 'limit' is not valid.",
        get("klines", symbol="BTCUSDT", interval="1h", limit=1501),
    ),
    Case(
        -1130,
        "parameter 'startTime' is invalid.",
        ("GET", "/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "1h", "startTime": 1}),
    ),
    Case(-1136, "Invalid newOrderRespType", limit(newOrderRespType="FULL")),
    Case(
        -2007,
        "Invalid callBack rate.",
        stop(type="TRAILING_STOP_MARKET", triggerPrice=None, callbackRate="30"),
    ),
    fault(-2010, "NEW_ORDER_REJECTED", limit()),
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
    fault(-2018, "Balance is insufficient.", limit()),
    Case(-2020, "Unable to fill.", market(symbol="SOLUSDT", quantity="1"), status="TRADING"),
    Case(-2019, "Margin is insufficient.", market(quantity=Worth(300_000))),
    Case(-2021, "Order would immediately trigger.", stop(triggerPrice=1.1)),
    Case(-2022, "ReduceOnly Order is rejected.", market(side="SELL", reduceOnly="true")),
    fault(-2024, "Position is not sufficient.", market()),
    fault(-2026, "This OrderType is not supported when reduceOnly.", market(reduceOnly="true")),
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
    Case(-4004, "Quantity less than min quantity.", limit(quantity="0.001"), faults=(COARSE,), after=(GRID,)),
    Case(-4005, "Quantity greater than max quantity.", market(quantity="999")),
    Case(-4013, "Price less than min price.", limit(price="1")),
    Case(-4014, "Price not increased by tick size.", limit(price="60000.05")),
    Case(-4015, "Client order id length should not be more than 36 chars", limit(newClientOrderId="x" * 37)),
    Case(-4016, "Price is higher than mark price multiplier cap.", limit(price=1.2)),
    Case(-4021, "7 is not valid depth limit", get("depth", symbol="BTCUSDT", limit=7)),
    Case(-4023, "Qty not increased by step size.", limit(quantity="0.015"), faults=(COARSE,), after=(GRID,)),
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
    Case(-4082, "Invalid number of batch place orders: 0", post("batchOrders", batchOrders="[]")),
    restricted(-4105, "Only reduceOnly orders are allowed for this account."),
    restricted(-4106, "Only reduceOnly orders are allowed for this symbol.", symbol="BTCUSDT"),
    restricted(-4107, "Only orders that reduce the position are allowed."),
    Case(-4116, "clientOrderId is duplicated.", MINE, (MINE,)),
    Case(
        -4117,
        "stop order is triggering",
        ("DELETE", f"{V1}/algoOrder", {"clientAlgoId": "sl"}),
        (market(), stop(clientAlgoId="sl", workingType="MARK_PRICE", triggerPrice=0.98)),
        faults=(MARK | {"share": "-0.03"},),
        venue={"trading": {"trigger_delay_ms": (600_000, 600_000)}},
    ),
    fault(
        -4118,
        "ReduceOnly Order Failed. Please check your existing position and open orders",
        market(reduceOnly="true"),
    ),
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
        -4131,
        "The counterparty's best price does not meet the PERCENT_PRICE filter limit",
        market(),
        faults=(MARK | {"share": "-0.06"},),
        after=(MARK | {"share": "0"},),
    ),
    fault(-4135, "Invalid activation price", stop()),
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
    restricted(-4189, "Only reduceOnly orders are allowed for now."),
    Case(
        -4192,
        "Trade forbidden due to Cooling-off Period.",
        stop(),
        faults=({"how": "cooling off", "key": "$KEY", "for_s": 86_400},),
    ),
    Case(
        -4210,
        r"Stop price is higher than price multiplier cap. Stop price can't be higher than \d+\.\d\d\.",
        stop(side="BUY", triggerPrice=5.5),
    ),
    Case(
        -4211,
        r"Stop price is lower than price multiplier floor. Stop price can't be lower than \d+\.\d\d\.",
        stop(triggerPrice=0.15),
    ),
    restricted(
        -4400,
        "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed, "
        "please try again later.",
    ),
    restricted(-4401, "Compliance restricted account permission: can only place reduceOnly order."),
    fault(-4531, "Position mode cannot be changed: its synchronisation is blocked.", HEDGE),
    Case(
        -5000,
        "Path /fapi/v1/nowhere, Method GET is invalid",
        get("nowhere"),
        kind="NotFoundError",
    ),
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
    Case(-5025, "Only limit order is supported.", amend(), (market(newClientOrderId="mine"),)),
    Case(
        -5026,
        "Exceed maximum modify order limit.",
        amend(quantity="0.03"),
        (MINE, amend()),
        faults=({"how": "contract limits", "symbol": "BTCUSDT", "max_amendments": 1},),
        after=({"how": "contract limits", "symbol": "BTCUSDT", "max_amendments": 10_000},),
    ),
    Case(
        -5028,
        "Timestamp for this request is outside of the ME recvWindow.",
        limit(),
        faults=({"how": "engine delay", "delay_ms": 10_000, "count": 1},),
    ),
    fault(-5043, "A pending modification already exists for this order.", amend(), first=(MINE,)),
    Case(-5027, "No need to modify the order.", amend(quantity="0.01"), (MINE,)),
    Case(-5037, "Invalid price match", limit(price=None, priceMatch="OPPONENT_20")),
    Case(
        -5038, "Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT", market(priceMatch="QUEUE")
    ),
    Case(
        -5041,
        "No depth matches this BBO order",
        limit(symbol="SOLUSDT", quantity="1", price=None, priceMatch="QUEUE"),
        status="TRADING",
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


KEYS = tuple(f"case{number}" for number in range(len(CASES)))
ACCOUNTS = (
    *(AccountConfig(key=key, secret="secret") for key in KEYS),
    AccountConfig(key="reader", secret="secret", can_trade=False),
)


@contextmanager
def started(python: Path, **config: Any) -> Iterator[tuple[RunningSimulator, ClientProcess]]:
    """Run an exchange with an account for each case, and the client."""
    trading = TradingConfig(accounts=ACCOUNTS, **config.pop("trading", {}))
    tomorrow_ms = SystemClock().now_ms() + DAY_MS
    usual = {"history_days": 10, "weight_limit": 1_000_000, "onboard_ms": {"SOLUSDT": tomorrow_ms}}
    settings = SimulatorConfig(symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT"), trading=trading, **(usual | config))
    with running_simulator(settings) as venue:
        if not settings.scale:  # however slow this machine, no request comes from its future
            venue.clock.step(20_000)
        with ClientProcess(python, "sdk_program.py", venue.url, "", "") as client:
            yield venue, client


@pytest.fixture(scope="module")
def judged(python: Path) -> Iterator[tuple[RunningSimulator, ClientProcess]]:
    """Return an exchange that most cases share."""
    with started(python) as running:
        yield running


@pytest.mark.parametrize("code", sorted(CODES, reverse=True), ids=lambda code: str(-code))
def test_a_refusal_arrives_with_its_code_and_text(
    code: int, python: Path, judged: tuple[RunningSimulator, ClientProcess]
) -> None:
    cases = [(key, case) for key, case in zip(KEYS, CASES, strict=True) if case.code == code]
    assert cases, f"nothing provokes {code}; add a case"
    for key, case in cases:
        with started(python, **case.venue) if case.venue else nullcontext(judged) as (venue, client):
            provoke(case, key, venue, client)


def test_every_case_provokes_a_code_of_the_table() -> None:
    assert {case.code for case in CASES} == CODES


def provoke(case: Case, key: str, venue: RunningSimulator, client: ClientProcess) -> None:
    """Bring about the state of `case`, send its request, and judge what the client makes of the answer."""
    exchange = venue.venue.exchange
    prices = {symbol: exchange.last_price(symbol) for symbol in ("BTCUSDT", "ETHUSDT")}

    def send(call: Call, key: str, secret: str) -> dict[str, Any]:
        question = {"method": call[0], "path": call[1], "payload": sent(call, prices)}
        return client.ask({"call": "send", "with": question, "key": key, "secret": secret})

    for call in case.first:
        answer = send(call, key, "secret")
        assert "data" in answer, answer
    symbol = case.call[2].get("symbol", "BTCUSDT")
    if case.status:
        exchange.state.statuses[symbol] = case.status
    order(venue, case.faults, key)
    try:
        answer = send(case.call, key if case.key is None else case.key, case.secret)
    finally:
        exchange.state.statuses.pop(symbol, None)
        order(venue, case.after, key)
    assert answer.get("error") == case.kind, answer
    if not case.shown:
        assert answer["code"] == case.code, answer
        assert re.fullmatch(case.text, answer["text"]), answer["text"]
        return
    # The client keeps the code of such an answer to itself: the same request, without it.
    assert re.fullmatch(case.shown, answer["text"]), answer["text"]
    order(venue, case.faults, key)
    method, path, _ = case.call
    params, headers = sent(case.call, prices), {"X-MBX-APIKEY": key}
    told = requests.request(method, venue.url + path, params=params, headers=headers, timeout=30).json()
    assert told["code"] == case.code, told
    assert re.fullmatch(case.text, told["msg"]), told


def sent(call: Call, prices: dict[str, Decimal]) -> dict[str, Any]:
    """Return the parameters of `call` as they are sent at these last prices."""
    last = prices.get(call[2].get("symbol", ""), prices["BTCUSDT"])
    return {name: written(value, last) for name, value in call[2].items() if value is not None}


def order(venue: RunningSimulator, faults: tuple[dict[str, Any], ...], key: str) -> None:
    """Order faults, and let those that happen once happen."""
    for told in faults:
        line = json.dumps(told).replace("$KEY", key)
        venue.add_fault(read_fault(line.encode(), venue.clock.now_ms()))
    venue.venue.advance(venue.clock.now_ms())

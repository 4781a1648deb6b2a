"""What the exchange's own Python client makes of limits, and of faults that are injected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.faults import EngineDelay, Fault
from futures_agent.simulator.server import RunningSimulator, running_simulator
from venue_client import ClientProcess

PING = "/fapi/v1/ping"
BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
NOT_BY_ITSELF = {
    -1000: "An unknown error occured while processing the request.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1013: "INVALID_MESSAGE.",
    -1127: "Lookup interval is too big.",
    -2010: "NEW_ORDER_REJECTED",
    -2018: "Balance is insufficient.",
    -2020: "Unable to fill.",
    -2024: "Position is not sufficient.",
    -2026: "This OrderType is not supported when reduceOnly.",
    -4004: "Quantity less than min quantity.",
    -4023: "Qty not increased by step size.",
    -4105: "Only reduceOnly orders are allowed for this account.",
    -4106: "Only reduceOnly orders are allowed for this symbol.",
    -4107: "Only orders that reduce the position are allowed.",
    -4117: "stop order is triggering",
    -4118: "ReduceOnly Order Failed. Please check your existing position and open orders",
    -4189: "Only reduceOnly orders are allowed for now.",
    -4192: "Trade forbidden due to Cooling-off Period.",
    -4400: "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed, "
    "please try again later.",
    -4401: "Compliance restricted account permission: can only place reduceOnly order.",
    -4531: "Position mode cannot be changed: its synchronisation is blocked.",
    -5025: "Only limit order is supported.",
    -5026: "Exceed maximum modify order limit.",
    -5041: "No depth matches this BBO order",
    -5043: "A pending modification already exists for this order.",
}


@pytest.fixture
def alone(python: Path) -> Iterator[tuple[RunningSimulator, ClientProcess]]:
    """Return an exchange with narrow limits that nobody else asks, and the client."""
    config = SimulatorConfig(
        symbols=("BTCUSDT",), history_days=10, weight_limit=5, tolerated_refusals=1, orders_per_10s=2
    )
    with ExitStack() as running:
        venue = running.enter_context(running_simulator(config))
        # No window ends meanwhile, and however slow this machine, no request comes from the venue's future.
        venue.clock.set_scale(0)
        venue.clock.step(20_000)
        client = ClientProcess(python, "sdk_program.py", venue.url, "demo", "demo-secret")
        yield venue, running.enter_context(client)


def test_too_much_weight_and_the_ban_of_those_who_go_on(
    alone: tuple[RunningSimulator, ClientProcess],
) -> None:
    venue, client = alone
    answers = [client.ask({"call": "test_connectivity"}) for _ in range(8)]
    assert [answer.get("error") for answer in answers] == [None] * 5 + [
        "TooManyRequestsError",
        "RateLimitBanError",
        "RateLimitBanError",
    ]
    assert [answer["code"] for answer in answers[5:]] == [-1003, -1003, -1003]
    assert answers[5]["text"].startswith("Too many requests; current limit is 5 requests per minute.")
    banned = re.fullmatch(
        r"Way too much request weight used; IP banned until (\d+)\. Please use .*", answers[7]["text"]
    )
    assert banned
    assert int(banned[1]) > venue.clock.now_ms()


def test_too_many_orders(alone: tuple[RunningSimulator, ClientProcess]) -> None:
    _, client = alone
    patient = {**BUY, "recv_window": 60_000}
    answers = [client.ask({"call": "new_order", "with": patient}) for _ in range(3)]
    assert ["data" in answer for answer in answers] == [True, True, False]
    assert (answers[2]["error"], answers[2]["code"]) == ("TooManyRequestsError", -1015)
    assert answers[2]["text"] == "Too many new orders; current limit is 2 orders per TEN_SECONDS."


@pytest.mark.parametrize(
    ("fault", "kind", "code", "text"),
    [
        ({"how": "timed out"}, "ClientError", None, "Timeout waiting for response from backend server.*"),
        ({"how": "unknown error"}, "ServerError", 503, ".*503"),
        ({"how": "service unavailable"}, "ServerError", 503, ".*503"),
        ({"how": "internal error"}, "ServerError", 503, ".*503"),
        ({"how": "gateway"}, "ServerError", 504, ".*504"),
        ({"how": "firewall"}, "ForbiddenError", None, ".*"),
        ({"how": "reset"}, "NetworkError", None, "Network error: .*"),
    ],
    ids=lambda value: value["how"] if isinstance(value, dict) else "",
)
def test_faults_of_transport(
    fault: dict[str, Any],
    kind: str,
    code: int | None,
    text: str,
    venue: RunningSimulator,
    sdk_process: ClientProcess,
) -> None:
    venue.add_fault(Fault(**fault, path=PING))
    answer = sdk_process.ask({"call": "test_connectivity"})
    assert (answer.get("error"), answer.get("code")) == (kind, code), answer
    assert re.fullmatch(text, answer["text"])
    assert "data" in sdk_process.ask({"call": "test_connectivity"})


@pytest.mark.parametrize(("code", "text"), NOT_BY_ITSELF.items())
def test_a_code_that_no_request_alone_provokes_comes_as_a_fault(
    code: int, text: str, venue: RunningSimulator, sdk_process: ClientProcess
) -> None:
    venue.add_fault(Fault(how="refused", code=code, path=PING))
    answer = sdk_process.ask({"call": "test_connectivity"})
    assert (answer.get("error"), answer.get("code"), answer["text"]) == ("BadRequestError", code, text)


def test_an_order_that_reaches_the_engine_late(venue: RunningSimulator, sdk_process: ClientProcess) -> None:
    venue.add_fault(EngineDelay(delay_ms=10_000))
    answer = sdk_process.ask({"call": "new_order", "with": BUY})
    assert answer["code"] == -5028
    assert answer["text"] == "Timestamp for this request is outside of the ME recvWindow."
    assert "data" in sdk_process.ask({"call": "new_order", "with": BUY})


def test_an_order_at_market_while_the_mark_price_is_far_away(
    venue: RunningSimulator, sdk_process: ClientProcess
) -> None:
    offsets = venue.venue.exchange.state.prices.mark_offset
    offsets["BTCUSDT"] = Decimal("-0.06")
    try:
        answer = sdk_process.ask({"call": "new_order", "with": BUY})
    finally:
        del offsets["BTCUSDT"]
    assert answer["code"] == -4131
    assert answer["text"] == "The counterparty's best price does not meet the PERCENT_PRICE filter limit"

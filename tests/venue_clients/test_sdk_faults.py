"""What the exchange's own Python client makes of limits, and of faults that are injected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.faults import EngineDelay, Fault
from futures_agent.simulator.server import RunningSimulator, running_simulator
from venue_client import ClientProcess

PING = "/fapi/v1/ping"
BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}


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


def test_an_order_that_reaches_the_engine_late(venue: RunningSimulator, sdk_process: ClientProcess) -> None:
    venue.add_fault(EngineDelay(delay_ms=10_000))
    answer = sdk_process.ask({"call": "new_order", "with": BUY})
    assert answer["code"] == -5028
    assert answer["text"] == "Timestamp for this request is outside of the ME recvWindow."
    assert "data" in sdk_process.ask({"call": "new_order", "with": BUY})

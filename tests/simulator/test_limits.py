"""Limits over the wire, on a clock that only these tests move."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests

from futures_agent.clock import MINUTE_MS
from futures_agent.simulator.server import RunningSimulator

Factory = Callable[..., RunningSimulator]


def get_time(simulator: RunningSimulator) -> requests.Response:
    return requests.get(simulator.url + "/fapi/v1/time", timeout=10)


def until_refused(simulator: RunningSimulator, status: int) -> requests.Response:
    for _ in range(100):
        answer = get_time(simulator)
        if answer.status_code == status:
            return answer
    raise AssertionError(f"never answered {status}")


def test_over_the_limit_is_429_until_the_minute_ends(simulator_factory: Factory) -> None:
    simulator = simulator_factory(weight_limit=5)
    simulator.clock.set(simulator.clock.now_ms() // MINUTE_MS * MINUTE_MS + 12_000)
    assert [get_time(simulator).status_code for _ in range(6)] == [200] * 5 + [429]
    refused = get_time(simulator)
    assert refused.json() == {
        "code": -1003,
        "msg": "Too many requests; current limit is 5 requests per minute. "
        "Please use the websocket for live updates to avoid polling the API.",
    }
    assert refused.headers["Retry-After"] == "48"
    assert refused.headers["X-MBX-USED-WEIGHT-1M"] == "7"
    simulator.clock.step(48_000)
    assert get_time(simulator).headers["X-MBX-USED-WEIGHT-1M"] == "1"
    assert simulator.stats["refused_429"] == 2


def test_ignoring_429_is_a_ban_that_tells_its_end(simulator_factory: Factory) -> None:
    simulator = simulator_factory(weight_limit=1, tolerated_refusals=2)
    assert [get_time(simulator).status_code for _ in range(3)] == [200, 429, 429]
    banned = get_time(simulator)
    assert banned.status_code == 418
    match = re.fullmatch(
        r"Way too much request weight used; IP banned until (\d+)\. "
        r"Please use the websocket for live updates to avoid bans\.",
        banned.json()["msg"],
    )
    assert match
    until_ms = int(match.group(1))
    assert until_ms == simulator.clock.now_ms() + 2 * MINUTE_MS
    assert banned.headers["Retry-After"] == "120"
    simulator.clock.set(until_ms - 1)
    assert get_time(simulator).status_code == 418
    simulator.clock.set(until_ms)
    assert get_time(simulator).status_code == 200
    assert simulator.stats["banned_418"] == 2


def test_retry_after_can_be_left_out(simulator_factory: Factory) -> None:
    simulator = simulator_factory(weight_limit=1, retry_after=False)
    assert "Retry-After" not in until_refused(simulator, 429).headers
    assert "Retry-After" not in until_refused(simulator, 418).headers


@pytest.mark.parametrize("status", [200, 400])
def test_refused_requests_count_like_good_ones(simulator_factory: Factory, status: int) -> None:
    simulator = simulator_factory()
    interval = "1h" if status == 200 else "1s"
    url = f"{simulator.url}/fapi/v1/klines?symbol=BTCUSDT&interval={interval}&limit=100"
    answer = requests.get(url, timeout=10)
    assert (answer.status_code, answer.headers["X-MBX-USED-WEIGHT-1M"]) == (status, "2")

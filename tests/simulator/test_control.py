from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import requests

from futures_agent.simulator.server import RunningSimulator, create_app

Factory = Callable[..., RunningSimulator]


def control(simulator: RunningSimulator, method: str, name: str, body: Any = None) -> requests.Response:
    return requests.request(method, f"{simulator.url}/sim/{name}", json=body, timeout=10)


def test_the_clock_is_set_stepped_and_scaled(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    shown = control(simulator, "GET", "clock").json()
    assert shown == {"now_ms": simulator.clock.now_ms(), "scale": 0.0}
    assert (
        control(simulator, "POST", "clock", {"step_ms": 61_000}).json()["now_ms"] == shown["now_ms"] + 61_000
    )
    set_and_stepped = control(simulator, "POST", "clock", {"step_ms": 5, "now_ms": 1_700_000_000_000})
    assert set_and_stepped.json()["now_ms"] == 1_700_000_000_005
    assert control(simulator, "POST", "clock", {"scale": 60.0}).json()["scale"] == 60.0
    assert simulator.clock.scale == 60.0


def test_stats_count_requests_and_weight_but_not_control(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    requests.get(simulator.url + "/fapi/v1/time", timeout=10)
    requests.get(simulator.url + "/fapi/v1/klines?symbol=BTCUSDT&interval=1h", timeout=10)
    requests.get(simulator.url + "/fapi/v1/klines", timeout=10)
    stats = control(simulator, "GET", "stats").json()
    assert stats["requests"] == 3
    assert stats["by_status"] == {"200": 2, "400": 1}
    assert stats["by_path"] == {"/fapi/v1/klines": 2, "/fapi/v1/time": 1}
    assert stats["peak_weight"] == 11
    assert [(one["client"], one["weight"]) for one in stats["windows"]] == [("127.0.0.1", 11)]
    assert control(simulator, "DELETE", "stats").json()["requests"] == 0
    assert simulator.stats["windows"] == []


def test_faults_spoil_the_next_answers_and_then_end(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    fault = {"status": 503, "count": 2, "path": "/fapi/v1/time"}
    assert control(simulator, "POST", "faults", fault).json() == {"number": 1, "pending_faults": 2}
    assert requests.get(simulator.url + "/fapi/v1/ping", timeout=10).status_code == 200
    spoilt = [requests.get(simulator.url + "/fapi/v1/time", timeout=10) for _ in range(3)]
    assert [answer.status_code for answer in spoilt] == [503, 503, 200]
    assert spoilt[0].json()["code"] == -1001
    assert spoilt[0].headers["X-MBX-USED-WEIGHT-1M"] == "2"
    control(simulator, "POST", "faults", {"status": 500})
    assert control(simulator, "DELETE", "faults").json() == {"pending_faults": 0}
    assert requests.get(simulator.url + "/fapi/v1/time", timeout=10).status_code == 200


def test_limits_and_latency_change(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    answer = control(simulator, "POST", "limits", {"weight_limit": 1, "retry_after": False})
    orders = {"orders_per_10s": 300, "orders_per_min": 1200}
    assert answer.json() == {"weight_limit": 1, "retry_after": False, **orders}
    assert [requests.get(simulator.url + "/fapi/v1/ping", timeout=10).status_code for _ in range(2)] == [
        200,
        429,
    ]
    assert control(simulator, "POST", "latency", {"latency_ms": 30}).json() == {"latency_ms": 30.0}
    assert requests.get(simulator.url + "/fapi/v1/ping", timeout=10).elapsed.total_seconds() >= 0.03


SENSELESS = (
    ("clock", {"step": 1}, "unknown field `step`"),
    ("clock", {"step_ms": -1}, ">= 0"),
    ("clock", {"now_ms": 1_700_000_000_000, "scale": -1.0}, ">= 0.0"),
    ("clock", {"now_ms": 10**15}, "<= 4102444800000"),
    ("latency", {"latency_ms": "fast"}, "Expected `float`"),
    ("limits", {"weight_limit": 0}, ">= 1"),
    ("faults", {"status": 200}, ">= 400"),
    ("faults", None, "truncated"),
)


def test_senseless_changes_are_refused(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    before = simulator.clock.now_ms()
    for name, body, words in SENSELESS:
        answer = control(simulator, "POST", name, body)
        assert answer.status_code == 400
        assert words in answer.json()["error"]
    assert simulator.stats["pending_faults"] == 0
    assert (simulator.clock.now_ms(), simulator.clock.scale) == (before, 0)


def test_unknown_controls_are_named(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    assert control(simulator, "GET", "latency").status_code == 404
    assert "POST /sim/nothing" in control(simulator, "POST", "nothing").json()["error"]


def test_other_machines_have_no_control(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"step_ms": 1000}'}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/sim/clock",
        "headers": [],
        "client": ("192.0.2.7", 1),
    }
    before = simulator.clock.now_ms()
    asyncio.run(create_app(simulator.venue)(scope, receive, send))
    assert sent[0]["status"] == 403
    assert simulator.clock.now_ms() == before

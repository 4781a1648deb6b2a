from __future__ import annotations

import json

import pytest

from futures_agent.simulator.faults import Fault, FaultPlan

NOW = 1_700_000_000_000


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (408, -1007, "execution status unknown"),
        (418, -1003, f"banned until {NOW + 120_000}"),
        (429, -1003, "current limit is 2400 requests"),
        (500, -1000, "unknown error occured"),
        (503, -1001, "Internal error"),
    ],
)
def test_each_status_has_the_exchanges_text(status: int, code: int, words: str) -> None:
    body = json.loads(Fault(status=status).text(limit=2400, now_ms=NOW))
    assert body["code"] == code
    assert words in body["msg"]


def test_other_statuses_are_gateway_pages() -> None:
    assert Fault(status=403).text(limit=1, now_ms=NOW).startswith(b"<html>")


def test_own_body_and_own_ban() -> None:
    assert Fault(status=503, body="Service Unavailable.").text(limit=1, now_ms=NOW) == b"Service Unavailable."
    assert str(NOW + 7_000).encode() in Fault(status=418, retry_after_s=7).text(limit=1, now_ms=NOW)


def test_plan_uses_faults_in_order_and_by_path() -> None:
    plan = FaultPlan()
    plan.add(Fault(status=500, path="/a"))
    plan.add(Fault(status=503, count=2))
    assert plan.pending() == 3
    taken = [plan.take(path) for path in ("/b", "/a", "/a", "/a")]
    assert [fault and fault.status for fault in taken] == [503, 500, 503, None]
    assert plan.pending() == 0

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
    twice = Fault(status=503, count=2)
    plan.add(twice)
    assert plan.pending() == 3
    taken = [plan.take("/b")]
    assert plan.left(twice) == 1
    taken += [plan.take("/a") for _ in range(3)]
    assert plan.left(twice) == 0
    assert [fault and fault.status for fault in taken] == [503, 500, 503, None]
    assert plan.pending() == 0


ROWS = b'[[0,"10.0","12.0","9.0","11.0","5.00",1,"50.0",7],[9,"11.0","13.0","8.0","9.5","6.00",1,"60.0",8]]'


def spoilt(how: str) -> bytes:
    return Fault(how=how).spoilt(ROWS)


def test_a_true_answer_can_be_cut_short_or_come_late() -> None:
    assert ROWS.startswith(spoilt("cut short"))
    assert spoilt("late") == spoilt("broken off") == ROWS


def test_numbers_and_texts_can_be_swapped() -> None:
    assert json.loads(spoilt("wrong types"))[0][:3] == ["0", 10.0, 12.0]
    assert (
        Fault(how="wrong types").spoilt(b'{"serverTime":5,"name":"x"}')
        == b'{"serverTime": "5", "name": null}'
    )


def test_the_newest_row_can_be_absent_or_unfinished() -> None:
    first, last = json.loads(ROWS)
    assert json.loads(spoilt("last row absent")) == [first]
    assert json.loads(spoilt("last row different")) == [
        first,
        [9, "11.0", "11.0", "11.0", "11.0", "3.00", *last[6:]],
    ]
    assert Fault(how="last row absent").spoilt(b"[]") == b"[]"

from __future__ import annotations

import json

import msgspec
import pytest

from futures_agent.simulator.faults import EXCHANGE_INFO, KLINES, Asked, Fault

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
    answered, body = Fault(status=status).answer(limit=2400, now_ms=NOW)
    assert answered == status
    assert json.loads(body)["code"] == code
    assert words in json.loads(body)["msg"]


THROTTLED = (
    "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. "
    "Please try again."
)


@pytest.mark.parametrize(
    ("how", "status", "text"),
    [
        ("unknown error", 503, "Unknown error, please check your request or try again later."),
        ("service unavailable", 503, "Service Unavailable."),
        ("internal error", 503, "Internal error; unable to process your request. Please try again."),
        ("throttled", 503, THROTTLED),
    ],
)
def test_named_refusals_have_the_exchanges_text(how: str, status: int, text: str) -> None:
    answered, body = Fault(how=how).answer(limit=1, now_ms=NOW)
    assert (answered, json.loads(body)["msg"]) == (status, text)


@pytest.mark.parametrize(("how", "status"), [("gateway", 504), ("firewall", 403)])
def test_gateways_and_firewalls_answer_a_page(how: str, status: int) -> None:
    answered, body = Fault(how=how).answer(limit=1, now_ms=NOW)
    assert answered == status
    assert body.startswith(b"<html>")


def test_a_code_brings_its_text_and_status() -> None:
    status, body = Fault(code=-2021).answer(limit=1, now_ms=NOW)
    assert (status, json.loads(body)) == (400, {"code": -2021, "msg": "Order would immediately trigger."})
    assert Fault(code=-2015).answer(limit=1, now_ms=NOW)[0] == 401


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        (-1000, 400, "An unknown error occured"),
        (-1001, 503, "Internal error"),
        (-1006, 400, "message bus. Execution status unknown."),
        (-1007, 408, "execution status unknown"),
        (-1008, 503, "system-level protection"),
        (-1015, 429, "Too many new orders; current limit is 1200 orders per MINUTE."),
    ],
)
def test_some_codes_come_by_faults_alone(code: int, status: int, words: str) -> None:
    answered, body = Fault(code=code).answer(limit=1, now_ms=NOW)
    assert (answered, json.loads(body)["code"]) == (status, code)
    assert words in json.loads(body)["msg"]


@pytest.mark.parametrize("code", [-9999, -1102])
def test_a_code_without_a_text_of_its_own_is_refused(code: int) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"code {code} has no text"):
        msgspec.convert({"code": code}, Fault)


def test_what_was_not_executed_cannot_be_executed() -> None:
    with pytest.raises(msgspec.ValidationError, match="`internal error` means that the request was not"):
        msgspec.convert({"how": "internal error", "executed": True}, Fault)


def test_own_body_and_own_ban() -> None:
    assert Fault(body="Service Unavailable.").answer(limit=1, now_ms=NOW) == (503, b"Service Unavailable.")
    _, banned = Fault(status=418, retry_after_s=7).answer(limit=1, now_ms=NOW)
    assert str(NOW + 7_000).encode() in banned


def test_faults_choose_by_method_path_contract_and_key() -> None:
    asked = Asked("POST", "/fapi/v1/order", "symbol=BTCUSDT&side=BUY", "symbol=XRPUSDT", "one")
    assert Fault().hits(asked)
    assert Fault(method="POST", path="/fapi/v1/order", symbol="BTCUSDT", key="one").hits(asked)
    assert not Fault(method="GET").hits(asked)
    assert not Fault(path="/fapi/v1/algoOrder").hits(asked)
    assert not Fault(symbol="XRPUSDT").hits(asked)
    assert not Fault(key="two").hits(asked)


def test_only_candles_can_be_unfinished() -> None:
    assert Fault(how="last row different").hits(Asked("GET", KLINES))
    assert not Fault(how="last row different").hits(Asked("GET", "/fapi/v1/openOrders"))


ORDER = "/fapi/v1/order"


@pytest.mark.parametrize(
    ("method", "path", "query", "opens"),
    [
        ("POST", ORDER, "side=BUY", True),
        ("PUT", ORDER, "side=BUY", True),
        ("POST", "/fapi/v1/algoOrder", "side=BUY", True),
        ("POST", ORDER, "side=SELL&reduceOnly=true", False),
        ("POST", "/fapi/v1/algoOrder", "side=SELL&closePosition=true", False),
        ("POST", ORDER, "side=SELL&positionSide=LONG", False),
        ("POST", ORDER, "side=BUY&positionSide=SHORT", False),
        ("POST", ORDER, "side=BUY&positionSide=LONG", True),
        ("POST", "/fapi/v1/batchOrders", "batchOrders=[{}]", True),
        ("POST", "/fapi/v1/batchOrders", 'batchOrders=[{"reduceOnly":"true"}]', False),
        ("POST", "/fapi/v1/batchOrders", "batchOrders=[", True),
        ("DELETE", ORDER, "side=BUY", False),
        ("GET", ORDER, "", False),
        ("POST", "/fapi/v1/leverage", "", False),
    ],
)
def test_only_what_adds_risk_is_throttled(method: str, path: str, query: str, opens: bool) -> None:
    assert Fault(how="throttled").hits(Asked(method, path, query)) is opens


ROWS = b'[[0,"10.0","12.0","9.0","11.0","5.00",1,"50.0",7],[9,"11.0","13.0","8.0","9.5","6.00",1,"60.0",8]]'


def spoilt(how: str) -> bytes:
    return Fault(how=how).spoilt(ROWS)


def test_a_true_answer_can_be_cut_short_or_come_late() -> None:
    assert ROWS.startswith(spoilt("cut short"))
    assert len(spoilt("cut short")) == len(ROWS) // 2
    assert spoilt("late") == spoilt("broken off") == ROWS
    assert (Fault(how="late").wait_ms, Fault(how="silence").wait_ms) == (1_000, 60_000)
    assert Fault(how="silence", delay_ms=5).wait_ms == 5


def test_numbers_and_texts_can_be_swapped() -> None:
    assert json.loads(spoilt("wrong types"))[0][:3] == ["0", 10.0, 12.0]
    assert (
        Fault(how="wrong types").spoilt(b'{"serverTime":5,"name":"x"}')
        == b'{"serverTime": "5", "name": null}'
    )


def test_times_alone_can_be_texts() -> None:
    told = json.dumps({"orderId": 7, "rows": [{"time": NOW}]}).encode()
    assert json.loads(Fault(how="text times").spoilt(told)) == {"orderId": 7, "rows": [{"time": str(NOW)}]}


def test_the_newest_row_can_be_absent_or_unfinished() -> None:
    first, last = json.loads(ROWS)
    assert json.loads(spoilt("last row absent")) == [first]
    assert json.loads(spoilt("last row different")) == [
        first,
        [9, "11.0", "11.0", "11.0", "11.0", "3.00", *last[6:]],
    ]
    assert Fault(how="last row absent").spoilt(b"[]") == b"[]"


CONTRACTS = json.dumps(
    {
        "symbols": [
            {"symbol": symbol, "filters": [{"filterType": "LOT_SIZE"}], "orderTypes": ["LIMIT"]}
            for symbol in ("BTCUSDT", "ETHUSDT")
        ]
    }
).encode()


def test_a_filter_can_be_missing_or_unheard_of() -> None:
    missing = json.loads(Fault(how="filter missing", symbol="BTCUSDT").spoilt(CONTRACTS))["symbols"]
    assert [entry["filters"] for entry in missing] == [[], [{"filterType": "LOT_SIZE"}]]
    unknown = json.loads(Fault(how="filter unknown").spoilt(CONTRACTS))["symbols"]
    assert all(entry["filters"][-1]["filterType"] == "MAX_NOVELTY" for entry in unknown)
    assert all(entry["orderTypes"][-1] == "NOVELTY" for entry in unknown)
    assert Fault(how="filter missing", symbol="X").hits(Asked("GET", EXCHANGE_INFO))
    assert not Fault(how="filter missing").hits(Asked("GET", "/fapi/v1/klines"))

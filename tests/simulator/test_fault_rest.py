"""Every fault of REST answers over real sockets: it strikes, and does to the exchange what it says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests

from futures_agent.clock import HOUR_MS
from futures_agent.simulator.fault_plan import Planned
from futures_agent.simulator.fault_store import StaleStatus, StoreLag
from futures_agent.simulator.fault_streams import CandlesMissing
from futures_agent.simulator.faults import ClockSkew, EngineDelay, Fault
from signed_client import Floor, SignedClient, trading_floor

ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}


@pytest.fixture(scope="module")
def running() -> Iterator[Floor]:
    with trading_floor() as floor:
        yield floor


@pytest.fixture
def floor(running: Floor) -> Floor:
    running.simulator.venue.faults.clear()
    running.simulator.venue.limiter.forget()
    return running


def plan(floor: Floor, fault: Planned) -> None:
    floor.simulator.add_fault(fault)


def engaged(floor: Floor) -> int:
    """Return how often the faults of the plan have struck."""
    rows = requests.get(f"{floor.simulator.url}/sim/faults", timeout=10).json()["faults"]
    return sum(row["engaged"] for row in rows)


def position(client: SignedClient) -> str:
    return format(client.account.position("BTCUSDT").amount, "f")


HELD = {False: "0", True: "0.010"}


@pytest.mark.parametrize("executed", [False, True])
@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("unknown error", 503, "Unknown error, please check your request or try again later."),
        ("timed out", 408, "execution status unknown"),
        ("gateway", 504, "<h1>504</h1>"),
        ("refused", 500, "An unknown error occured"),
    ],
)
def test_an_answer_is_lost_before_or_after_the_order_was_executed(
    floor: Floor, how: Any, status: int, words: str, executed: bool
) -> None:
    client = floor.client()
    plan(floor, Fault(how=how, status=500, path=ORDER, method="POST", executed=executed))
    answer = client.send("POST", "order", **BUY)
    assert answer.status_code == status
    assert words in answer.text
    assert "X-MBX-ORDER-COUNT-1M" not in answer.headers  # it would tell
    assert position(client) == HELD[executed]
    assert engaged(floor) == 1
    client.market("BUY", "0.010")


@pytest.mark.parametrize("executed", [False, True])
def test_a_connection_is_reset_before_or_after_the_order_was_executed(floor: Floor, executed: bool) -> None:
    client = floor.client()
    plan(floor, Fault(how="reset", path=ORDER, method="POST", executed=executed))
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        client.send("POST", "order", **BUY)
    assert (position(client), engaged(floor)) == (HELD[executed], 1)


@pytest.mark.parametrize("executed", [False, True])
def test_an_answer_never_comes_while_the_order_was_or_was_not_executed(floor: Floor, executed: bool) -> None:
    client = floor.client()
    plan(floor, Fault(how="silence", method="POST", executed=executed))
    url = f"{floor.simulator.url}{ORDER}"
    query = f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.010&timestamp={floor.simulator.clock.now_ms()}"
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            f"{url}?{query}&signature={client.sign(query)}", headers={"X-MBX-APIKEY": client.key}, timeout=0.3
        )
    for _ in range(1_000):  # a busy machine may get to it after the client has given up
        if engaged(floor):
            break
        time.sleep(0.01)
    assert engaged(floor) == 1
    assert position(client) == HELD[executed]


def test_a_silence_ends_with_the_connection(floor: Floor) -> None:
    plan(floor, Fault(how="silence", delay_ms=50))
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{floor.simulator.url}/fapi/v1/ping", timeout=10)


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("service unavailable", 503, '"Service Unavailable."'),
        ("internal error", 503, '"code":-1001'),
        ("firewall", 403, "<h1>403</h1>"),
    ],
)
def test_some_refusals_say_that_nothing_was_executed(floor: Floor, how: Any, status: int, words: str) -> None:
    client = floor.client()
    plan(floor, Fault(how=how, path=ORDER))
    answer = client.send("POST", "order", **BUY)
    assert answer.status_code == status
    assert words in answer.text
    assert (position(client), engaged(floor)) == ("0", 1)


def test_under_overload_orders_that_reduce_and_cancels_still_pass(floor: Floor) -> None:
    client = floor.client()
    client.market("BUY", "0.010")
    resting = client.limit("BUY", "0.010", "50000.0")
    plan(floor, Fault(how="throttled", count=None))
    throttled = client.send("POST", "order", **BUY)
    assert (throttled.status_code, throttled.json()["code"]) == (503, -1008)
    assert "Reduce-only/close-position orders are exempt" in throttled.json()["msg"]
    client.market("SELL", "0.010", reduceOnly="true")
    client.ask("DELETE", "order", symbol="BTCUSDT", orderId=resting["orderId"])
    assert (position(client), engaged(floor)) == ("0.000", 1)


def test_a_stop_can_be_refused_as_the_exchange_would(floor: Floor) -> None:
    client = floor.client()
    client.market("BUY", "0.010")
    plan(floor, Fault(code=-2021, path=ALGO, method="POST", key=client.key))
    stop = {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "triggerPrice": "50000.0",
        "closePosition": "true",
    }
    assert client.refused("POST", "algoOrder", **stop) == (-2021, "Order would immediately trigger.")
    assert client.account.open_algos == {}
    assert client.ask("POST", "algoOrder", **stop)["algoStatus"] == "NEW"


@pytest.mark.parametrize("retry_after", [True, False])
def test_limited_is_429_until_the_minute_ends_and_418_for_those_who_go_on(
    floor: Floor, retry_after: bool
) -> None:
    venue = floor.simulator.venue
    venue.retry_after = retry_after
    plan(floor, Fault(how="limited"))
    url = f"{floor.simulator.url}/fapi/v1/ping"
    answers = [requests.get(url, timeout=10) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [429] * 10 + [418] * 2
    assert [("Retry-After" in answer.headers) for answer in answers] == [retry_after] * 12
    assert "IP banned until" in answers[-1].json()["msg"]
    assert engaged(floor) == 1
    venue.retry_after = True
    venue.limiter.forget()
    assert requests.get(url, timeout=10).status_code == 200


def test_a_late_answer_is_true(floor: Floor) -> None:
    plan(floor, Fault(how="late", delay_ms=60))
    answer = requests.get(f"{floor.simulator.url}/fapi/v1/time", timeout=10)
    assert answer.json() == {"serverTime": floor.simulator.clock.now_ms()}
    assert answer.elapsed.total_seconds() >= 0.06


def test_an_answer_breaks_off_in_the_middle(floor: Floor) -> None:
    plan(floor, Fault(how="broken off"))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(f"{floor.simulator.url}/fapi/v1/exchangeInfo", timeout=10)
    assert engaged(floor) == 1


def test_headers_about_limits_can_be_missing(floor: Floor) -> None:
    client = floor.client()
    plan(floor, Fault(how="headers missing", path=ORDER))
    without, usual = client.send("POST", "order", **BUY), client.send("POST", "order", **BUY)
    assert without.status_code == usual.status_code == 200
    told = {name.lower() for name in usual.headers} - {name.lower() for name in without.headers}
    assert told == {"x-mbx-used-weight-1m", "x-mbx-order-count-10s", "x-mbx-order-count-1m"}


def test_times_can_come_as_texts(floor: Floor) -> None:
    plan(floor, Fault(how="text times", path="/fapi/v1/time"))
    answer = requests.get(f"{floor.simulator.url}/fapi/v1/time", timeout=10).json()
    assert answer == {"serverTime": str(floor.simulator.clock.now_ms())}


def contract(floor: Floor) -> dict[str, Any]:
    document = requests.get(f"{floor.simulator.url}/fapi/v1/exchangeInfo", timeout=10).json()
    found: dict[str, Any] = next(entry for entry in document["symbols"] if entry["symbol"] == "BTCUSDT")
    return found


def test_a_filter_can_be_missing_or_unheard_of(floor: Floor) -> None:
    usual = contract(floor)
    plan(floor, Fault(how="filter missing", symbol="BTCUSDT", filter="MIN_NOTIONAL"))
    kinds = {each["filterType"] for each in usual["filters"]}
    assert kinds - {each["filterType"] for each in contract(floor)["filters"]} == {"MIN_NOTIONAL"}
    plan(floor, Fault(how="filter unknown"))
    assert contract(floor)["filters"][-1]["filterType"] == "MAX_NOVELTY"
    assert contract(floor) == usual


def test_a_stale_store_tells_orders_as_they_were(floor: Floor) -> None:
    client, step = floor.client(), floor.simulator.clock.step
    near = client.limit("BUY", "0.010", "50000.0", newClientOrderId="mine")
    step(10_000)
    plan(floor, StaleStatus(lag_ms=2_000, key=client.key))
    by_id = {"symbol": "BTCUSDT", "orderId": near["orderId"]}
    by_name = {"symbol": "BTCUSDT", "origClientOrderId": "mine"}
    client.ask("DELETE", "order", **by_id)
    filled = client.market("BUY", "0.010", newOrderRespType="RESULT")
    assert filled["status"] == "FILLED"
    taken = {"symbol": "BTCUSDT", "orderId": filled["orderId"]}

    for query in (by_id, by_name, taken):
        assert client.ask("GET", "order", **query)["status"] == "NEW"
        assert client.ask("GET", "openOrder", **query)["status"] == "NEW"
    assert client.ask("GET", "order", **taken)["executedQty"] == "0"
    told = [client.ask("GET", kind, symbol="BTCUSDT") for kind in ("openOrders", "allOrders")]
    assert [[each["status"] for each in rows] for rows in told] == [["NEW", "NEW"]] * 2
    assert client.refused("DELETE", "order", **by_id)[0] == -2011  # the engine knows better
    assert Decimal(client.ask("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")[0]["positionAmt"]) > 0
    assert engaged(floor) == 9

    step(2_000)
    assert client.ask("GET", "order", **taken)["status"] == "FILLED"
    assert client.ask("GET", "order", **by_name)["status"] == "CANCELED"
    assert client.ask("GET", "openOrders", symbol="BTCUSDT") == []
    assert client.refused("GET", "openOrder", **by_id)[0] == -2013
    assert engaged(floor) == 9


def test_a_stale_store_tells_positions_as_they_were_if_asked_to(floor: Floor) -> None:
    client, step = floor.client(), floor.simulator.clock.step
    client.market("BUY", "0.010")
    step(10_000)
    plan(floor, StaleStatus(lag_ms=60_000, key=client.key, positions=True))

    def held() -> list[str]:
        rows = client.ask("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")
        return [each["positionAmt"] for each in rows]

    assert held() == []  # as before the order
    step(55_000)
    client.market("BUY", "0.020")
    client.market("SELL", "0.005")
    assert [Decimal(amount) for amount in held()] == [Decimal("0.010")]
    step(60_000)
    assert [Decimal(amount) for amount in held()] == [Decimal("0.025")]
    assert engaged(floor) == 2


def test_a_stale_store_tells_conditional_orders_as_they_were(floor: Floor) -> None:
    client = floor.client()
    stop = client.ask(
        "POST",
        "algoOrder",
        algoType="CONDITIONAL",
        symbol="BTCUSDT",
        side="SELL",
        type="STOP_MARKET",
        triggerPrice="50000.0",
        quantity="0.010",
    )
    floor.simulator.clock.step(10_000)
    plan(floor, StaleStatus(path="/fapi/v1/algoOrder", key=client.key))
    client.ask("DELETE", "algoOrder", algoId=stop["algoId"])
    assert client.ask("GET", "algoOrder", algoId=stop["algoId"])["algoStatus"] == "NEW"
    assert client.ask("GET", "openAlgoOrders") == []  # of another path
    floor.simulator.clock.step(3_000)
    assert client.ask("GET", "algoOrder", algoId=stop["algoId"])["algoStatus"] == "CANCELED"


@pytest.mark.parametrize("kind", ["order", "openOrder"])
def test_a_slow_store_does_not_know_an_order_that_exists(floor: Floor, kind: str) -> None:
    client = floor.client()
    plan(floor, StoreLag(lag_ms=2_000, key=client.key))
    placed = client.limit("BUY", "0.010", "50000.0")
    query = {"symbol": "BTCUSDT", "orderId": placed["orderId"]}
    assert client.refused("GET", kind, **query) == (-2013, "Order does not exist.")
    assert client.ask("GET", "openOrders", symbol="BTCUSDT") == []
    assert list(client.account.open_orders) == [("BTCUSDT", placed["orderId"])]
    floor.simulator.clock.step(2_000)
    assert client.ask("GET", kind, **query)["status"] == "NEW"
    assert engaged(floor) == 2


def test_a_slow_store_does_not_know_a_conditional_order_or_a_trade(floor: Floor) -> None:
    client = floor.client()
    plan(floor, StoreLag(lag_ms=500))
    client.market("BUY", "0.010")
    stop = client.ask(
        "POST",
        "algoOrder",
        algoType="CONDITIONAL",
        symbol="BTCUSDT",
        side="SELL",
        type="STOP_MARKET",
        triggerPrice="50000.0",
        quantity="0.010",
    )
    assert client.refused("GET", "algoOrder", algoId=stop["algoId"])[0] == -2013
    assert client.ask("GET", "openAlgoOrders") == client.ask("GET", "userTrades", symbol="BTCUSDT") == []
    floor.simulator.clock.step(500)
    assert client.ask("GET", "algoOrder", algoId=stop["algoId"])["algoStatus"] == "NEW"
    assert len(client.ask("GET", "userTrades", symbol="BTCUSDT")) == 1


@pytest.mark.parametrize(
    ("skew_ms", "words"),
    [(2_000, "outside of the recvWindow"), (-2_000, "1000ms ahead of the server's time")],
)
def test_a_skewed_clock_refuses_timestamps_until_the_client_asks_for_the_time(
    floor: Floor, skew_ms: int, words: str
) -> None:
    client = floor.client()
    plan(floor, ClockSkew(skew_ms=skew_ms))
    code, text = client.refused("POST", "order", **BUY, recvWindow=1_000)
    assert code == -1021
    assert words in text
    told_ms = requests.get(f"{floor.simulator.url}/fapi/v1/time", timeout=10).json()["serverTime"]
    assert told_ms == floor.simulator.clock.now_ms() + skew_ms
    assert client.send("POST", "order", **BUY, recvWindow=1_000, timestamp=told_ms).status_code == 200


def test_the_matching_engine_judges_the_age_of_an_order_again(floor: Floor) -> None:
    client = floor.client()
    plan(floor, EngineDelay(delay_ms=5_001, count=1))
    assert client.refused("POST", "order", **BUY)[0] == -5028
    assert (position(client), engaged(floor)) == ("0", 1)
    client.market("BUY", "0.010")


def test_candles_can_be_missing(floor: Floor) -> None:
    url = f"{floor.simulator.url}/fapi/v1/klines?interval=1h&limit=5&symbol="
    opens = [row[0] for row in requests.get(f"{url}BTCUSDT", timeout=10).json()]
    plan(floor, CandlesMissing(symbol="BTCUSDT", first_ms=opens[1], last_ms=opens[2]))
    shown = [row[0] for row in requests.get(f"{url}BTCUSDT", timeout=10).json()]
    assert shown == [opens[0], *opens[3:]]
    assert shown[1] - shown[0] == 3 * HOUR_MS
    assert [row[0] for row in requests.get(f"{url}ETHUSDT", timeout=10).json()] == opens
    assert engaged(floor) == 1


def test_the_control_port_plans_shows_and_clears(floor: Floor) -> None:
    control = f"{floor.simulator.url}/sim/faults"
    fault = {"how": "reset", "path": "/fapi/v1/ping", "at": "+3600", "for_s": 60, "count": None}
    assert requests.post(control, json=fault, timeout=10).json()["pending_faults"] == 0
    assert requests.get(f"{floor.simulator.url}/fapi/v1/ping", timeout=10).status_code == 200
    (row,) = requests.get(control, timeout=10).json()["faults"]
    assert (row["how"], row["state"], row["planned"], row["engaged"]) == ("reset", "waiting", None, 0)
    assert row["from_ms"] == floor.simulator.clock.now_ms() + HOUR_MS
    assert row["until_ms"] - row["from_ms"] == 60_000
    assert requests.delete(control, timeout=10).json() == {"pending_faults": 0}
    assert requests.get(control, timeout=10).json() == {"faults": []}

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from futures_agent.clock import HOUR_MS
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.rest_market import klines_weight
from futures_agent.simulator.server import RunningSimulator

Factory = Callable[..., RunningSimulator]


def get(simulator: RunningSimulator, path: str, **params: Any) -> requests.Response:
    return requests.get(simulator.url + path, params=params, timeout=10)


def klines(simulator: RunningSimulator, **params: Any) -> list[list[Any]]:
    answer = get(simulator, "/fapi/v1/klines", **params)
    assert answer.status_code == 200, answer.text
    rows: list[list[Any]] = answer.json()
    return rows


def as_tuples(candles: Candles, timeframe: Timeframe) -> list[tuple[Any, ...]]:
    return [
        (t, o, h, low, c, v, t + timeframe.ms - 1, q, n, taker, taker_quote, 0.0)
        for t, o, h, low, c, v, q, n, taker, taker_quote in candles.tolist()
    ]


def as_numbers(rows: list[list[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(float(value) if isinstance(value, str) else value for value in row) for row in rows]


def test_ping_and_time(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    assert get(simulator, "/fapi/v1/ping").json() == {}
    answer = get(simulator, "/fapi/v1/time")
    assert answer.json() == {"serverTime": simulator.clock.now_ms()}
    assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "2"
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"


def test_exchange_info_lists_everything_whatever_was_asked(simulator_factory: Factory) -> None:
    simulator = simulator_factory(weight_limit=1234)
    info = get(simulator, "/fapi/v1/exchangeInfo", symbol="ETHUSDT").json()
    assert list(info) == [
        *("timezone", "serverTime", "futuresType", "rateLimits", "exchangeFilters", "assets", "symbols"),
    ]
    assert [one["symbol"] for one in info["symbols"]][:3] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert len(info["symbols"]) == 8
    assert info["rateLimits"][0] == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 1234,
    }
    assert info["serverTime"] <= simulator.clock.now_ms()


@pytest.mark.parametrize("timeframe", list(Timeframe))
@pytest.mark.parametrize("limit", [499, 1500])
def test_paging_to_the_end_equals_the_market(
    simulator_factory: Factory, timeframe: Timeframe, limit: int
) -> None:
    simulator = simulator_factory(weight_limit=100_000)
    rows: list[list[Any]] = []
    start = 0
    while page := klines(simulator, symbol="ETHUSDT", interval=timeframe.value, startTime=start, limit=limit):
        assert len(page) <= limit
        rows += page
        start = page[-1][0] + timeframe.ms
    now = simulator.clock.now_ms()
    closed = simulator.market.closed("ETHUSDT", timeframe, now)
    assert as_numbers(rows[:-1]) == as_tuples(closed, timeframe)
    assert as_numbers(rows[-1:]) == as_tuples(simulator.market.forming("ETHUSDT", timeframe, now), timeframe)


def test_last_row_is_forming_until_its_close(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    close_ms = Timeframe.H1.open_of(simulator.clock.now_ms()) + HOUR_MS
    simulator.clock.set(close_ms - 1)
    (forming,) = klines(simulator, symbol="BTCUSDT", interval="1h", limit=1)
    assert forming[6] == close_ms - 1
    simulator.clock.step(1)
    closed, opening = klines(simulator, symbol="BTCUSDT", interval="1h", limit=2)
    assert closed[0] == forming[0]
    assert closed[1] == forming[1]
    assert float(closed[5]) > float(forming[5])
    assert opening[1] == opening[2] == opening[3] == opening[4]
    assert (opening[5], opening[8]) == ("0.000", 0)


def test_numbers_are_texts_on_the_contracts_grid(simulator_factory: Factory) -> None:
    (row,) = klines(simulator_factory(), symbol="BTCUSDT", interval="4h", limit=1)
    assert [type(value) for value in row] == [int, *[str] * 5, int, str, int, str, str, str]
    assert [len(value.partition(".")[2]) for value in row[1:6]] == [2, 2, 2, 2, 3]
    assert row[11] == "0"


def test_same_seed_and_clock_same_bytes(simulator_factory: Factory) -> None:
    answers = [
        get(simulator_factory(symbols=symbols), "/fapi/v1/klines", symbol="SOLUSDT", interval="1h").content
        for symbols in (("SOLUSDT",), ("BTCUSDT", "SOLUSDT"))
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) > 50_000


def absent(name: str) -> tuple[int, str]:
    return -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."


def senseless(name: str) -> tuple[int, str]:
    return -1130, f"Data sent for parameter '{name}' is not valid."


REFUSED = (
    ("interval=1h", absent("symbol")),
    ("symbol=BTCUSDT", absent("interval")),
    ("symbol=&interval=1h", absent("symbol")),
    ("symbol=btcusdt&interval=1h", (-1121, "Invalid symbol.")),
    ("symbol=BTCUSDT&interval=1s", (-1120, "Invalid interval.")),
    ("symbol=BTCUSDT&interval=1h&limit=1501", senseless("limit")),
    ("symbol=BTCUSDT&interval=1h&limit=0", senseless("limit")),
    ("symbol=BTCUSDT&interval=1h&startTime=-5", senseless("startTime")),
    ("symbol=BTCUSDT&interval=1h&limit=ten", absent("limit")),
    ("symbol=BTCUSDT&interval=1h&limit=1e2", absent("limit")),
    ("symbol=BTCUSDT&interval=1h&endTime=", (-1105, "Parameter 'endTime' was empty.")),
    ("symbol=BTCUSDT&interval=1h&startTime=2&endTime=1", (-1023, "Start time is greater than end time.")),
)


def test_bad_parameters(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    for query, (code, text) in REFUSED:
        answer = get(simulator, f"/fapi/v1/klines?{query}")
        assert answer.status_code == 400
        assert answer.content.decode() == f'{{"code":{code},"msg":"{text}"}}'
        assert int(answer.headers["X-MBX-USED-WEIGHT-1M"]) > 0


def test_weight_follows_the_limit(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    used = 0
    for limit, weight in ((1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)):
        used += weight
        answer = get(simulator, "/fapi/v1/klines", symbol="BTCUSDT", interval="1d", limit=limit)
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == str(used)
    assert klines_weight({}) == 5
    assert klines_weight({"limit": "x"}) == 1


def test_unknown_paths_and_methods_are_refused_the_exchanges_way(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    unknown = get(simulator, "/fapi/v1/nothing")
    assert unknown.status_code == 404
    assert unknown.json() == {"code": -5000, "msg": "Path /fapi/v1/nothing, Method GET is invalid"}
    posted = requests.post(simulator.url + "/fapi/v1/time", timeout=10)
    assert posted.json()["msg"] == "Path /fapi/v1/time, Method POST is invalid"


def test_contracts_that_are_not_tradable_have_candles_too(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    assert len(klines(simulator, symbol="币安人生USDT", interval="1d", limit=5)) == 5


def test_a_fast_clock_stays_coherent(simulator_factory: Factory) -> None:
    simulator = simulator_factory(scale=20_000.0)  # a host second is five and a half hours
    began = simulator.clock.now_ms()
    while simulator.clock.now_ms() < began + 10 * HOUR_MS:
        before = get(simulator, "/fapi/v1/time").json()["serverTime"]
        rows = klines(simulator, symbol="BTCUSDT", interval="1h", limit=5)
        after = get(simulator, "/fapi/v1/time").json()["serverTime"]
        assert Timeframe.H1.open_of(before) <= rows[-1][0] <= Timeframe.H1.open_of(after)
        truth = set(as_tuples(simulator.market.closed("BTCUSDT", Timeframe.H1, after), Timeframe.H1))
        closed = [row for row in as_numbers(rows) if row[6] < before]
        assert len(closed) >= 3
        assert truth.issuperset(closed)

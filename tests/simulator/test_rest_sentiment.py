"""Funding and statistics as the venue answers them: shapes, bounds, limits and refusals."""

from pathlib import Path

import numpy as np
import pytest
import requests

from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.errors import Refuse
from futures_agent.market.sentiment import PERIODS_MS, Statistic
from futures_agent.simulator.sentiment import read_funding
from futures_agent.simulator.weights import WeightLimiter

REAL = Path("../shared/data")
FUNDING = "/fapi/v1/fundingRate"
OPEN_INTEREST = "/futures/data/openInterestHist"


def get(simulator, path, **params):
    return requests.get(simulator.url + path, params=params, timeout=10)


def rows(simulator, path, **params):
    answer = get(simulator, path, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def simulator(simulator_factory):
    return simulator_factory()


def test_funding_rows(simulator):
    first, *_ = found = rows(simulator, FUNDING, symbol="BTCUSDT")
    assert list(first) == ["symbol", "fundingTime", "fundingRate", "markPrice", "rateType"]
    times = np.array([row["fundingTime"] for row in found])
    late = times % (simulator.venue.sentiment.interval_h("BTCUSDT") * HOUR_MS)
    assert (late < 12).all()
    assert late.any()
    assert len({row["fundingRate"] for row in found}) > len(found) / 2
    assert all(abs(float(row["fundingRate"])) <= 0.003 for row in found)
    assert all(float(row["markPrice"]) > 0 for row in found)


def test_funding_from_a_start_is_the_first_rows_and_without_one_the_last(simulator):
    now = simulator.clock.now_ms()
    everything = rows(simulator, FUNDING, symbol="ETHUSDT", startTime=now - 60 * DAY_MS, limit=1000)
    start, end = everything[3]["fundingTime"], everything[60]["fundingTime"]
    inside = {"symbol": "ETHUSDT", "startTime": start, "endTime": end}
    assert rows(simulator, FUNDING, **inside) == everything[3:61]  # both ends included
    assert rows(simulator, FUNDING, **inside, limit=5) == everything[3:8]
    assert rows(simulator, FUNDING, symbol="ETHUSDT", endTime=end, limit=5) == everything[56:61]
    assert rows(simulator, FUNDING, symbol="ETHUSDT", limit=7) == everything[-7:]
    assert rows(simulator, FUNDING, symbol="ETHUSDT", startTime=now + 1) == []


def test_funding_of_every_symbol(simulator):
    found = rows(simulator, FUNDING)
    assert len(found) == 200
    assert {row["symbol"] for row in found} > {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    assert [row["fundingTime"] for row in found] == sorted(row["fundingTime"] for row in found)


def test_funding_does_not_depend_on_the_start_and_does_on_the_seed(simulator_factory):
    first, later, other = simulator_factory(), simulator_factory(), simulator_factory(seed=2)
    later.clock.step(3 * DAY_MS)
    asked = {"symbol": "SOLUSDT", "startTime": first.clock.now_ms() - DAY_MS, "limit": 3}
    assert rows(first, FUNDING, **asked) == rows(later, FUNDING, **asked)
    assert rows(first, FUNDING, **asked) != rows(other, FUNDING, **asked)


def test_intervals_differ_and_those_that_are_not_usual_are_told(simulator_factory):
    symbols = tuple(f"COIN{number}USDT" for number in range(40))
    simulator = simulator_factory(symbols=symbols, untradable_symbols=False, history_days=5)
    told = {row["symbol"]: row["fundingIntervalHours"] for row in rows(simulator, "/fapi/v1/fundingInfo")}
    assert set(told.values()) == {1, 4}
    hourly = next(symbol for symbol, hours in told.items() if hours == 1)
    found = rows(simulator, FUNDING, symbol=hourly, startTime=simulator.clock.now_ms() - DAY_MS)
    assert len(found) == 24


@pytest.mark.parametrize("statistic", list(Statistic))
def test_statistics_are_those_of_the_venue(simulator, statistic):
    now = simulator.clock.now_ms()
    stamps = np.arange(now // HOUR_MS - 499, now // HOUR_MS + 1) * HOUR_MS
    truth = simulator.venue.sentiment.statistic(statistic, "BTCUSDT", stamps)
    found = rows(
        simulator,
        f"/futures/data/{statistic.value}",
        symbol="BTCUSDT",
        period="1h",
        limit=500,
        startTime=int(stamps[0]),
        endTime=now,
    )
    assert [int(row["timestamp"]) for row in found] == truth["timestamp"].tolist()
    assert 480 < len(found) < 500  # a period without trades is omitted
    numbers = {float(value) for row in found for value in row.values() if value != "BTCUSDT"}
    assert set(truth[statistic.columns[0]].tolist()) <= numbers
    assert isinstance(found[0]["timestamp"], int)


@pytest.mark.parametrize("period", PERIODS_MS)
def test_every_period_lies_on_its_grid(simulator, period):
    found = rows(simulator, OPEN_INTEREST, symbol="BTCUSDT", period=period)
    assert 20 < len(found) <= 30
    assert all(row["timestamp"] % PERIODS_MS[period] == 0 for row in found)
    assert simulator.clock.now_ms() - found[-1]["timestamp"] < 3 * PERIODS_MS[period]


def test_statistics_older_than_thirty_days_do_not_exist(simulator):
    now = simulator.clock.now_ms()
    asked = {"symbol": "BTCUSDT", "period": "1h", "endTime": now - 29 * DAY_MS}
    assert rows(simulator, OPEN_INTEREST, **asked, startTime=now - 30 * DAY_MS)
    refused = get(simulator, OPEN_INTEREST, **asked, startTime=now - 30 * DAY_MS - 1)
    assert (refused.status_code, refused.json()["code"]) == (400, -1130)


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        (FUNDING, {"symbol": "NOSUCHUSDT"}, -1121),
        (FUNDING, {"symbol": "BTCUSDT", "limit": 1001}, -1130),
        (FUNDING, {"symbol": "BTCUSDT", "limit": 0}, -1130),
        (FUNDING, {"symbol": "BTCUSDT", "startTime": 2, "endTime": 1}, -1023),
        (FUNDING, {"symbol": "BTCUSDT", "startTime": "then"}, -1102),
        (OPEN_INTEREST, {"period": "1h"}, -1102),
        (OPEN_INTEREST, {"symbol": "BTCUSDT"}, -1102),
        (OPEN_INTEREST, {"symbol": "BTCUSDT", "period": "3h"}, -1130),
        (OPEN_INTEREST, {"symbol": "BTCUSDT", "period": "1h", "limit": 501}, -1130),
        (OPEN_INTEREST, {"symbol": "NOSUCHUSDT", "period": "1h"}, -1121),
    ],
)
def test_refusals(simulator, path, params, code):
    answer = get(simulator, path, **params)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_they_weigh_nothing_and_are_counted_in_pools(simulator):
    simulator.venue.pools["funding"].limit = 2
    answers = [get(simulator, path) for path in (FUNDING, "/fapi/v1/fundingInfo", FUNDING)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["code"] == -1003
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert not any("X-MBX-USED-WEIGHT-1M" in answer.headers for answer in answers)
    assert get(simulator, OPEN_INTEREST, symbol="BTCUSDT", period="1h").status_code == 200
    assert get(simulator, "/fapi/v1/time").headers["X-MBX-USED-WEIGHT-1M"] == "1"
    assert simulator.stats["peak_requests"] == {"funding": 3, "statistics": 1}
    simulator.clock.step(5 * 60_000)
    assert get(simulator, FUNDING).status_code == 200


def test_an_address_that_is_banned_is_banned_everywhere(simulator_factory):
    simulator = simulator_factory(weight_limit=1, tolerated_refusals=0)
    assert [get(simulator, "/fapi/v1/time").status_code for _ in range(2)] == [200, 418]
    assert get(simulator, FUNDING).status_code == 418


def test_a_pools_window_is_its_own():
    limiter = WeightLimiter(1, window_ms=300_000)
    assert limiter.admit("a", 1, 299_000).status == 200
    refused = limiter.admit("a", 1, 299_999)
    assert (refused.status, refused.retry_after_s) == (429, 1)
    assert limiter.admit("a", 1, 300_000).status == 200
    assert [window.start_ms for window in limiter.windows()] == [0, 300_000]


def test_recorded_funding_is_answered_as_it_was(simulator_factory, tmp_path):
    now = simulator_factory().clock.now_ms() // DAY_MS * DAY_MS
    hours = [now + hour * HOUR_MS for hour in range(-60 * 24, 0)]
    candles = "\n".join(f"{symbol},{at},10,11,9,10.5,5" for symbol in ("AUSDT", "BUSDT") for at in hours)
    (tmp_path / "klines_1h.csv").write_text("symbol,open_time,open,high,low,close,volume\n" + candles)
    recorded = [(now - 10 * DAY_MS + 3, 0.0001), (now - 9 * DAY_MS, -0.00025)]
    lines = [f"AUSDT,{time},{rate}" for time, rate in reversed(recorded)]
    (tmp_path / "funding.csv").write_text("symbol,funding_time,funding_rate\n" + "\n".join(lines))
    simulator = simulator_factory(symbols=(), dataset=tmp_path, start_ms=None)
    found = rows(simulator, FUNDING, symbol="AUSDT", startTime=now - 60 * DAY_MS)
    assert [(row["fundingTime"], float(row["fundingRate"])) for row in found] == recorded
    assert float(found[0]["markPrice"]) == 10
    assert len(rows(simulator, FUNDING, symbol="BUSDT", startTime=now - 20 * DAY_MS)) > 30  # made up


def test_a_funding_file_that_is_none_is_one_line(tmp_path):
    assert read_funding(tmp_path) == {}
    (tmp_path / "funding.csv").write_text("symbol,rate\nA,1\n")
    with pytest.raises(Refuse, match=r"funding\.csv: not a table of symbol, funding_time, funding_rate"):
        read_funding(tmp_path)
    (tmp_path / "funding.csv").write_text("symbol,funding_time,funding_rate\nA,soon,1\n")
    with pytest.raises(Refuse, match="'soon'"):
        read_funding(tmp_path)


def test_real_funding_is_read_whole():
    if not (REAL / "funding.parquet").exists():
        pytest.skip("no real funding here; a generated file is tested above")
    recorded = read_funding(REAL)
    assert sum(map(len, recorded.values())) == 55_368
    assert len(recorded["BTCUSDT"]) == 6_362
    assert all((np.diff(payments["timestamp"]) > 0).all() for payments in recorded.values())

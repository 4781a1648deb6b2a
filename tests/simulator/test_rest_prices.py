"""Public prices over REST: they agree with each other, with the candles, and with what orders get."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import requests

from futures_agent.clock import HOUR_MS
from futures_agent.simulator.server import RunningSimulator

SimulatorFactory = Callable[..., RunningSimulator]


@pytest.fixture
def simulator(simulator_factory: SimulatorFactory) -> RunningSimulator:
    return simulator_factory()


def ask(simulator: RunningSimulator, path: str, status: int = 200, **params: Any) -> Any:
    answer = requests.get(f"{simulator.url}/fapi/{path}", params=params, timeout=10)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_prices_surround_the_last_candle(simulator: RunningSimulator) -> None:
    last = Decimal(ask(simulator, "v2/ticker/price", symbol="BTCUSDT")["price"])
    (*_, candle) = ask(simulator, "v1/klines", symbol="BTCUSDT", interval="15m", limit=3)
    assert last == Decimal(candle[4])
    best = ask(simulator, "v1/ticker/bookTicker", symbol="BTCUSDT")
    assert Decimal(best["bidPrice"]) < last < Decimal(best["askPrice"])
    assert Decimal(best["askPrice"]) - Decimal(best["bidPrice"]) < last * Decimal("0.001")
    assert min(Decimal(best["bidQty"]), Decimal(best["askQty"])) > 0


def test_mark_price_and_the_next_funding(simulator: RunningSimulator) -> None:
    told = ask(simulator, "v1/premiumIndex", symbol="BTCUSDT")
    assert Decimal(told["markPrice"]) == simulator.venue.exchange.mark_price("BTCUSDT")
    now_ms = simulator.clock.now_ms()
    interval_ms = simulator.venue.sentiment.interval_h("BTCUSDT") * HOUR_MS
    assert told["nextFundingTime"] == now_ms - now_ms % interval_ms + interval_ms
    (paid,) = simulator.venue.sentiment.funding("BTCUSDT", now_ms, told["nextFundingTime"] + 60_000)
    assert float(told["lastFundingRate"]) == paid["rate"]


def test_the_last_day(simulator: RunningSimulator) -> None:
    told = ask(simulator, "v1/ticker/24hr", symbol="BTCUSDT")
    candles = ask(
        simulator,
        "v1/klines",
        symbol="BTCUSDT",
        interval="15m",
        startTime=simulator.clock.now_ms() - 24 * HOUR_MS,
    )
    assert told["openPrice"] == candles[0][1]
    assert Decimal(told["highPrice"]) == max(Decimal(row[2]) for row in candles)
    assert Decimal(told["volume"]) == pytest.approx(sum(Decimal(row[5]) for row in candles))
    change = Decimal(told["lastPrice"]) - Decimal(told["openPrice"])
    assert Decimal(told["priceChange"]) == change
    assert Decimal(told["priceChangePercent"]) == pytest.approx(
        100 * change / Decimal(told["openPrice"]), abs=Decimal("0.001")
    )
    assert told["count"] == sum(row[8] for row in candles) == told["lastId"] - told["firstId"] + 1


def test_the_order_book_begins_at_the_best_prices(simulator: RunningSimulator) -> None:
    best = ask(simulator, "v1/ticker/bookTicker", symbol="ETHUSDT")
    book = ask(simulator, "v1/depth", symbol="ETHUSDT", limit=20)
    assert book["bids"][0] == [best["bidPrice"], best["bidQty"]]
    assert book["asks"][0] == [best["askPrice"], best["askQty"]]
    bids, asks = ([Decimal(price) for price, _ in book[side]] for side in ("bids", "asks"))
    assert len(bids) == len(asks) == 20
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert all(Decimal(size) > 0 for side in ("bids", "asks") for _, size in book[side])


def test_open_interest_is_that_of_the_statistics(simulator: RunningSimulator) -> None:
    told = ask(simulator, "v1/openInterest", symbol="BTCUSDT")
    params = {"symbol": "BTCUSDT", "period": "15m", "limit": 3}
    url = f"{simulator.url}/futures/data/openInterestHist"
    (*_, newest) = requests.get(url, params=params, timeout=10).json()
    assert float(told["openInterest"]) == float(newest["sumOpenInterest"])


@pytest.mark.parametrize(
    "path", ["v1/premiumIndex", "v1/ticker/bookTicker", "v1/ticker/price", "v1/ticker/24hr"]
)
def test_without_a_symbol_every_traded_contract_is_told(path: str, simulator: RunningSimulator) -> None:
    rows = ask(simulator, path)
    assert {row["symbol"] for row in rows} >= {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    assert rows[0] == ask(simulator, path, symbol=rows[0]["symbol"])
    statuses = {row["symbol"]: simulator.venue.exchange.status(row["symbol"]) for row in rows}
    assert set(statuses.values()) == {"TRADING"}


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("v1/premiumIndex", {"symbol": "BTCUSDT"}, 1),
        ("v1/premiumIndex", {}, 10),
        ("v1/ticker/bookTicker", {"symbol": "BTCUSDT"}, 2),
        ("v1/ticker/bookTicker", {}, 5),
        ("v1/ticker/24hr", {}, 40),
        ("v1/depth", {"symbol": "BTCUSDT", "limit": 5}, 2),
        ("v1/depth", {"symbol": "BTCUSDT", "limit": 100}, 5),
        ("v1/depth", {"symbol": "BTCUSDT"}, 10),
        ("v1/depth", {"symbol": "BTCUSDT", "limit": 1000}, 20),
    ],
)
def test_weights(path: str, params: dict[str, Any], weight: int, simulator: RunningSimulator) -> None:
    answer = requests.get(f"{simulator.url}/fapi/{path}", params=params, timeout=10)
    assert (answer.status_code, answer.headers["X-MBX-USED-WEIGHT-1M"]) == (200, str(weight))


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("v1/premiumIndex", {"symbol": "NOSUCH"}, -1121),
        ("v1/openInterest", {}, -1102),
        ("v1/depth", {"symbol": "BTCUSDT", "limit": 3}, -4021),
    ],
)
def test_refusals(path: str, params: dict[str, Any], code: int, simulator: RunningSimulator) -> None:
    assert ask(simulator, path, 400, **params)["code"] == code


def test_a_contract_without_a_price_yet_is_refused(simulator_factory: SimulatorFactory) -> None:
    simulator = simulator_factory(onboard_ms={"SOLUSDT": 4_000_000_000_000})
    assert ask(simulator, "v1/ticker/bookTicker", 400, symbol="SOLUSDT")["code"] == -1122
    assert "SOLUSDT" not in [row["symbol"] for row in ask(simulator, "v1/ticker/bookTicker")]

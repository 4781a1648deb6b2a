"""The exchange's own Python client reads the market, and every answer fits its models."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from futures_agent.clock import HOUR_MS
from futures_agent.simulator.server import RunningSimulator
from venue_client import ClientProcess

Ask = Callable[..., Any]


def test_clock_and_connectivity(sdk: Ask, venue: RunningSimulator) -> None:
    sdk("test_connectivity")
    assert abs(sdk("check_server_time")["serverTime"] - venue.clock.now_ms()) < 60_000


def test_contracts_with_their_filters(sdk: Ask, venue: RunningSimulator) -> None:
    told = sdk("exchange_information")
    (bitcoin,) = (each for each in told["symbols"] if each["symbol"] == "BTCUSDT")
    assert bitcoin["status"] == "TRADING"
    assert {each["filterType"] for each in bitcoin["filters"]} >= {"PRICE_FILTER", "LOT_SIZE", "MIN_NOTIONAL"}
    assert {each["symbol"] for each in told["symbols"]} == set(venue.market.listings)


def test_candles_to_the_forming_one(sdk: Ask, venue: RunningSimulator) -> None:
    rows = sdk("kline_candlestick_data", symbol="BTCUSDT", interval="1h", limit=99)
    opens = [row[0] for row in rows]
    assert len(rows) == 99
    assert {later - earlier for earlier, later in pairwise(opens)} == {HOUR_MS}
    assert rows[-1][6] > venue.clock.now_ms() > rows[-2][6]
    assert all(float(low) <= min(float(o), float(c)) for _, o, _, low, c, *_ in rows)


@pytest.mark.parametrize(
    "call",
    [
        "open_interest_statistics",
        "long_short_ratio",
        "top_trader_long_short_ratio_accounts",
        "top_trader_long_short_ratio_positions",
        "taker_buy_sell_volume",
    ],
)
def test_statistics(call: str, sdk: Ask) -> None:
    rows = sdk(call, symbol="BTCUSDT", period="1h", limit=10)
    assert len(rows) == 10
    assert rows == sorted(rows, key=lambda row: int(row["timestamp"]))


def test_funding(sdk: Ask) -> None:
    rows = sdk("get_funding_rate_history", symbol="BTCUSDT", limit=9)
    assert [row["symbol"] for row in rows] == ["BTCUSDT"] * 9
    assert all(abs(float(row["fundingRate"])) < 0.03 for row in rows)
    assert all(row["fundingIntervalHours"] in (1, 4, 8) for row in sdk("get_funding_rate_info"))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ({"symbol": "NOSUCH", "interval": "1h"}, -1121, "Invalid symbol."),
        ({"symbol": "BTCUSDT", "interval": "1s"}, -1120, "Invalid interval."),
        (
            {"symbol": "BTCUSDT", "interval": "1h", "limit": 1501},
            -1130,
            "Data sent for parameter 'limit' is not valid.",
        ),
    ],
)
def test_refusals_arrive_with_code_and_text(
    arguments: dict[str, Any], code: int, text: str, sdk_process: ClientProcess
) -> None:
    answer = sdk_process.ask({"call": "kline_candlestick_data", "with": arguments})
    assert (answer["error"], answer["code"], answer["text"]) == ("BadRequestError", code, text)


def test_the_weight_of_a_request_is_read_from_its_answer(sdk_process: ClientProcess) -> None:
    question = {"call": "kline_candlestick_data", "with": {"symbol": "BTCUSDT", "interval": "1h"}}
    (before,), (after,) = (sdk_process.ask(question)["limits"] for _ in range(2))
    assert before["rateLimitType"] == "REQUEST_WEIGHT"
    # A clock minute may have begun in between.
    assert after["count"] - before["count"] == 5 or after["count"] == 5

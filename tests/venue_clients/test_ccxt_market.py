"""ccxt reads the market."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from futures_agent.simulator.server import RunningSimulator

Ask = Callable[..., Any]
BITCOIN = "BTC/USDT:USDT"


def test_markets(ccxt: Ask) -> None:
    market = ccxt("load_markets")[BITCOIN]
    assert market["swap"]
    assert market["active"]
    assert market["linear"]
    assert market["limits"]["cost"]["min"] > 0
    assert market["precision"]["price"] > 0


def test_time(ccxt: Ask, venue: RunningSimulator) -> None:
    assert abs(ccxt("fetch_time") - venue.clock.now_ms()) < 60_000


def test_candles(ccxt: Ask, venue: RunningSimulator) -> None:
    rows = ccxt("fetch_ohlcv", BITCOIN, "4h", None, 12)
    assert len(rows) == 12
    assert rows[-1][0] <= venue.clock.now_ms() < rows[-1][0] + 4 * 3_600_000


def test_funding(ccxt: Ask) -> None:
    rates = ccxt("fetch_funding_rate_history", BITCOIN, None, 5)
    assert len(rates) == 5
    assert {rate["symbol"] for rate in rates} == {BITCOIN}


def test_statistics(ccxt: Ask) -> None:
    assert len(ccxt("fetch_open_interest_history", BITCOIN, "1h", None, 5)) == 5
    assert len(ccxt("fetch_long_short_ratio_history", BITCOIN, "1h", None, 5)) == 5

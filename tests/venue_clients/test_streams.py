"""The exchange's own Python client and ccxt.pro listen: market data by route, user data while they trade."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from futures_agent.simulator.server import RunningSimulator
from venue_client import CLIENTS

PATIENCE_S = 60


def said_by(python: Path, program: str, venue: RunningSimulator) -> Any:
    """Return what a program printed as JSON."""
    done = subprocess.run(
        [str(python), str(CLIENTS / program), venue.url, "demo", "demo-secret"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def heard(python: Path, venue: RunningSimulator) -> dict[str, list[Any]]:
    """Return kind and content of the messages of each stream that the exchange's client heard."""
    said = said_by(python, "sdk_streams_program.py", venue)
    assert said["complaints"] == []
    streams: dict[str, list[Any]] = said["heard"]
    return streams


@pytest.mark.parametrize(
    ("stream", "kind", "event"),
    [
        ("kline", "KlineCandlestickStreamsResponse", "kline"),
        ("mark", "MarkPriceStreamResponse", "markPriceUpdate"),
        ("book", "IndividualSymbolBookTickerStreamsResponse", "bookTicker"),
        ("trade", "AggregateTradeStreamsResponse", "aggTrade"),
    ],
)
def test_market_data_fit_the_clients_models(
    stream: str, kind: str, event: str, heard: dict[str, list[Any]]
) -> None:
    assert heard[stream], "nothing arrived"
    assert {(name, message["e"], message["s"]) for name, message in heard[stream]} == {
        (kind, event, "BTCUSDT")
    }
    assert all(not message["additional_properties"] for _, message in heard[stream])
    empty = {name for _, message in heard[stream] for name, value in message.items() if value is None}
    assert empty == set()


def test_user_data_tell_what_happened(heard: dict[str, list[Any]]) -> None:
    orders = [message["o"] for kind, message in heard["user"] if kind == "OrderTradeUpdate"]
    assert [(each["S"], each["x"], each["X"]) for each in orders] == [
        ("BUY", "NEW", "NEW"),
        ("BUY", "TRADE", "FILLED"),
        ("SELL", "NEW", "NEW"),
        ("SELL", "TRADE", "FILLED"),
    ]
    accounts = [message["a"] for kind, message in heard["user"] if kind == "AccountUpdate"]
    assert [each["P"][0]["pa"] for each in accounts] == ["0.01", "0"]
    algos = [message["o"] for kind, message in heard["user"] if kind == "AlgoUpdate"]
    assert [each["X"] for each in algos] == ["NEW", "CANCELED"]
    lite = [message for kind, message in heard["user"] if kind == "TradeLite"]
    assert [each["t"] for each in lite] == [each["t"] for each in orders if each["x"] == "TRADE"]


def test_ccxt_hears_candles_prices_and_its_orders(python: Path, venue: RunningSimulator) -> None:
    heard = said_by(python, "ccxt_streams_program.py", venue)
    now_ms = venue.clock.now_ms()
    assert now_ms - 16 * 60_000 < heard["candles"][-1][0] <= now_ms
    assert heard["best"]["BTC/USDT:USDT"]["bid"] < heard["best"]["BTC/USDT:USDT"]["ask"]
    assert heard["mark"]["markPrice"] > 0
    assert heard["orders"][0]["symbol"] == "BTC/USDT:USDT"

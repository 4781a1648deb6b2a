"""Small trading venues whose every price a test knows, and ones that trade generated candles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from futures_agent.clock import HOUR_MS, parse_utc
from futures_agent.market.candle import FULL_CANDLE, Candles
from futures_agent.market.sentiment import FUNDING_PAYMENT
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.generator import GeneratedCandles
from futures_agent.simulator.listing import Listing
from futures_agent.simulator.market import CandleSource, Market
from futures_agent.simulator.sentiment import Sentiment
from futures_agent.simulator.series import Grid
from futures_agent.simulator.trading.config import TradingConfig
from futures_agent.simulator.trading.exchange import Exchange

START_MS = parse_utc("2026-03-10T09:00:00Z")
QUARTER_MS = Timeframe.M15.ms
BTC, ETH = "BTCUSDT", "ETHUSDT"

# (open, high, low, close) of one candle.
Bar = tuple[float, float, float, float]


class ScriptedCandles:
    """A `CandleSource` of hourly candles from START_MS on, each with its quarters where a test gives them."""

    def __init__(
        self,
        hours: Mapping[str, Sequence[Bar]],
        quarters: Mapping[tuple[str, int], Sequence[Bar]],
        volume: float,
    ) -> None:
        self._hours = {symbol: candles(bars, START_MS, HOUR_MS, volume) for symbol, bars in hours.items()}
        self._quarters = {
            (symbol, hour): candles(bars, START_MS + hour * HOUR_MS, QUARTER_MS, volume / 4)
            for (symbol, hour), bars in quarters.items()
        }

    def listings(self) -> list[Listing]:
        return [
            Listing(symbol, float(rows["open"][0]), Grid(2, 3, 5), 2, START_MS - 86_400_000)
            for symbol, rows in self._hours.items()
        ]

    def series(self, symbol: str, timeframe: Timeframe, until_ms: int) -> Candles:
        assert timeframe is Timeframe.H1
        return self._hours[symbol]

    def inside(self, symbol: str, timeframe: Timeframe, open_ms: int) -> tuple[Timeframe, Candles]:
        hour = (open_ms - START_MS) // HOUR_MS
        if (symbol, hour) in self._quarters:
            return Timeframe.M15, self._quarters[symbol, hour]
        return Timeframe.H1, self._hours[symbol][hour : hour + 1]


def candles(bars: Sequence[Bar], start_ms: int, length_ms: int, volume: float) -> Candles:
    """Return candles with these prices, all of one volume."""
    rows = np.zeros(len(bars), FULL_CANDLE)
    rows["timestamp"] = start_ms + np.arange(len(bars)) * length_ms
    for number, name in enumerate(("open", "high", "low", "close")):
        rows[name] = [bar[number] for bar in bars]
    rows["volume"] = volume
    return rows


def flat(price: float, hours: int) -> list[Bar]:
    """Return hours in which nothing moves."""
    return [(price, price, price, price)] * hours


# What trades cost where a test computes money by hand: no slippage, round fees, one bracket.
PLAIN: dict[str, Any] = {
    "maker_fee": Decimal("0.0002"),
    "taker_fee": Decimal("0.0005"),
    "half_spread": Decimal(0),
    "impact": Decimal(0),
    "brackets": {"usual": ((Decimal(10_000_000), Decimal(100), Decimal("0.01")),)},
    "trigger_delay_ms": (10, 10),
}


def scripted_exchange(
    hours: Mapping[str, Sequence[Bar]],
    *,
    quarters: Mapping[tuple[str, int], Sequence[Bar]] | None = None,
    funding: Mapping[str, Sequence[tuple[int, float]]] | None = None,
    volume: float = 1000.0,
    seed: int = 1,
    **config: Any,
) -> tuple[Exchange, list[dict[str, Any]]]:
    """Return an exchange over scripted candles, open since START_MS, and the list its events go to.

    `funding` gives (ms UTC, rate) by symbol; other symbols have none. `config` overrides PLAIN.
    """
    source: CandleSource = ScriptedCandles(hours, quarters or {}, volume)
    market = Market(source)
    paid = {symbol: np.zeros(0, FUNDING_PAYMENT) for symbol in hours}
    for symbol, payments in (funding or {}).items():
        paid[symbol] = np.array([(time, rate, np.nan) for time, rate in payments], FUNDING_PAYMENT)
    exchange = Exchange(
        market, Sentiment(market, seed, paid), TradingConfig(**{**PLAIN, **config}), seed, START_MS
    )
    events: list[dict[str, Any]] = []
    exchange.subscribe(lambda account, payload: events.append(payload))
    return exchange, events


def generated_exchange(symbols: Sequence[str], *, seed: int = 1, **config: Any) -> Exchange:
    """Return an exchange over generated candles, open since START_MS."""
    source = GeneratedCandles(symbols, seed=seed, start_ms=START_MS, history_days=3, with_untradable=False)
    market = Market(source)
    return Exchange(market, Sentiment(market, seed, {}), TradingConfig(**config), seed, START_MS)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """Return events in short: `NEW`, `TRADE`, … of orders, `algo NEW`, `account ORDER`, others by name."""
    short = []
    for event in events:
        if event["e"] == "ORDER_TRADE_UPDATE":
            short.append(event["o"]["x"])
        elif event["e"] == "ALGO_UPDATE":
            short.append(f"algo {event['o']['X']}")
        elif event["e"] == "ACCOUNT_UPDATE":
            short.append(f"account {event['a']['m']}")
        else:
            short.append(event["e"])
    return short


def ledger_bytes(exchange: Exchange) -> bytes:
    """Return the whole ledger, one line per entry."""
    return b"\n".join(exchange.ledger.lines())


def as_json(value: Any) -> Any:
    """Return a struct as its JSON value, decimals as texts."""
    return msgspec.json.decode(msgspec.json.encode(value))

"""What the market streams tell: candles that have closed, and mark prices.

Source: Binance USDⓈ-M "Kline/Candlestick Streams", "Mark Price Stream".
"""

from __future__ import annotations

import msgspec
import numpy as np

from futures_agent.exchange.payloads import kline_fault
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.timeframe import Timeframe


class Kline(msgspec.Struct):
    """A candle as the exchange writes it, closed or not."""

    t: int
    T: int
    i: str
    x: bool
    o: str
    h: str
    l: str  # noqa: E741
    c: str
    v: str
    q: str
    n: int
    V: str
    Q: str


class MarketMessage(msgspec.Struct):
    """Any message of a market connection; `event` is empty for answers to commands."""

    event: str = msgspec.field(default="", name="e")
    told_ms: int = msgspec.field(default=0, name="E")
    symbol: str = msgspec.field(default="", name="s")
    kline: Kline | None = msgspec.field(default=None, name="k")
    price: str = msgspec.field(default="", name="p")
    rate: str = msgspec.field(default="", name="r")  # of the next funding; empty: the contract has none
    funding_ms: int = msgspec.field(default=0, name="T")
    id: int | None = None
    error: msgspec.Raw | None = None
    code: int | None = None


def candle_in(kline: Kline, timeframe: Timeframe) -> np.void:
    """Return a closed candle as a record of FULL_CANDLE.

    Raises
    ------
    ValueError
        It is none of `timeframe`: off its grid, not finite, or contradicting itself.
    """
    prices = (float(kline.o), float(kline.h), float(kline.l), float(kline.c))
    amounts = (float(kline.v), float(kline.q), kline.n, float(kline.V), float(kline.Q))
    candles = np.array([(kline.t, *prices, *amounts)], dtype=FULL_CANDLE)
    fault = kline_fault(candles, np.array([kline.T], dtype=np.int64), timeframe)
    if fault:
        raise ValueError(fault)
    candle: np.void = candles[0]
    return candle

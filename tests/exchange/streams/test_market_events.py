from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from futures_agent.exchange.streams.market_events import MarketMessage, candle_in
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.timeframe import Timeframe

OPEN_MS = 1_790_771_400_000
KLINE = {
    "t": OPEN_MS,
    "T": OPEN_MS + 899_999,
    "s": "BTCUSDT",
    "i": "15m",
    "f": 1,
    "L": 9,
    "x": True,
    "n": 9,
    "o": "83896.40",
    "c": "83860.20",
    "h": "83920.00",
    "l": "83860.10",
    "v": "114.602",
    "B": "0",
    "q": "9615538.66780",
    "V": "48.488",
    "Q": "4068722.10360",
}


def kline(**changes: Any) -> Any:
    text = json.dumps({"e": "kline", "E": OPEN_MS + 900_000, "s": "BTCUSDT", "k": {**KLINE, **changes}})
    return msgspec.json.decode(text, type=MarketMessage, strict=False).kline


def test_a_candle_with_everything_the_exchange_tells() -> None:
    candle = candle_in(kline(), Timeframe.M15)
    assert candle.dtype == FULL_CANDLE
    assert candle.tolist() == (
        *(OPEN_MS, 83896.40, 83920.00, 83860.10, 83860.20, 114.602),
        *(9615538.66780, 9, 48.488, 4068722.10360),
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"t": OPEN_MS + 1}, "not on the M15 grid"),
        ({"T": OPEN_MS + 900_000}, "close time does not belong"),
        ({"h": "1.0"}, "high and low do not enclose"),
        ({"c": "nan"}, "a price is not a positive number"),
        ({"v": "-1"}, "a volume or count is not a number"),
        ({"o": ""}, "could not convert"),
    ],
)
def test_what_is_no_candle_is_none(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        candle_in(kline(**changes), Timeframe.M15)

"""Files of candles to import, and what came of them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from futures_agent.interchange.importing import ImportRequest
from futures_agent.interchange.layout import REQUIRED
from futures_agent.market.candle import FULL_CANDLE, Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import Settings
from futures_agent.store.candles import read_candles
from futures_agent.store.database import open_reader

COLUMNS = (*REQUIRED, "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")


def lines(symbol: str, candles: Candles) -> list[str]:
    """Return candles as lines of a CSV with named columns, header not included."""
    return [",".join([symbol, *map(repr, row)]) for row in candles.tolist()]


HEADER = ",".join(["symbol", *COLUMNS])


def request(*paths: Path, **options: object) -> ImportRequest:
    return ImportRequest(paths=paths, **options)  # type: ignore[arg-type]


def stored(settings: Settings, symbol: str, timeframe: Timeframe = Timeframe.H1) -> Candles:
    """Return everything stored of a series."""
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        return read_candles(db, timeframe, [symbol], 0, 2**62, dtype=FULL_CANDLE)[symbol]


def assert_same(found: Candles, expected: Candles) -> None:
    """Compare to the bit."""
    np.testing.assert_array_equal(found["timestamp"], expected["timestamp"])
    for name in FULL_CANDLE.names or ():
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert found.tobytes() == expected.tobytes()

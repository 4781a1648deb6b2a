"""The candle as a NumPy record: what the store reads, features step over and the simulator serves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# One closed candle; `timestamp` is the open time in ms UTC, volume is in base units.
CANDLE = np.dtype(
    [
        ("timestamp", np.int64),
        ("open", np.float64),
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("volume", np.float64),
    ]
)

# A candle with everything the exchange tells about it; this is what is stored.
FULL_CANDLE = np.dtype(
    [
        *CANDLE.descr,
        ("quote_volume", np.float64),
        ("trades", np.int64),
        ("taker_buy_volume", np.float64),
        ("taker_buy_quote_volume", np.float64),
    ]
)

Candles = NDArray[np.void]


def candles_from_columns(dtype: np.dtype[Any], **columns: Any) -> Candles:
    """Return a record array of `dtype` from equally long columns; missing ones are zero."""
    length = len(columns["timestamp"])
    candles = np.zeros(length, dtype=dtype)
    for name, values in columns.items():
        candles[name] = values
    return candles

"""Candle tables: `ohlcv_d1`, `ohlcv_h4`, `ohlcv_h1`, `ohlcv_m15`, one row per symbol and open time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import msgspec
import numpy as np
from numpy.typing import NDArray

from futures_agent.clock import utc_text
from futures_agent.errors import SkipSymbol
from futures_agent.market.candle import CANDLE, FULL_CANDLE, Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.database import database_errors

_VALUES = FULL_CANDLE.names[1:]  # type: ignore[index]  # the columns after `timestamp`


class SeriesCount(msgspec.Struct, frozen=True):
    """What is stored of one symbol."""

    first: int  # open time of the oldest candle, ms UTC
    last: int  # open time of the newest candle, ms UTC
    count: int


def upsert_candles(db: apsw.Connection, timeframe: Timeframe, symbol: str, candles: Candles) -> int:
    """Store the closed candles of one symbol in one transaction.

    Parameters
    ----------
    db : apsw.Connection
        From `open_writer`.
    candles : ndarray of FULL_CANDLE, shape (n,)
        In any order; equal open times overwrite.

    Returns
    -------
    int
        Rows that are new or differ from what was stored. Where that is 0, nothing was written.

    Raises
    ------
    SkipSymbol
        A candle that cannot be (high below close, open time off the grid, not a number);
        nothing of this call is stored.
    Retry, Corrupt, Refuse
        As `database_errors` says.
    """
    if candles.dtype != FULL_CANDLE:
        raise TypeError(f"candles: expected FULL_CANDLE, got {candles.dtype}")
    columns = ", ".join(_VALUES)
    sql = (
        f"INSERT INTO {timeframe.table} (symbol, timestamp, {columns}) "
        f"VALUES (?, ?{', ?' * len(_VALUES)}) "
        f"ON CONFLICT (symbol, timestamp) DO UPDATE SET "
        f"{', '.join(f'{name} = excluded.{name}' for name in _VALUES)} "
        f"WHERE ({columns}) IS NOT ({', '.join(f'excluded.{name}' for name in _VALUES)})"
    )
    with database_errors(Path(db.filename)):
        at = changed = 0
        try:
            with db:
                for candle in candles.tolist():
                    at = candle[0]
                    db.execute(sql, (symbol, *candle))
                    changed += db.changes()  # not total_changes(), which counts what triggers wrote
        except apsw.ConstraintError as error:
            when = f"{timeframe.name} candle of {utc_text(at)}"
            raise SkipSymbol(symbol, f"impossible {when}: {error}") from None
        return changed


def read_candles(
    db: apsw.Connection,
    timeframe: Timeframe,
    symbols: Sequence[str],
    start_ms: int,
    end_ms: int,
    *,
    dtype: np.dtype[Any] = CANDLE,
) -> dict[str, Candles]:
    """Read candles with open times in [start_ms, end_ms), ms UTC.

    Parameters
    ----------
    dtype : dtype
        CANDLE, or FULL_CANDLE for everything that is stored.

    Returns
    -------
    dict of str to ndarray of `dtype`, shape (n,)
        Ascending in time; every symbol asked for is there, empty where nothing is stored.
    """
    sql = (
        f"SELECT {', '.join(dtype.names or ())} FROM {timeframe.table} "
        "WHERE symbol = ? AND timestamp >= ? AND timestamp < ? ORDER BY timestamp"
    )
    with database_errors(Path(db.filename)):
        # The cursor feeds the array row by row: no list of a year of tuples in between.
        return {
            symbol: np.fromiter(db.execute(sql, (symbol, start_ms, end_ms)), dtype=dtype)
            for symbol in symbols
        }


def read_timestamps(
    db: apsw.Connection, timeframe: Timeframe, symbol: str, start_ms: int, end_ms: int
) -> NDArray[np.int64]:
    """Return the stored open times of one symbol in [start_ms, end_ms), ascending, ms UTC, shape (n,)."""
    sql = (
        f"SELECT timestamp FROM {timeframe.table} "
        "WHERE symbol = ? AND timestamp >= ? AND timestamp < ? ORDER BY timestamp"
    )
    with database_errors(Path(db.filename)):
        rows = db.execute(sql, (symbol, start_ms, end_ms))
        return np.fromiter((timestamp for (timestamp,) in rows), dtype=np.int64)


def newest(db: apsw.Connection, timeframe: Timeframe) -> dict[str, int]:
    """Return symbol → open time (ms UTC) of its newest stored candle.

    Jumps from symbol to symbol along the key: its cost grows with symbols, not with candles.
    """
    table = timeframe.table
    sql = (
        f"WITH RECURSIVE series (symbol) AS ("
        f" SELECT min(symbol) FROM {table}"
        f" UNION ALL"
        f" SELECT (SELECT min(symbol) FROM {table} WHERE symbol > series.symbol)"
        f" FROM series WHERE series.symbol IS NOT NULL) "
        f"SELECT symbol, (SELECT max(timestamp) FROM {table} WHERE symbol = series.symbol) "
        f"FROM series WHERE symbol IS NOT NULL"
    )
    with database_errors(Path(db.filename)):
        return dict(db.execute(sql))


def series_counts(db: apsw.Connection, timeframe: Timeframe) -> dict[str, SeriesCount]:
    """Return symbol → first and last open time (ms UTC) and number of stored candles; reads every row."""
    sql = f"SELECT symbol, min(timestamp), max(timestamp), count(*) FROM {timeframe.table} GROUP BY symbol"
    with database_errors(Path(db.filename)):
        return {symbol: SeriesCount(first, last, count) for symbol, first, last, count in db.execute(sql)}


def missing_ranges(
    db: apsw.Connection, timeframe: Timeframe, symbol: str, start_ms: int, end_ms: int
) -> list[tuple[int, int]]:
    """Return the holes of one series within [start_ms, end_ms), in order of time.

    A hole has stored candles on both sides, also where those lie outside the asked-for range. What is
    missing before the oldest or after the newest stored candle is not a hole.

    Returns
    -------
    list of (int, int)
        First and last missing open time of each hole, ms UTC, both inclusive.
    """
    table, step = timeframe.table, timeframe.ms
    sql = (
        f"SELECT (SELECT max(timestamp) FROM {table} WHERE symbol = :symbol AND timestamp < :start),"
        f" (SELECT min(timestamp) FROM {table} WHERE symbol = :symbol AND timestamp >= :end)"
    )
    with database_errors(Path(db.filename)):
        ((before, after),) = db.execute(sql, {"symbol": symbol, "start": start_ms, "end": end_ms})
    inside = read_timestamps(db, timeframe, symbol, start_ms, end_ms).tolist()
    known = [timestamp for timestamp in (before, *inside, after) if timestamp is not None]
    first_open = timeframe.open_of(start_ms + step - 1)
    last_open = timeframe.open_of(end_ms - 1)
    holes = [
        (max(left + step, first_open), min(right - step, last_open))
        for left, right in pairwise(known)
        if right - left > step
    ]
    return [(first, last) for first, last in holes if first <= last]

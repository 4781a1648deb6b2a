"""Candle tables: `ohlcv_d1`, `ohlcv_h4`, `ohlcv_h1`, `ohlcv_m15`, one row per symbol and open time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import numpy as np
from numpy.typing import NDArray

from futures_agent.clock import utc_text
from futures_agent.errors import SkipSymbol
from futures_agent.market.candle import CANDLE, FULL_CANDLE, Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.database import database_errors

_VALUES = FULL_CANDLE.names[1:]  # type: ignore[index]  # the columns after `timestamp`


# What no candle can be; the tables' own checks say the same, but a file can be damaged.
_IMPOSSIBLE = (
    "(timestamp % :step <> 0 OR timestamp > :last_closed OR NOT "
    "(low > 0 AND low <= open AND low <= close AND high >= open AND high >= close AND volume >= 0))"
)


class SeriesSurvey(NamedTuple):
    """What is stored of one series from some time on."""

    candles: int
    first: int | None  # open time of the oldest candle, ms UTC
    last: int | None  # open time of the newest candle, ms UTC
    impossible: int  # off the grid, not yet closed, or with prices that contradict each other


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


def stored_range(db: apsw.Connection, timeframe: Timeframe, symbols: Sequence[str]) -> tuple[int, int] | None:
    """Return the open times (ms UTC) of the oldest and newest stored candle of `symbols`, if any."""
    # One aggregate per SELECT is read off an end of the key; two in one would go through all its rows.
    ends_of = f"(SELECT {{}}(timestamp) FROM {timeframe.table} WHERE symbol = :symbol)"
    sql = f"SELECT {ends_of.format('min')}, {ends_of.format('max')}"
    with database_errors(Path(db.filename)):
        found: list[Any] = [db.execute(sql, {"symbol": symbol}).fetchall()[0] for symbol in symbols]
    stored = [ends for ends in found if ends != (None, None)]
    if not stored:
        return None
    return min(first for first, _ in stored), max(last for _, last in stored)


def survey_series(
    db: apsw.Connection, timeframe: Timeframe, symbol: str, start_ms: int, *, last_closed_ms: int
) -> SeriesSurvey:
    """Return what is stored of one series from `start_ms` on (ms UTC), in one pass inside SQLite.

    Parameters
    ----------
    last_closed_ms : int
        Open time of the newest candle that has closed: a later one cannot be there.
    """
    sql = (
        f"SELECT count(*), min(timestamp), max(timestamp), coalesce(sum({_IMPOSSIBLE}), 0) "
        f"FROM {timeframe.table} WHERE symbol = :symbol AND timestamp >= :start"
    )
    with database_errors(Path(db.filename)):
        found = db.execute(sql, _bindings(timeframe, symbol, start_ms, last_closed_ms)).fetchall()
    return SeriesSurvey._make(found[0])


def remove_impossible(
    db: apsw.Connection, timeframe: Timeframe, symbol: str, start_ms: int, *, last_closed_ms: int
) -> int:
    """Delete what cannot be a closed candle and return how many those were; see `survey_series`."""
    sql = f"DELETE FROM {timeframe.table} WHERE symbol = :symbol AND timestamp >= :start AND {_IMPOSSIBLE} "
    with database_errors(Path(db.filename)), db:
        db.execute(sql, _bindings(timeframe, symbol, start_ms, last_closed_ms))
    return db.changes()


def untraded_since(db: apsw.Connection, timeframe: Timeframe, symbol: str, count: int) -> int | None:
    """Return since when (open time, ms UTC) nothing was traded, if that is `count` candles or more.

    Counts the newest stored candles; None where one of the last `count` has volume, or fewer are stored.
    """
    sql = f"SELECT timestamp, volume FROM {timeframe.table} WHERE symbol = ? ORDER BY timestamp DESC"
    untraded: list[int] = []
    with database_errors(Path(db.filename)):
        for timestamp, volume in db.execute(sql, (symbol,)):
            if volume > 0:
                break
            untraded.append(timestamp)
    return untraded[-1] if len(untraded) >= count else None


def _bindings(timeframe: Timeframe, symbol: str, start_ms: int, last_closed_ms: int) -> dict[str, int | str]:
    return {"symbol": symbol, "start": start_ms, "step": timeframe.ms, "last_closed": last_closed_ms}

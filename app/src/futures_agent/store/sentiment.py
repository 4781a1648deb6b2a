"""The `sentimento_mercado` table: one row per symbol and moment; each source fills its own columns.

Beside the values stands when they could be known. History that is fetched late was known soon after its
period; a value that the exchange corrected was known when we saw the correction, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import apsw
import numpy as np
from numpy.typing import NDArray

from futures_agent.clock import MINUTE_MS
from futures_agent.market.observation import PUBLISHED
from futures_agent.market.sentiment import Statistic
from futures_agent.store.database import database_errors

# One funding payment: when, in ms UTC, and the rate that longs paid shorts.
FUNDING = np.dtype([("timestamp", np.int64), ("rate", np.float64)])

FUNDING_COLUMN = "funding_rate"
STATISTIC_COLUMNS = tuple(name for statistic in Statistic for name in statistic.columns)
VALUE_COLUMNS = (FUNDING_COLUMN, *STATISTIC_COLUMNS)


class Known(NamedTuple):
    """A value and the moment or the start of the period it speaks of, ms UTC."""

    timestamp: int
    value: float


def upsert_funding(
    db: apsw.Connection, symbol: str, funding: NDArray[np.void], *, fetched_at_ms: int | None = None
) -> int:
    """Store funding rates of one symbol in one transaction.

    The exchange stamps a payment a few ms after the hour; times are stored rounded to the minute, and the
    rate counts as known from the next minute on.

    Parameters
    ----------
    db : apsw.Connection
        From `open_writer`.
    funding : ndarray, shape (n,)
        Fields timestamp (ms UTC), rate, and optionally mark_price (NaN where unknown).
    fetched_at_ms : int, optional
        Written to the rows that change, ms UTC.

    Returns
    -------
    int
        Rows that are new or differ from what was stored.

    Raises
    ------
    Retry, Corrupt, Refuse
        As `database_errors` says.
    """
    sql = (
        "INSERT INTO sentimento_mercado"
        " (symbol, timestamp, funding_rate, mark_price, fetched_at, funding_available_at) "
        "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (symbol, timestamp) DO UPDATE SET "
        "funding_rate = excluded.funding_rate, mark_price = coalesce(excluded.mark_price, mark_price), "
        "fetched_at = excluded.fetched_at, funding_available_at = iif(funding_rate IS NULL, "
        "excluded.funding_available_at, coalesce(excluded.fetched_at, excluded.funding_available_at)) "
        "WHERE funding_rate IS NOT excluded.funding_rate"
    )
    minutes = (funding["timestamp"] + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS
    told = "mark_price" in (funding.dtype.names or ())
    marks = funding["mark_price"] if told else np.full(len(funding), np.nan)
    rows = zip(minutes.tolist(), funding["rate"].tolist(), marks.tolist(), strict=True)
    with database_errors(Path(db.filename)):
        before = db.total_changes()
        with db:
            db.executemany(  # NaN is stored as NULL
                sql,
                (
                    (symbol, minute, rate, mark, fetched_at_ms, minute + MINUTE_MS)
                    for minute, rate, mark in rows
                ),
            )
        return db.total_changes() - before


def upsert_statistic(
    db: apsw.Connection,
    statistic: Statistic,
    symbol: str,
    rows: NDArray[np.void],
    *,
    published_after_ms: int,
    fetched_at_ms: int,
) -> int:
    """Store rows of one statistic of one symbol in one transaction.

    Parameters
    ----------
    rows : ndarray of `statistic.dtype`, shape (n,)
    published_after_ms : int
        How long after its timestamp a row is published: its period and a lag.
    fetched_at_ms : int
        ms UTC, exchange time. A row cannot have been known later than this; a corrected one not earlier.

    Returns
    -------
    int
        Rows that are new or differ from what was stored.

    Raises
    ------
    Retry, Corrupt, Refuse
        As `database_errors` says.
    """
    names = statistic.columns
    columns = ", ".join(names)
    nothing = ", ".join("NULL" for _ in names)
    new = ", ".join(f"excluded.{name}" for name in names)
    sql = (
        f"INSERT INTO sentimento_mercado (symbol, timestamp, {columns}, fetched_at, available_at) "
        f"VALUES (?, ?{', ?' * len(names)}, ?, ?) ON CONFLICT (symbol, timestamp) DO UPDATE SET "
        f"{', '.join(f'{name} = excluded.{name}' for name in names)}, fetched_at = excluded.fetched_at, "
        f"available_at = iif(({columns}) IS ({nothing}), "
        "max(coalesce(available_at, 0), excluded.available_at), excluded.fetched_at) "
        f"WHERE ({columns}) IS NOT ({new})"
    )
    with database_errors(Path(db.filename)):
        before = db.total_changes()
        with db:
            db.executemany(
                sql,
                (
                    (symbol, *row, fetched_at_ms, min(row[0] + published_after_ms, fetched_at_ms))
                    for row in rows.tolist()
                ),
            )
        return db.total_changes() - before


def read_funding(
    db: apsw.Connection, symbols: Sequence[str], start_ms: int, end_ms: int
) -> dict[str, NDArray[np.void]]:
    """Read funding rates with times in [start_ms, end_ms), ms UTC.

    Returns
    -------
    dict of str to ndarray of FUNDING, shape (n,)
        Ascending in time; every symbol asked for is there, empty where nothing is stored.
    """
    sql = (
        "SELECT timestamp, funding_rate FROM sentimento_mercado "
        "WHERE symbol = ? AND timestamp >= ? AND timestamp < ? AND funding_rate IS NOT NULL "
        "ORDER BY timestamp"
    )
    with database_errors(Path(db.filename)):
        return {
            symbol: np.fromiter(db.execute(sql, (symbol, start_ms, end_ms)), dtype=FUNDING)
            for symbol in symbols
        }


def sentiment_span(db: apsw.Connection, symbol: str, column: str) -> tuple[int, int] | None:
    """Return the times, ms UTC, of the first and the last stored value of `column`; None without any."""
    sql = (
        "SELECT timestamp FROM sentimento_mercado "
        f"WHERE symbol = ? AND {_checked(column)} IS NOT NULL ORDER BY timestamp"
    )
    with database_errors(Path(db.filename)):
        first: int | None = db.execute(f"{sql} LIMIT 1", (symbol,)).get
        last: int | None = db.execute(f"{sql} DESC LIMIT 1", (symbol,)).get
        return None if first is None or last is None else (first, last)


def known_at(db: apsw.Connection, symbol: str, now_ms: int) -> dict[str, Known]:
    """Return what could be known of one symbol at `now_ms`: the newest published value of each column.

    Parameters
    ----------
    now_ms : int
        ms UTC. Nothing that was published, or corrected, after it is seen.

    Returns
    -------
    dict of str to Known
        By column; columns of which nothing was known are absent.
    """
    found = {}
    with database_errors(Path(db.filename)):
        for column in VALUE_COLUMNS:
            sql = (
                f"SELECT timestamp, {column} FROM sentimento_mercado WHERE symbol = ? AND timestamp <= ? "
                f"AND {column} IS NOT NULL AND {_availability(column)} <= ? "
                "ORDER BY timestamp DESC LIMIT 1"
            )
            for timestamp, value in db.execute(sql, (symbol, now_ms, now_ms)):
                found[column] = Known(timestamp, value)
    return found


def read_published_sentiment(
    db: apsw.Connection, symbol: str, column: str, start_ms: int, end_ms: int
) -> NDArray[np.void]:
    """Read every value of `column` with a time in [start_ms, end_ms), ms UTC, and when it was known.

    Returns
    -------
    ndarray of PUBLISHED, shape (n,)
        Ascending in time. What `known_at` sees at a moment is, of those available by then, the last.

    Raises
    ------
    Retry, Corrupt, Refuse
        As `database_errors` says.
    """
    sql = (
        f"SELECT max({_availability(column)}, timestamp), timestamp, {_checked(column)} "
        f"FROM sentimento_mercado WHERE symbol = ? AND timestamp >= ? AND timestamp < ? "
        f"AND {column} IS NOT NULL AND {_availability(column)} IS NOT NULL ORDER BY timestamp"
    )
    with database_errors(Path(db.filename)):
        return np.fromiter(db.execute(sql, (symbol, start_ms, end_ms)), dtype=PUBLISHED)


def _availability(column: str) -> str:
    """Return the column that says when a value of `column` was known."""
    return "funding_available_at" if column == FUNDING_COLUMN else "available_at"


def _checked(column: str) -> str:
    if column not in VALUE_COLUMNS:
        raise ValueError(f"sentimento_mercado has no value column {column!r}")
    return column

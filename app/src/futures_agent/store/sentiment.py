"""The `sentimento_mercado` table: one row per symbol and moment; each source fills its own columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import apsw
import numpy as np
from numpy.typing import NDArray

from futures_agent.clock import MINUTE_MS
from futures_agent.store.database import database_errors

# One funding payment: when, in ms UTC, and the rate that longs paid shorts.
FUNDING = np.dtype([("timestamp", np.int64), ("rate", np.float64)])


def upsert_funding(
    db: apsw.Connection, symbol: str, funding: NDArray[np.void], *, fetched_at_ms: int | None = None
) -> int:
    """Store funding rates of one symbol in one transaction.

    The exchange stamps a payment a few ms after the hour; times are stored rounded to the minute.

    Parameters
    ----------
    db : apsw.Connection
        From `open_writer`.
    funding : ndarray of FUNDING, shape (n,)
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
        "INSERT INTO sentimento_mercado (symbol, timestamp, funding_rate, fetched_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (symbol, timestamp) DO UPDATE SET "
        "funding_rate = excluded.funding_rate, fetched_at = excluded.fetched_at "
        "WHERE funding_rate IS NOT excluded.funding_rate"
    )
    minutes = (funding["timestamp"] + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS
    pairs = zip(minutes.tolist(), funding["rate"].tolist(), strict=True)
    with database_errors(Path(db.filename)):
        before = db.total_changes()
        with db:
            db.executemany(sql, ((symbol, minute, rate, fetched_at_ms) for minute, rate in pairs))
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

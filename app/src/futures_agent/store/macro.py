"""The `macro_data` table: what each series' value for a day was, and from when on that was known.

A revised value is a row of its own, so that at any moment only what was published before it is seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import apsw
import numpy as np
from numpy.typing import NDArray

from futures_agent.market.observation import PUBLISHED, Observation, day_ms, day_text
from futures_agent.store.database import database_errors


class MacroValue(NamedTuple):
    """What was known of a series: the value of a day (YYYY-MM-DD), published by `available_at` (ms UTC)."""

    date: str
    value: float
    available_at: int


def store_observations(
    db: apsw.Connection,
    series: str,
    observations: Sequence[Observation],
    *,
    lag_ms: int,
    fetched_at_ms: int,
) -> int:
    """Store what is new among `observations`, in one transaction; nothing stored is ever changed.

    Where the source does not tell when a value was published, the first one of a day counts as known
    `lag_ms` after that day began, and a different one later from when it was seen. Nothing counts as known
    later than it was fetched.

    Parameters
    ----------
    observations : sequence of Observation
        Of each day in the order of publication.
    lag_ms : int
        Publication lag of the series.
    fetched_at_ms : int
        ms UTC.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    Retry, Corrupt, Refuse
        As `database_errors` says.
    """
    written = 0
    with database_errors(Path(db.filename)), db:
        stored: dict[str, dict[int, float]] = {}
        sql = "SELECT date, available_at, value FROM macro_data WHERE series = ?"
        for day, available_at, value in db.execute(sql, (series,)):
            stored.setdefault(day, {})[available_at] = value
        for one in observations:
            known = stored.setdefault(one.day, {})
            published_ms = _published_ms(one, known, lag_ms)
            before = [at for at in known if at <= published_ms]
            if before and known[max(before)] == one.value:
                continue
            available_at = int(min(published_ms, fetched_at_ms))
            if available_at in known:  # another value for the same moment: it was seen now
                available_at = fetched_at_ms
            db.execute(
                "INSERT OR IGNORE INTO macro_data (series, date, value, available_at, fetched_at) "
                "VALUES (?, ?, ?, ?, ?)",
                (series, one.day, one.value, available_at, fetched_at_ms),
            )
            written += db.changes()
            known[available_at] = one.value
    return written


def _published_ms(one: Observation, known: dict[int, float], lag_ms: int) -> float:
    """Return when a value was published; infinite for a change of which only the fetching tells."""
    if one.published_ms is not None:
        return one.published_ms
    return math.inf if known else day_ms(one.day) + lag_ms


def series_state(db: apsw.Connection, series: str) -> tuple[str, int] | None:
    """Return the first day that a series has a value of, and when one was last stored (ms UTC); or None."""
    sql = "SELECT min(date), max(fetched_at) FROM macro_data WHERE series = ?"
    with database_errors(Path(db.filename)):
        first, changed_ms = db.execute(sql, (series,)).get
    return None if first is None else (first, changed_ms)


def macro_known_at(db: apsw.Connection, series: str, now_ms: int) -> MacroValue | None:
    """Return the newest value of a series that was published by `now_ms` (ms UTC), as it was known then."""
    sql = (
        "SELECT date, value, available_at FROM macro_data WHERE series = ? AND available_at <= ? "
        "ORDER BY date DESC, available_at DESC LIMIT 1"
    )
    with database_errors(Path(db.filename)):
        row = db.execute(sql, (series, now_ms)).fetchone()
        return None if row is None else MacroValue(*row)


def read_published_macro(db: apsw.Connection, series: str, start_ms: int, end_ms: int) -> NDArray[np.void]:
    """Read every value of `series` for days in [start_ms, end_ms), ms UTC, and when it was known.

    Returns
    -------
    ndarray of PUBLISHED, shape (n,)
        Ascending by day, then by publication. What `macro_known_at` sees at a moment is, of those available
        by then, the last.

    Raises
    ------
    Retry, Corrupt, Refuse
        As `database_errors` says.
    """
    sql = (
        "SELECT available_at, date, value FROM macro_data WHERE series = ? AND date >= ? AND date <= ? "
        "ORDER BY date, available_at"
    )
    with database_errors(Path(db.filename)):
        rows = db.execute(sql, (series, day_text(start_ms), day_text(end_ms - 1)))
        return np.fromiter(((known, day_ms(day), value) for known, day, value in rows), dtype=PUBLISHED)

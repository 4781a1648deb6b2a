"""Holes that the exchange confirmed: it has no candles there either, so nobody asks again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import apsw

from futures_agent.market.quality import Hole
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.database import database_errors


def settle_holes(
    db: apsw.Connection,
    timeframe: Timeframe,
    symbol: str,
    asked: Hole,
    absent: Sequence[Hole],
    confirmed_at_ms: int,
) -> None:
    """Record that the exchange was asked for all of `asked` and has everything but `absent` (open times).

    Holes inside `asked` that were confirmed before and are not absent now are forgotten; one that is
    confirmed again keeps the time of its first confirmation.
    """
    key = (symbol, timeframe.name)
    with database_errors(Path(db.filename)), db:
        inside = db.execute(
            "SELECT first, last FROM candle_holes WHERE symbol = ? AND timeframe = ?"
            " AND first >= ? AND last <= ?",
            (*key, *asked),
        ).fetchall()
        for hole in set(inside) - set(absent):
            db.execute(
                "DELETE FROM candle_holes WHERE symbol = ? AND timeframe = ? AND first = ?", (*key, hole[0])
            )
        for hole in absent:
            db.execute(
                "INSERT INTO candle_holes (symbol, timeframe, first, last, confirmed_at) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT (symbol, timeframe, first) DO UPDATE"
                " SET last = excluded.last, confirmed_at = excluded.confirmed_at WHERE last < excluded.last",
                (*key, *hole, confirmed_at_ms),
            )


def read_holes(
    db: apsw.Connection, timeframe: Timeframe, *, confirmed_before_ms: int | None = None
) -> dict[str, list[Hole]]:
    """Return the confirmed holes of every symbol in `timeframe`, in order of time.

    Parameters
    ----------
    confirmed_before_ms : int, optional
        Only those first confirmed before then (ms UTC).
    """
    sql = (
        "SELECT symbol, first, last FROM candle_holes WHERE timeframe = ? AND confirmed_at < ? "
        "ORDER BY symbol, first"
    )
    before_ms = 2**62 if confirmed_before_ms is None else confirmed_before_ms
    found: dict[str, list[Hole]] = defaultdict(list)
    with database_errors(Path(db.filename)):
        for symbol, first, last in db.execute(sql, (timeframe.name, before_ms)):
            found[symbol].append((first, last))
    return dict(found)

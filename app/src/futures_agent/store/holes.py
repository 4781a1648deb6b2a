"""Holes that the exchange confirmed: it has no candles there either, so nobody asks again."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import apsw

from futures_agent.market.quality import Hole
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.database import database_errors


def confirm_hole(
    db: apsw.Connection, timeframe: Timeframe, symbol: str, hole: Hole, confirmed_at_ms: int
) -> None:
    """Record that the exchange was asked for `hole` (open times) and had nothing."""
    with database_errors(Path(db.filename)):
        db.execute(
            "INSERT INTO candle_holes (symbol, timeframe, first, last, confirmed_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (symbol, timeframe, first) DO UPDATE"
            " SET last = max(last, excluded.last), confirmed_at = excluded.confirmed_at",
            (symbol, timeframe.name, *hole, confirmed_at_ms),
        )


def read_holes(db: apsw.Connection, timeframe: Timeframe) -> dict[str, list[Hole]]:
    """Return the confirmed holes of every symbol in `timeframe`, in order of time."""
    sql = "SELECT symbol, first, last FROM candle_holes WHERE timeframe = ? ORDER BY symbol, first"
    found: dict[str, list[Hole]] = defaultdict(list)
    with database_errors(Path(db.filename)):
        for symbol, first, last in db.execute(sql, (timeframe.name,)):
            found[symbol].append((first, last))
    return dict(found)

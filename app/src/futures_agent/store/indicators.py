"""The `indicadores_tecnico` table, and the states from which its next rows are stepped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import apsw
import msgspec

from futures_agent.market.timeframe import Timeframe
from futures_agent.store.database import database_errors

# The columns after `timestamp`.
COLUMNS = (
    "ema20",
    "ema50",
    "rsi14",
    "atr14",
    "macd",
    "macd_signal",
    "adx14",
    "bb_upper",
    "bb_lower",
    "volume_sma20",
)

IndicatorRow = tuple[int, *tuple[float | None, ...]]  # open time (ms UTC), then COLUMNS


class IndicatorState(msgspec.Struct, frozen=True, kw_only=True):
    """What the indicators of one series remember after its bar `through`."""

    anchor: int  # open time of the first candle stepped over, ms UTC
    through: int  # and of the last
    state: bytes
    seal: bytes  # whether it may be gone on from is for the reader to judge


def read_state(db: apsw.Connection, timeframe: Timeframe, symbol: str) -> IndicatorState | None:
    """Return the stored state of one series, unjudged; None where there is none."""
    sql = "SELECT anchor, through, state, seal FROM indicator_states WHERE symbol = ? AND timeframe = ?"
    with database_errors(Path(db.filename)):
        for anchor, through, state, seal in db.execute(sql, (symbol, timeframe.name)):
            return IndicatorState(anchor=anchor, through=through, state=state, seal=seal)
    return None


def write_indicators(
    db: apsw.Connection,
    timeframe: Timeframe,
    symbol: str,
    rows: Sequence[IndicatorRow],
    state: IndicatorState,
    *,
    keep_from_ms: int,
    replace: bool,
) -> None:
    """Store new rows of one series with the state after them, and drop the old ones, in one transaction.

    Parameters
    ----------
    db : apsw.Connection
        From `open_writer`.
    rows : sequence of IndicatorRow
        None is an indicator that still warms up.
    keep_from_ms : int
        Rows of earlier bars are dropped; open time, ms UTC.
    replace : bool
        Drop every stored row of the series first: `rows` is all there is to know.

    Raises
    ------
    Retry, Corrupt, Refuse
        As `database_errors` says.
    """
    series = (symbol, timeframe.name)
    places = ", ".join("?" * (3 + len(COLUMNS)))
    with database_errors(Path(db.filename)), db:
        _drop_before(db, series, 2**63 - 1 if replace else keep_from_ms)
        db.executemany(
            "INSERT OR REPLACE INTO indicadores_tecnico "
            f"(symbol, timeframe, timestamp, {', '.join(COLUMNS)}) VALUES ({places})",
            ((*series, *row) for row in rows),
        )
        db.execute(
            "INSERT OR REPLACE INTO indicator_states "
            "(symbol, timeframe, anchor, through, state, seal) VALUES (?, ?, ?, ?, ?, ?)",
            (*series, *msgspec.structs.astuple(state)),
        )


def drop_indicators(db: apsw.Connection, timeframe: Timeframe, symbol: str, before_ms: int) -> None:
    """Drop the rows of one series whose bars opened before `before_ms` (ms UTC)."""
    with database_errors(Path(db.filename)):
        _drop_before(db, (symbol, timeframe.name), before_ms)


def _drop_before(db: apsw.Connection, series: tuple[str, str], before_ms: int) -> None:
    db.execute(
        "DELETE FROM indicadores_tecnico WHERE symbol = ? AND timeframe = ? AND timestamp < ?",
        (*series, before_ms),
    )


def read_indicators(
    db: apsw.Connection, timeframe: Timeframe, symbol: str, start_ms: int = 0, end_ms: int = 2**63 - 1
) -> list[IndicatorRow]:
    """Return the rows of one series with open times in [start_ms, end_ms), ms UTC, ascending."""
    sql = (
        f"SELECT timestamp, {', '.join(COLUMNS)} FROM indicadores_tecnico "
        "WHERE symbol = ? AND timeframe = ? AND timestamp >= ? AND timestamp < ? ORDER BY timestamp"
    )
    with database_errors(Path(db.filename)):
        return list(db.execute(sql, (symbol, timeframe.name, start_ms, end_ms)))

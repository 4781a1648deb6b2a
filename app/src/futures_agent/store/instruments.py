"""The `instruments` table: contracts and the exchange's filters, as last seen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import apsw
import msgspec

from futures_agent.market.instrument import Instrument
from futures_agent.store.database import database_errors

_COLUMNS = tuple(field.name for field in msgspec.structs.fields(Instrument))


def upsert_instruments(db: apsw.Connection, instruments: Iterable[Instrument], updated_at_ms: int) -> int:
    """Store instruments in one transaction; those not named stay as they are.

    Parameters
    ----------
    db : apsw.Connection
        From `open_writer`.
    updated_at_ms : int
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
    columns = ", ".join(_COLUMNS)
    sql = (
        f"INSERT INTO instruments ({columns}, updated_at) VALUES ({'?, ' * len(_COLUMNS)}?) "
        f"ON CONFLICT (symbol) DO UPDATE SET "
        f"{', '.join(f'{name} = excluded.{name}' for name in (*_COLUMNS[1:], 'updated_at'))} "
        f"WHERE ({columns}) IS NOT ({', '.join(f'excluded.{name}' for name in _COLUMNS)})"
    )
    with database_errors(Path(db.filename)):
        before = db.total_changes()
        with db:
            rows = ((*msgspec.structs.astuple(instrument), updated_at_ms) for instrument in instruments)
            db.executemany(sql, rows)
        return db.total_changes() - before


def read_instruments(db: apsw.Connection) -> dict[str, Instrument]:
    """Return symbol → instrument for everything stored."""
    with database_errors(Path(db.filename)):
        rows = db.execute(f"SELECT {', '.join(_COLUMNS)} FROM instruments ORDER BY symbol")
        found = (dict(zip(_COLUMNS, row, strict=True)) for row in rows)
        return {row["symbol"]: msgspec.convert(row, Instrument, strict=False) for row in found}

"""The `universe` table: what each followed symbol is to the agent, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import apsw
import msgspec

from futures_agent.market.instrument import Instrument
from futures_agent.market.universe import Member, Standing
from futures_agent.store.database import database_errors


def read_universe(db: apsw.Connection) -> dict[str, Member]:
    """Return symbol → member, for every symbol ever followed."""
    with database_errors(Path(db.filename)):
        return {
            symbol: Member(symbol=symbol, standing=Standing(standing), reason=reason, since_ms=since)
            for symbol, standing, reason, since in db.execute(
                "SELECT symbol, standing, reason, since FROM universe ORDER BY symbol"
            )
        }


def read_excluded(
    db: apsw.Connection, symbols: Sequence[str], instruments: Mapping[str, Instrument]
) -> dict[str, str]:
    """Return those of `symbols` that are left out, with what they are and why.

    Parameters
    ----------
    instruments : mapping of str to Instrument
        What is stored of them; it decides where nobody has looked at the symbol's standing yet.
    """
    members = read_universe(db)
    found = {}
    for symbol in symbols:
        if symbol in members:
            if members[symbol].excluded:
                found[symbol] = members[symbol].why
        elif symbol in instruments and not instruments[symbol].tradable:
            found[symbol] = instruments[symbol].why_untradable
    return found


def update_universe(db: apsw.Connection, members: Iterable[Member], now_ms: int) -> list[Member]:
    """Store what was found, in one transaction; those not named stay as they are.

    Parameters
    ----------
    members : iterable of Member
        A `since_ms` of 0 means: since it was first seen so, which is now unless it was so before.
    now_ms : int
        Exchange time, ms UTC.

    Returns
    -------
    list of Member
        Those whose standing is another than before, or that are new.
    """
    before = read_universe(db)
    changed = []
    with database_errors(Path(db.filename)), db:
        for member in members:
            stored = before.get(member.symbol)
            same = stored is not None and stored.standing is member.standing
            since_ms = member.since_ms or (stored.since_ms if stored is not None and same else now_ms)
            dated = msgspec.structs.replace(member, since_ms=since_ms)
            if not same:
                changed.append(dated)
            if dated != stored:
                db.execute(
                    "INSERT INTO universe (symbol, standing, reason, since) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (symbol) DO UPDATE SET "
                    "standing = excluded.standing, reason = excluded.reason, since = excluded.since",
                    (dated.symbol, dated.standing.value, dated.reason, dated.since_ms),
                )
    return changed

"""Is the database file sound? Asked before every start, of every backup, and before going live."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Literal

import apsw

from futures_agent.errors import Corrupt
from futures_agent.store.database import WHAT_TO_DO_WITH_DAMAGE, database_errors, open_reader

CheckName = Literal["quick_check", "integrity_check"]
_MESSAGES = 3  # of SQLite's findings; the first ones name the place


def quick_check(database: Path) -> float:
    """Check the structure of every page; indexes are not compared with their tables.

    Neither this nor `integrity_check` notices a flipped bit inside a stored number.

    Returns
    -------
    float
        Seconds taken.

    Raises
    ------
    Corrupt
        The file is damaged: SQLite's first findings and what to do.
    Refuse
        The database is missing, empty, not this product's, or may not be read.
    Retry
        It was locked beyond the busy time-out, or the disk fails.
    """
    return _check(database, "quick_check")


def integrity_check(database: Path) -> float:
    """As `quick_check`, and every index against its table; about half as fast again."""
    return _check(database, "integrity_check")


def find_damage(db: apsw.Connection, pragma: CheckName) -> str:
    """Return SQLite's first findings as one line that begins with the check's name; empty when sound."""
    findings = [text for (text,) in db.execute(f"PRAGMA {pragma}({_MESSAGES})")]
    if findings == ["ok"]:
        return ""
    return f"{pragma}: " + "; ".join(" ".join(text.split()) for text in findings)


def _check(database: Path, pragma: CheckName) -> float:
    started = time.monotonic()
    with contextlib.closing(open_reader(database, any_schema=True)) as db, database_errors(database):
        findings = find_damage(db, pragma)
    if findings:
        raise Corrupt(f"{database}: damaged ({findings}): {WHAT_TO_DO_WITH_DAMAGE}")
    return time.monotonic() - started

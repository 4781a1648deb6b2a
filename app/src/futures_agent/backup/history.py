"""Settled candles do not change by themselves: comparing a backup with the one before it.

`quick_check` cannot see a flipped bit inside a number, and both the database and its copy then carry it.
What can see it is the digest of a week that was over long ago. SQL that changes or deletes candles counts
itself in `candle_rewrites`; a week whose digest changed without that, and without new candles, was damaged.
Not seen is damage to the newest candles, to a week that is being filled at the same time, and to
tables other than candles.
"""

from __future__ import annotations

from futures_agent.backup.contents import WEEK_MS, Contents, WeekDigest
from futures_agent.clock import utc_text

_GONE = WeekDigest(0, "")


def is_another_database(before: Contents, after: Contents) -> bool:
    """Whether the two are known to be of different databases, which have no common history."""
    known = bool(before.identity and after.identity)
    return known and before.identity != after.identity


def unrecorded_changes(before: Contents, after: Contents, *, settled_until_ms: int) -> list[str]:
    """Return what changed in the schema and in settled weeks without a record; empty when nothing did.

    Parameters
    ----------
    before, after : Contents
        Of an older backup and of the new copy. With a migration between them nothing can be said.
    settled_until_ms : int
        Weeks that end at or before this time, ms UTC, are settled.
    """
    migrated = before.schema_version != after.schema_version
    altered = before.schema != after.schema
    if migrated != altered:
        versions = f"{before.schema_version} and {after.schema_version}"
        return [f"the schema, its versions {versions}, without a migration"]
    if migrated:
        return []
    return [
        f"{table}, week of {utc_text(week)[:10]}: {_difference(old, new)}"
        for table, weeks in before.weeks.items()
        for week, old in weeks.items()
        if week + WEEK_MS <= settled_until_ms
        and _damaged(old, new := after.weeks.get(table, {}).get(week, _GONE))
    ]


def _damaged(old: WeekDigest, new: WeekDigest) -> bool:
    explained = new.rows > old.rows or new.rewrites > old.rewrites
    return new.digest != old.digest and not explained


def _difference(old: WeekDigest, new: WeekDigest) -> str:
    if new.rows < old.rows:
        return f"{old.rows - new.rows} of {old.rows} candles gone"
    return f"values of its {old.rows} candles changed"

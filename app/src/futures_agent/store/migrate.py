"""Schema migrations: numbered SQL files, each applied once, in order, in its own transaction.

Migrations only ever add. A release reads what a newer one has written, so rolling the program back
needs no rollback of the database.
"""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

import apsw

from futures_agent.errors import Refuse

APPLICATION_ID = 0x43464131  # "CFA1" in the file's header: this database is ours


class Migration(NamedTuple):
    """One numbered step of the schema."""

    version: int
    name: str
    sql: str


def _load() -> tuple[Migration, ...]:
    directory = resources.files("futures_agent.store") / "migrations"
    found = [
        Migration(int(entry.name[:4]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in directory.iterdir()
        if entry.name.endswith(".sql")
    ]
    return tuple(sorted(found))


MIGRATIONS = _load()
LATEST = MIGRATIONS[-1].version


def schema_version(db: apsw.Connection) -> int:
    """Return the number of the newest migration applied; 0 for an empty database."""
    return int(db.pragma("user_version"))


def is_ours(db: apsw.Connection) -> bool:
    """Return whether the database carries this product's schema, of any version."""
    return db.pragma("application_id") == APPLICATION_ID and schema_version(db) > 0


def refuse_foreign(db: apsw.Connection) -> None:
    """Raise Refuse where the file is a database of another program."""
    # In this order: another process may be creating our schema between the two looks.
    if db.execute("SELECT count(*) FROM sqlite_schema").get and not is_ours(db):
        raise Refuse(f"{db.filename}: a database of another program; point paths.state_dir elsewhere")


def apply_pending(db: apsw.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Bring the schema up to date and return how many migrations were applied.

    Two programs may do this at once: each migration looks again once it holds the write lock.
    A schema newer than known is left as it is.
    """
    applied = 0
    for migration in migrations:
        if migration.version <= schema_version(db):
            continue
        with db:
            if migration.version <= schema_version(db):
                continue
            db.execute(migration.sql)
            db.pragma("application_id", APPLICATION_ID)
            db.pragma("user_version", migration.version)
            applied += 1
    return applied

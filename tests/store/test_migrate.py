"""The schema and its migrations."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import apsw
import pytest

from futures_agent.store.database import open_reader, open_writer
from futures_agent.store.migrate import (
    LATEST,
    MIGRATIONS,
    Migration,
    apply_pending,
    is_ours,
    schema_version,
)


def test_migrations_are_numbered_without_holes() -> None:
    assert [migration.version for migration in MIGRATIONS] == list(range(1, LATEST + 1))


def test_migrations_only_add() -> None:
    for migration in MIGRATIONS:
        # Statements of the migration itself; a trigger it creates may well be about updates.
        assert not re.search(r"(?m)^\s*(DROP|DELETE|UPDATE)\b|\bRENAME\b", migration.sql), migration.name


def test_a_new_database_gets_the_whole_schema_once(database: Path) -> None:
    with contextlib.closing(open_writer(database)) as db:
        assert schema_version(db) == LATEST
        assert is_ours(db)
        assert apply_pending(db) == 0


def test_only_what_is_pending_is_applied(database: Path) -> None:
    later = (*MIGRATIONS, Migration(LATEST + 1, "later.sql", "CREATE TABLE later (x INTEGER) STRICT"))
    with contextlib.closing(open_writer(database)) as db:
        assert apply_pending(db, later) == 1
        assert schema_version(db) == LATEST + 1
        assert db.table_exists("main", "later")


def test_a_newer_schema_is_read_and_written_as_it_is(database: Path) -> None:
    with contextlib.closing(open_writer(database)) as db:
        db.pragma("user_version", LATEST + 5)
    with contextlib.closing(open_writer(database)) as db:
        assert schema_version(db) == LATEST + 5
    with contextlib.closing(open_reader(database)) as db:
        assert schema_version(db) == LATEST + 5


def test_a_migration_that_fails_leaves_nothing_behind(database: Path) -> None:
    broken = Migration(LATEST + 1, "broken.sql", "CREATE TABLE half (x); CREATE TABLE trades (x)")
    with contextlib.closing(open_writer(database)) as db:
        with pytest.raises(apsw.SQLError, match="trades already exists"):
            apply_pending(db, (*MIGRATIONS, broken))
        assert schema_version(db) == LATEST
        assert not db.table_exists("main", "half")


def test_a_foreign_database_with_a_version_is_not_ours(tmp_path: Path) -> None:
    with contextlib.closing(apsw.Connection(str(tmp_path / "other.db"))) as db:
        db.execute("CREATE TABLE notes (text)")
        db.pragma("user_version", 3)
        assert not is_ours(db)

"""A consistent copy of the database while others write it, and the proof that it is one."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import apsw
import msgspec

from futures_agent.backup.contents import Contents, Damage, damage_found, differences, read_contents
from futures_agent.backup.durable import create_file, sync_file
from futures_agent.backup.steps import step
from futures_agent.errors import Corrupt
from futures_agent.files import explain_os_error
from futures_agent.settings import DatabaseSettings
from futures_agent.store.database import WHAT_TO_DO_WITH_DAMAGE, database_errors, open_reader
from futures_agent.store.integrity import find_damage


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified copy was found to be."""

    contents: Contents
    size: int  # bytes
    sha256: str


def take_snapshot(source: Path, copy: Path, settings: DatabaseSettings) -> Snapshot:
    """Copy the database `source` to the new file `copy`, and verify that it holds what `source` holds.

    One read transaction spans the copy and the digests of the source: what a writer commits meanwhile is in
    neither. The writer is not blocked.

    Raises
    ------
    Corrupt
        The database is damaged, or the copy does not hold what the database holds.
    Retry
        The disk is full or failing.
    Refuse
        There is no database, or no permission.
    """
    try:
        return _snapshot(source, copy, settings)
    except Damage as error:
        raise Corrupt(f"{source}: damaged ({error}): {WHAT_TO_DO_WITH_DAMAGE}") from None


def _snapshot(source: Path, copy: Path, settings: DatabaseSettings) -> Snapshot:
    with contextlib.closing(open_reader(source, settings)) as db, database_errors(source):
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM sqlite_schema").get  # noqa: B018 (the transaction begins here)
        _copy(db, copy)
        step("backup", 3)
        with ThreadPoolExecutor(2) as beside:  # SQLite works outside Python's lock: two cores, half the time
            original = beside.submit(read_contents, db)
            checked = beside.submit(_require_sound, copy)
            digest = beside.submit(_sha256, copy)
            copied = _contents(copy)
            checked.result()
            expected = original.result()
    if different := differences(expected, copied):
        raise Corrupt(f"{copy}: the copy differs in {different}; check the disk and the memory of this host")
    return Snapshot(contents=copied, size=copy.stat().st_size, sha256=digest.result())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(db: apsw.Connection, copy: Path) -> None:
    """Copy all pages in one step; SQLite's backup uses the read transaction that `db` has open."""
    try:
        create_file(copy).close()
        with contextlib.closing(apsw.Connection(str(copy))) as target, database_errors(copy):
            target.pragma("journal_mode", "OFF")  # a half-written copy is thrown away, not rolled back
            target.pragma("synchronous", "OFF")  # one fsync at the end instead
            with target.backup("main", db, "main") as backup:
                backup.step(-1)
        sync_file(copy)
    except OSError as error:
        raise explain_os_error(error, copy) from None


def examine(copy: Path) -> Contents:
    """Check a database file that nobody writes, and return what it holds.

    By `integrity_check`: `quick_check` passes a damaged key as long as its page holds together.

    Raises
    ------
    Damage
        What was found.
    """
    _require_sound(copy)
    return _contents(copy)


def _require_sound(copy: Path) -> None:
    with open_copy(copy) as db, damage_found():
        if damage := find_damage(db, "integrity_check"):
            raise Damage(damage)


def _contents(copy: Path) -> Contents:
    with open_copy(copy) as db:
        return read_contents(db)


@contextlib.contextmanager
def open_copy(copy: Path) -> Iterator[apsw.Connection]:
    """Open a database file that nobody writes; leaves no -wal or -shm behind."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with (
        database_errors(copy),
        contextlib.closing(apsw.Connection(f"file:{quote(str(copy))}?immutable=1", flags=flags)) as db,
    ):
        yield db

"""Opening the database, and what its errors become."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from pathlib import Path

import apsw
import pytest

from database_program import running
from futures_agent.errors import AgentError, Blocked, Corrupt, ExitCode, Refuse, Retry, exit_code_of
from futures_agent.settings import DatabaseSettings
from futures_agent.store.database import Durability, database_errors, open_reader, open_writer
from futures_agent.store.migrate import LATEST, schema_version


def _create(database: Path) -> None:
    open_writer(database).close()


@pytest.mark.parametrize(("durability", "synchronous"), [(Durability.CANDLES, 1), (Durability.TRADES, 2)])
def test_writer_sets_every_pragma(database: Path, durability: Durability, synchronous: int) -> None:
    settings = DatabaseSettings(cache_mb=7, busy_timeout_ms=1234)
    with contextlib.closing(open_writer(database, settings, durability=durability)) as db:
        found = {
            name: db.pragma(name)
            for name in (
                "journal_mode",
                "wal_autocheckpoint",
                "synchronous",
                "foreign_keys",
                "temp_store",
                "cache_size",
                "busy_timeout",
            )
        }
    assert found == {
        "journal_mode": "wal",
        "wal_autocheckpoint": 1000,
        "synchronous": synchronous,
        "foreign_keys": 1,
        "temp_store": 2,
        "cache_size": -7 * 1024,
        "busy_timeout": 1234,
    }


def test_a_new_file_is_readable_by_its_group_only_whatever_the_umask(database: Path) -> None:
    before = os.umask(0o077)
    try:
        with contextlib.closing(open_writer(database)):
            files = sorted(database.parent.iterdir())
            modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in files}
    finally:
        os.umask(before)
    name = database.name
    assert modes == {name: "0o640", f"{name}-shm": "0o640", f"{name}-wal": "0o640"}


@pytest.mark.parametrize(
    ("directory", "file"),
    [(0o2750, 0o640), (0o755, 0o640), (0o775, 0o664), (0o2775, 0o664), (0o770, 0o660)],
)
def test_whoever_may_create_files_beside_it_may_write_it(database: Path, directory: int, file: int) -> None:
    database.parent.chmod(directory)
    with contextlib.closing(open_writer(database)):
        assert {stat.S_IMODE(path.stat().st_mode) for path in database.parent.iterdir()} == {file}


def test_wal_files_stay_after_the_last_writer_and_the_last_reader(database: Path) -> None:
    _create(database)
    kept = {f"{database.name}-wal", f"{database.name}-shm"}
    assert kept <= {path.name for path in database.parent.iterdir()}
    open_reader(database).close()
    assert kept <= {path.name for path in database.parent.iterdir()}


def test_a_with_block_takes_the_write_lock_at_its_start(database: Path) -> None:
    fast = DatabaseSettings(busy_timeout_ms=0)
    with (
        contextlib.closing(open_writer(database)) as first,
        contextlib.closing(open_writer(database)) as other,
    ):
        other.set_busy_timeout(fast.busy_timeout_ms)
        with first, pytest.raises(apsw.BusyError), other:
            pass


def test_several_programs_may_create_one_database_at_once(tmp_path: Path) -> None:
    rounds = 40
    with contextlib.ExitStack() as stack:
        programs = [stack.enter_context(running("create", tmp_path, rounds)) for _ in range(3)]
        assert [program.line() for program in programs] == ["ready"] * 3
        start = time.monotonic() + 0.05
        for program in programs:
            program.go(str(start))
        assert [program.line() for program in programs] == ["created"] * 3
    for index in range(rounds):
        with contextlib.closing(open_reader(tmp_path / f"{index}.db")) as db:
            assert schema_version(db) == LATEST


def test_recovery_alone_opens_a_locked_database(database: Path) -> None:
    locked = database.with_name("LOCKED")
    locked.touch()
    with pytest.raises(Blocked, match=f"{locked} exists: recovery holds the database"):
        open_writer(database)
    assert not database.exists()
    open_writer(database, ignore_lock=True).close()
    open_reader(database).close()  # reading harms nothing


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refuse, match="nowhere: no such directory; create it"):
        open_writer(tmp_path / "nowhere" / "crypto_agent.db")
    with pytest.raises(Refuse, match="no database yet; run `agentctl data-sync` first"):
        open_reader(tmp_path / "nowhere" / "crypto_agent.db")


def test_a_directory_in_place_of_the_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refuse, match="no access"):
        open_writer(tmp_path)


@pytest.mark.parametrize("content", [None, b""], ids=["missing", "empty"])
def test_reader_says_to_sync_first(database: Path, content: bytes | None) -> None:
    if content is not None:
        database.write_bytes(content)
    with pytest.raises(Refuse, match="run `agentctl data-sync` first") as refusal:
        open_reader(database)
    assert exit_code_of(refusal.value) == ExitCode.CONFIG
    assert database.exists() == (content is not None)


def test_a_database_of_another_program_is_left_alone(database: Path) -> None:
    with contextlib.closing(apsw.Connection(str(database))) as db:
        db.execute("CREATE TABLE notes (text)")
    before = database.read_bytes()
    with pytest.raises(Refuse, match="run `agentctl data-sync` first"):
        open_reader(database)
    with pytest.raises(Refuse, match="a database of another program"):
        open_writer(database)
    assert database.read_bytes() == before


def test_reader_cannot_write_even_if_it_tries(database: Path) -> None:
    _create(database)
    with contextlib.closing(open_reader(database)) as db:
        assert db.pragma("query_only") == 1
        for attempt in (
            "INSERT INTO incidents VALUES ('1', 'x', 'y', 1, NULL, NULL, NULL, NULL)",
            "DROP TABLE trades",
            "PRAGMA query_only = OFF; DELETE FROM ohlcv_h1",
            "PRAGMA user_version = 9",
        ):
            with pytest.raises(apsw.ReadOnlyError):
                db.execute(attempt)


def test_a_busy_database_is_retried_not_waited_for_for_ever(database: Path) -> None:
    with contextlib.closing(open_writer(database)) as holder, holder:
        impatient = open_writer(database, DatabaseSettings(busy_timeout_ms=20))
        with (
            contextlib.closing(impatient),
            pytest.raises(Retry, match="another program is writing it"),
            database_errors(database),
            impatient,
        ):
            pass


def test_an_unsafe_sqlite_is_refused(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    for attempt in (open_writer, open_reader):
        with pytest.raises(Refuse, match=r"SQLite 3\.51\.2 can corrupt a WAL database"):
            attempt(database)
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.3")
    open_writer(database).close()


@pytest.mark.parametrize(
    ("error", "becomes", "says"),
    [
        (apsw.BusyError("database is locked"), Retry, "another program is writing it"),
        (apsw.LockedError("table is locked"), Retry, "another program is writing it"),
        (apsw.FullError("database or disk is full"), Retry, "disk full"),
        (apsw.IOError("disk I/O error"), Retry, r"I/O error \(disk I/O error\); check the disk"),
        (apsw.CorruptError("malformed"), Corrupt, r"damaged \(malformed\): keep it with its -wal"),
        (apsw.NotADBError("file is not a database"), Corrupt, "not a SQLite database: keep it"),
        (apsw.ReadOnlyError("readonly database"), Refuse, "no access"),
        (apsw.CantOpenError("unable to open"), Refuse, "no access"),
    ],
)
def test_errors_say_who_must_react(
    database: Path, error: Exception, becomes: type[AgentError], says: str
) -> None:
    with pytest.raises(becomes, match=says) as caught, database_errors(database):
        raise error
    assert str(database.parent) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "becomes", "says"),
    [
        (errno.ENOSPC, Retry, "disk full"),
        (errno.EROFS, Refuse, r"no access \(Read-only file system\)"),
        (errno.EACCES, Refuse, r"no access \(Permission denied\)"),
    ],
)
def test_a_file_that_cannot_be_created(
    database: Path, monkeypatch: pytest.MonkeyPatch, code: int, becomes: type[AgentError], says: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(becomes, match=says):
            open_writer(database)


def test_a_mistake_in_a_statement_is_no_fault_of_the_host(database: Path, db: apsw.Connection) -> None:
    with pytest.raises(apsw.SQLError, match="no such column"), database_errors(database):
        db.execute("SELECT spread FROM ohlcv_h1")


def test_an_io_error_on_a_full_disk_is_a_full_disk(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 4096

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    for error in (apsw.IOError("disk I/O error"), apsw.CantOpenError("unable to open database file")):
        with pytest.raises(Retry, match="disk full: "), database_errors(database):
            raise error


def test_errors_on_a_vanished_directory_are_told_too(tmp_path: Path) -> None:
    with pytest.raises(Retry, match="I/O error"), database_errors(tmp_path / "gone" / "crypto_agent.db"):
        raise apsw.IOError("disk I/O error")

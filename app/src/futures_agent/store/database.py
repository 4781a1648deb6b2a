"""Opening the database: one way to write it, one way to read it, and what its errors mean.

The SQLite used is the one bundled with `apsw`: versions before 3.51.3 can corrupt a WAL database
when one connection commits while another runs a checkpoint.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import apsw

from futures_agent.errors import AgentError, Blocked, Corrupt, Refuse, Retry
from futures_agent.settings import DatabaseSettings
from futures_agent.store.migrate import LATEST, apply_pending, is_ours, refuse_foreign, schema_version

MIN_SQLITE_VERSION = (3, 51, 3)
LOCKED_FLAG = "LOCKED"  # beside the database: recovery holds it
FILE_MODE = 0o640  # the group may read
WAL_AUTOCHECKPOINT_PAGES = 1000
WAL_SIZE_LIMIT = 64 * 1024 * 1024  # bytes a checkpoint leaves of a longer -wal; the last close leaves none
WHAT_TO_DO_WITH_DAMAGE = (
    "keep it with its -wal and -shm as evidence, then restore a backup, "
    "or move all three away and run `agentctl data-sync` to fetch the candles again"
)
_DISK_FULL_BYTES = 256 * 1024  # less free than this explains any I/O error
_WAL_SWITCH_PAUSE_S = 0.01


class Durability(Enum):
    """How much a commit may lose in a power cut; the value is SQLite's `synchronous`."""

    CANDLES = "NORMAL"  # the last commits may be undone: they are fetched again
    TRADES = "FULL"  # nothing that was committed is ever undone


def open_writer(
    database: Path,
    settings: DatabaseSettings = DatabaseSettings(),  # noqa: B008 (frozen)
    *,
    durability: Durability = Durability.CANDLES,
    ignore_lock: bool = False,
) -> apsw.Connection:
    """Open the database for writing, creating it and migrating it to the newest schema as needed.

    `with connection:` is a BEGIN IMMEDIATE … COMMIT transaction on what this returns.

    Parameters
    ----------
    database : Path
        The file; its directory must exist.
    settings : DatabaseSettings
        Page cache and busy time-out.
    durability : Durability
        CANDLES for what can be fetched again, TRADES for orders and fills.
    ignore_lock : bool
        Only for recovery: open although recovery holds the database.

    Raises
    ------
    Blocked
        A `LOCKED` file lies beside the database.
    Refuse
        No such directory, no permission, not this product's database, or an unsafe SQLite.
    Retry
        Another program held it beyond the busy time-out, or the disk is full or fails.
    Corrupt
        The file is damaged or is no database.
    """
    _require_safe_sqlite()
    locked = database.with_name(LOCKED_FLAG)
    if locked.exists() and not ignore_lock:
        raise Blocked(
            f"{locked} exists: recovery holds the database; wait until recovery ends, "
            "or remove the file once the database is known to be good"
        )
    _create_file(database)
    with _opening(database, apsw.SQLITE_OPEN_READWRITE, settings) as db:
        if db.readonly("main"):
            raise _no_access(database, "it may only be read")
        refuse_foreign(db)
        _persist_wal(db)
        _switch_to_wal(db, settings.busy_timeout_ms / 1000)
        db.pragma("synchronous", durability.value)
        db.pragma("foreign_keys", True)
        db.pragma("journal_size_limit", WAL_SIZE_LIMIT)
        db.wal_autocheckpoint(WAL_AUTOCHECKPOINT_PAGES)
        db.transaction_mode = "IMMEDIATE"
        apply_pending(db)
        return db


def open_reader(
    database: Path,
    settings: DatabaseSettings = DatabaseSettings(),  # noqa: B008
    *,
    any_schema: bool = False,
) -> apsw.Connection:
    """Open the database read-only: nothing done through the connection can change it.

    Works while a writer runs and while none does, also for a user that may write nothing at all. With
    `any_schema` an older schema will do: for looking at the file, not at its rows.

    Raises
    ------
    Refuse
        The database is missing, empty or not this product's, or may not be read.
    Retry
        It was locked beyond the busy time-out, or the disk fails.
    Corrupt
        The file is damaged or is no database.
    """
    _require_safe_sqlite()
    try:
        empty = database.stat().st_size == 0
    except (FileNotFoundError, NotADirectoryError):
        raise Refuse(f"{database}: no database yet; run `agentctl data-sync` first") from None
    except PermissionError as error:
        raise _no_access(database, error.strerror) from None
    if empty:
        raise Refuse(f"{database}: the database is empty; run `agentctl data-sync` first")
    with _opening(database, apsw.SQLITE_OPEN_READONLY, settings) as db:
        db.pragma("query_only", True)
        if not is_ours(db):
            raise Refuse(f"{database}: no schema of this agent in it; run `agentctl data-sync` first")
        if (found := schema_version(db)) < LATEST and not any_schema:
            raise Refuse(f"{database}: schema {found}, {LATEST} is needed; run `agentctl db migrate`")
        return db


def file_mode(directory: Path) -> int:
    """Return the mode of a database in `directory`; SQLite gives its -wal and -shm the same.

    Whoever may create files there may write it. Where that is a group, those who may only read are the
    others, as far as a directory above lets them pass.
    """
    permissions = directory.stat().st_mode
    return 0o660 | permissions & stat.S_IROTH if permissions & stat.S_IWGRP else FILE_MODE


@contextlib.contextmanager
def database_errors(database: Path) -> Iterator[None]:
    """Turn SQLite's errors into ones that say who must react.

    Parameters
    ----------
    database : Path
        The file that the message names.

    Raises
    ------
    Retry
        Busy beyond the time-out, disk full, I/O error.
    Refuse
        Read-only, no permission, cannot be opened.
    Corrupt
        Damaged, or not a database.
    """
    try:
        yield
    except apsw.Error as error:
        fault = _meaning(database, error)
        if fault is None:
            raise  # a mistake of the program, not a fault of the host
        raise fault from None


def _meaning(database: Path, error: apsw.Error) -> AgentError | None:
    match error:
        case apsw.BusyError() | apsw.LockedError() | apsw.ProtocolError():
            return Retry(f"{database}: another program is writing it ({error}); run again")
        case apsw.NotADBError():
            return Corrupt(f"{database}: not a SQLite database: {WHAT_TO_DO_WITH_DAMAGE}")
        case apsw.CorruptError():
            return Corrupt(f"{database}: damaged ({error}): {WHAT_TO_DO_WITH_DAMAGE}")
        case apsw.FullError():
            return _disk_full(database)
        case apsw.IOError() | apsw.CantOpenError() if _free_bytes(database) < _DISK_FULL_BYTES:
            return _disk_full(database)
        case apsw.IOError():
            return Retry(f"{database}: I/O error ({error}); check the disk and run again")
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.CantOpenError():
            return _no_access(database, error)
        case _:
            return None


def _disk_full(database: Path) -> Retry:
    return Retry(f"disk full: {database.parent}; free space and run again")


def _no_access(database: Path, reason: object) -> Refuse:
    return Refuse(
        f"{database}: no access ({reason}); run as its owner, and check the permissions of {database.name}, "
        f"{database.name}-wal, {database.name}-shm and their directory"
    )


def _free_bytes(database: Path) -> int:
    try:
        return shutil.disk_usage(database.parent).free
    except OSError:
        return _DISK_FULL_BYTES  # cannot tell: then it is not the explanation


def _require_safe_sqlite() -> None:
    version = apsw.sqlite_lib_version()
    if tuple(map(int, version.split("."))) < MIN_SQLITE_VERSION:
        raise Refuse(
            f"SQLite {version} can corrupt a WAL database; install the apsw wheel, "
            "which bundles 3.51.3 or newer"
        )


def _create_file(database: Path) -> None:
    """Create an empty file, so that its mode does not depend on the umask of whoever came first."""
    try:
        mode = file_mode(database.parent)
        descriptor = os.open(database, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        return
    except (FileNotFoundError, NotADirectoryError):
        raise Refuse(f"{database.parent}: no such directory; create it, or set paths.state_dir") from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full(database) from None
        raise _no_access(database, error.strerror) from None
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opening(database: Path, flags: int, settings: DatabaseSettings) -> Iterator[apsw.Connection]:
    """Yield a connection with what readers and writers share; closed again if the block fails."""
    with database_errors(database):
        db = apsw.Connection(str(database), flags=flags)
        try:
            db.set_busy_timeout(settings.busy_timeout_ms)
            db.pragma("cache_size", -settings.cache_mb * 1024)
            db.pragma("temp_store", "MEMORY")
            yield db
        except BaseException:
            db.close()
            raise


def _persist_wal(db: apsw.Connection) -> None:
    """Keep -wal and -shm when the last writer closes: a user without write permission needs them."""
    enabled = ctypes.c_int(1)
    db.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(enabled))


def _switch_to_wal(db: apsw.Connection, timeout_s: float) -> None:
    """Switch to WAL; SQLite's own busy time-out does not cover two programs creating the file at once."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            mode = db.pragma("journal_mode", "WAL")
            break
        except apsw.BusyError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_WAL_SWITCH_PAUSE_S)
    if mode != "wal":
        raise Refuse(f"{db.filename}: this file system cannot hold a WAL database; use a local disk")

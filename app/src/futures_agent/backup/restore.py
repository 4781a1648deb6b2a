"""Putting a backup in the database's place, by hand.

Killed at any step, it leaves either the database usable as it was, or LOCKED set and a restore that can
simply be run again. What is replaced is kept as evidence.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import msgspec
import psutil

from futures_agent.backup.archive import Manifest, read_manifest
from futures_agent.backup.hot import HotTier
from futures_agent.backup.prove import unpack_and_verify
from futures_agent.backup.restore_log import Restored, append_restored
from futures_agent.backup.steps import step
from futures_agent.clock import SystemClock, utc_text
from futures_agent.errors import Blocked, Refuse, Retry
from futures_agent.files import explain_os_error, make_directory, sync_directory, write_atomically
from futures_agent.program.locks import database_turn
from futures_agent.settings import Settings
from futures_agent.store.database import database_errors, file_mode, open_writer
from futures_agent.store.integrity import quick_check

_NEW = ".restored.db"
_POLL_S = 0.1
_SIDE_FILES = ("-wal", "-shm")
# SQLite's locks on the database file: a connection in WAL mode holds SHARED from its first read to its end.
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of Linux on 64-bit machines


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """A restore that succeeded."""

    manifest: Manifest
    source: Path
    evidence: Path | None  # where the database lies that was there before

    @property
    def line(self) -> str:
        """What was done and what to do next, in one line."""
        kept = f"; the one before is in {self.evidence}" if self.evidence else ""
        return (
            f"restored {self.source.name}, taken {utc_text(self.manifest.taken_ms)}, "
            f"{self.manifest.contents.rows:,} rows{kept}; `agentctl data-sync` fetches what is newer"
        )


def restore_to(settings: Settings, name: str, directory: Path) -> Path:
    """Restore the backup `name` into `directory`, verified, away from the database; return the file.

    Raises
    ------
    Corrupt
        The backup is damaged.
    Retry
        The disk is full or failing.
    Refuse
        No such backup, no permission, or there is such a file already.
    """
    archive = HotTier(settings.paths.hot_backups).find(name)
    make_directory(directory)
    target = directory / settings.paths.database.name
    if target.exists():
        raise Refuse(f"{target} exists; choose another directory for --to")
    _require_space(read_manifest(archive), directory)
    unpack_and_verify(archive, target)
    return target


def restore_database(
    settings: Settings, name: str, *, progress: Callable[[str], None] = lambda doing: None
) -> Replaced:
    """Verify the backup `name` and put it in the place of the database.

    Raises
    ------
    Corrupt
        The backup is damaged; the database was not touched.
    Blocked
        Some program has the database open; likewise.
    Retry
        The disk is full or failing, or a job keeps its turn at the database.
    Refuse
        No such backup, or no permission.
    """
    paths = settings.paths
    archive = HotTier(paths.hot_backups).find(name)
    make_directory(paths.database.parent)
    new = paths.database.with_name(_NEW)
    told = set()

    def waiting(holder: str) -> None:
        if holder not in told:
            told.add(holder)
            progress(f"waiting for the database, held by {holder}")

    wait_s = settings.database.writer_lock_wait_s
    with database_turn(paths.writer_lock, "restore", wait_s=wait_s, while_waiting=waiting):
        progress(f"verifying {archive.name}")
        new.unlink(missing_ok=True)  # of a restore that was killed
        _require_space(read_manifest(archive), new.parent)
        manifest = unpack_and_verify(archive, new)
        step("restore", 1)
        was_locked = paths.locked_flag.exists()
        try:
            _lock_out_others(settings, archive)
            evidence = _preserve(settings)
        except BaseException:  # Ctrl-C too: the database was not touched, so nothing stays locked for it
            new.unlink(missing_ok=True)
            if not was_locked:
                _unlock(paths.locked_flag)
            raise
        progress("replacing the database")
        _replace(settings, new)
        append_restored(
            paths.evidence,
            Restored(
                restored_ms=SystemClock().now_ms(),
                backup=str(archive),
                sha256=manifest.sha256,
                taken_ms=manifest.taken_ms,
                evidence=str(evidence or ""),
            ),
        )
        step("restore", 7)
        _unlock(paths.locked_flag)
        step("restore", 8)
    return Replaced(manifest=manifest, source=archive, evidence=evidence)


def _lock_out_others(settings: Settings, archive: Path) -> None:
    """Set LOCKED, so that no writer opens the database any more, then wait until nobody has it open."""
    flag = settings.paths.locked_flag
    said = f"restore of {archive} since {utc_text(SystemClock().now_ms())}; if it died, run it again\n"
    write_atomically(flag, said.encode())
    step("restore", 2)
    deadline = time.monotonic() + settings.database.busy_timeout_ms / 1000
    while (holder := open_elsewhere(settings.paths.database)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    if holder is not None:
        raise Blocked(
            f"{settings.paths.database}: {holder} has it open; stop it (`systemctl stop …`) and restore again"
        )


def open_elsewhere(database: Path) -> str | None:
    """Return which process has the database open, as `name, pid N`; None when none has.

    Asks the kernel who holds SQLite's shared lock on the file, which works for a damaged database too.
    The caller must not have it open itself: closing the file here would drop the locks of its own process.
    """
    try:
        with database.open("rb") as file:
            asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _SHARED_FIRST, _SHARED_SIZE, 0)
            kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain_os_error(error, database) from None
    if kind == fcntl.F_UNLCK:
        return None
    try:
        return f"{psutil.Process(pid).name()}, pid {pid},"
    except (psutil.Error, ValueError):
        return f"pid {pid}"


def _preserve(settings: Settings) -> Path | None:
    """Give the database and its -wal and -shm a second name in the evidence; takes no space."""
    database = settings.paths.database
    present = [path for path in _with_side_files(database) if path.exists()]
    if not present:
        return None
    make_directory(settings.paths.evidence)
    try:
        directory = _new_directory(settings.paths.evidence, utc_text(SystemClock().now_ms()).replace(":", ""))
        for path in present:
            os.link(path, directory / path.name)
        sync_directory(directory)
        sync_directory(directory.parent)
    except OSError as error:
        raise explain_os_error(error, settings.paths.evidence) from None
    step("restore", 3)
    return directory


def _new_directory(parent: Path, name: str) -> Path:
    """Make a directory that was not there: a restore run again keeps the evidence of the first."""
    directory = parent / name
    for number in count(2):
        with contextlib.suppress(FileExistsError):
            directory.mkdir()
            break
        directory = parent / f"{name}-{number}"
    return directory


def _replace(settings: Settings, new: Path) -> None:
    """Swap the files: an old -wal must never meet the new database, so it goes first."""
    database = settings.paths.database
    try:
        for path in _with_side_files(database)[1:]:
            path.unlink(missing_ok=True)
        sync_directory(database.parent)
        step("restore", 4)
        new.chmod(file_mode(database.parent))  # a copy is readable by its group; others may have to write
        os.replace(new, database)
        sync_directory(database.parent)
    except OSError as error:
        raise explain_os_error(error, database) from None
    step("restore", 5)
    # Brings an older schema up to date, and makes the -wal and -shm without which nobody can only read.
    with (
        database_errors(database),
        contextlib.closing(open_writer(database, settings.database, ignore_lock=True)) as db,
    ):
        db.execute("SELECT count(*) FROM sqlite_schema").get  # noqa: B018
    quick_check(database)
    step("restore", 6)


def _with_side_files(database: Path) -> list[Path]:
    return [database, *(database.with_name(database.name + suffix) for suffix in _SIDE_FILES)]


def _unlock(flag: Path) -> None:
    try:
        flag.unlink(missing_ok=True)
        sync_directory(flag.parent)
    except OSError as error:
        raise explain_os_error(error, flag) from None


def _require_space(manifest: Manifest, directory: Path) -> None:
    free = shutil.disk_usage(directory).free
    if free < manifest.database_bytes:
        raise Retry(
            f"{directory}: the restored database needs {manifest.database_bytes / 1e6:.0f} MB, "
            f"there are {free / 1e6:.0f} MB; free space and run again"
        )

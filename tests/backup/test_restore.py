"""Restoring by hand: verified first, evidence kept, and nothing done while somebody has the database open."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from backup_world import NOW_MS, settings_of
from database_program import running
from futures_agent.backup import restore
from futures_agent.backup.archive import Manifest, read_manifest, write_archive
from futures_agent.backup.contents import read_contents
from futures_agent.backup.restore import open_elsewhere, restore_database, restore_to
from futures_agent.backup.restore_log import append_restored, last_restored_ms
from futures_agent.backup.snapshot import examine, open_copy
from futures_agent.errors import Blocked, Corrupt, Refuse, Retry
from futures_agent.program.locks import database_turn
from futures_agent.settings import Settings
from futures_agent.store.database import open_reader, open_writer
from futures_agent.store.integrity import integrity_check
from futures_agent.store.migrate import LATEST, MIGRATIONS, apply_pending, schema_version

Keep = Callable[..., Path]


def trades(database: Path) -> int:
    with contextlib.closing(open_reader(database)) as db:
        return int(db.execute("SELECT count(*) FROM trades").get)


def lose_trades(settings: Settings) -> None:
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        db.execute("DELETE FROM trades")


def test_the_backup_takes_the_place_and_the_old_one_is_evidence(
    settings: Settings, kept_backup: Keep
) -> None:
    path = kept_backup()
    lose_trades(settings)
    done = restore_database(settings, f"hot/{path.name}")
    database = settings.paths.database
    assert trades(database) == 1
    integrity_check(database)
    assert not settings.paths.locked_flag.exists()
    assert database.stat().st_mode & 0o777 == 0o640
    assert done.evidence is not None
    assert sorted(os.listdir(done.evidence)) == [
        "crypto_agent.db",
        "crypto_agent.db-shm",
        "crypto_agent.db-wal",
    ]
    assert trades(done.evidence / "crypto_agent.db") == 0  # with what was only in its -wal
    assert f"restored {path.name}, taken 2025-05-01T00:00:00Z" in done.line
    assert str(done.evidence) in done.line
    assert last_restored_ms(settings.paths.evidence) > NOW_MS


def test_somebody_who_may_only_read_can_open_what_was_restored(settings: Settings, kept_backup: Keep) -> None:
    path = kept_backup()
    restore_database(settings, path.name)
    names = [settings.paths.database.name + suffix for suffix in ("", "-wal", "-shm")]
    for name in names:
        assert settings.paths.database.with_name(name).exists()
    place = settings.paths.database.parent
    for directory in (place, *place.parents):
        if os.stat(directory).st_uid == os.getuid() and directory != Path("/"):
            with contextlib.suppress(PermissionError):
                directory.chmod(directory.stat().st_mode | 0o755)
    for name in names:
        (place / name).chmod(0o644)
    with running("unprivileged", settings.paths.database) as nobody:
        assert "Refuse" in nobody.line()
        assert "'BTCUSDT': 2880" in nobody.line()


def test_without_a_database_there_is_no_evidence(settings: Settings, kept_backup: Keep) -> None:
    path = kept_backup()
    for suffix in ("", "-wal", "-shm"):
        settings.paths.database.with_name(settings.paths.database.name + suffix).unlink()
    done = restore_database(settings, path.name)
    assert done.evidence is None
    assert "the one before" not in done.line
    assert trades(settings.paths.database) == 1


def test_a_backup_of_an_older_schema_is_brought_up_to_date(settings: Settings, tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    with contextlib.closing(apsw.Connection(str(old))) as db:
        db.transaction_mode = "IMMEDIATE"
        apply_pending(db, MIGRATIONS[:2])
    manifest = Manifest(
        taken_ms=NOW_MS,
        database_bytes=old.stat().st_size,
        sha256=hashlib.sha256(old.read_bytes()).hexdigest(),
        contents=examine(old),
    )
    write_archive(old, manifest, tmp_path / "old.db.zst", level=1)
    restore_database(settings, str(tmp_path / "old.db.zst"))
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        assert schema_version(db) == LATEST


def test_a_damaged_database_is_replaced_too(settings: Settings, kept_backup: Keep) -> None:
    path = kept_backup()
    settings.paths.database.write_bytes(b"no database at all")
    done = restore_database(settings, path.name)
    assert done.evidence is not None
    assert (done.evidence / "crypto_agent.db").read_bytes() == b"no database at all"
    integrity_check(settings.paths.database)


@pytest.mark.parametrize("locked_before", [False, True])
def test_nothing_is_done_while_somebody_has_it_open(
    settings: Settings, kept_backup: Keep, locked_before: bool
) -> None:
    path = kept_backup()
    lose_trades(settings)
    impatient = settings_of(settings.paths.state, database__busy_timeout_ms=200)
    with running("hold", settings.paths.database, "XRPUSDT", "10") as writer:
        assert writer.line() == "holding"
        if locked_before:
            settings.paths.locked_flag.write_text("recovery\n")
        with pytest.raises(Blocked, match=rf"python\S*, pid {writer.process.pid}, has it open; stop it"):
            restore_database(impatient, path.name)
    assert settings.paths.locked_flag.exists() is locked_before
    assert trades(settings.paths.database) == 0
    assert not settings.paths.evidence.exists()
    assert [name for name in os.listdir(settings.paths.database.parent) if name.startswith(".")] == []


@pytest.mark.parametrize(
    ("step", "fault", "seen"),
    [
        ("open_elsewhere", KeyboardInterrupt(), KeyboardInterrupt),
        ("make_directory", Retry("the evidence does not fit"), Retry),
    ],
)
def test_what_ends_it_before_the_database_is_touched_leaves_nothing_locked(
    settings: Settings,
    kept_backup: Keep,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    fault: BaseException,
    seen: type[BaseException],
) -> None:
    path = kept_backup()
    lose_trades(settings)

    def fail(place: Path) -> None:
        if step == "open_elsewhere" or place == settings.paths.evidence:
            raise fault

    monkeypatch.setattr(restore, step, fail)
    with pytest.raises(seen):
        restore_database(settings, path.name)
    assert not settings.paths.locked_flag.exists()
    assert trades(settings.paths.database) == 0
    assert [name for name in os.listdir(settings.paths.database.parent) if name.startswith(".")] == []


def test_it_waits_its_turn_and_says_so_once(settings: Settings, kept_backup: Keep) -> None:
    path = kept_backup()
    impatient = settings_of(settings.paths.state, database__writer_lock_wait_s=0.5)
    told: list[str] = []
    with (
        database_turn(settings.paths.writer_lock, "data-sync", wait_s=1, while_waiting=lambda holder: None),
        pytest.raises(Retry, match="still held by data-sync"),
    ):
        restore_database(impatient, path.name, progress=told.append)
    assert told == [f"waiting for the database, held by data-sync, pid {os.getpid()}"]


def test_a_process_that_ends_soon_is_waited_for(settings: Settings, kept_backup: Keep) -> None:
    path = kept_backup()
    with running("write", settings.paths.database, "XRPUSDT") as writer:
        writer.line()
        killer = threading.Timer(0.5, writer.process.kill)
        killer.start()
        restore_database(settings, path.name)
        killer.join()
    assert trades(settings.paths.database) == 1


def test_an_idle_connection_counts_as_open(settings: Settings) -> None:
    assert open_elsewhere(settings.paths.database) is None
    with running("write", settings.paths.database, "XRPUSDT") as writer:
        writer.line()
        assert f"pid {writer.process.pid}" in str(open_elsewhere(settings.paths.database))
    assert open_elsewhere(settings.paths.database) is None
    assert open_elsewhere(settings.paths.database.with_name("none")) is None


def test_a_damaged_backup_is_found_before_anything_is_touched(settings: Settings, kept_backup: Keep) -> None:
    path = kept_backup()
    content = bytearray(path.read_bytes())
    content[-1000] ^= 4
    path.write_bytes(content)
    before = settings.paths.database.stat().st_ino
    with pytest.raises(Corrupt, match="use another backup"):
        restore_database(settings, path.name)
    assert settings.paths.database.stat().st_ino == before
    assert not settings.paths.locked_flag.exists()


def test_an_archive_that_holds_something_else_is_found(settings: Settings, kept_backup: Keep) -> None:
    """A manifest whose digests are not those of the database behind it."""
    path = kept_backup()
    lose_trades(settings)
    other = restore_to(settings, path.name, settings.paths.state / "other")
    with contextlib.closing(open_writer(other)) as db:
        db.execute("UPDATE trades SET quantity = 2")
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    manifest = read_manifest(path)
    path.unlink()
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    false = replace(manifest, sha256=digest, database_bytes=other.stat().st_size)
    write_archive(other, false, path, level=1)
    with pytest.raises(Corrupt, match="does not hold what it held when it was made, in trades"):
        restore_database(settings, path.name)


def test_to_a_directory_leaves_the_database_alone(settings: Settings, kept_backup: Keep) -> None:
    path = kept_backup()
    before = settings.paths.database.stat().st_ino
    place = settings.paths.state / "elsewhere"
    target = restore_to(settings, str(path), place)
    assert target == place / "crypto_agent.db"
    with open_copy(target) as restored:
        assert read_contents(restored).tables["trades"].rows == 1
    assert settings.paths.database.stat().st_ino == before
    with pytest.raises(Refuse, match="exists; choose another directory"):
        restore_to(settings, str(path), place)


def test_too_little_disk_is_said_before(
    settings: Settings, kept_backup: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kept_backup()
    monkeypatch.setattr(restore.shutil, "disk_usage", lambda place: _Full())
    with pytest.raises(Retry, match=r"needs 1\.?\d* MB, there are 0 MB; free space"):
        restore_database(settings, path.name)


class _Full:
    free = 1


def test_the_log_of_restores_survives_a_torn_line(tmp_path: Path) -> None:
    assert last_restored_ms(tmp_path) == 0
    for moment in (5, 3):
        append_restored(
            tmp_path,
            restore.Restored(restored_ms=moment, backup="b", sha256="s", taken_ms=1, evidence="e"),
        )
    with (tmp_path / "restores.jsonl").open("ab") as file:
        file.write(b'{"restored_ms":')
    assert last_restored_ms(tmp_path) == 5

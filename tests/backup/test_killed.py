"""kill -9 at every numbered step of backup, restore and compaction.

Always a usable database and the backup that was good before; and what was interrupted can be run again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import apsw
import pytest

from backup_world import main, run_killed, settings_of
from futures_agent.backup.archive import unpack
from futures_agent.backup.contents import Contents, read_contents
from futures_agent.backup.hot import HotTier
from futures_agent.backup.snapshot import open_copy
from futures_agent.backup.take import take_backup
from futures_agent.clock import HOUR_MS, SystemClock
from futures_agent.errors import Blocked, ExitCode
from futures_agent.settings import Settings
from futures_agent.store.database import open_writer
from futures_agent.store.integrity import integrity_check

STEPS = {"backup": 11, "restore": 8, "compact": 6}
KILLED = -9


@pytest.fixture(scope="module")
def ready_state(pristine_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host with a good backup, candles that came after it, and a hole in the file worth compacting."""
    state = tmp_path_factory.mktemp("ready") / "state"
    shutil.copytree(pristine_state, state)
    settings = settings_of(state)
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        db.execute("CREATE TABLE padding (x) ")
        db.executemany("INSERT INTO padding VALUES (zeroblob(?))", [(4000,)] * 60)
        db.execute("DROP TABLE padding")
    take_backup(settings, SystemClock().now_ms() - HOUR_MS)
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        db.execute("UPDATE trades SET exit_reason = 'target'")
    return state


def copy_of(state: Path, tmp_path: Path) -> Settings:
    shutil.copytree(state, tmp_path / "state")
    return settings_of(tmp_path / "state")


def rows_of(database: Path) -> dict[str, object]:
    return dict(_contents(database).tables)


def _contents(database: Path) -> Contents:
    with contextlib.closing(open_writer(database, ignore_lock=True)) as db:
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    with open_copy(database) as db:
        return read_contents(db)


def good_backups(settings: Settings) -> list[str]:
    """Unpack everything that has a final name; each must be good."""
    entries = HotTier(settings.paths.hot_backups).entries()
    for entry in entries:
        assert entry.manifest is not None, entry.fault
        unpack(entry.path, None)
    return [entry.name for entry in entries]


def backup_argument(settings: Settings) -> tuple[str, ...]:
    return (HotTier(settings.paths.hot_backups).entries()[0].name,)


@pytest.mark.parametrize("number", range(1, STEPS["backup"] + 1))
def test_a_killed_backup(ready_state: Path, tmp_path: Path, number: int) -> None:
    settings = copy_of(ready_state, tmp_path)
    database, before = rows_of(settings.paths.database), good_backups(settings)
    assert run_killed("backup", settings.paths.state, number) == KILLED
    assert set(before) <= set(good_backups(settings))
    integrity_check(settings.paths.database)
    assert rows_of(settings.paths.database) == database
    assert main("backup", settings.paths.state) == ExitCode.OK
    assert len(good_backups(settings)) > len(before)
    assert os.listdir(settings.paths.hot_backups / ".partial") == []


@pytest.mark.parametrize("number", range(1, STEPS["restore"] + 1))
def test_a_killed_restore(ready_state: Path, tmp_path: Path, number: int) -> None:
    settings = copy_of(ready_state, tmp_path)
    paths = settings.paths
    database, backup = rows_of(paths.database), backup_argument(settings)
    assert run_killed("restore", paths.state, number, *backup) == KILLED
    if not paths.locked_flag.exists():  # either nothing happened yet, or everything did
        integrity_check(paths.database)
        assert (rows_of(paths.database) == database) == (number == 1)
    else:
        assert number in range(2, STEPS["restore"])
        with (
            pytest.raises(Blocked, match="recovery holds the database"),
            contextlib.closing(open_writer(paths.database)),
        ):
            raise AssertionError("opened although LOCKED")
    assert main("restore", paths.state, *backup) == ExitCode.OK
    assert not paths.locked_flag.exists()
    integrity_check(paths.database)
    with contextlib.closing(open_writer(paths.database)) as db:
        assert db.execute("SELECT exit_reason FROM trades").get is None  # as the backup has it
    # What was replaced is whole in the oldest evidence, with the trade that came after the backup.
    oldest = min(path for path in paths.evidence.iterdir() if path.is_dir())
    assert rows_of(oldest / paths.database.name) == database
    assert [name for name in os.listdir(paths.database.parent) if name.startswith(".")] == []


@pytest.mark.parametrize("number", range(1, STEPS["compact"] + 1))
def test_a_killed_compaction(ready_state: Path, tmp_path: Path, number: int) -> None:
    settings = copy_of(ready_state, tmp_path)
    database, before = rows_of(settings.paths.database), good_backups(settings)
    assert run_killed("compact", settings.paths.state, number) == KILLED
    integrity_check(settings.paths.database)
    assert rows_of(settings.paths.database) == database
    assert good_backups(settings) == before
    assert main("compact", settings.paths.state) == ExitCode.OK
    assert rows_of(settings.paths.database) == database
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        assert db.pragma("freelist_count") == 0


@pytest.mark.parametrize("procedure", STEPS)
def test_there_are_no_further_steps(ready_state: Path, tmp_path: Path, procedure: str) -> None:
    settings = copy_of(ready_state, tmp_path)
    arguments = backup_argument(settings) if procedure == "restore" else ()
    assert run_killed(procedure, settings.paths.state, STEPS[procedure] + 1, *arguments) == ExitCode.OK

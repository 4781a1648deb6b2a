"""compact: refuses without a fallback or room, gives space back when there is enough of it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from backup_world import build_state, settings_of
from futures_agent.backup.take import take_backup
from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS, SystemClock
from futures_agent.errors import ExitCode
from futures_agent.jobs import compact
from futures_agent.program.job import Job
from futures_agent.program.progress import Reporter
from futures_agent.settings import Settings
from futures_agent.store.database import open_writer
from futures_agent.store.integrity import integrity_check


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of which 800 of about 1,100 pages are unused, and a backup of it."""
    state = tmp_path_factory.mktemp("pristine") / "state"
    build_state(state)
    with contextlib.closing(open_writer(settings_of(state).paths.database)) as db:
        db.execute("CREATE TABLE padding (x) ")
        db.executemany("INSERT INTO padding VALUES (zeroblob(?))", [(4000,)] * 800)
        db.execute("DROP TABLE padding")
    take_backup(settings_of(state), SystemClock().now_ms())
    return state


@pytest.fixture
def settings(pristine: Path, tmp_path: Path) -> Settings:
    shutil.copytree(pristine, tmp_path / "state")
    return settings_of(tmp_path / "state")


def size(settings: Settings) -> int:
    wal = settings.paths.database.with_name("crypto_agent.db-wal")
    return settings.paths.database.stat().st_size + wal.stat().st_size


def test_unused_pages_are_given_back(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    before = size(settings)
    assert compact.run(settings) is ExitCode.OK
    assert size(settings) < before - 3_000_000
    line = capsys.readouterr().out
    assert "compact ok: VACUUM gave back 3." in line
    assert "integrity_check ok" in line
    integrity_check(settings.paths.database)
    assert compact.run(settings) is ExitCode.OK
    assert "no VACUUM needed, 0% of the pages unused" in capsys.readouterr().out


def test_few_unused_pages_are_left_alone(settings: Settings) -> None:
    lenient = settings_of(settings.paths.state, compact__free_list_min=0.9)
    before = size(settings)
    assert compact.run(lenient) is ExitCode.OK
    assert size(settings) == before


def test_without_a_backup_nothing_is_done(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(settings.paths.hot_backups)
    before = size(settings)
    assert compact.run(settings) is ExitCode.BLOCKED
    assert "there is no good backup; run `agentctl backup` first" in capsys.readouterr().err
    assert size(settings) == before


def test_an_old_backup_is_not_enough(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    later = SystemClock().now_ms() + 3 * HOUR_MS

    class LaterClock:
        def now_ms(self) -> int:
            return later

    monkeypatch.setattr(compact, "SystemClock", LaterClock)
    assert compact.run(settings) is ExitCode.BLOCKED
    assert "the newest good backup is 3.0 h old, at most 2 h allowed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ahead_ms", "told"),
    [
        (10 * MINUTE_MS, "the newest good backup is dated 10 min in the future; see `timedatectl`"),
        (40 * DAY_MS, "there is no good backup"),
    ],
)
def test_a_backup_from_the_future_is_not_enough(
    settings: Settings, capsys: pytest.CaptureFixture[str], ahead_ms: int, told: str
) -> None:
    shutil.rmtree(settings.paths.hot_backups)
    take_backup(settings, SystemClock().now_ms() + ahead_ms)
    assert compact.run(settings) is ExitCode.BLOCKED
    assert told in capsys.readouterr().err


def test_a_backup_damaged_since_is_not_enough(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    for path in settings.paths.hot_backups.glob("db_*"):
        content = bytearray(path.read_bytes())
        content[-5000] ^= 1
        path.write_bytes(content)
    assert compact.run(settings) is ExitCode.BLOCKED
    assert "damaged" in capsys.readouterr().err


def test_too_little_disk_is_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free = size(settings) * 3 // 2
    monkeypatch.setattr(
        compact.shutil,
        "disk_usage",
        lambda place: shutil._ntuple_diskusage(1, 1, free),  # type: ignore[attr-defined]
    )
    assert compact.run(settings) is ExitCode.FAILED
    assert "needs 9 MB of free disk" in capsys.readouterr().err


def test_a_damaged_database_is_told(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(settings.paths.database.read_bytes())
    content[100 * 4096 : 101 * 4096] = bytes(4096)
    settings.paths.database.write_bytes(content)
    assert compact.run(settings) is ExitCode.CORRUPT
    assert "damaged" in capsys.readouterr().err


def test_told_to_stop_it_leaves_the_database_as_it_was(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "_PROGRESS_EVERY", 100)
    monkeypatch.setattr(compact, "_ALIVE_EVERY_S", 0.0)
    fed = []

    def stop_soon(reporter: Reporter) -> None:
        fed.append(1)
        if len(fed) == 5:
            jobs[0].stopping.set()

    jobs: list[Job] = []
    real = compact._watch

    def watch(job, db):  # type: ignore[no-untyped-def]
        jobs.append(job)
        real(job, db)

    monkeypatch.setattr(Reporter, "alive", stop_soon)
    monkeypatch.setattr(compact, "_watch", watch)
    before = settings.paths.database.stat().st_size
    assert compact.run(settings) is ExitCode.INTERRUPTED
    assert settings.paths.database.stat().st_size == before
    integrity_check(settings.paths.database)

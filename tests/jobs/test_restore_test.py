"""restore-test: what passes, what fails, and what `agentctl backups` then shows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from backup_world import build_state, settings_of
from futures_agent.backup.listing import list_backups, print_backups
from futures_agent.backup.proofs import read_proofs
from futures_agent.backup.take import take_backup
from futures_agent.clock import DAY_MS, HOUR_MS, SystemClock
from futures_agent.errors import ExitCode
from futures_agent.jobs import restore_test
from futures_agent.settings import Settings


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("pristine") / "state"
    build_state(state)
    take_backup(settings_of(state), SystemClock().now_ms())
    return state


@pytest.fixture
def settings(pristine: Path, tmp_path: Path) -> Settings:
    shutil.copytree(pristine, tmp_path / "state")
    return settings_of(tmp_path / "state")


def damage(settings: Settings) -> None:
    for path in settings.paths.hot_backups.glob("db_*"):
        content = bytearray(path.read_bytes())
        content[-5000] ^= 1
        path.write_bytes(content)


def test_a_good_backup_is_proven_and_nothing_is_left_behind(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore_test.run(settings) is ExitCode.OK
    assert "rows, 1 MB, integrity and digests good" in capsys.readouterr().out
    (proof,) = read_proofs(settings.paths.job("restore-test"))
    assert proof.passed
    assert proof.rows == 11_163
    report = settings.paths.job("restore-test") / "report.json"
    assert msgspec.json.decode(report.read_bytes())["backup"] == proof.backup
    assert os.listdir(settings.paths.job("restore-test") / "scratch") == []
    # Both names of the backup hold what was proven.
    assert {row.proof.passed for row in list_backups(settings) if row.proof} == {True}


def test_a_damaged_backup_fails_and_the_list_says_so(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(settings)
    assert restore_test.run(settings) is ExitCode.FAILED
    assert "use another backup, `agentctl backups` lists them" in capsys.readouterr().err
    print_backups(list_backups(settings))
    assert "FAILED 0 s ago: " in capsys.readouterr().out


def test_a_torn_one_fails_and_the_list_says_so(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in settings.paths.hot_backups.glob("db_*"):
        path.write_bytes(path.read_bytes()[:50])
    assert restore_test.run(settings) is ExitCode.FAILED
    (proof,) = read_proofs(settings.paths.job("restore-test"))
    assert not proof.passed
    assert proof.sha256 == ""
    capsys.readouterr()
    print_backups(list_backups(settings))
    assert "DAMAGED" in capsys.readouterr().out


def test_too_few_candles_fail(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    strict = settings_of(settings.paths.state, backup__min_h4_candles=2161)
    assert restore_test.run(strict) is ExitCode.FAILED
    assert "holds 2160 H4 candles, at least 2161 expected" in capsys.readouterr().err


def test_an_old_newest_backup_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    later = SystemClock().now_ms() + 3 * HOUR_MS

    class LaterClock:
        def now_ms(self) -> int:
            return later

    monkeypatch.setattr(restore_test, "SystemClock", LaterClock)
    assert restore_test.run(settings) is ExitCode.FAILED
    assert "3.0 h old, at most 2 h allowed: see `systemctl status backup.service`" in capsys.readouterr().err


def test_what_is_dated_in_the_future_is_not_tested_as_the_newest_but_told(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    take_backup(settings, SystemClock().now_ms() + 40 * DAY_MS)
    assert restore_test.run(settings) is ExitCode.FAILED
    told = capsys.readouterr().err
    assert "integrity and digests good; but hot/db_backup_" in told
    assert "is dated in the future" in told
    (proof,) = read_proofs(settings.paths.job("restore-test"))
    assert proof.passed


def test_only_backups_from_the_future_are_none_to_rely_on(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(settings.paths.hot_backups)
    take_backup(settings, SystemClock().now_ms() + 40 * DAY_MS)
    assert restore_test.run(settings) is ExitCode.FAILED
    assert "restores, but is dated 40" in capsys.readouterr().err
    (proof,) = read_proofs(settings.paths.job("restore-test"))
    assert not proof.passed


def test_what_a_killed_test_left_is_in_nobodys_way(settings: Settings) -> None:
    scratch = settings.paths.job("restore-test") / "scratch"
    scratch.mkdir(parents=True)
    (scratch / "restored.db").write_bytes(b"half")
    assert restore_test.run(settings) is ExitCode.OK


def test_without_a_backup_it_says_what_to_do(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(settings.paths.hot_backups)
    assert restore_test.run(settings) is ExitCode.CONFIG
    assert "no backup yet; run `agentctl backup` first" in capsys.readouterr().err
    print_backups(list_backups(settings))
    assert "no backup yet" in capsys.readouterr().out


def test_too_little_disk_is_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(restore_test.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(1, 1, 0))  # type: ignore[attr-defined]
    assert restore_test.run(settings) is ExitCode.FAILED
    assert "the restored copy needs 1 MB, there are 0 MB" in capsys.readouterr().err


def test_proofs_are_read_past_a_torn_line(settings: Settings) -> None:
    restore_test.run(settings)
    directory = settings.paths.job("restore-test")
    with (directory / "proofs.jsonl").open("ab") as file:
        file.write(b'{"backup":\n')
    restore_test.run(settings)
    assert len(read_proofs(directory)) == 2
    assert read_proofs(directory / "none") == []

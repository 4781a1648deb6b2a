"""The backup job: what it keeps, what it refuses, and what it says."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_world import build_state, settings_of
from futures_agent.backup import take
from futures_agent.backup.archive import unpack
from futures_agent.backup.evidence_files import count_files
from futures_agent.backup.hot import HotTier
from futures_agent.backup.proofs import Proof, append_proof
from futures_agent.backup.restore import restore_database
from futures_agent.clock import DAY_MS, HOUR_MS, SystemClock, parse_utc
from futures_agent.errors import ExitCode, Retry
from futures_agent.jobs import backup, compact
from futures_agent.program.records import RunLog
from futures_agent.settings import Settings
from futures_agent.store.database import open_writer
from futures_agent.store.integrity import quick_check

NOW = parse_utc("2026-11-20T14:20:05Z")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("pristine") / "state"
    build_state(state)
    return state


@pytest.fixture
def settings(pristine: Path, tmp_path: Path) -> Settings:
    shutil.copytree(pristine, tmp_path / "state")
    return settings_of(tmp_path / "state")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The time that names the backups, settable."""
    now = [NOW]

    class StoppedClock:
        def now_ms(self) -> int:
            return now[0]

    monkeypatch.setattr(backup, "SystemClock", StoppedClock)
    return now


def kept(settings: Settings) -> list[str]:
    return sorted(name for name in os.listdir(settings.paths.hot_backups) if not name.startswith("."))


def write(settings: Settings, sql: str) -> None:
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        db.execute(sql)
        db.wal_checkpoint(mode=3)


def flip_a_stored_number(settings: Settings) -> None:
    """Flip one bit inside a REAL of an old candle, in the file, as failing hardware does."""
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        value = db.execute("SELECT close FROM ohlcv_h1 WHERE symbol = 'ETHUSDT' LIMIT 1 OFFSET 500").get
        db.wal_checkpoint(mode=3)
    content = bytearray(settings.paths.database.read_bytes())
    place = content.find(struct.pack(">d", value))
    assert place > 0
    content[place + 7] ^= 1
    settings.paths.database.write_bytes(content)
    quick_check(settings.paths.database)  # which does not notice


def test_an_hourly_and_the_daily_one_and_the_files_beside(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backup.run(settings) is ExitCode.OK
    assert kept(settings) == [
        "db_backup_20261120.db.zst",
        "db_backup_20261120T14.db.zst",
        "files_backup_20261120.tar.zst",
        "files_backup_20261120T14.tar.zst",
    ]
    line = capsys.readouterr().out
    assert "backup ok: hot/db_backup_20261120T14.db.zst: 11,163 rows, " in line
    assert "verified; kept as db_backup_20261120.db.zst too; 4 files beside it" in line
    record = RunLog(settings.paths.job("backup")).recent()[-1]
    assert record.outcome == "ok"
    assert record.counts["rows"] == 11_163


def test_the_first_backup_from_two_o_clock_on_is_the_daily_one(settings: Settings, clock: list[int]) -> None:
    for hour in (0, 1, 2, 3):
        clock[0] = NOW - NOW % DAY_MS + hour * HOUR_MS + 1
        assert backup.run(settings) is ExitCode.OK
    (daily,) = [entry for entry in HotTier(settings.paths.hot_backups).entries() if entry.daily]
    assert daily.manifest is not None
    assert daily.manifest.taken_ms % DAY_MS // HOUR_MS == 2


def test_a_second_run_in_an_hour_replaces_the_first(settings: Settings) -> None:
    assert backup.run(settings) is ExitCode.OK
    write(settings, "UPDATE trades SET exit_reason = 'x'")
    assert backup.run(settings) is ExitCode.OK
    assert len([name for name in kept(settings) if name.startswith("db_backup_20261120T")]) == 1


def test_old_ones_go_after_a_good_one_and_the_proven_one_stays(settings: Settings, clock: list[int]) -> None:
    first = take.take_backup(settings, NOW - 40 * DAY_MS)
    proof = Proof(
        backup=first.name, sha256=first.manifest.sha256, proven_ms=NOW, passed=True, line="", seconds=1.0
    )
    append_proof(settings.paths.job("restore-test"), proof)
    for days in (39, 38, 37, 36):
        write(settings, f"UPDATE trades SET exit_reason = 'd{days}'")
        take.take_backup(settings, NOW - days * DAY_MS)
    assert backup.run(settings) is ExitCode.OK
    hourly = [name for name in kept(settings) if "db" in name and "T" in name]
    # The newest three, and the one that is known to restore.
    assert [name[10:18] for name in hourly] == ["20261011", "20261014", "20261015", "20261120"]


def test_without_a_database_it_says_what_to_do(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.paths.database.unlink()
    assert backup.run(settings) is ExitCode.CONFIG
    assert "no database yet; run `agentctl data-sync` first" in capsys.readouterr().err


def test_a_damaged_database_is_not_kept_and_the_good_ones_stay(
    settings: Settings, clock: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert backup.run(settings) is ExitCode.OK
    before = kept(settings)
    content = bytearray(settings.paths.database.read_bytes())
    content[100 * 4096 : 101 * 4096] = bytes(4096)
    settings.paths.database.write_bytes(content)
    clock[0] += HOUR_MS
    assert backup.run(settings) is ExitCode.CORRUPT
    assert kept(settings) == before
    assert os.listdir(settings.paths.hot_backups / ".partial") == []
    assert "crypto_agent.db: damaged (" in capsys.readouterr().err


def test_a_flipped_bit_in_an_old_number_is_found_by_the_backup_before(
    settings: Settings, clock: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert backup.run(settings) is ExitCode.OK
    before = kept(settings)
    flip_a_stored_number(settings)
    (settings.paths.state / "incidents" / "later.jsonl").write_text("{}\n")
    clock[0] += HOUR_MS
    assert backup.run(settings) is ExitCode.FAILED
    assert kept(settings) == before
    assert count_files(settings.paths.hot_backups / "files_backup_20261120.tar.zst") == 5  # one was new
    told = capsys.readouterr().err
    assert "what is settled changed since hot/db_backup_20261120T14.db.zst without a record: ohlcv_" in told
    assert "`agentctl backup --accept-history` keeps them as they are" in told
    assert backup.run(settings, accept_history=True) is ExitCode.OK
    assert backup.run(settings) is ExitCode.OK  # the accepted one is the new measure


def test_a_recorded_correction_and_a_back_fill_are_no_damage(settings: Settings, clock: list[int]) -> None:
    assert backup.run(settings) is ExitCode.OK
    write(settings, "UPDATE ohlcv_h1 SET volume = volume + 1 WHERE symbol = 'ETHUSDT'")
    clock[0] += HOUR_MS
    assert backup.run(settings) is ExitCode.OK
    write(settings, "INSERT INTO ohlcv_h1 SELECT 'ADAUSDT', * FROM (SELECT timestamp, open, high, low, close,"
          " volume, quote_volume, trades, taker_buy_volume, taker_buy_quote_volume FROM ohlcv_h1"
          " WHERE symbol = 'ETHUSDT')")  # fmt: skip
    clock[0] += HOUR_MS
    assert backup.run(settings) is ExitCode.OK


def test_a_compaction_between_two_backups_is_no_damage(settings: Settings, clock: list[int]) -> None:
    clock[0] = SystemClock().now_ms()
    assert backup.run(settings) is ExitCode.OK
    lenient = settings_of(settings.paths.state, compact__free_list_min=0)
    write(settings, "DELETE FROM ohlcv_h4")
    write(settings, "ANALYZE")
    assert compact.run(lenient) is ExitCode.OK
    clock[0] += 1
    assert backup.run(settings) is ExitCode.OK


def test_another_database_is_a_new_baseline_and_said(
    settings: Settings, clock: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The remedy for a database without any good backup: move it away and fetch the candles again."""
    assert backup.run(settings) is ExitCode.OK
    assert "another database" not in capsys.readouterr().out
    for path in settings.paths.database.parent.glob("crypto_agent.db*"):
        path.unlink()
    write(settings, "INSERT INTO candle_holes VALUES ('BTCUSDT', 'H1', 0, 0, 0)")
    clock[0] += HOUR_MS
    assert backup.run(settings) is ExitCode.OK
    assert "another database than before: new baseline" in capsys.readouterr().out
    clock[0] += HOUR_MS
    assert backup.run(settings) is ExitCode.OK
    assert "another database" not in capsys.readouterr().out
    first, *_, last = HotTier(settings.paths.hot_backups).entries()
    assert first.manifest is not None
    assert last.manifest is not None
    assert first.manifest.contents.identity != last.manifest.contents.identity
    restore_database(settings, last.name)  # a restored one is the one it was
    clock[0] += HOUR_MS
    restored = take.take_backup(settings, clock[0])
    assert restored.manifest.contents.identity == last.manifest.contents.identity


def test_after_a_restore_the_restored_history_is_the_measure(settings: Settings, clock: list[int]) -> None:
    assert backup.run(settings) is ExitCode.OK
    write(settings, "INSERT INTO ohlcv_d1 SELECT 'ADAUSDT', * FROM (SELECT timestamp, open, high, low, close,"
          " volume, quote_volume, trades, taker_buy_volume, taker_buy_quote_volume FROM ohlcv_d1"
          " WHERE symbol = 'ETHUSDT')")  # fmt: skip
    clock[0] += HOUR_MS
    assert backup.run(settings) is ExitCode.OK
    restore_database(settings, "hot/db_backup_20261120T14.db.zst")  # before ADAUSDT
    clock[0] += HOUR_MS
    assert backup.run(settings) is ExitCode.OK


def test_too_little_disk_is_refused_before_anything_is_written(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backup.run(settings) is ExitCode.OK
    before = kept(settings)
    monkeypatch.setattr(take.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(1, 1, 1_500_000))  # type: ignore[attr-defined]
    assert backup.run(settings) is ExitCode.FAILED
    assert kept(settings) == before
    assert "MB of free disk, there are" in capsys.readouterr().err


def test_a_disk_that_fills_up_meanwhile_keeps_the_good_ones(
    settings: Settings, small_disk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    """The estimate was right when it was made; then somebody else wrote."""
    small_disk.grow("20M")
    shutil.copytree(settings.paths.state, small_disk.path / "state")
    crowded = settings_of(small_disk.path / "state")
    assert backup.run(crowded) is ExitCode.OK
    before = kept(crowded)
    for filler_mb in (1, 2):
        filler = small_disk.path / "filler"
        free = shutil.disk_usage(small_disk.path).free
        filler.write_bytes(bytes(free - filler_mb * 1_000_000 + 200_000))
        monkeypatch.setattr(take, "_require_space", lambda *arguments: None)
        assert backup.run(crowded) is ExitCode.FAILED
        assert "free" in capsys.readouterr().err
        assert kept(crowded) == before
        for entry in HotTier(crowded.paths.hot_backups).entries():
            unpack(entry.path, None)
        filler.unlink()


def test_transient_faults_are_tried_again_and_counted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def fail_twice(*arguments: object, **keywords: object) -> take.Taken:
        tried.append(1)
        if len(tried) < 3:
            raise Retry("the disk stuttered")
        return take.take_backup(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(backup, "take_backup", fail_twice)
    assert backup.run(settings) is ExitCode.OK
    assert len(tried) == 3


def test_files_that_may_not_be_read_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Path.open

    def refuse(self: Path, *arguments, **keywords):  # type: ignore[no-untyped-def]
        if self.name == "incidents.jsonl":
            raise PermissionError
        return real(self, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", refuse)
    assert backup.run(settings) is ExitCode.OK
    assert "not readable: incidents/incidents.jsonl" in capsys.readouterr().out

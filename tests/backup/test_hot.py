"""The hot tier: names, order, and what stays for how long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from futures_agent.backup.hot import HotTier, database_name, files_name
from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc
from futures_agent.errors import Refuse
from futures_agent.settings import BackupSettings

Keep = Callable[..., Path]
NOW = parse_utc("2026-11-20T14:20:05Z")


def names(tier: HotTier) -> list[str]:
    return [entry.path.name for entry in tier.entries()]


def test_names_are_those_people_type() -> None:
    assert database_name(NOW, daily=False) == "db_backup_20261120T14.db.zst"
    assert database_name(NOW, daily=True) == "db_backup_20261120.db.zst"
    assert files_name(NOW, daily=False) == "files_backup_20261120T14.tar.zst"


def test_entries_come_newest_first_and_foreign_files_are_none(tier: HotTier, kept_backup: Keep) -> None:
    for hours in (5, 1, 3):
        kept_backup(NOW - hours * HOUR_MS)
    kept_backup(NOW - 3 * HOUR_MS, daily=True)
    (tier.directory / "db_backup_latest.db.zst").write_bytes(b"x")
    (tier.directory / "notes.txt").write_bytes(b"x")
    assert names(tier) == [
        "db_backup_20261120T13.db.zst",
        "db_backup_20261120T11.db.zst",
        "db_backup_20261120.db.zst",
        "db_backup_20261120T09.db.zst",
    ]
    newest = tier.newest(NOW)
    assert newest is not None
    assert newest.name == "hot/db_backup_20261120T13.db.zst"
    assert tier.entries()[2].daily


def test_a_damaged_one_is_listed_with_its_fault_and_is_not_the_newest(
    tier: HotTier, kept_backup: Keep
) -> None:
    good = kept_backup(NOW - HOUR_MS)
    bad = kept_backup(NOW)
    bad.write_bytes(bad.read_bytes()[:100])
    first, second = tier.entries()
    assert first.path == bad
    assert first.manifest is None
    assert "manifest is torn" in str(first.fault)
    assert second.path == good
    assert tier.newest(NOW) == second


def test_one_is_found_by_name_with_and_without_tier_and_by_path(tier: HotTier, kept_backup: Keep) -> None:
    path = kept_backup(NOW)
    assert tier.find("hot/db_backup_20261120T14.db.zst") == path
    assert tier.find("db_backup_20261120T14.db.zst") == path
    assert tier.find(str(path)) == path
    with pytest.raises(Refuse, match="no such backup; `agentctl backups` lists"):
        tier.find("hot/db_backup_20261120T15.db.zst")


def test_a_second_name_takes_no_space(tier: HotTier, kept_backup: Keep) -> None:
    path = kept_backup(NOW)
    tier.keep_again(path.name, "db_backup_20261120.db.zst")
    assert (tier.directory / "db_backup_20261120.db.zst").stat().st_ino == path.stat().st_ino
    assert len(tier.entries()) == 2


def test_hourly_copies_go_after_a_day_and_daily_ones_after_two_weeks(
    tier: HotTier, kept_backup: Keep
) -> None:
    for hours in (0, 1, 23, 24, 25, 30):
        kept_backup(NOW - hours * HOUR_MS, sha256=f"h{hours}")
    for days in range(17):
        kept_backup(NOW - days * DAY_MS, daily=True, sha256=f"d{days}")
    (tier.directory / files_name(NOW - 30 * HOUR_MS, daily=False)).write_bytes(b"")
    (tier.directory / files_name(NOW - HOUR_MS, daily=False)).write_bytes(b"")
    removed = tier.prune(BackupSettings(), NOW, set())
    assert sorted(removed) == [
        "db_backup_20261104.db.zst",
        "db_backup_20261105.db.zst",
        # Of that day 14 full days have passed since midnight, and 14 h more.
        "db_backup_20261106.db.zst",
        "db_backup_20261119T08.db.zst",
        "db_backup_20261119T13.db.zst",
        # Named after the hour that began 24 h 20 min ago.
        "db_backup_20261119T14.db.zst",
        "files_backup_20261119T08.tar.zst",
    ]
    assert (tier.directory / files_name(NOW - HOUR_MS, daily=False)).exists()


def test_the_newest_good_ones_and_the_newest_proven_one_stay_however_old(
    tier: HotTier, kept_backup: Keep
) -> None:
    for days in range(60, 66):
        path = kept_backup(NOW - days * DAY_MS, sha256=f"s{days}")
    bad = kept_backup(NOW - 62 * DAY_MS - HOUR_MS, sha256="bad")
    bad.write_bytes(b"torn")
    assert path.exists()
    tier.prune(BackupSettings(keep_at_least=2), NOW, {"s63", "s65"})
    assert [entry.manifest.sha256 for entry in tier.entries() if entry.manifest] == ["s60", "s61", "s63"]
    assert not bad.exists()  # a damaged one is nothing to fall back on


def test_a_clock_that_jumps_ahead_ages_what_there_is_by_one_day(tier: HotTier, kept_backup: Keep) -> None:
    for hours in range(1, 24):
        kept_backup(NOW - hours * HOUR_MS)
    for days in range(13):
        kept_backup(NOW - days * DAY_MS, daily=True)
    wrong = NOW + 40 * DAY_MS
    for later in (0, 1, 2):  # it stays wrong for some runs
        kept_backup(wrong + later * HOUR_MS)
        tier.prune(BackupSettings(), wrong + later * HOUR_MS, set())
    assert [entry.named_ms for entry in tier.entries() if entry.daily] == [
        NOW - NOW % DAY_MS - days * DAY_MS for days in range(13)
    ]
    kept_backup(NOW)  # the clock is right again
    newest = tier.newest(NOW)
    assert newest is not None
    assert newest.path.name == database_name(NOW, daily=False)


def test_what_is_dated_in_the_future_is_not_what_there_is_to_fall_back_on(
    tier: HotTier, kept_backup: Keep
) -> None:
    for ahead in (40, 41, 42):
        kept_backup(NOW + ahead * DAY_MS, sha256="proven")
    for days in range(60, 63):
        kept_backup(NOW - days * DAY_MS, sha256=f"s{days}")
    tier.prune(BackupSettings(keep_at_least=2), NOW, {"proven", "s62"})
    kept = [entry.manifest.sha256 for entry in tier.entries() if entry.manifest]
    assert kept == ["proven", "proven", "proven", "s60", "s61", "s62"]
    newest = tier.newest(NOW)
    assert newest is not None
    assert newest.taken_ms == NOW - 60 * DAY_MS
    assert tier.newest(NOW - 70 * DAY_MS) is None


def test_what_a_killed_run_left_is_removed(tier: HotTier) -> None:
    work = tier.start_work()
    (work / "copy.db").write_bytes(b"half")
    assert list(tier.start_work().iterdir()) == []

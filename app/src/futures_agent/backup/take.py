"""Taking a backup: nothing gets a final name that was not verified, and a failure keeps what there was."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from futures_agent.backup import hot
from futures_agent.backup.archive import Manifest, unpack, write_archive
from futures_agent.backup.contents import Contents
from futures_agent.backup.evidence_files import Archived, archive_files
from futures_agent.backup.history import is_another_database, unrecorded_changes
from futures_agent.backup.hot import Entry, HotTier
from futures_agent.backup.proofs import last_passed, read_proofs
from futures_agent.backup.restore_log import last_restored_ms
from futures_agent.backup.snapshot import take_snapshot
from futures_agent.backup.steps import step
from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.errors import AgentError, Page, Refuse, Retry
from futures_agent.settings import Settings

_COMPRESSED_SHARE = 0.6  # of the database, where no earlier backup tells; candles come to 0.49


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was verified and kept."""

    name: str
    size: int  # bytes
    manifest: Manifest
    daily: str | None  # its second name, where it is the daily one too
    files: Archived
    another_database: bool  # than the one of the backup before: nothing was compared
    pruned: tuple[str, ...]


def take_backup(
    settings: Settings,
    now_ms: int,
    *,
    accept_history: bool = False,
    progress: Callable[[str], None] = lambda doing: None,
) -> Taken:
    """Copy, verify, compress, verify again, keep; then remove what is past its retention.

    Parameters
    ----------
    now_ms : int
        Names the backup, ms UTC.
    accept_history : bool
        Keep it although settled candles changed without a record.
    progress : callable
        Told what is done next; may raise to stop.

    Raises
    ------
    Corrupt
        The database or the copy is damaged.
    Page
        Settled candles changed without a record.
    Retry
        Too little free disk, or it fails.
    Refuse
        No database yet, or no permission.
    """
    tier = HotTier(settings.paths.hot_backups)
    _require_database(settings.paths.database)
    work = tier.start_work()
    step("backup", 1)
    try:
        _require_space(settings, tier, now_ms)
        step("backup", 2)
        progress("copying the database")
        copy = work / "copy.db"
        snapshot = take_snapshot(settings.paths.database, copy, settings.database)
        step("backup", 4)
        newest = tier.newest(now_ms)
        if newest is not None and not accept_history:
            try:
                _require_settled_history(settings, newest, snapshot.contents)
            except Page:
                _keep_files_alone(settings, tier, work, now_ms)
                raise
        manifest = Manifest(
            taken_ms=now_ms,
            database_bytes=snapshot.size,
            sha256=snapshot.sha256,
            contents=snapshot.contents,
        )
        step("backup", 5)
        progress("compressing the copy")
        archive = work / "archive"
        write_archive(copy, manifest, archive, level=settings.backup.zstd_level)
        step("backup", 6)
        progress("verifying the archive")
        unpack(archive, None)
        step("backup", 7)
        return _keep(settings, tier, archive, manifest, newest, progress)
    finally:
        tier.end_work()


def _keep(
    settings: Settings,
    tier: HotTier,
    archive: Path,
    manifest: Manifest,
    before: Entry | None,
    progress: Callable[[str], None],
) -> Taken:
    """Give everything its final name and prune; from here on nothing of the database can be lost."""
    now_ms = manifest.taken_ms
    name, size = hot.database_name(now_ms, daily=False), archive.stat().st_size
    tier.keep(archive, name)
    step("backup", 8)
    progress("archiving the files beside the database")
    archived = _keep_files(settings, tier, archive.parent, hot.files_name(now_ms, daily=False))
    step("backup", 9)
    daily = None
    if _is_daily(settings, tier, now_ms):
        daily = hot.database_name(now_ms, daily=True)
        tier.keep_again(hot.files_name(now_ms, daily=False), hot.files_name(now_ms, daily=True))
        tier.keep_again(name, daily)
    step("backup", 10)
    pruned = tier.prune(settings.backup, now_ms, _proven(settings))
    step("backup", 11)
    return Taken(
        name=f"{hot.TIER}/{name}",
        size=size,
        manifest=manifest,
        daily=daily,
        files=archived,
        another_database=before is not None and _is_another(before, manifest.contents),
        pruned=tuple(pruned),
    )


def _keep_files(settings: Settings, tier: HotTier, work: Path, name: str) -> Archived:
    files = work / "files"
    archived = archive_files(settings.paths.state, settings.backup.extra, files)
    tier.keep(files, name)
    return archived


def _keep_files_alone(settings: Settings, tier: HotTier, work: Path, now_ms: int) -> None:
    """Keep the files beside a database that is not kept itself.

    Under the day's name, so that every hour replaces it: nothing is pruned until somebody has decided.
    """
    with contextlib.suppress(AgentError):  # what the caller has to tell matters more
        _keep_files(settings, tier, work, hot.files_name(now_ms, daily=True))


def _is_daily(settings: Settings, tier: HotTier, now_ms: int) -> bool:
    """Whether this is the first backup of the day from the daily hour on; a host may have been off then."""
    hour = now_ms % DAY_MS // HOUR_MS
    exists = (tier.directory / hot.database_name(now_ms, daily=True)).exists()
    return hour >= settings.backup.daily_hour_utc and not exists


def _proven(settings: Settings) -> set[str]:
    return set(last_passed(read_proofs(settings.paths.job("restore-test"))))


def _require_database(database: Path) -> None:
    if not database.exists():
        raise Refuse(f"{database}: no database yet; run `agentctl data-sync` first")


def _require_space(settings: Settings, tier: HotTier, now_ms: int) -> None:
    """Make room by removing what is past its retention; refuse before the disk is filled."""
    needed = (
        _needed_bytes(settings.paths.database, tier.newest(now_ms)) + settings.backup.reserve_mb * 1_000_000
    )
    if shutil.disk_usage(tier.directory).free < needed:
        tier.prune(settings.backup, now_ms, _proven(settings))
    free = shutil.disk_usage(tier.directory).free
    if free < needed:
        raise Retry(
            f"{tier.directory}: a backup needs {needed / 1e6:.0f} MB of free disk, there are "
            f"{free / 1e6:.0f} MB; free space; the earlier backups stay"
        )


def _needed_bytes(database: Path, newest: Entry | None) -> int:
    wal = database.with_name(database.name + "-wal")
    raw = database.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    share = _COMPRESSED_SHARE
    if newest is not None and newest.manifest is not None:
        share = 1.1 * newest.size / newest.manifest.database_bytes
    return raw + int(raw * share)


def _is_another(before: Entry, contents: Contents) -> bool:
    return before.manifest is not None and is_another_database(before.manifest.contents, contents)


def _require_settled_history(settings: Settings, newest: Entry, contents: Contents) -> None:
    before = newest.manifest
    if before is None or _is_another(newest, contents):
        return
    if before.taken_ms <= last_restored_ms(settings.paths.evidence):
        return  # what was restored may be older: the first backup after it is the new measure
    changes = unrecorded_changes(
        before.contents,
        contents,
        settled_until_ms=before.taken_ms - int(settings.backup.settled_after_days * DAY_MS),
    )
    if changes:
        raise Page(
            f"{settings.paths.database}: what is settled changed since {newest.name} without a record: "
            f"{changes[0]}" + (f" (and {len(changes) - 1} more)" if len(changes) > 1 else "") + "; "
            f"no backup was kept; `agentctl restore --from {newest.name}` brings them back, "
            "`agentctl backup --accept-history` keeps them as they are"
        )

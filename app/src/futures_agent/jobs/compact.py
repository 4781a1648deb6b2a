"""compact: gives unused pages of the database back to the disk, when there are enough of them."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

import apsw
import msgspec

from futures_agent.backup.archive import unpack
from futures_agent.backup.hot import HotTier
from futures_agent.backup.prove import CLOCK_TOLERANCE_MS
from futures_agent.backup.steps import step
from futures_agent.clock import HOUR_MS, SystemClock, age_text
from futures_agent.errors import Blocked, Corrupt, ExitCode, Interrupted, Retry
from futures_agent.program.job import Job, Outcome, run_job, took
from futures_agent.settings import Settings
from futures_agent.store.database import WHAT_TO_DO_WITH_DAMAGE, database_errors, open_writer
from futures_agent.store.integrity import find_damage

NAME = "compact"
_PROGRESS_EVERY = 100_000  # SQLite instructions between two looks at the stop signal
_ALIVE_EVERY_S = 5.0


class _Pages(msgspec.Struct, frozen=True):
    """How full the database file is."""

    total: int
    free: int
    size: int  # bytes of a page

    @property
    def free_share(self) -> float:
        return self.free / self.total


def run(settings: Settings) -> ExitCode:
    """Run the job."""
    return run_job(NAME, settings, _compact)


def _compact(job: Job) -> Outcome:
    settings = job.settings
    path = settings.paths.database
    with job.database_turn():
        job.reporter.status("verifying the newest backup")
        _require_backup(settings)
        step(NAME, 1)
        with database_errors(path), contextlib.closing(open_writer(path, settings.database)) as db:
            _require_disk(settings, db)
            step(NAME, 2)
            _watch(job, db)
            try:
                return _work(job, db)
            except apsw.InterruptError:
                raise Interrupted("compact: told to stop; the database is as it was") from None


def _work(job: Job, db: apsw.Connection) -> Outcome:
    settings, path = job.settings, job.settings.paths.database
    before = _pages(db)
    if before.free_share > settings.compact.free_list_min:
        job.reporter.status(f"VACUUM: {before.free_share:.0%} of the pages are unused")
        # On the disk, beside the database: in memory it would need as much as the database is long.
        db.pragma("temp_store", "FILE")
        db.execute("VACUUM")
        step(NAME, 3)
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        step(NAME, 4)
    db.pragma("optimize")
    step(NAME, 5)
    job.reporter.status("integrity_check")
    if damage := find_damage(db, "integrity_check"):
        raise Corrupt(f"{path}: damaged ({damage}): {WHAT_TO_DO_WITH_DAMAGE}")
    step(NAME, 6)
    return _outcome(job, before, _pages(db))


def _watch(job: Job, db: apsw.Connection) -> None:
    """Let a long statement feed the watchdog, and end it when the job is told to stop."""
    told_at = time.monotonic()

    def stop() -> bool:
        nonlocal told_at
        if time.monotonic() - told_at > _ALIVE_EVERY_S:
            told_at = time.monotonic()
            job.reporter.alive()
        return job.stopping.is_set()

    db.set_progress_handler(stop, _PROGRESS_EVERY)


def _require_backup(settings: Settings) -> None:
    """Insist on a backup that is fresh and still reads back."""
    now_ms = SystemClock().now_ms()
    newest = HotTier(settings.paths.hot_backups).newest(now_ms)
    limit_h = settings.compact.backup_max_age_h
    if newest is None or newest.manifest is None:
        raise Blocked("compact: there is no good backup; run `agentctl backup` first")
    age_ms = now_ms - newest.manifest.taken_ms
    if age_ms < -CLOCK_TOLERANCE_MS:
        raise Blocked(
            f"compact: the newest good backup is dated {age_text(-age_ms / 1000)} in the future; "
            "see `timedatectl`, and run `agentctl backup` when the clock is right"
        )
    if age_ms > limit_h * HOUR_MS:
        raise Blocked(
            f"compact: the newest good backup is {age_text(age_ms / 1000)} old, at most {limit_h:g} h "
            "allowed; run `agentctl backup` first"
        )
    try:
        unpack(newest.path, None)
    except Corrupt as error:
        raise Blocked(f"compact: {error}; run `agentctl backup` first") from None


def _require_disk(settings: Settings, db: apsw.Connection) -> None:
    pages = _pages(db)
    size = pages.total * pages.size
    needed = settings.compact.free_disk_factor * size
    directory = Path(db.filename).parent
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise Retry(
            f"{directory}: compacting {size / 1e6:.0f} MB needs {needed / 1e6:.0f} MB of free disk, "
            f"there are {free / 1e6:.0f} MB; free space and run again"
        )


def _pages(db: apsw.Connection) -> _Pages:
    return _Pages(*(int(db.pragma(name)) for name in ("page_count", "freelist_count", "page_size")))


def _outcome(job: Job, before: _Pages, after: _Pages) -> Outcome:
    saved = (before.total - after.total) * before.size
    done = (
        f"VACUUM gave back {saved / 1e6:.1f} MB"
        if saved > 0
        else f"no VACUUM needed, {before.free_share:.0%} of the pages unused"
    )
    return Outcome(
        line=f"{done}; {after.total * after.size / 1e6:.1f} MB now; integrity_check ok; {took(job)}",
        counts={"bytes_before": before.total * before.size, "bytes_after": after.total * after.size},
    )

"""backup: a verified copy of the database every hour, a daily one of them kept for two weeks."""

from __future__ import annotations

from futures_agent.backup.take import Taken, take_backup
from futures_agent.clock import SystemClock
from futures_agent.errors import ExitCode, Retry
from futures_agent.program.job import Job, Outcome, run_job, took
from futures_agent.settings import Settings

NAME = "backup"


def run(settings: Settings, *, accept_history: bool = False) -> ExitCode:
    """Run the job; `accept_history` keeps a copy although settled candles changed without a record."""
    return run_job(NAME, settings, lambda job: _backup(job, accept_history=accept_history))


def _backup(job: Job, *, accept_history: bool) -> Outcome:
    """Take a backup, trying again after transient faults."""
    settings = job.settings.backup

    def progress(doing: str) -> None:
        job.check_stop()
        job.reporter.status(doing)

    for attempt in range(1, settings.attempts + 1):
        try:
            taken = take_backup(
                job.settings, SystemClock().now_ms(), accept_history=accept_history, progress=progress
            )
            return _outcome(job, taken)
        except Retry as error:
            if attempt == settings.attempts:
                raise
            job.reporter.status(f"attempt {attempt} failed: {error}")
            job.wait(settings.retry_wait_s)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _outcome(job: Job, taken: Taken) -> Outcome:
    manifest = taken.manifest
    sizes = f"{manifest.database_bytes / 1e6:.1f} MB in {taken.size / 1e6:.1f} MB"
    parts = [
        f"{taken.name}: {manifest.contents.rows:,} rows, {sizes}, verified",
        *([f"kept as {taken.daily} too"] if taken.daily else []),
        *(["another database than before: new baseline"] if taken.another_database else []),
        f"{taken.files.files} files beside it",
        *([f"not readable: {', '.join(taken.files.unreadable[:3])}"] if taken.files.unreadable else []),
        *([f"{len(taken.pruned)} old ones removed"] if taken.pruned else []),
        took(job),
    ]
    return Outcome(
        line="; ".join(parts),
        counts={
            "rows": manifest.contents.rows,
            "database_bytes": manifest.database_bytes,
            "backup_bytes": taken.size,
            "files": taken.files.files,
            "files_unreadable": len(taken.files.unreadable),
            "pruned": len(taken.pruned),
        },
    )

"""restore-test: proves daily that the newest backup restores, byte for byte and row for row."""

from __future__ import annotations

import shutil

import msgspec

from futures_agent.backup.hot import Entry, HotTier
from futures_agent.backup.proofs import Proof, append_proof
from futures_agent.backup.prove import prove
from futures_agent.clock import SystemClock
from futures_agent.errors import ExitCode, Refuse, Retry
from futures_agent.files import make_directory, write_atomically
from futures_agent.program.job import Job, Outcome, run_job
from futures_agent.settings import Settings

NAME = "restore-test"
REPORT = "report.json"


def run(settings: Settings) -> ExitCode:
    """Run the job on the newest hot backup."""
    return run_job(NAME, settings, _test)


def _test(job: Job) -> Outcome:
    settings = job.settings
    directory = settings.paths.job(NAME)
    scratch = directory / "scratch"
    entries = HotTier(settings.paths.hot_backups).entries()
    if not entries:
        raise Refuse(f"{settings.paths.hot_backups}: no backup yet; run `agentctl backup` first")
    make_directory(scratch)
    now_ms = SystemClock().now_ms()
    ahead = [entry for entry in entries if entry.ahead_of(now_ms)]
    # The newest there is, damaged or not: a damaged newest backup is what this job is to find.
    # What a wrong clock dated in the future is the newest only where there is nothing else.
    newest = next((entry for entry in entries if entry not in ahead), entries[0])
    size = newest.manifest.database_bytes if newest.manifest else 0
    if (free := shutil.disk_usage(scratch).free) < size:
        raise Retry(f"{scratch}: the restored copy needs {size / 1e6:.0f} MB, there are {free / 1e6:.0f} MB")

    def progress(doing: str) -> None:
        job.check_stop()
        job.reporter.status(doing)

    proof = prove(newest, scratch, settings.backup, now_ms=now_ms, progress=progress)
    append_proof(directory, proof)
    write_atomically(directory / REPORT, msgspec.json.encode(proof))
    return _outcome(proof, ahead)


def _outcome(proof: Proof, ahead: list[Entry]) -> Outcome:
    line = proof.line
    if ahead and proof.passed:
        line += (
            f"; but {ahead[0].name} is dated in the future"
            + (f" (and {len(ahead) - 1} more)" if len(ahead) > 1 else "")
            + ": see `timedatectl`; with the right clock, remove what is dated wrong"
        )
    return Outcome(
        line=line,
        code=ExitCode.OK if proof.passed and not ahead else ExitCode.FAILED,
        counts={"rows": proof.rows},
    )

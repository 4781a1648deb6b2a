"""Run records: one append-only file per job, the truth about what ran; the database only mirrors it.

A run appends a `start` line and later an `end` line. A start without an end belongs to a run that is
still going, or that died: its pid tells which.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import psutil

from futures_agent import __version__
from futures_agent.errors import ExitCode
from futures_agent.files import append_line

_FILE = "runs.jsonl"
_ROTATE_BYTES = 1_000_000  # one older file of the same size is kept: years of hourly runs
_TAIL_BYTES = 65_536


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of a job, as far as it is known."""

    run: str
    job: str
    started_ms: int
    pid: int
    version: str = __version__
    ended_ms: int | None = None
    exit_code: int | None = None
    line: str = ""
    counts: dict[str, int] = {}

    @property
    def outcome(self) -> str:
        """`ok`, `failed`, `gate failed`, …; `running` or `died` where no end was recorded."""
        if self.exit_code is None:
            return "running" if _runs_since(self.pid, self.started_ms) else "died"
        try:
            return ExitCode(self.exit_code).name.lower().replace("_", " ")
        except ValueError:
            return f"exit {self.exit_code}"


class RunLog:
    """The run records of one job.

    Parameters
    ----------
    directory : Path
        The job's state directory.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE

    def append(self, record: RunRecord) -> None:
        """Write one line, fsynced; rotates the file before it grows past its bound."""
        if self._path.exists() and self._path.stat().st_size > _ROTATE_BYTES:
            os.replace(self._path, self._path.with_suffix(".jsonl.1"))
        append_line(self._path, msgspec.json.encode(record))

    def recent(self, limit: int = 50) -> list[RunRecord]:
        """Return the newest runs, oldest first; torn or foreign lines are passed over."""
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, self._path.stat().st_size - _TAIL_BYTES))
                lines = file.read().splitlines()
        except (FileNotFoundError, PermissionError):
            return []
        runs: dict[str, RunRecord] = {}
        for line in lines:
            try:
                record = msgspec.json.decode(line, type=RunRecord)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            runs[record.run] = record  # the end line replaces the start line
        return list(runs.values())[-limit:]


def _runs_since(pid: int, started_ms: int) -> bool:
    """Whether the process `pid` is the one that wrote a start record at `started_ms` (not a reused pid)."""
    try:
        return psutil.Process(pid).create_time() * 1000 <= started_ms + 1000
    except psutil.Error:
        return False

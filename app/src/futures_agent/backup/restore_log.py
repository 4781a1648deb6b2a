"""The record of restores: a file beside the evidence, outside the database it is about."""

from __future__ import annotations

from pathlib import Path

import msgspec

from futures_agent.files import append_line

_FILE = "restores.jsonl"


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """One restore that was completed."""

    restored_ms: int
    backup: str
    sha256: str
    taken_ms: int  # of the backup
    evidence: str  # where the replaced database lies


def append_restored(directory: Path, restored: Restored) -> None:
    """Record a restore, fsynced."""
    append_line(directory / _FILE, msgspec.json.encode(restored))


def last_restored_ms(directory: Path) -> int:
    """Return when the database was last replaced by a backup, ms UTC; 0 if never."""
    try:
        lines = (directory / _FILE).read_bytes().splitlines()
    except OSError:
        return 0
    newest = 0
    for line in lines:
        try:
            newest = max(newest, msgspec.json.decode(line, type=Restored).restored_ms)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return newest

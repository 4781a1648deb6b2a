"""Proving that a backup restores: unpack it, check it whole, compare what it holds with what it should."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from futures_agent.backup.archive import Manifest, damaged, read_manifest, unpack
from futures_agent.backup.contents import Damage, differences
from futures_agent.backup.hot import Entry
from futures_agent.backup.proofs import Proof
from futures_agent.backup.snapshot import examine
from futures_agent.clock import HOUR_MS, MINUTE_MS, age_text
from futures_agent.errors import Corrupt
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import BackupSettings

CLOCK_TOLERANCE_MS = 5 * MINUTE_MS  # a backup from further ahead of now says nothing about its age

_RESTORED = "restored.db"


def unpack_and_verify(archive: Path, target: Path) -> Manifest:
    """Restore `archive` into the new file `target` and verify everything that can be.

    Every byte against the manifest's digest, `integrity_check`, count and digest of every table's rows.

    Raises
    ------
    Corrupt
        The backup is damaged; `target` is removed.
    Retry
        The disk is full or failing; likewise.
    Refuse
        It is no backup of this agent, or may not be read.
    """
    manifest = unpack(archive, target)
    try:
        different = differences(manifest.contents, examine(target))
        if different:
            raise Damage(f"it does not hold what it held when it was made, in {different}")
    except Damage as error:
        target.unlink()
        raise damaged(archive, str(error)) from None
    return manifest


def prove(
    entry: Entry,
    scratch: Path,
    settings: BackupSettings,
    *,
    now_ms: int,
    progress: Callable[[str], None] = lambda doing: None,
) -> Proof:
    """Restore `entry` into the directory `scratch`, verify it, and say whether it is a backup to rely on.

    What is wrong with the backup is in the proof's line; only faults of this host are raised.

    Raises
    ------
    Retry
        The disk is full or failing.
    Refuse
        No permission.
    """
    started = time.monotonic()
    target = scratch / _RESTORED
    target.unlink(missing_ok=True)  # of a run that was killed
    sha256, rows, fault, size = "", 0, "", 0
    try:
        manifest = entry.manifest or read_manifest(entry.path)
        sha256 = manifest.sha256
        progress(f"restoring {entry.name} into scratch")
        manifest = unpack_and_verify(entry.path, target)
        rows, size = manifest.contents.rows, manifest.database_bytes
        fault = shortcomings(manifest, settings, now_ms)
    except Corrupt as error:
        fault = str(error)
    finally:
        target.unlink(missing_ok=True)
    seconds = time.monotonic() - started
    line = fault or (
        f"{entry.name} restored in {seconds:.1f} s: {rows:,} rows, {size / 1e6:.0f} MB, "
        "integrity and digests good"
    )
    return Proof(
        backup=entry.name,
        sha256=sha256,
        proven_ms=now_ms,
        passed=not fault,
        line=line,
        seconds=seconds,
        rows=rows,
    )


def shortcomings(manifest: Manifest, settings: BackupSettings, now_ms: int) -> str:
    """Return why a backup that restores is still not one to rely on; empty when it is."""
    candles = manifest.contents.tables[Timeframe.H4.table].rows
    if candles < settings.min_h4_candles:
        return (
            f"the newest backup restores, but holds {candles} H4 candles, at least {settings.min_h4_candles} "
            "expected: `agentctl data-sync` fills the database, backup.min_h4_candles is the limit"
        )
    age_ms = now_ms - manifest.taken_ms
    if age_ms < -CLOCK_TOLERANCE_MS:
        return (
            f"the newest backup restores, but is dated {age_text(-age_ms / 1000)} in the future: "
            "see `timedatectl`, and run `agentctl backup` when the clock is right"
        )
    if age_ms > settings.max_age_h * HOUR_MS:
        return (
            f"the newest backup restores, but is {age_text(age_ms / 1000)} old, at most "
            f"{settings.max_age_h:g} h allowed: see `systemctl status backup.service`"
        )
    return ""

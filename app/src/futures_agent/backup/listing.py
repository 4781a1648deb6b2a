"""`agentctl backups`: what there is, and what each was last proven to restore."""

from __future__ import annotations

import msgspec

from futures_agent.backup.hot import HotTier
from futures_agent.backup.proofs import Proof, read_proofs
from futures_agent.clock import SystemClock, age_text
from futures_agent.settings import Settings


class BackupRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list."""

    name: str
    taken_ms: int
    age_s: float
    size_mb: float
    rows: int | None
    verified: bool  # when it was made: nothing gets a final name that was not
    fault: str | None  # what is wrong with it now, as far as its manifest shows
    proof: Proof | None  # the newest attempt to restore it


def list_backups(settings: Settings) -> list[BackupRow]:
    """Return the backups of the database, newest first."""
    proofs = {proof.sha256: proof for proof in read_proofs(settings.paths.job("restore-test"))}
    now_ms = SystemClock().now_ms()
    rows = []
    for entry in HotTier(settings.paths.hot_backups).entries():
        manifest = entry.manifest
        taken_ms = manifest.taken_ms if manifest else entry.named_ms
        rows.append(
            BackupRow(
                name=entry.name,
                taken_ms=taken_ms,
                age_s=(now_ms - taken_ms) / 1000,
                size_mb=entry.size / 1e6,
                rows=manifest.contents.rows if manifest else None,
                verified=manifest is not None,
                fault=entry.fault,
                proof=proofs.get(manifest.sha256) if manifest else None,
            )
        )
    return rows


def print_backups(rows: list[BackupRow]) -> None:
    """Print the list as a table."""
    from rich.console import Console
    from rich.table import Table

    if not rows:
        print("no backup yet; run `agentctl backup`")
        return
    table = Table("backup", "age", "MB", "rows", "when made", "restored", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for column in table.columns[1:4]:
        column.justify = "right"
    now_ms = SystemClock().now_ms()
    for row in rows:
        table.add_row(
            row.name,
            age_text(row.age_s),
            f"{row.size_mb:.1f}",
            "-" if row.rows is None else f"{row.rows:,}",
            "verified" if row.verified else "DAMAGED",
            _proof_text(row.proof, now_ms),
            style=None if row.verified and (row.proof is None or row.proof.passed) else "bold red",
        )
    Console(highlight=False).print(table)


def _proof_text(proof: Proof | None, now_ms: int) -> str:
    if proof is None:
        return "never tried"
    age = age_text((now_ms - proof.proven_ms) / 1000)
    return f"good, {age} ago" if proof.passed else f"FAILED {age} ago: {proof.line}"

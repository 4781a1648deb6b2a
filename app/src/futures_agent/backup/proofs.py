"""What backups were proven to restore: a file that only restore-test appends to."""

from __future__ import annotations

from pathlib import Path

import msgspec

from futures_agent.files import append_line

FILE = "proofs.jsonl"
_TAIL_BYTES = 262_144


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to restore one backup."""

    backup: str  # tier/name
    sha256: str  # of the database inside; empty where not even that could be read
    proven_ms: int
    passed: bool
    line: str
    seconds: float
    rows: int = 0


def append_proof(directory: Path, proof: Proof) -> None:
    """Record an attempt, fsynced."""
    append_line(directory / FILE, msgspec.json.encode(proof))


def read_proofs(directory: Path) -> list[Proof]:
    """Return the attempts, oldest first; torn lines are passed over."""
    try:
        with (directory / FILE).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return []
    proofs = []
    for line in lines:
        try:
            proofs.append(msgspec.json.decode(line, type=Proof))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return proofs


def last_passed(proofs: list[Proof]) -> dict[str, Proof]:
    """Return digest of the database → the newest attempt that restored it."""
    return {proof.sha256: proof for proof in proofs if proof.passed}

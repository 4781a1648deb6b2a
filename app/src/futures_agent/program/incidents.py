"""Incidents: what went wrong and what was done about it, in append-only files outside the database.

Each program appends to a file of its own; a recovery is a second line of the same incident.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from futures_agent.clock import SystemClock
from futures_agent.files import append_line


class IncidentRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One incident, as far as it is known."""

    id: str
    type: str  # such as UNPROTECTED
    detected_by: str
    detected_at: int  # ms UTC
    what: str = ""
    action: str = ""
    recovered_at: int | None = None  # None: not yet
    data_lost: str = ""
    evidence: str = ""


class IncidentLog:
    """The incidents of one program.

    Parameters
    ----------
    directory : Path
        Where every program's incidents lie.
    program : str
        Such as `live-trading`.
    """

    def __init__(self, directory: Path, program: str) -> None:
        self._path = directory / f"{program}.jsonl"
        self._program = program

    def open(
        self, type_: str, *, what: str, action: str = "", evidence: str = "", at_ms: int = 0
    ) -> IncidentRecord:
        """Record a new incident, fsynced, and return it.

        Raises
        ------
        Retry, Refuse
            The disk is full or failing, or the file may not be written.
        """
        at_ms = at_ms or SystemClock().now_ms()
        record = IncidentRecord(
            id=f"{at_ms}-{secrets.token_hex(3)}",
            type=type_,
            detected_by=self._program,
            detected_at=at_ms,
            what=what,
            action=action,
            evidence=evidence,
        )
        append_line(self._path, msgspec.json.encode(record))
        return record

    def recovered(self, record: IncidentRecord, *, action: str = "", data_lost: str = "none") -> None:
        """Record that an incident is over."""
        changes = {"recovered_at": SystemClock().now_ms(), "data_lost": data_lost}
        ended = msgspec.structs.replace(record, action=action or record.action, **changes)
        append_line(self._path, msgspec.json.encode(ended))


def read_incidents(directory: Path) -> list[IncidentRecord]:
    """Return every program's incidents, oldest first; lines that are torn or foreign are passed over."""
    found: dict[str, IncidentRecord] = {}
    for path in sorted(directory.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                record = msgspec.json.decode(line, type=IncidentRecord)
            except msgspec.DecodeError:
                continue
            found[record.id] = record
    return sorted(found.values(), key=lambda each: each.detected_at)

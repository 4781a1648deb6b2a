"""Holds: a file per unit that keeps it from starting until a person (or recovery) releases it.

The unit itself checks the file with `ConditionPathExists=!`; programs started by hand check it here.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from futures_agent.clock import SystemClock, utc_text
from futures_agent.errors import Held, Refuse
from futures_agent.files import explain_os_error, write_atomically
from futures_agent.program.person import who

# Units that may be held: live trading, the backtest, and every job a person may want quiet for a while.
HOLDABLE = (
    "live-trading",
    "backtest",
    "data-sync",
    "data-validation",
    "backup",
    "restore-test",
    "compact",
    "sentiment-macro",
)


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a unit since when, and why."""

    unit: str
    why: str
    since: str  # UTC
    by: str


def set_hold(directory: Path, unit: str, why: str) -> Hold:
    """Hold `unit`; an existing hold is replaced by the new reason."""
    _check(unit)
    if not why.strip():
        raise Refuse("--why: a hold needs a reason; the journal shows it at each skipped start")
    hold = Hold(unit=unit, why=why.strip(), since=utc_text(SystemClock().now_ms()), by=who())
    write_atomically(directory / unit, msgspec.json.encode(hold) + b"\n")
    return hold


def release(directory: Path, unit: str) -> bool:
    """Remove the hold of `unit`; return whether there was one."""
    _check(unit)
    path = directory / unit
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise explain_os_error(error, path) from None
    return True


def read_hold(directory: Path, unit: str) -> Hold | None:
    """Return the hold of `unit`; a file that cannot be read still holds."""
    path = directory / unit
    try:
        return msgspec.json.decode(path.read_bytes(), type=Hold)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError):
        return Hold(unit=unit, why=f"{path} exists but cannot be read", since="?", by="?")


def refuse_if_held(directory: Path, unit: str) -> None:
    """Raise `Held`, saying who holds the unit and how to release it."""
    hold = read_hold(directory, unit)
    if hold is not None:
        raise Held(
            f"{unit} is held since {hold.since} by {hold.by}: {hold.why}; `agentctl release {unit}` ends it"
        )


def _check(unit: str) -> None:
    if unit not in HOLDABLE:
        raise Refuse(f"{unit!r} cannot be held; these can: {', '.join(HOLDABLE)}")

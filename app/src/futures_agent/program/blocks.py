"""The block flag: bad data keep the backtest from running until validation passes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from futures_agent.errors import Blocked
from futures_agent.files import explain_os_error, write_atomically

_FLAG = "BLOCKED"


def set_block(directory: Path, faults: list[str]) -> None:
    """Block, for the reasons given."""
    write_atomically(directory / _FLAG, msgspec.json.encode(faults) + b"\n")


def clear_block(directory: Path) -> None:
    """Remove the flag, if there is one."""
    try:
        (directory / _FLAG).unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(error, directory / _FLAG) from None


def read_block(directory: Path) -> list[str]:
    """Return the reasons of the block; empty when there is none. An unreadable flag still blocks."""
    try:
        return msgspec.json.decode((directory / _FLAG).read_bytes(), type=list[str]) or ["no reason given"]
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError):
        return [f"{directory / _FLAG} exists but cannot be read"]


def refuse_if_blocked(directory: Path) -> None:
    """Raise `Blocked`, with the first reason and what ends it."""
    faults = read_block(directory)
    if faults:
        raise Blocked(
            f"data validation failed: {faults[0]}"
            + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else "")
            + "; `agentctl data-sync`, then `agentctl data-validation` lifts the block"
        )

"""Steering a running trader: switches that persist as files, and commands that it answers.

`PAUSED` and the commands lie in the trader's own directory, so that they survive restarts and need no open
port. A pause holds whether or not the trader runs; a command waits for the trader, and whoever typed it
takes it back when there is none.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from futures_agent.clock import SystemClock, utc_text
from futures_agent.errors import Refuse, Retry
from futures_agent.files import explain_os_error, write_atomically
from futures_agent.program.person import who

Verb = Literal["flatten", "rearm", "reload", "reconcile"]
_COMMANDS, _ANSWERS = "commands", "answers"
_POLL_S = 0.1


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Who keeps the trader from opening positions, since when, and why."""

    why: str
    by: str
    since: str  # UTC


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks of the trader."""

    id: str
    verb: Verb
    symbol: str = ""  # empty: every symbol
    why: str = ""
    by: str = ""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the trader says to a command."""

    id: str
    done: bool
    line: str


class Control:
    """The files by which a trader is steered.

    Parameters
    ----------
    directory : Path
        The trader's own.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._paused = directory / "PAUSED"

    # For people.

    def pause(self, why: str) -> Pause:
        """Keep the trader from opening positions until `resume`."""
        if not why.strip():
            raise Refuse("--why: a pause needs a reason; the status shows it")
        pause = Pause(why=why.strip(), by=who(), since=utc_text(SystemClock().now_ms()))
        write_atomically(self._paused, msgspec.json.encode(pause) + b"\n")
        return pause

    def resume(self) -> bool:
        """End a pause; return whether there was one."""
        try:
            self._paused.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise explain_os_error(error, self._paused) from None
        return True

    def ask(self, verb: Verb, *, symbol: str = "", why: str = "", wait_s: float = 30.0) -> Reply:
        """Give the running trader a command and return its answer.

        Raises
        ------
        Retry
            No answer in time: the command is taken back, nothing will come of it later.
        """
        number = f"{SystemClock().now_ms()}-{secrets.token_hex(3)}"
        command = Command(id=number, verb=verb, symbol=symbol, why=why, by=who())
        path = self._directory / _COMMANDS / f"{number}.json"
        answered = self._directory / _ANSWERS / f"{number}.json"
        write_atomically(path, msgspec.json.encode(command) + b"\n")
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            if answered.exists():
                reply = msgspec.json.decode(answered.read_bytes(), type=Reply)
                answered.unlink(missing_ok=True)
                return reply
            time.sleep(_POLL_S)
        path.unlink(missing_ok=True)
        raise Retry(
            f"{verb}: the live trader did not answer within {wait_s:.0f} s and the command was taken back; "
            "see `systemctl status live-trading`"
        )

    # For the trader.

    @property
    def paused(self) -> Pause | None:
        """The pause in force; a file that cannot be read still pauses."""
        try:
            return msgspec.json.decode(self._paused.read_bytes(), type=Pause)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, msgspec.DecodeError):
            return Pause(why=f"{self._paused} exists but cannot be read", by="?", since="?")

    def serve(self, perform: Callable[[Command], str]) -> int:
        """Let `perform` carry out each waiting command, oldest first, and answer it; return how many.

        `perform` returns the line that the person reads, or raises an `AgentError` that says why not.
        """
        waiting = sorted((self._directory / _COMMANDS).glob("*.json"))
        for path in waiting:
            try:
                command = msgspec.json.decode(path.read_bytes(), type=Command)
            except (OSError, msgspec.DecodeError):
                path.unlink(missing_ok=True)  # taken back meanwhile, or not one of ours
                continue
            path.unlink(missing_ok=True)  # before it is performed: a crash must not repeat it
            self._answer(command, perform)
        return len(waiting)

    def _answer(self, command: Command, perform: Callable[[Command], str]) -> None:
        try:
            reply = Reply(id=command.id, done=True, line=perform(command))
        except (Refuse, Retry) as error:
            reply = Reply(id=command.id, done=False, line=str(error))
        write_atomically(
            self._directory / _ANSWERS / f"{command.id}.json", msgspec.json.encode(reply) + b"\n"
        )

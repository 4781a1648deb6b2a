"""The error tree: each class says who must react, and how.

A traceback never reaches a person for an expected fault: programs end through
`exit_code_of`, which maps every class here to a documented exit code.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every program of the agent; the units' `Restart*ExitStatus=` lines use them."""

    OK = 0  # did its work; backtest: ran and its gate passed
    FAILED = 1  # ran and failed; trying again later may help
    USAGE = 2  # wrong command line
    GATE_FAILED = 10  # backtest ran, and its result did not reach the gate: a result, not a failure
    BLOCKED = 11  # refused to start: data validation blocks, or recovery holds the database
    HELD = 12  # refused to start: a person or recovery holds this unit
    AUDIT_FAILED = 13  # backtest --audit: the strategy decides by more than the bars that had closed
    CORRUPT = 14  # the database is damaged
    DIFFERENT = 15  # compare: the two runs did not trade alike
    INTERRUPTED = 16  # told to stop (SIGTERM, Ctrl-C) and stopped cleanly before the end
    CONFIG = 78  # bad settings or bad input: nothing will change until a person changes it


class AgentError(Exception):
    """An expected fault. Its text is the one line a person reads: what, where, what to do."""

    exit_code = ExitCode.FAILED


class Retry(AgentError):
    """Transient: the same call may succeed later.

    Parameters
    ----------
    message : str
    after_s : float, optional
        Seconds to wait before the next attempt, where the other side said so.
    """

    def __init__(self, message: str, *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class SkipSymbol(AgentError):
    """One symbol cannot be served; the others go on."""

    def __init__(self, symbol: str, reason: str) -> None:
        super().__init__(f"{symbol}: {reason}")
        self.symbol = symbol
        self.reason = reason


class Refuse(AgentError):
    """Bad input or configuration: nothing changes until a person changes it."""

    exit_code = ExitCode.CONFIG


class Blocked(AgentError):
    """The state of the host forbids the work now (validation block, recovery lock)."""

    exit_code = ExitCode.BLOCKED


class Held(AgentError):
    """A hold is set on this unit."""

    exit_code = ExitCode.HELD


class Interrupted(AgentError):
    """Told to stop; everything committed so far stays."""

    exit_code = ExitCode.INTERRUPTED


class StopTrading(AgentError):
    """Opening positions must stop now; what is open stays protected."""


class Corrupt(AgentError):
    """The database is damaged: recovery must run."""

    exit_code = ExitCode.CORRUPT


class Page(AgentError):
    """A person is needed."""


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the documented exit code for `error` (unexpected ones count as FAILED)."""
    return error.exit_code if isinstance(error, AgentError) else ExitCode.FAILED

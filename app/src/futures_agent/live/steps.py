"""The numbered steps of the order path, for tests that end the process at one of them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class Step(Enum):
    """One instant between two things of which a crash may let only the first happen."""

    WANTED = "the decision is in the journal, nothing else"
    JOURNALED = "a request is in the journal, not on the wire"
    SENT = "a request has been answered, the answer is nowhere yet"
    ANSWERED = "an answer is in the journal, its consequences are not"
    SEEN = "an event came, and is nowhere yet"
    RECORDED = "an event is in the journal, its consequences are not"
    RECONCILED = "the account's state is in the journal, its consequences are not"
    CLOSED = "a bar has been decided, the strategy's memory is not saved"
    SAVED = "the strategy's memory is saved"


_watching: list[Callable[[Step, str], None]] = []


def watch(watcher: Callable[[Step, str], None]) -> None:
    """Call `watcher(step, what)` at every step from now on."""
    _watching.append(watcher)


def reached(step: Step, what: str = "") -> None:
    """The process is at `step` with `what`, such as the kind of a request."""
    for watcher in _watching:
        watcher(step, what)

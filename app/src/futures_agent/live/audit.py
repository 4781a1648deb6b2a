"""The audit: asking the venue what the account really looks like, at the start, after gaps, and regularly."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from futures_agent.live.broker import Broker
from futures_agent.live.inbox import AuditTaken, Inbox, WorkFailed

_OVERLAP_MS = 60_000  # asked for again: what the venue's stores showed late
# The first ones are short: at a start a position without a stop has five seconds.
_PAUSES_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Audit:
    """Takes the account's state in a thread, once at a time; retries by itself, with growing pauses.

    Parameters
    ----------
    broker : Broker
    inbox : Inbox
        Gets AuditTaken, or WorkFailed("audit", …).
    every_s : float
        Host seconds between two that were not asked for.
    prepare : callable, optional
        Called in the thread before each; what it raises fails the audit.
    """

    def __init__(
        self, broker: Broker, inbox: Inbox, every_s: float, prepare: Callable[[], None] = lambda: None
    ) -> None:
        self._broker = broker
        self._inbox = inbox
        self._every_s = every_s
        self._prepare = prepare
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._running: Future[None] | None = None  # until its message has been taken in
        self._next_mono = 0.0
        self._asked = True
        self._failures = 0

    def ask(self) -> None:
        """Have one taken as soon as may be; one that has begun already does not count."""
        if not self._asked and not self._failures:
            self._next_mono = 0.0
        self._asked = True

    @property
    def is_pending(self) -> bool:
        """Whether one was asked for, or is being taken."""
        return self._asked or self._running is not None

    def turn(self, since: Callable[[], Mapping[str, int]], funding_since_ms: Callable[[], int]) -> None:
        """Start one where it is due.

        Parameters
        ----------
        since : callable
            Returns symbol → exchange time from which on fills may be unknown.
        funding_since_ms : callable
        """
        if self._running is None and time.monotonic() >= self._next_mono:
            self._asked = False
            self._next_mono = time.monotonic() + self._every_s
            self._running = self._thread.submit(self._take, dict(since()), funding_since_ms())

    def failed(self) -> None:
        """The last one did not succeed."""
        self._running = None
        self._next_mono = time.monotonic() + _PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)]
        self._failures += 1
        self._asked = True

    def succeeded(self) -> None:
        """The last one has come, and was taken in."""
        self._running = None
        self._failures = 0
        if self._asked:
            self._next_mono = 0.0

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _take(self, since: dict[str, int], funding_since_ms: int) -> None:
        try:
            self._prepare()
            snapshot = self._broker.snapshot()
            for position in snapshot.positions:  # of symbols that the desk knows nothing of
                since.setdefault(position.symbol, snapshot.taken_ms - _OVERLAP_MS)
            fills = [
                fill
                for symbol, since_ms in sorted(since.items())
                for fill in self._broker.fills_since(symbol, since_ms - _OVERLAP_MS)
            ]
            funding = self._broker.funding_since(funding_since_ms - _OVERLAP_MS)
            self._inbox.put(AuditTaken(snapshot, tuple(fills), tuple(funding)))
        except Exception as error:  # expected or not: the work loop says it and asks again
            self._inbox.put(WorkFailed("audit", error))

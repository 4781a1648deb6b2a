"""What reaches the work loop from other threads; one queue, taken one by one."""

from __future__ import annotations

import queue
import threading
from typing import Any, NamedTuple

from futures_agent.exchange.orders import Answer, FillSeen, FundingSeen, Seen, Snapshot
from futures_agent.live.tracker import Missing
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe


class CandleClosed(NamedTuple):
    """A stream delivered a closed candle."""

    symbol: str
    timeframe: Timeframe
    candle: Any  # record of CANDLE


class StreamChanged(NamedTuple):
    """A stream came up, or went down."""

    name: str  # market, user
    up: bool
    why: str


class StreamAlive(NamedTuple):
    """A stream delivers; sent now and then, not with every message."""

    name: str


class AuditTaken(NamedTuple):
    """The account as the venue tells it, and what happened since the last time."""

    snapshot: Snapshot
    fills: tuple[FillSeen, ...]
    funding: tuple[FundingSeen, ...]


class CandlesFetched(NamedTuple):
    """Candles that no stream delivered, by REST."""

    close_ms: int
    found: list[tuple[str, Timeframe, Candles]]
    absent: list[Missing]  # answered, and the exchange has none
    faults: list[str]


class WorkFailed(NamedTuple):
    """Something done in a thread did not succeed."""

    what: str  # audit, warm-up
    error: Exception


class WarmedUp(NamedTuple):
    """The strategy has seen everything up to now."""

    decider: Any
    next_close_ms: int  # the first to decide at


Message = (
    Seen
    | Answer
    | CandleClosed
    | StreamChanged
    | StreamAlive
    | AuditTaken
    | CandlesFetched
    | WorkFailed
    | WarmedUp
)


class Inbox:
    """The queue, with a count of what was put and what is done, by which a test sees that nothing is left."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open = 0  # put, and everything that follows from it not done yet

    def put(self, message: Message) -> None:
        """Hand a message over, from whatever thread."""
        with self._lock:
            self._open += 1
        self._queue.put(message)

    def take(self, wait_s: float) -> Message | None:
        """Return the oldest message, None where none came in time."""
        try:
            return self._queue.get(timeout=wait_s) if wait_s > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None

    def done(self, taken: int) -> None:
        """Everything that follows from the messages taken last, so many, has been done."""
        with self._lock:
            self._open -= taken

    @property
    def is_done(self) -> bool:
        """Whether everything that follows from every message has been done."""
        return not self._open

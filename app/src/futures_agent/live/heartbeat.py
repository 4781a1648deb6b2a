"""The heartbeat: whether trading makes real progress, by what it last heard and did.

Two questions with two answers. Is the program at work? It is while streams talk, or while connecting and
asking go on within their bounds: that feeds the watchdog. Is trading sound? Only with every age below its
limit: that is what people and alerts are told.
"""

from __future__ import annotations

import time
from typing import Literal

from msgspec import Struct

Progress = Literal["market", "user", "reconciled", "candle", "attempt"]
# Each is progress of its own; `attempt` (to connect, to ask) only says that the program is at work.
SOUND: tuple[Progress, ...] = ("market", "user", "reconciled", "candle")


class Limits(Struct, frozen=True):
    """Ages, in seconds, up to which trading is sound."""

    market_s: float
    user_s: float
    reconciled_s: float
    candle_s: float


class Heartbeat:
    """Ages of what trading depends on, on the host's monotonic clock.

    Parameters
    ----------
    limits : Limits
    working_s : float
        Without progress of any kind for that long, the program hangs.
    """

    def __init__(self, limits: Limits, working_s: float) -> None:
        self._limits = limits
        self._working_s = working_s
        self._started_mono = time.monotonic()
        self._last: dict[Progress, float] = {}

    def mark(self, what: Progress) -> None:
        """`what` has just made progress."""
        self._last[what] = time.monotonic()

    def age_s(self, what: Progress) -> float:
        """Return seconds since `what` made progress; since the start where it never has."""
        return time.monotonic() - self._last.get(what, self._started_mono)

    @property
    def is_working(self) -> bool:
        """Whether anything at all has moved lately."""
        newest = max(self._last.values(), default=self._started_mono)
        return time.monotonic() - newest < self._working_s

    @property
    def stale(self) -> list[str]:
        """What is older than its limit, such as `market 143 s`; empty while trading is sound."""
        found = []
        for what in SOUND:
            age_s = self.age_s(what)
            if age_s > getattr(self._limits, f"{what}_s"):
                found.append(f"{what} {age_s:.0f} s")
        return found

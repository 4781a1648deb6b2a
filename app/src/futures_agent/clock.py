"""Time: milliseconds UTC everywhere, from clocks that can be handed over."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

from futures_agent.errors import Refuse

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


class Clock(Protocol):
    """Whatever tells the time; `sleep` waits in the same time that `now_ms` counts."""

    def now_ms(self) -> int: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The host's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def utc_text(timestamp_ms: int) -> str:
    """Return `2026-11-20T23:30:00Z` for a time in ms UTC (sub-second part cut off)."""
    return datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_utc(text: str) -> int:
    """Return ms UTC for `2026-11-20`, `2026-11-20T23:30[:00][Z]` or whole milliseconds.

    Raises
    ------
    Refuse
        If `text` is none of these.
    """
    if text.isdecimal() and len(text) >= 12:
        return int(text)
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Refuse(f"time {text!r}: not a date; write 2026-11-20 or 2026-11-20T23:30Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def age_text(seconds: float) -> str:
    """Return an age a person reads at a glance: `42 s`, `12 min`, `5.2 h`, `3.1 d`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} d"

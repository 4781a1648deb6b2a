"""A value of a macro series: what it speaks of, and when it was published."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np

from futures_agent.clock import DAY_MS, HOUR_MS

# A value published on a day was certainly known when that day ended in St. Louis: 06:00 UTC of the next.
_DAY_ENDS_AFTER_MS = DAY_MS + 6 * HOUR_MS

# A published value: when it became known, the moment or the start of the period it speaks of (both ms UTC).
PUBLISHED = np.dtype([("available_at", np.int64), ("timestamp", np.int64), ("value", np.float64)])


class Observation(NamedTuple):
    """One value of one day, month or week; `day` is its first day (YYYY-MM-DD), not its publication."""

    day: str
    value: float
    published_ms: int | None  # at the latest, ms UTC; None where the source does not tell


def day_text(timestamp_ms: int) -> str:
    """Return the day, YYYY-MM-DD, of a time in ms UTC."""
    return datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC).date().isoformat()


def day_ms(day: str) -> int:
    """Return when a day YYYY-MM-DD begins, ms UTC.

    Raises
    ------
    ValueError
        It is no such day.
    """
    return (date.fromisoformat(day) - date(1970, 1, 1)).days * DAY_MS


def published_by(day: str) -> int:
    """Return when what was published on `day` was known at the latest, ms UTC."""
    return day_ms(day) + _DAY_ENDS_AFTER_MS

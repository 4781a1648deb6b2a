"""Timeframes and their grid on the UTC clock."""

from __future__ import annotations

from enum import Enum

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS


class Timeframe(Enum):
    """A candle length; the value is the exchange's interval text."""

    D1 = "1d"
    H4 = "4h"
    H1 = "1h"
    M15 = "15m"

    @property
    def ms(self) -> int:
        """Length in milliseconds."""
        return _LENGTH_MS[self]

    @property
    def table(self) -> str:
        """Name of the candle table."""
        return f"ohlcv_{self.name.lower()}"

    def open_of(self, timestamp_ms: int) -> int:
        """Return the open time of the candle that contains `timestamp_ms` (ms UTC)."""
        return timestamp_ms - timestamp_ms % self.ms

    def last_closed_open(self, now_ms: int) -> int:
        """Return the open time of the newest candle that has closed at `now_ms` (ms UTC)."""
        return self.open_of(now_ms) - self.ms


_LENGTH_MS = {
    Timeframe.D1: DAY_MS,
    Timeframe.H4: 4 * HOUR_MS,
    Timeframe.H1: HOUR_MS,
    Timeframe.M15: 15 * MINUTE_MS,
}

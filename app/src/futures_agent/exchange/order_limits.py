"""Staying under the number of orders that an account may send; the live trader alone sends any.

The exchange counts in fixed windows of ten seconds and of a minute. Here no stretch of time that long, and a
little longer, holds more: whatever the windows are, and however long an order takes, the limits then hold.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from futures_agent.clock import MINUTE_MS, SECOND_MS
from futures_agent.errors import Interrupted, Retry
from futures_agent.exchange.clock import ExchangeClock

_TRAVEL_MS = SECOND_MS  # added to each window: how much longer than the next one an order may travel


class OrderLimit(NamedTuple):
    """So many orders in so long."""

    orders: int
    window_ms: int


USUAL_LIMITS = (OrderLimit(300, 10 * SECOND_MS), OrderLimit(1200, MINUTE_MS))


class OrderLimits:
    """Counts orders before they are sent. Safe for concurrent threads.

    Attributes
    ----------
    limits : sequence of OrderLimit
        May be set when the exchange tells others.
    """

    def __init__(self, clock: ExchangeClock, limits: Sequence[OrderLimit] = USUAL_LIMITS) -> None:
        self.limits = limits
        self._clock = clock
        self._sent_ms: deque[int] = deque(maxlen=10_000)
        self._paused_until_ms = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def take(self, longest_wait_s: float) -> None:
        """Count one order, waiting up to `longest_wait_s` (host seconds) for its turn.

        Raises
        ------
        Retry
            It would have to wait longer; it is not counted.
        Interrupted
            `close` was called meanwhile.
        """
        while True:
            with self._lock:
                now_ms = self._clock.now_ms()
                free_ms = self._free_ms(now_ms)
                if free_ms <= now_ms:
                    self._sent_ms.append(now_ms)
                    return
            wait_s = self._clock.host_seconds_until(free_ms)
            if wait_s > longest_wait_s:
                raise Retry(
                    f"the limit of orders is used up for {wait_s:.1f} s; not sent",
                    after_s=(free_ms - now_ms) / 1000,
                )
            longest_wait_s -= wait_s
            if self._closed.wait(wait_s):
                raise Interrupted("stopped while waiting for the limit of orders")

    def pause(self, window_ms: int) -> None:
        """Send nothing before the exchange's current window of `window_ms` has certainly ended."""
        with self._lock:
            latest_ms = self._clock.now_ms() + self._clock.uncertainty_ms
            self._paused_until_ms = (latest_ms // window_ms + 1) * window_ms

    def close(self) -> None:
        """End every wait with Interrupted."""
        self._closed.set()

    def _free_ms(self, now_ms: int) -> int:
        """Return from when on one more order fits."""
        free_ms = 0
        if self._paused_until_ms <= now_ms + MINUTE_MS:  # else the clock was set back
            free_ms = self._paused_until_ms
        for limit in self.limits:
            window_ms = limit.window_ms + _TRAVEL_MS
            if len(self._sent_ms) >= limit.orders:
                oldest_ms = self._sent_ms[-limit.orders]
                if oldest_ms <= now_ms:
                    free_ms = max(free_ms, oldest_ms + window_ms)
        return free_ms

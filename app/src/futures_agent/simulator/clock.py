"""The venue's clock: real, faster than real, or standing still until it is stepped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from futures_agent.errors import Refuse


@dataclass(frozen=True)
class _Anchor:
    """The venue showed `venue_ms` when the host's monotonic clock showed `host_ns`."""

    venue_ms: float
    host_ns: int
    scale: float


class VenueClock:
    """A settable clock in ms UTC; every answer of the simulator takes its time from here.

    Parameters
    ----------
    start_ms : int, optional
        What it shows now; without it, the host's time.
    scale : float
        Venue seconds per host second: 1 is real time, 60 an hour a minute, 0 stands still until `step`.

    Notes
    -----
    It also is a `futures_agent.clock.Clock`: `sleep` waits until the venue's clock has moved on by that
    much, and on a standing clock it makes it do so, so that a client under test never waits for nobody.
    """

    def __init__(self, start_ms: int | None = None, scale: float = 1.0) -> None:
        start = time.time_ns() / 1e6 if start_ms is None else float(start_ms)
        self._lock = threading.Lock()
        self._anchor = _Anchor(start, time.monotonic_ns(), _checked_scale(scale))
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener`, from whatever thread, after each change that is not the mere passing of time."""
        self._listeners.append(listener)

    @property
    def scale(self) -> float:
        """Venue seconds per host second."""
        return self._anchor.scale

    def now_ms(self) -> int:
        return int(self._now(self._anchor))

    def sleep(self, seconds: float) -> None:
        scale = self.scale
        if scale == 0:
            self.step(int(seconds * 1000))
        else:
            time.sleep(seconds / scale)

    def set(self, now_ms: int) -> None:
        """Show `now_ms` from now on; going back is allowed, as clocks do."""
        with self._lock:
            self._anchor = _Anchor(float(now_ms), time.monotonic_ns(), self._anchor.scale)
        self._changed()

    def step(self, by_ms: int) -> int:
        """Jump forward by `by_ms` and return the new time (ms UTC).

        Raises
        ------
        Refuse
            If `by_ms` is negative: use `set` to go back.
        """
        if by_ms < 0:
            raise Refuse(f"clock: cannot step by {by_ms} ms; set the time to go back")
        with self._lock:
            venue_ms = self._now(self._anchor) + by_ms
            self._anchor = _Anchor(venue_ms, time.monotonic_ns(), self._anchor.scale)
        self._changed()
        return int(venue_ms)

    def set_scale(self, scale: float) -> None:
        """Run at `scale` venue seconds per host second from now on; 0 stops the clock."""
        scale = _checked_scale(scale)
        with self._lock:
            self._anchor = _Anchor(self._now(self._anchor), time.monotonic_ns(), scale)
        self._changed()

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()

    @staticmethod
    def _now(anchor: _Anchor) -> float:
        return anchor.venue_ms + (time.monotonic_ns() - anchor.host_ns) / 1e6 * anchor.scale


def _checked_scale(scale: float) -> float:
    if not 0 <= scale <= 100_000:
        raise Refuse(f"clock: scale {scale:g} is not in 0…100000; 0 stands still, 1 is real time")
    return float(scale)

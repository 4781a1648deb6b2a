"""Exchange time: what the venue's own clock says, known on the safe side."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from futures_agent.files import write_atomically

CLOCK_FILE = "clock.json"


class _Anchor(NamedTuple):
    """One moment known on both clocks."""

    exchange_ms: float
    mono_s: float
    uncertainty_ms: float


class _SavedClock(msgspec.Struct, frozen=True):
    """Exchange time as an offset from the host's wall clock, for programs that never ask the exchange."""

    offset_ms: int
    scale: float
    measured_at_ms: int  # host's wall clock


class ExchangeClock:
    """The exchange's clock, carried forward by the host's monotonic one.

    `now_ms` is never ahead of the exchange: an answer's time is taken to be that of the moment the
    answer *arrived*, so true exchange time lies in `[now_ms, now_ms + uncertainty_ms]`. What may only
    happen after a moment (a candle closing, a rate-limit window ending) therefore never happens early.

    Parameters
    ----------
    scale : float
        Seconds of exchange time per second of host time; 1 except against a simulator's fast clock.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.known = False  # False: never heard from the exchange, the host's clock stands in
        self._anchor = _Anchor(_wall_ms(), time.monotonic(), 0.0)

    def sync(self, server_ms: int, sent_mono: float, received_mono: float) -> None:
        """Set the clock from one answer of the exchange.

        Parameters
        ----------
        server_ms : int
            `serverTime` of the answer, ms UTC.
        sent_mono, received_mono : float
            `time.monotonic()` just before the request and just after its answer.
        """
        uncertainty_ms = (received_mono - sent_mono) * 1000 * self.scale
        self._anchor = _Anchor(server_ms, received_mono, uncertainty_ms)
        self.known = True

    def advance_to(self, exchange_ms: int) -> None:
        """Show at least `exchange_ms`, a time that the exchange was just heard to tell in a message.

        So a simulator's clock that jumps is followed as soon as anything is heard; it never goes back.
        """
        heard = _Anchor(exchange_ms, time.monotonic(), self._anchor.uncertainty_ms)
        if self.at_ms(heard.mono_s) < exchange_ms:
            self._anchor = heard

    def pace(self, server_ms: int, sent_mono: float, received_mono: float) -> tuple[float, float]:
        """Return the least and the most that `scale` can have been since `sync`, by one more answer.

        Parameters
        ----------
        server_ms, sent_mono, received_mono
            As for `sync`.
        """
        anchor = self._anchor
        longest_s = received_mono - anchor.mono_s + anchor.uncertainty_ms / 1000 / self.scale
        shortest_s = sent_mono - anchor.mono_s
        gained_s = (server_ms - anchor.exchange_ms) / 1000
        cut_s = 0.001  # both ends are cut to whole milliseconds
        most = (gained_s + cut_s) / shortest_s if shortest_s > 0 else float("inf")
        return (gained_s - cut_s) / longest_s, most

    @property
    def uncertainty_ms(self) -> int:
        """How far, at most, the exchange may be ahead of `now_ms`."""
        return int(self._anchor.uncertainty_ms) + 2  # both ends are cut to whole milliseconds

    def now_ms(self) -> int:
        """Return exchange time in ms UTC."""
        return self.at_ms(time.monotonic())

    def at_ms(self, mono_s: float) -> int:
        """Return exchange time, ms UTC, at a moment of the host's `time.monotonic()`."""
        anchor = self._anchor  # one read: another thread may set it meanwhile
        return int(anchor.exchange_ms + (mono_s - anchor.mono_s) * 1000 * self.scale)

    def host_seconds_until(self, exchange_ms: int) -> float:
        """Return how long, in host seconds, until `exchange_ms`; 0 when it has passed."""
        return max(0.0, (exchange_ms - self.now_ms()) / 1000 / self.scale)

    def save(self, path: Path) -> None:
        """Write the offset to `path`, whole or not at all.

        Raises
        ------
        Refuse, Retry
            The file cannot be written (for good, or because the disk is full).
        """
        wall_ms = _wall_ms()
        saved = _SavedClock(round(self.now_ms() - wall_ms), self.scale, round(wall_ms))
        write_atomically(path, msgspec.json.encode(saved) + b"\n")  # no secret: other users' programs read it

    @classmethod
    def load(cls, path: Path) -> ExchangeClock:
        """Return exchange time as last saved, extrapolated; without a readable file, the host's clock."""
        try:
            saved = msgspec.json.decode(path.read_bytes(), type=_SavedClock)
        except (OSError, msgspec.DecodeError):
            return cls()
        clock = cls(saved.scale)
        elapsed_ms = (_wall_ms() - saved.measured_at_ms) * saved.scale
        clock._anchor = _Anchor(saved.measured_at_ms + saved.offset_ms + elapsed_ms, time.monotonic(), 0.0)
        clock.known = True
        return clock


def _wall_ms() -> float:
    return time.time_ns() / 1_000_000

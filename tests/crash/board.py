"""What a venue and a trader in another process tell each other past the exchange: the time, how far it is."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path
from typing import Any, NamedTuple

from futures_agent.exchange.clock import ExchangeClock
from futures_agent.live.steps import Step
from futures_agent.simulator.clock import VenueClock

_TIME = struct.Struct("qdqd")  # a number that is odd while it is written, venue ms, host ns, scale
_REPORT = struct.Struct("qqqq")
_HITS = struct.Struct(f"{len(Step)}q")
_REPORT_AT = _TIME.size
_HITS_AT = _REPORT_AT + _REPORT.size
_SIZE = _HITS_AT + _HITS.size


class Told(NamedTuple):
    """How far the trader is; what a killed one told last stays."""

    running_ms: int = 0  # venue time at which its work loop began; 0: it has not
    last_close_ms: int = 0
    idle: int = 0
    beats: int = 0  # how often it has told


class Board:
    """A file that both processes have in memory."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)

    def show_time(self, clock: VenueClock) -> None:
        serial = _TIME.unpack_from(self._memory)[0] + 1
        terms = (float(clock.now_ms()), time.monotonic_ns(), clock.scale)
        _TIME.pack_into(self._memory, 0, serial, *terms)
        _TIME.pack_into(self._memory, 0, serial + 1, *terms)

    def time_ms(self) -> int:
        while True:
            serial, venue_ms, host_ns, scale = _TIME.unpack_from(self._memory)
            if serial % 2 == 0 and serial == _TIME.unpack_from(self._memory)[0]:
                return int(venue_ms + (time.monotonic_ns() - host_ns) / 1e6 * scale)

    def tell(self, told: Told) -> None:
        _REPORT.pack_into(self._memory, _REPORT_AT, *told)

    @property
    def told(self) -> Told:
        return Told(*_REPORT.unpack_from(self._memory, _REPORT_AT))

    def count(self, step: Step) -> int:
        """Count one more occurrence of `step`; return how many there have been in this life."""
        at = _HITS_AT + 8 * list(Step).index(step)
        hits: int = struct.unpack_from("q", self._memory, at)[0] + 1
        struct.pack_into("q", self._memory, at, hits)
        return hits

    def hits(self) -> dict[Step, int]:
        return dict(zip(Step, _HITS.unpack_from(self._memory, _HITS_AT), strict=True))

    def begin_life(self) -> None:
        self.tell(Told())
        _HITS.pack_into(self._memory, _HITS_AT, *([0] * len(Step)))


class BoardClock(ExchangeClock):
    """Exchange time that is the venue's own, read from the board: jumps are seen by both at once."""

    def __init__(self, board: Board, scale: float) -> None:
        super().__init__(scale)
        self._board = board
        self.known = True

    def sync(self, server_ms: int, sent_mono: float, received_mono: float) -> None:
        pass

    def advance_to(self, exchange_ms: int) -> None:
        pass

    def pace(self, server_ms: int, sent_mono: float, received_mono: float) -> tuple[float, float]:
        return self.scale, self.scale

    @property
    def uncertainty_ms(self) -> int:
        return 2

    def now_ms(self) -> int:
        return self._board.time_ms()

    def at_ms(self, mono_s: float) -> int:
        return self.now_ms() + int((mono_s - time.monotonic()) * 1000 * self.scale)

    def save(self, path: Path) -> None:
        pass


def stand_in_for(clock: ExchangeClock) -> Any:
    """Return what to put in the place of the class `ExchangeClock`: everybody gets `clock`."""

    class StandIn:
        def __new__(cls, scale: float = 1.0) -> Any:
            return clock

        @classmethod
        def load(cls, path: Path) -> ExchangeClock:
            return clock

    return StandIn

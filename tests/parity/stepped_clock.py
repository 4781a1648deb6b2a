"""Exchange time that is the simulator's own: it moves when the simulator is stepped, and not otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from futures_agent.exchange.clock import ExchangeClock
from futures_agent.simulator.clock import VenueClock


class SteppedClock(ExchangeClock):
    """Shows what the venue's clock shows."""

    def __init__(self, venue: VenueClock) -> None:
        super().__init__()
        self._venue = venue
        self.known = True

    def sync(self, server_ms: int, sent_mono: float, received_mono: float) -> None:
        self.known = True

    def pace(self, server_ms: int, sent_mono: float, received_mono: float) -> tuple[float, float]:
        return self.scale, self.scale

    @property
    def uncertainty_ms(self) -> int:
        return 0

    def now_ms(self) -> int:
        return self._venue.now_ms()

    def at_ms(self, mono_s: float) -> int:
        return self._venue.now_ms()

    def advance_to(self, exchange_ms: int) -> None:
        pass

    def host_seconds_until(self, exchange_ms: int) -> float:
        return 0.0 if exchange_ms <= self._venue.now_ms() else 1.0

    def save(self, path: Path) -> None:
        pass


def stand_in_for(clock: SteppedClock) -> Any:
    """Return what to put in the place of the class `ExchangeClock`: everybody gets `clock`."""

    class StandIn:
        def __new__(cls, scale: float = 1.0) -> Any:
            return clock

        @classmethod
        def load(cls, path: Path) -> ExchangeClock:
            return clock

    return StandIn

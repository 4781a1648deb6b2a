"""Which faults are in force, which of them strikes next, and how often each has struck."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from zlib import crc32

import msgspec
import numpy as np
from msgspec import Meta, Struct

from futures_agent.simulator.noise import uniform

_KEPT_PAST = 1_000


class Planned(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every fault has in common.

    Attributes
    ----------
    from_ms : int
        Venue time (ms UTC) from which it may strike.
    """

    from_ms: Annotated[int, Meta(ge=0)] = 0


class Spell(Planned, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault that lies in wait for occasions, and strikes some of them.

    Attributes
    ----------
    until_ms : int, optional
        Venue time (ms UTC) from which it strikes no more.
    count : int, optional
        It strikes so many times; None: without end.
    probability : float
        Of striking at one occasion; drawn from the plan's seed, the fault's number and the occasion's.
    """

    until_ms: int | None = None
    count: Annotated[int, Meta(ge=1)] | None = 1
    probability: Annotated[float, Meta(gt=0, le=1)] = 1.0


class Act(Planned, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that the venue does by itself, once, when its time has come."""


S = TypeVar("S", bound=Spell)


@dataclass
class Entry:
    """One fault of a plan, and what became of it.

    Attributes
    ----------
    number : int
        From 1, in the order in which the faults were added.
    occasions, engaged : int
        How often it could have struck, and how often it did.
    note : str
        Why it could not, where it tried in vain.
    """

    number: int
    fault: Planned
    occasions: int = 0
    engaged: int = 0
    note: str = ""

    @property
    def planned(self) -> int | None:
        """How often it is to strike; None without end."""
        return self.fault.count if isinstance(self.fault, Spell) else 1

    @property
    def left(self) -> int | None:
        """How often it is still to strike; None without end."""
        if isinstance(self.fault, Act) and self.occasions:
            return 0
        return None if self.planned is None else self.planned - self.engaged

    def state(self, now_ms: int) -> str:
        """Return `waiting`, `in force`, `used up`, `over` (its time passed) or `failed`."""
        if self.note:
            return "failed"
        if self.left == 0:
            return "used up"
        if now_ms < self.fault.from_ms:
            return "waiting"
        until_ms = self.fault.until_ms if isinstance(self.fault, Spell) else None
        return "over" if until_ms is not None and now_ms >= until_ms else "in force"


class FaultPlan:
    """The faults of one venue, oldest first.

    Parameters
    ----------
    seed : int
        What probabilities are drawn from; the same seed, faults and occasions give the same strikes.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._past: deque[Entry] = deque(maxlen=_KEPT_PAST)
        self._added = 0

    def add(self, fault: Planned) -> int:
        """Plan `fault` and return its number."""
        with self._lock:
            self._added += 1
            self._entries.append(Entry(self._added, fault))
            return self._added

    def clear(self) -> None:
        """Forget every fault, and what became of it."""
        with self._lock:
            self._entries.clear()
            self._past.clear()

    def engage(self, kind: type[S], now_ms: int, applies: Callable[[S], bool]) -> S | None:
        """Return the oldest fault of that kind that strikes this occasion, None where all spare it.

        Parameters
        ----------
        kind : type
        now_ms : int
            Venue time, ms UTC.
        applies : callable
            Whether this is an occasion for a fault.
        """
        with self._lock:
            for entry in self._entries:
                fault = entry.fault
                if not isinstance(fault, kind) or entry.state(now_ms) != "in force" or not applies(fault):
                    continue
                entry.occasions += 1
                if fault.probability < 1 and self._draw(entry) >= fault.probability:
                    continue
                entry.engaged += 1
                if entry.left == 0:
                    self._retire(entry)
                return fault
        return None

    def due(self, now_ms: int) -> list[tuple[int, Entry]]:
        """Return the acts whose time has come, each once, and when it had, in order of time.

        Those without a time are due now. Who performs them counts it (`Entry.engaged`) or says why not.
        """
        with self._lock:
            due = [
                entry
                for entry in self._entries
                if isinstance(entry.fault, Act) and entry.fault.from_ms <= now_ms
            ]
            for entry in due:
                entry.occasions += 1
                self._retire(entry)
        return sorted(((entry.fault.from_ms or now_ms, entry) for entry in due), key=lambda each: each[0])

    def pending(self) -> int:
        """Return how many strikes are still to come, of the faults that have an end."""
        with self._lock:
            return sum(entry.left or 0 for entry in self._entries)

    def left(self, fault: Planned) -> int:
        """Return how often `fault`, the very object that was added, is still to strike."""
        with self._lock:
            return sum(entry.left or 0 for entry in self._entries if entry.fault is fault)

    def rows(self, now_ms: int) -> list[dict[str, Any]]:
        """Return every fault that is planned or was lately: number, state, planned, engaged, and itself."""
        with self._lock:
            entries = sorted([*self._past, *self._entries], key=lambda entry: entry.number)
            return [
                {
                    "number": entry.number,
                    "state": entry.state(now_ms),
                    "planned": entry.planned,
                    "engaged": entry.engaged,
                    **({"note": entry.note} if entry.note else {}),
                    **msgspec.to_builtins(entry.fault),
                }
                for entry in entries
            ]

    def _draw(self, entry: Entry) -> float:
        key = crc32(f"{self._seed}/fault/{entry.number}".encode())
        return float(uniform(key, np.array([entry.occasions], dtype=np.int64))[0])

    def _retire(self, entry: Entry) -> None:
        self._entries.remove(entry)
        self._past.append(entry)

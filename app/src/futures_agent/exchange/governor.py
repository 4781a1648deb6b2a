"""Staying under the exchange's request-weight limit, together with every other program of the host.

The exchange counts weight per address in fixed clock minutes, so the count belongs to the host and not to
a process: it lives in one small file that every process updates under a lock. A request is charged
before it is sent. One whose answer was not in hand while the exchange was certainly still in that minute
may have been counted in the next one, and is charged there as well. As `ExchangeClock` is never ahead of the
exchange, the host's own requests then cannot exceed the budget in any minute, whatever they took to travel.

The live trader comes first. Jobs send only while the host's use stays under a lower share of the limit than
the live trader's: whatever they do, the difference between the two shares is there for it, in every minute.

Some endpoints weigh nothing and are counted in pools of their own, so many requests in so many minutes. Where
the exchange's windows begin and end is not documented, so at most half of a pool is used in one of ours: two
adjacent ones together then hold no more than the limit, wherever the exchange's lies.
"""

from __future__ import annotations

import fcntl
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from futures_agent.clock import DAY_MS, MINUTE_MS, utc_text
from futures_agent.errors import Interrupted, Refuse, Retry
from futures_agent.exchange.clock import ExchangeClock
from futures_agent.files import explain_os_error, make_directory

STATE_FILE = "weight.state"
MAX_BAN_MS = 3 * DAY_MS  # the exchange's longest; anything beyond is damage or another clock's
LONGEST_BAN_WAIT_MS = 90_000  # a longer one is the caller's to wait for
MAX_WINDOWS_WAITED = 10
LONGEST_LOCK_WAIT_S = 10.0
_RECORD_BYTES = 128  # a record is padded to a multiple of it, so that a short one replaces a longer one
_LONGEST_RECORD_BYTES = 1024
_WAKE_S = 0.5  # how often a waiting thread says so, in host seconds
_SHORTEST_PAUSE_S = 0.0002  # between two looks at a lock that others hold; doubled from look to look

MOST_OF_A_POOL = 0.5

Count = Annotated[int, msgspec.Meta(ge=0)]


class Pool(NamedTuple):
    """A limit on the number of requests, beside the weight; shared by every program of the host."""

    name: str
    limit: int
    window_ms: int


class Reservation(NamedTuple):
    """Weight charged to one minute, until its answer is in."""

    window: int
    weight: int


class _Drawn(msgspec.Struct, array_like=True):
    """What the host has drawn from one pool in the window that ends then."""

    ends_ms: Count
    requests: Count


class _State(msgspec.Struct):
    """What the host has used in one minute of exchange time, and how long it must keep still."""

    window: Count  # minutes since 1970
    used: Count
    in_flight: Count = 0  # part of `used` that the exchange may yet count in the next minute
    ban_until_ms: Count = 0
    pools: dict[str, _Drawn] | msgspec.UnsetType = msgspec.UNSET


class WeightGovernor:
    """The host's weight budget: reserve before sending, settle with the answer, obey bans.

    Parameters
    ----------
    state_dir : Path
        Directory of the shared state file; made if absent.
    limit_per_min : int
        The exchange's limit; `limit_per_min` may be set again when the exchange states another.
    share : float
        Part of the limit up to which this program may bring the host's use, in (0, 1].
    clock : ExchangeClock
    on_wait : callable, optional
        Called with the end of the wait (ms UTC, exchange time) at its start and about twice a second,
        from the waiting thread. What it raises ends the wait.

    Raises
    ------
    Refuse, Retry
        The state file cannot be written (for good, or because the disk is full).
    """

    def __init__(
        self,
        state_dir: Path,
        limit_per_min: int,
        share: float,
        clock: ExchangeClock,
        *,
        on_wait: Callable[[int], None] | None = None,
    ) -> None:
        self.limit_per_min = limit_per_min
        self._share = share
        self._clock = clock
        self._on_wait = on_wait
        self._path = state_dir / STATE_FILE
        self._closed = threading.Event()
        make_directory(state_dir)
        os.close(self._open())  # an unwritable file is a fault of the start, not of the first request

    @property
    def budget(self) -> int:
        """Weight per minute to which this program may bring the host's use."""
        return int(self.limit_per_min * self._share)

    def reserve(self, weight: int, *, longest_wait_s: float = math.inf) -> Reservation:
        """Charge `weight` to the current minute, waiting for the next one while it does not fit.

        What weighs nothing waits for no minute, only for the end of a ban.

        Parameters
        ----------
        weight : int
        longest_wait_s : float
            Host seconds, all waits together; one that would take longer does not begin.

        Raises
        ------
        Retry
            A ban or the minute outlasts a bounded wait, others used up every minute for too long, or one of
            them keeps the state locked.
        Refuse
            `weight` is more than the budget of a whole minute.
        Interrupted
            `close` was called meanwhile.
        """
        if weight > self.budget:
            raise Refuse(
                f"exchange.weight_limit_share: a request of weight {weight} does not fit into "
                f"{self._share:g} of {self.limit_per_min} per minute; raise the share"
            )
        for _ in range(MAX_WINDOWS_WAITED):
            with self._locked() as state:
                self._raise_if_banned(state.ban_until_ms)
                if state.ban_until_ms > self._clock.now_ms():
                    wait_until_ms = state.ban_until_ms
                elif not weight or state.used + weight <= self.budget:
                    state.used += weight
                    state.in_flight += weight
                    return Reservation(state.window, weight)
                else:
                    wait_until_ms = (state.window + 1) * MINUTE_MS
            longest_wait_s -= self._clock.host_seconds_until(wait_until_ms)
            if longest_wait_s < 0:
                raise Retry(
                    f"the exchange's rate limit lets nothing pass until {utc_text(wait_until_ms)}; not sent",
                    after_s=(wait_until_ms - self._clock.now_ms()) / 1000,
                )
            self._wait_until(wait_until_ms)
        raise Retry(
            f"the exchange's weight budget ({self.budget} per minute) stayed used up for "
            f"{MAX_WINDOWS_WAITED} minutes; see which other programs use this address"
        )

    def settle(self, reservation: Reservation, used_weight: int | None) -> None:
        """Take note of an answer: `used_weight` is its X-MBX-USED-WEIGHT-1M, None if there was none.

        Raises
        ------
        Retry
            Another program keeps the state locked; so do `exhaust` and `ban`.
        Interrupted
            `close` was called while it was.
        """
        with self._locked() as state:
            if state.window != reservation.window:
                return  # already charged to this minute too; the header may speak of the one before
            if self._clock.now_ms() + self._clock.uncertainty_ms < (state.window + 1) * MINUTE_MS:
                state.in_flight = max(0, state.in_flight - reservation.weight)
            if used_weight is not None:
                state.used = max(state.used, used_weight)

    def draw(self, pool: Pool) -> None:
        """Count one request against `pool`, waiting for its next window while this one is used up.

        Raises
        ------
        Retry
            A ban outlasts a bounded wait, or others used up the pool for too long.
        Interrupted
            `close` was called meanwhile.
        """
        budget = max(1, int(pool.limit * min(self._share, MOST_OF_A_POOL)))
        for _ in range(MAX_WINDOWS_WAITED):
            with self._locked() as state:
                self._raise_if_banned(state.ban_until_ms)
                drawn = self._drawn(state, pool)
                if state.ban_until_ms > self._clock.now_ms():
                    wait_until_ms = state.ban_until_ms
                elif drawn.requests < budget:
                    drawn.requests += 1
                    return
                else:
                    wait_until_ms = drawn.ends_ms
            self._wait_until(wait_until_ms)
        raise Retry(f"the exchange's limit for {pool.name} ({budget} requests of ours) stayed used up")

    def exhaust(self, pool: Pool, until_ms: int | None) -> None:
        """Draw no more from `pool` before `until_ms` (ms UTC, exchange time), or the end of its window."""
        with self._locked(durable=True) as state:
            drawn = self._drawn(state, pool)
            longest_ms = self._clock.now_ms() + MAX_BAN_MS
            drawn.requests = pool.limit
            drawn.ends_ms = max(drawn.ends_ms, min(until_ms or 0, longest_ms))

    def ban(self, until_ms: int) -> int:
        """Keep every program of the host from sending until `until_ms` (ms UTC, exchange time).

        Returns
        -------
        int
            When the ban ends: later where a longer one is in force, three days from now at the latest.
        """
        with self._locked(durable=True) as state:
            capped = min(until_ms, self._clock.now_ms() + MAX_BAN_MS)
            state.ban_until_ms = max(state.ban_until_ms, capped)
            return state.ban_until_ms

    def next_window_ms(self) -> int:
        """Return when the exchange's next minute has certainly begun, ms UTC."""
        now_ms = self._clock.now_ms() + self._clock.uncertainty_ms
        return now_ms - now_ms % MINUTE_MS + MINUTE_MS

    def close(self) -> None:
        """End every wait with Interrupted."""
        self._closed.set()

    def _drawn(self, state: _State, pool: Pool) -> _Drawn:
        """Return what was drawn from `pool` in its current window."""
        if state.pools is msgspec.UNSET:
            state.pools = {}
        now_ms = self._clock.now_ms()
        drawn = state.pools.get(pool.name)
        if drawn is None or not now_ms < drawn.ends_ms <= now_ms + 2 * MAX_BAN_MS:
            ends_ms = (now_ms // pool.window_ms + 1) * pool.window_ms
            drawn = state.pools[pool.name] = _Drawn(ends_ms, 0)
        return drawn

    def _raise_if_banned(self, ban_until_ms: int) -> None:
        """Raise Retry if `ban_until_ms` is too far away to wait for here."""
        left_ms = ban_until_ms - self._clock.now_ms()
        if left_ms > LONGEST_BAN_WAIT_MS:
            raise Retry(
                f"the exchange has banned this address until {utc_text(ban_until_ms)}; nothing is sent",
                after_s=left_ms / 1000,
            )

    def _wait_until(self, until_ms: int) -> None:
        while self._clock.now_ms() < until_ms:
            if self._on_wait is not None:
                self._on_wait(until_ms)
            if self._closed.wait(min(self._clock.host_seconds_until(until_ms), _WAKE_S)):
                raise Interrupted("stopped while waiting for the exchange's rate limit")

    @contextmanager
    def _locked(self, *, durable: bool = False) -> Iterator[_State]:
        """Yield the state of the current minute under the host-wide lock; write it unless an error leaves."""
        descriptor = self._open()
        try:
            self._lock(descriptor)
            raw = os.pread(descriptor, _LONGEST_RECORD_BYTES, 0)
            state = self._current(raw)
            yield state
            self._write(descriptor, raw, state)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        """Take the lock, which others keep for microseconds, unless one of them is frozen inside."""
        deadline = time.monotonic() + LONGEST_LOCK_WAIT_S
        pause_s = _SHORTEST_PAUSE_S
        while not _try_lock(descriptor):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise Retry(
                    f"{self._path}: another program has kept it locked for {LONGEST_LOCK_WAIT_S:g} s; "
                    f"see which one hangs: fuser -v {self._path}"
                )
            if pause_s >= _WAKE_S and self._on_wait is not None:
                self._on_wait(self._clock.now_ms() + int(left_s * 1000 * self._clock.scale))
            if self._closed.wait(pause_s):
                raise Interrupted(f"stopped while waiting for {self._path}")
            pause_s = min(2 * pause_s, _WAKE_S)

    def _open(self) -> int:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
            if os.fstat(descriptor).st_uid == os.geteuid():
                os.fchmod(descriptor, 0o660)  # whatever the umask: other users' programs count here too
        except OSError as error:
            raise explain_os_error(error, self._path) from None
        return descriptor

    def _write(self, descriptor: int, before: bytes, state: _State) -> None:
        encoded = msgspec.json.encode(state)
        size = (len(encoded) // _RECORD_BYTES + 1) * _RECORD_BYTES
        record = encoded.ljust(size - 1) + b"\n"
        try:
            # One write over the whole record: a kill leaves the old state or the new one.
            os.pwrite(descriptor, record, 0)
            if len(before) > size:
                os.ftruncate(descriptor, size)
        except OSError as error:
            raise explain_os_error(error, self._path) from None

    def _current(self, raw: bytes) -> _State:
        """Return the state read from `raw`, brought to the current minute."""
        now_ms = self._clock.now_ms()
        window = now_ms // MINUTE_MS
        if not raw:
            return _State(window, 0)
        try:
            state = msgspec.json.decode(raw, type=_State)
        except msgspec.DecodeError:
            # What was used in this minute is unknown: use no more of it.
            return _State(window, self.limit_per_min)
        latest_ms = now_ms + self._clock.uncertainty_ms
        if state.ban_until_ms > latest_ms + MAX_BAN_MS:
            state.ban_until_ms = 0
        if state.window < window:
            # What was in the air at the edge may have landed on this side of it.
            carried = state.in_flight if state.window == window - 1 else 0
            state.window, state.used, state.in_flight = window, carried, 0
        elif state.window * MINUTE_MS > latest_ms + MINUTE_MS:
            # Not another process with a better clock, but a file from another time line.
            state.window, state.in_flight = window, 0
        return state


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""Fetching candles with several threads: pages flow to the one thread that writes the database."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

import msgspec
import numpy as np

from futures_agent.errors import AgentError, Interrupted, Refuse, Retry
from futures_agent.exchange.client import MarketDataClient
from futures_agent.jobs.candle_plan import SeriesPlan
from futures_agent.market.candle import Candles
from futures_agent.market.quality import Hole, holes_in
from futures_agent.program.job import Job
from futures_agent.settings import Settings, SyncSettings

T = TypeVar("T")
_PAGES_IN_FLIGHT = 64  # bounds memory: the database may be slower than the exchange
_LONGEST_WAIT_S = 600.0  # a longer ban ends the run; the next one tries again


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of a series, on its way to the database."""

    series: SeriesPlan
    candles: Candles | None = None
    asked: Hole | None = None  # a range that is finished
    absent: tuple[Hole, ...] = ()  # what the exchange does not have of it
    fault: str | None = None


class Attempts:
    """Calling the exchange again after transient faults, with growing, jittered waits.

    Parameters
    ----------
    settings : SyncSettings
    stopping : threading.Event
        Ends every wait.
    time_scale : float
        How much faster than the host's clock the exchange's runs (1, except with a simulator).
    limit_s : float, optional
        So many host seconds from now on nothing is tried again, and `check_time` raises.
    """

    def __init__(
        self,
        settings: SyncSettings,
        stopping: threading.Event,
        time_scale: float,
        *,
        limit_s: float = float("inf"),
    ) -> None:
        self._settings = settings
        self._stopping = stopping
        self._scale = time_scale
        self._limit_s = limit_s
        self._deadline = time.monotonic() + limit_s
        self._waits: dict[int, float] = {}  # thread -> end of its declared, bounded wait

    def check_time(self) -> None:
        """Raise Retry once the limit is past."""
        if time.monotonic() > self._deadline:
            raise Retry(f"not done within {self._limit_s:g} s; what was fetched is stored")

    def waiting_until(self, until_monotonic_s: float) -> None:
        """Declare that the calling thread waits, at most until then (`time.monotonic`)."""
        self._waits[threading.get_ident()] = until_monotonic_s

    def any_waiting(self) -> bool:
        """Return whether some thread is inside a wait that has a bound."""
        now = time.monotonic()
        return any(until > now for until in list(self._waits.values()))

    def call(self, fetch: Callable[[], T], what: str, *, on_idle: Callable[[], None] | None = None) -> T:
        """Return `fetch()`, tried as often as the settings say.

        Raises
        ------
        Retry
            The last attempt failed too.
        Interrupted
            Told to stop while waiting.
        """
        for attempt in range(1, self._settings.attempts + 1):
            if self._stopping.is_set():
                raise Interrupted("told to stop")
            try:
                return fetch()
            except Retry as error:
                pause_s = self._pause_s(attempt, error)
                too_long = pause_s > min(_LONGEST_WAIT_S, self._deadline - time.monotonic())
                if attempt == self._settings.attempts or too_long:
                    raise Retry(f"{error} ({what}, attempt {attempt})", after_s=error.after_s) from None
                self._wait(pause_s, on_idle)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _pause_s(self, attempt: int, error: Retry) -> float:
        planned = self._settings.retry_wait_s * self._settings.retry_wait_factor ** (attempt - 1)
        planned *= 1 + random.uniform(0, self._settings.retry_jitter)
        return max(planned, error.after_s or 0.0) / self._scale

    def _wait(self, seconds: float, on_idle: Callable[[], None] | None) -> None:
        deadline = time.monotonic() + seconds
        self.waiting_until(deadline)
        while (left := deadline - time.monotonic()) > 0:
            if on_idle is not None:
                on_idle()
            if self._stopping.wait(min(left, 1.0)):
                raise Interrupted("told to stop while waiting to try again")


def fetch_all(
    client: MarketDataClient,
    plans: Sequence[SeriesPlan],
    settings: Settings,
    attempts: Attempts,
    job: Job,
    take: Callable[[Fetched], None],
) -> None:
    """Fetch every range of every plan; `take` is called in this thread with each piece.

    Raises
    ------
    Interrupted
        Told to stop: what was taken is stored.
    Retry
        The limit of `attempts` is past: what was taken is stored.
    Refuse
        The settings are wrong in a way that every series would meet.
    """
    pieces: queue.Queue[Fetched] = queue.Queue(_PAGES_IN_FLIGHT)
    abandoned = threading.Event()

    def put(piece: Fetched) -> None:
        while not abandoned.is_set():
            try:
                return pieces.put(piece, timeout=0.2)
            except queue.Full:
                continue
        raise Interrupted("the writer stopped")

    def work(series: SeriesPlan) -> None:
        try:
            _fetch_series(client, series, settings.sync.page_limit, attempts, put)
        except (Interrupted, Refuse):
            raise
        except AgentError as error:  # this series failed; the others go on
            put(Fetched(series=series, fault=str(error)))

    with ThreadPoolExecutor(settings.exchange.concurrency, thread_name_prefix="fetch") as pool:
        futures = [pool.submit(work, series) for series in plans]
        try:
            _drain(futures, pieces, attempts, job, take)
        except BaseException:
            client.close()  # or the pool would wait for workers that wait for the rate limit
            raise
        finally:
            abandoned.set()
            for future in futures:
                future.cancel()


def _drain(
    futures: list[Future[None]],
    pieces: queue.Queue[Fetched],
    attempts: Attempts,
    job: Job,
    take: Callable[[Fetched], None],
) -> None:
    """Take pieces until all work is done; the first worker that raised ends it all."""
    while True:
        attempts.check_time()
        # Asked before the queue is: what a finished worker put is in the queue by then.
        finished = all(future.done() for future in futures)
        try:
            take(pieces.get(timeout=0.0 if finished else 0.2))
        except queue.Empty:
            job.check_stop()
            if attempts.any_waiting():
                job.reporter.alive()
            done, _ = wait(futures, timeout=0, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            if finished:
                return
        else:
            job.check_stop()


def _fetch_series(
    client: MarketDataClient,
    series: SeriesPlan,
    page_limit: int,
    attempts: Attempts,
    put: Callable[[Fetched], None],
) -> None:
    """Fetch the ranges of one series, oldest first, page by page."""
    step = series.timeframe.ms
    what = f"{series.symbol} {series.timeframe.name}"
    for asked in series.ranges:
        first, last = asked
        cursor = first
        received = [np.array([first - step])]
        while cursor <= last:
            limit = min(page_limit, (last - cursor) // step + 1)

            def page(cursor: int = cursor, last: int = last, limit: int = limit) -> Candles:
                return client.closed_candles(
                    series.symbol, series.timeframe, start_ms=cursor, end_ms=last, limit=limit
                )

            candles = attempts.call(page, what)
            if candles.size == 0:
                break
            received.append(candles["timestamp"])
            put(Fetched(series=series, candles=candles))
            cursor = int(candles["timestamp"][-1]) + step
        if last < series.last:  # at the end of a series the exchange may merely be late
            received.append(np.array([last + step]))
        absent = holes_in(np.concatenate(received), series.timeframe)
        put(Fetched(series=series, asked=asked, absent=tuple(absent)))

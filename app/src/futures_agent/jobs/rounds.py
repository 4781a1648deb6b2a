"""Asking many sources for many things in rounds: what failed in one is asked for again in the next.

Waiting once for all that failed, rather than for each, bounds the time a dead source can cost; so does
giving a source up for the round when it has failed several times in a row.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import apsw
import msgspec

from futures_agent.clock import SystemClock
from futures_agent.errors import AgentError, Interrupted, Retry
from futures_agent.program.job import Job

Store = Callable[[apsw.Connection], int]  # writes what was fetched; returns how many rows changed

_log = logging.getLogger(__name__)
_FAULTS_IN_A_ROW = 3
_LATEST_ROUND_S = 420.0  # a round that would begin later does not begin: the job has ten minutes


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to ask one source for; `fetch` runs in a thread of its own."""

    source: str
    item: str
    fetch: Callable[[], Store]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a task: something to store, or why there is nothing."""

    task: Task
    store: Store | None = None
    fault: AgentError | None = None


def fetch_in_rounds(
    job: Job,
    tasks: Sequence[Task],
    *,
    waits_s: Sequence[float],
    workers: int,
    waiting: Callable[[], bool],
    take: Callable[[Answer], None],
) -> None:
    """Run every task; `take` gets each one's last answer, in the calling thread.

    Parameters
    ----------
    waits_s : sequence of float
        Before each further round for what failed with `Retry`. Other faults are final at once.
    waiting : callable
        Says whether some worker is inside a wait that has a bound: that feeds the watchdog too.

    Raises
    ------
    Interrupted
        The job was told to stop.
    """
    left = list(tasks)
    for wait_s in (*waits_s, None):  # before the next round; after the last one there is none
        failed = []
        for done, answer in enumerate(_round(job, left, workers, waiting), start=1):
            job.reporter.advance(done, len(left), f"{answer.task.source} {answer.task.item}")
            if isinstance(answer.fault, Retry):
                failed.append(answer)
            else:
                take(answer)
        if not failed:
            return
        if wait_s is None or _elapsed_s(job) + wait_s > _LATEST_ROUND_S:
            break
        _log.info("%d of %d failed, such as: %s", len(failed), len(left), failed[0].fault)
        job.reporter.status(f"{len(failed)} of {len(left)} failed; asking again in {wait_s:.0f} s")
        job.wait(wait_s)
        left = [answer.task for answer in failed]
    for answer in failed:
        take(answer)


def _elapsed_s(job: Job) -> float:
    return (SystemClock().now_ms() - job.started_ms) / 1000


class _Sources:
    """Which sources have failed too often in a row to be asked again in this round."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[str, int] = {}
        self._last: dict[str, Retry] = {}

    def given_up(self, source: str) -> Retry | None:
        with self._lock:
            return self._last[source] if self._faults.get(source, 0) >= _FAULTS_IN_A_ROW else None

    def failed(self, source: str, fault: Retry) -> None:
        with self._lock:
            self._faults[source] = self._faults.get(source, 0) + 1
            self._last[source] = fault

    def answered(self, source: str) -> None:
        with self._lock:
            self._faults[source] = 0


def _round(job: Job, tasks: Sequence[Task], workers: int, waiting: Callable[[], bool]) -> Iterator[Answer]:
    """Yield the answers of one round as they come."""
    sources = _Sources()

    def work(task: Task) -> Answer:
        if fault := sources.given_up(task.source):
            return Answer(task=task, fault=fault)
        try:
            store = task.fetch()
        except Interrupted:
            raise
        except Retry as error:
            sources.failed(task.source, error)
            return Answer(task=task, fault=error)
        except AgentError as error:  # this one is refused; the source is there
            sources.answered(task.source)
            return Answer(task=task, fault=error)
        sources.answered(task.source)
        return Answer(task=task, store=store)

    with ThreadPoolExecutor(workers, thread_name_prefix="fetch") as pool:
        running = {pool.submit(work, task) for task in tasks}
        try:
            while running:
                done, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                job.check_stop()
                if waiting():
                    job.reporter.alive()
                for future in done:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()

"""sentiment-macro: bring funding, the exchange's statistics and the macro series up to date.

Each source is asked from where its stored values end. A source that is dead, or needs a key that is not
there, is named in the outcome line; the others go on. Only when none answers has the job failed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import apsw

from futures_agent.errors import AgentError, ExitCode, SkipSymbol
from futures_agent.exchange.sentiment import SentimentClient
from futures_agent.files import make_directory
from futures_agent.jobs.macro_plan import macro_tasks
from futures_agent.jobs.rounds import Answer, Store, Task, fetch_in_rounds
from futures_agent.jobs.sentiment_plan import sentiment_tasks
from futures_agent.macro.web import WebSource
from futures_agent.program.job import Job, Outcome, run_job, took
from futures_agent.settings import Settings
from futures_agent.settings.tree import MacroSettings
from futures_agent.store.database import database_errors, open_writer
from futures_agent.store.instruments import read_instruments
from futures_agent.store.universe import read_excluded

NAME = "sentiment-macro"
_STORED_TOGETHER = 64  # answers kept in memory before the database's turn is taken for them
_INDEX_REQUESTS_PER_MIN = 30  # of the 60 that alternative.me allows
_log = logging.getLogger(__name__)


def run(settings: Settings, symbols: Sequence[str] | None = None) -> ExitCode:
    """Run the job; `symbols` narrows what the settings say."""
    return run_job(NAME, settings, lambda job: _collect(job, symbols))


def _collect(job: Job, symbols: Sequence[str] | None) -> Outcome:
    settings = job.settings
    waits = _Waits(job)
    with ExitStack() as opened:
        client = SentimentClient(settings.exchange, settings.paths.exchange_state, on_wait=waits.told)
        fred, index = _macro_sources(settings.macro, waits)
        for source in (client, fred, index):
            opened.callback(source.close)
        try:
            client.sync_clock()
        except AgentError as error:  # the rounds will tell; until then the saved offset stands in
            _log.info("%s", error)
        make_directory(settings.paths.database.parent)
        with _writer(job) as db:
            instruments = read_instruments(db)
            wanted = tuple(dict.fromkeys(symbols or settings.data.followed(instruments)))
            excluded = read_excluded(db, wanted, instruments)
            chosen = [symbol for symbol in wanted if symbol not in excluded]
            # The few macro series first: statistics may have to wait for their pool.
            tasks = macro_tasks(db, fred, index, settings, client.clock)
            tasks += sentiment_tasks(db, client, settings, chosen, instruments)
        tally = _Tally(job, tasks)
        fetch_in_rounds(
            job,
            tasks,
            waits_s=settings.sentiment.retry_waits_s,
            workers=settings.exchange.concurrency,
            waiting=waits.any,
            take=tally.take,
        )
        tally.write()
    return tally.outcome(excluded)


class _Waits:
    """Whether some request waits for its pool or for a ban to end: a wait with a bound is progress."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._told_s = float("-inf")

    def told(self, until_ms: int = 0) -> None:
        """Take note of a wait, or end it when the job was told to stop; called once a second or more."""
        self._job.still_waiting()
        self._told_s = time.monotonic()

    def any(self) -> bool:
        return time.monotonic() - self._told_s < 2.0


def _macro_sources(settings: MacroSettings, waits: _Waits) -> tuple[WebSource, WebSource]:
    """Return FRED and alternative.me."""
    timeouts_s = (settings.connect_timeout_s, settings.read_timeout_s)

    def source(url: str, setting: str, requests_per_min: int) -> WebSource:
        return WebSource(
            url, setting, timeouts_s=timeouts_s, requests_per_min=requests_per_min, on_wait=waits.told
        )

    return (
        source(settings.fred_url, "macro.fred_url", settings.fred_requests_per_min),
        source(settings.fear_greed_url, "macro.fear_greed_url", _INDEX_REQUESTS_PER_MIN),
    )


@contextmanager
def _writer(job: Job) -> Iterator[apsw.Connection]:
    """Open the database for writing while holding the turn for it."""
    path = job.settings.paths.database
    with (
        job.database_turn(),
        database_errors(path),
        closing(open_writer(path, job.settings.database)) as db,
    ):
        yield db


class _Tally:
    """Writes what was fetched, and counts it by source. Used by the main thread only."""

    def __init__(self, job: Job, tasks: Sequence[Task]) -> None:
        self._job = job
        self._pending: list[tuple[str, Store]] = []
        self._asked: dict[str, int] = {}
        for task in tasks:
            self._asked[task.source] = self._asked.get(task.source, 0) + 1
        self._good = dict.fromkeys(self._asked, 0)
        self._rows = dict.fromkeys(self._asked, 0)
        self._faults: dict[str, str] = {}  # the last one of each source

    def take(self, answer: Answer) -> None:
        """Keep what is to be stored, or note the fault."""
        source = answer.task.source
        if answer.store is None:
            self._faults[source] = str(answer.fault)
            level = logging.INFO if isinstance(answer.fault, SkipSymbol) else logging.WARNING
            _log.log(level, "%s %s: %s", source, answer.task.item, answer.fault)
            return
        self._good[source] += 1
        self._pending.append((source, answer.store))
        if len(self._pending) >= _STORED_TOGETHER:
            self.write()

    def write(self) -> None:
        """Store what is pending, one transaction each."""
        if not self._pending:
            return
        with _writer(self._job) as db:
            for source, store in self._pending:
                self._rows[source] += store(db)
                self._job.reporter.alive()
        self._pending.clear()

    def outcome(self, excluded: dict[str, str]) -> Outcome:
        """Return how it went, by source; every source that gave nothing is named first."""
        dead = [source for source, good in self._good.items() if not good]
        lame = [source for source, good in self._good.items() if 0 < good < self._asked[source]]
        by_fault: dict[str, list[str]] = {}
        for source in dead:
            by_fault.setdefault(self._faults[source], []).append(source)
        parts = [
            *(f"{', '.join(sources)} dead: {fault}" for fault, sources in by_fault.items()),
            *(
                f"{source} failed for {self._asked[source] - self._good[source]} of {self._asked[source]}: "
                f"{self._faults[source]}"
                for source in lame
            ),
            "new: " + ", ".join(f"{source} {rows}" for source, rows in self._rows.items()),
            *([f"skipped {', '.join(excluded)} (not followed)"] if excluded else []),
            took(self._job),
        ]
        return Outcome(
            line="; ".join(parts),
            code=ExitCode.FAILED if len(dead) == len(self._asked) else ExitCode.OK,
            counts={
                "sources": len(self._asked),
                "sources_dead": len(dead),
                "rows": sum(self._rows.values()),
                "failed": sum(self._asked.values()) - sum(self._good.values()),
            },
        )

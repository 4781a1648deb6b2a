"""Running a job: the same beginning and end for every one of them.

Hold and lock checks, one instance at a time, the turn at the database, SIGTERM, the watchdog,
the run record, the one outcome line and the exit code.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import msgspec

from futures_agent.clock import SystemClock, age_text
from futures_agent.errors import AgentError, Blocked, ExitCode, Interrupted
from futures_agent.program import holds
from futures_agent.program.locks import database_turn, single_instance
from futures_agent.program.progress import Reporter
from futures_agent.program.records import RunLog, RunRecord
from futures_agent.settings import Settings

_log = logging.getLogger(__name__)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended: the line a person reads, and what was counted."""

    line: str
    code: ExitCode = ExitCode.OK
    counts: dict[str, int] = {}


class StopEvent(threading.Event):
    """An Event that a signal handler may set while its own thread is inside `wait`.

    A plain Event has a lock that is not re-entrant: the handler would wait for its own thread, for ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cond = threading.Condition(threading.RLock())


class Job:
    """A running job, handed to its body.

    Attributes
    ----------
    name : str
    settings : Settings
    reporter : Reporter
    stopping : threading.Event
        Set by SIGTERM or Ctrl-C; waits should wait on it.
    """

    def __init__(self, name: str, settings: Settings, reporter: Reporter) -> None:
        self.name = name
        self.settings = settings
        self.reporter = reporter
        self.stopping = StopEvent()
        self.started_ms = SystemClock().now_ms()
        self._work_loop = threading.get_ident()

    def check_stop(self) -> None:
        """Raise `Interrupted` when the job was told to stop."""
        if self.stopping.is_set():
            raise Interrupted(f"{self.name}: told to stop; what was committed stays, the next run goes on")

    def wait(self, seconds: float) -> None:
        """Wait, feeding the watchdog; raise `Interrupted` when told to stop."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.reporter.alive()
            self.stopping.wait(min(left, 1.0))
            self.check_stop()

    def still_waiting(self) -> None:
        """Say, about once a second and from any thread, that it is inside a wait that has a bound.

        Feeds the watchdog where it is the job's own thread that waits: a worker proves nothing about it.

        Raises
        ------
        Interrupted
            The job was told to stop.
        """
        self.check_stop()
        if threading.get_ident() == self._work_loop:
            self.reporter.alive()

    @contextlib.contextmanager
    def database_turn(self, wait_s: float | None = None) -> Iterator[None]:
        """Hold the turn of the jobs that write the database, waiting `wait_s` at most (default: setting)."""

        def waiting(holder: str) -> None:
            self.check_stop()
            self.reporter.status(f"waiting for the database, held by {holder}")

        database = self.settings.database
        with database_turn(
            self.settings.paths.writer_lock,
            self.name,
            wait_s=database.writer_lock_wait_s if wait_s is None else wait_s,
            while_waiting=waiting,
        ):
            yield


def run_job(name: str, settings: Settings, body: Callable[[Job], Outcome]) -> ExitCode:
    """Run `body` as the job `name`; return its exit code. Expected faults end in one line, recorded."""
    paths = settings.paths
    with Reporter(name) as reporter:
        job = Job(name, settings, reporter)
        with stop_signals(job.stopping):
            try:
                holds.refuse_if_held(paths.holds, name)
                if paths.locked_flag.exists():
                    raise Blocked(
                        f"{paths.locked_flag} exists: recovery holds the database; it clears the file"
                    )
                with single_instance(paths.job(name) / "lock", name):
                    reporter.ready()  # units ordered after this one can now wait for its lock
                    outcome = _recorded(job, body)
            except AgentError as error:
                outcome = Outcome(line=str(error), code=error.exit_code)
        reporter.status(f"{_word(outcome.code)}: {outcome.line}")
    _say(name, outcome)
    return outcome.code


def _recorded(job: Job, body: Callable[[Job], Outcome]) -> Outcome:
    """Run the body between a start and an end record."""
    log = RunLog(job.settings.paths.job(job.name))
    record = RunRecord(
        run=f"{job.started_ms}-{secrets.token_hex(3)}",
        job=job.name,
        started_ms=job.started_ms,
        pid=os.getpid(),
    )
    log.append(record)
    try:
        outcome = body(job)
    except AgentError as error:
        outcome = Outcome(line=str(error), code=error.exit_code)
    except Exception as error:
        _log.exception("%s: unexpected fault", job.name)
        outcome = Outcome(
            line=f"unexpected {type(error).__name__}: {error}; the journal has the traceback",
            code=ExitCode.FAILED,
        )
    ended = msgspec.structs.replace(
        record,
        ended_ms=SystemClock().now_ms(),
        exit_code=int(outcome.code),
        line=outcome.line,
        counts=outcome.counts,
    )
    try:
        log.append(ended)
    except AgentError as error:
        # A full disk must not hide how the run itself ended.
        _log.error("run record not written: %s", error)
    return outcome


@contextlib.contextmanager
def stop_signals(stopping: threading.Event) -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into `stopping`; a second Ctrl-C kills as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _word(code: ExitCode) -> str:
    return "refused" if code is ExitCode.CONFIG else code.name.lower().replace("_", " ")


def _say(name: str, outcome: Outcome) -> None:
    line = f"{name} {_word(outcome.code)}: {outcome.line}"
    good = outcome.code in (ExitCode.OK, ExitCode.GATE_FAILED)
    print(line, file=sys.stdout if good else sys.stderr, flush=True)


def took(job: Job) -> str:
    """Return how long the job has been running, for outcome lines."""
    seconds = (SystemClock().now_ms() - job.started_ms) / 1000
    return f"{seconds:.1f} s" if seconds < 60 else age_text(seconds)

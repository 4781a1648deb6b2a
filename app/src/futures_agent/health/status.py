"""What `agentctl status` shows, gathered from the files and the database; opens nothing for writing."""

from __future__ import annotations

from contextlib import closing

import msgspec

from futures_agent.backtest.result_files import ResultSummary, read_latest
from futures_agent.clock import SystemClock
from futures_agent.errors import AgentError
from futures_agent.exchange.clock import CLOCK_FILE, ExchangeClock
from futures_agent.health.data import DataReport, assess, read_exchanges_own
from futures_agent.program.blocks import read_block
from futures_agent.program.holds import HOLDABLE, Hold, read_hold
from futures_agent.program.records import RunLog, RunRecord
from futures_agent.settings import Settings
from futures_agent.store.database import database_errors, open_reader

JOBS = (
    "data-sync",
    "data-validation",
    "sentiment-macro",
    "backup",
    "restore-test",
    "compact",
    "backtest",
)


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """One job: its newest run, and whether it may run."""

    name: str
    last: RunRecord | None
    outcome: str | None
    hold: Hold | None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on the status screen."""

    now_ms: int  # host time
    exchange_now_ms: int
    symbols: int
    database_mb: float | None
    data: DataReport | None
    data_fault: str | None  # why there is no report on the data
    blocked: list[str]  # why the backtest is blocked
    jobs: list[JobState]
    backtest: ResultSummary | None
    backtest_fault: str | None  # why the newest result cannot be read


def gather(settings: Settings) -> Status:
    """Gather the state of the host; a part that cannot be read is shown as such, never fatal."""
    paths = settings.paths
    exchange_now_ms = ExchangeClock.load(paths.exchange_state / CLOCK_FILE).now_ms()
    data, data_fault = None, None
    try:
        with (
            database_errors(paths.database),
            closing(open_reader(paths.database, settings.database)) as db,
        ):
            own = read_exchanges_own(paths.job("data-validation"))
            data = assess(db, settings.data, now_ms=exchange_now_ms, exchanges_own=own)
    except AgentError as error:
        data_fault = str(error)
    latest, latest_fault = None, None
    try:
        latest = read_latest(paths.results)
    except AgentError as error:
        latest_fault = str(error)
    return Status(
        now_ms=SystemClock().now_ms(),
        exchange_now_ms=exchange_now_ms,
        symbols=len(settings.data.symbols),
        database_mb=_database_mb(settings),
        data=data,
        data_fault=data_fault,
        blocked=read_block(paths.job("data-validation")),
        jobs=[_job_state(settings, name) for name in JOBS],
        backtest=latest,
        backtest_fault=latest_fault,
    )


def _database_mb(settings: Settings) -> float | None:
    try:
        return settings.paths.database.stat().st_size / 1e6
    except OSError:
        return None


def _job_state(settings: Settings, name: str) -> JobState:
    runs = RunLog(settings.paths.job(name)).recent(1)
    last = runs[-1] if runs else None
    return JobState(
        name=name,
        last=last,
        outcome=last.outcome if last else None,
        hold=read_hold(settings.paths.holds, name) if name in HOLDABLE else None,
    )

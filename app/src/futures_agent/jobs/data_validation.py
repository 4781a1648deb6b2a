"""data-validation: judge the stored candles; while they are bad, block the backtest.

Freshness, coverage, continuity, grid and prices, measured against exchange time. The verdict is a JSON
report beside the run records; a failing one also leaves the block flag, which the next passing one clears.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import msgspec

from futures_agent.errors import ExitCode
from futures_agent.exchange.clock import CLOCK_FILE, ExchangeClock
from futures_agent.files import write_atomically
from futures_agent.health.data import DataReport, assess
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.blocks import clear_block, set_block
from futures_agent.program.job import Job, Outcome, run_job
from futures_agent.settings import PathSettings, Settings
from futures_agent.store.database import database_errors, open_reader

NAME = "data-validation"
REPORT = "report.json"


def run(
    settings: Settings, symbols: Sequence[str] | None = None, timeframes: Sequence[Timeframe] | None = None
) -> ExitCode:
    """Run the job; `symbols` and `timeframes` narrow what the settings say (and then block nothing)."""
    return run_job(NAME, settings, lambda job: _validate(job, symbols, timeframes))


def _validate(job: Job, symbols: Sequence[str] | None, timeframes: Sequence[Timeframe] | None) -> Outcome:
    settings = job.settings
    clock = ExchangeClock.load(settings.paths.exchange_state / CLOCK_FILE)
    job.reporter.status("reading the candles")
    with (
        database_errors(settings.paths.database),
        closing(open_reader(settings.paths.database, settings.database)) as db,
    ):
        report = assess(db, settings.data, now_ms=clock.now_ms(), symbols=symbols, timeframes=timeframes)
    if symbols is None and timeframes is None:
        _publish(settings.paths, report)
    return Outcome(
        line=outcome_line(report),
        code=ExitCode.OK if report.passed else ExitCode.FAILED,
        counts={
            "candles": sum(frame.candles for frame in report.frames),
            "missing": sum(frame.missing for frame in report.frames),
            "confirmed_missing": sum(frame.confirmed_missing for frame in report.frames),
            "faults": len(report.faults),
        },
    )


def _publish(paths: PathSettings, report: DataReport) -> None:
    """Write the report, and set or clear what keeps the backtest from running."""
    directory = paths.job(NAME)
    write_atomically(directory / REPORT, msgspec.json.encode(report))
    if report.passed:
        clear_block(directory)
    else:
        set_block(directory, report.faults)


def outcome_line(report: DataReport) -> str:
    """Return the verdict in one line: the first faults, or what was found good."""
    if report.passed:
        frames = ", ".join(
            f"{frame.timeframe} {frame.covered}/{frame.symbols} fresh, {frame.candles} candles"
            for frame in report.frames
        )
        return frames + (f"; {len(report.excluded)} symbols excluded" if report.excluded else "")
    more = f"; and {len(report.faults) - 2} more" if len(report.faults) > 2 else ""
    return "; ".join(report.faults[:2]) + more + "; `agentctl data-sync` repairs what the exchange has"

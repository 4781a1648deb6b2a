"""data-validation: judge the stored candles; while they are bad, block the backtest.

Freshness, coverage, continuity, grid, prices and the agreement of the timeframes, measured against exchange
time. Bad data repair themselves: what the exchange can repair is fetched again, once, and judged again. The
verdict is a JSON report beside the run records; a failing one also leaves the block flag, which the next
passing one clears.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing

import msgspec

from futures_agent.errors import AgentError, Corrupt, ExitCode, Interrupted
from futures_agent.exchange.clock import CLOCK_FILE, ExchangeClock
from futures_agent.files import write_atomically
from futures_agent.health.data import DataReport, assess
from futures_agent.health.data_screen import print_report
from futures_agent.market.quality import Hole, SeriesQuality
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.blocks import clear_block, set_block
from futures_agent.program.job import Job, Outcome, run_job
from futures_agent.settings import PathSettings, Settings
from futures_agent.store.database import database_errors, open_reader

NAME = "data-validation"
REPORT = "report.json"
_log = logging.getLogger(__name__)


def run(
    settings: Settings,
    symbols: Sequence[str] | None = None,
    timeframes: Sequence[Timeframe] | None = None,
    *,
    repair: bool = True,
) -> ExitCode:
    """Run the job.

    Parameters
    ----------
    symbols, timeframes : optional
        Narrow what the settings say; a narrowed run neither repairs, nor sets or lifts the block.
    repair : bool
        Whether bad data are fetched again before the verdict.
    """
    return run_job(NAME, settings, lambda job: _validate(job, symbols, timeframes, repair))


def _validate(
    job: Job, symbols: Sequence[str] | None, timeframes: Sequence[Timeframe] | None, repair: bool
) -> Outcome:
    paths = job.settings.paths
    report = _judge(job, symbols, timeframes)
    if symbols is None and timeframes is None:
        suspects = _new_suspects(report, paths)
        if repair and (suspects or not report.passed):
            done = _repair(job, report, suspects)
            report = msgspec.structs.replace(_judge(job, None, None), repair=done)
        _publish(paths, report)
    print_report(report)
    return Outcome(
        line=outcome_line(report),
        code=ExitCode.OK if report.passed else ExitCode.FAILED,
        counts={
            "candles": sum(frame.candles for frame in report.frames),
            "missing": sum(frame.missing for frame in report.frames),
            "confirmed_missing": sum(frame.confirmed_missing for frame in report.frames),
            "disagreeing": sum(len(one.disagreeing) for one in report.series),
            "excluded": len(report.excluded),
            "faults": len(report.faults),
            "warnings": len(report.warnings),
            "repaired": int(bool(report.repair)),
        },
    )


def _judge(job: Job, symbols: Sequence[str] | None, timeframes: Sequence[Timeframe] | None) -> DataReport:
    settings = job.settings
    job.reporter.status("judging the candles")
    clock = ExchangeClock.load(settings.paths.exchange_state / CLOCK_FILE)
    with (
        database_errors(settings.paths.database),
        closing(open_reader(settings.paths.database, settings.database)) as db,
    ):
        return assess(db, settings.data, now_ms=clock.now_ms(), symbols=symbols, timeframes=timeframes)


def _new_suspects(report: DataReport, paths: PathSettings) -> dict[tuple[str, Timeframe], list[Hole]]:
    """Return the open times of candles that look wrong and did not at the last verdict.

    What still looks wrong after it was fetched again is the exchange's own: it is not fetched each night.
    """
    known = _suspicious(_last_series(paths))
    found: dict[tuple[str, Timeframe], list[Hole]] = defaultdict(list)
    for symbol, timeframe, at in sorted(_suspicious(report.series) - known):
        frame = Timeframe[timeframe]
        for each in Timeframe:  # the candle itself, and every finer one inside it
            if each.ms <= frame.ms:
                found[symbol, each].append((at, at + frame.ms - each.ms))
    return dict(found)


def _suspicious(series: Sequence[SeriesQuality]) -> set[tuple[str, str, int]]:
    return {(one.symbol, one.timeframe, at) for one in series for at in (*one.disagreeing, *one.repeated)}


def _last_series(paths: PathSettings) -> list[SeriesQuality]:
    """Return the series of the last report; of none or an older schema, nothing."""
    try:
        return msgspec.json.decode((paths.job(NAME) / REPORT).read_bytes(), type=DataReport).series
    except (OSError, msgspec.DecodeError):
        return []


def _repair(job: Job, report: DataReport, suspects: dict[tuple[str, Timeframe], list[Hole]]) -> str:
    """Fetch again what looks bad, within bounds, and return what was done; a fault of it is no fault here."""
    from futures_agent.jobs.candle_fetch import Attempts
    from futures_agent.jobs.candle_plan import SyncScope
    from futures_agent.jobs.data_sync import synchronise

    settings = job.settings
    limit_s = settings.sync.repair_limit_s
    days = 0.0 if report.passed else settings.sync.repair_days
    attempts = Attempts(settings.sync, job.stopping, settings.exchange.time_scale, limit_s=limit_s)
    _log.info("repairing: %s", "; ".join(report.faults[:2]) or f"{len(suspects)} series with odd candles")
    try:
        outcome = synchronise(
            job, SyncScope(full=True, repair_days=days, suspects=suspects), attempts, turn_wait_s=limit_s
        )
    except (Interrupted, Corrupt):
        raise
    except AgentError as error:
        _log.warning("repair: %s", error)
        return f"failed: {error}"
    return outcome.line


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
    repaired = f"; repair: {report.repair}" if report.repair else ""
    if report.passed:
        frames = ", ".join(
            f"{frame.timeframe} {frame.covered}/{frame.symbols} fresh, {frame.candles} candles"
            for frame in report.frames
        )
        excluded = f"; {len(report.excluded)} symbols excluded" if report.excluded else ""
        warned = f"; {len(report.warnings)} warnings" if report.warnings else ""
        return frames + excluded + warned + repaired
    more = f"; and {len(report.faults) - 2} more" if len(report.faults) > 2 else ""
    hint = repaired or "; `agentctl data-sync` repairs what the exchange has"
    return "; ".join(report.faults[:2]) + more + hint

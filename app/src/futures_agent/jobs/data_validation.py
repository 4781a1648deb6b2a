"""data-validation: judge the stored candles; while they are bad, block the backtest.

Freshness, coverage, continuity, grid, prices and the agreement of the timeframes, measured against exchange
time. Bad data repair themselves: what the exchange can repair is fetched again, once, and judged again. The
verdict is a JSON report beside the run records; a failing one also leaves the block flag, which the next
passing one clears. It is there before the repair begins: one that is killed must not leave the last verdict.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing

import msgspec

from futures_agent.errors import AgentError, Corrupt, ExitCode, Interrupted
from futures_agent.exchange.clock import CLOCK_FILE, ExchangeClock
from futures_agent.files import write_atomically
from futures_agent.health.data import REPORT, DataReport, assess, read_exchanges_own
from futures_agent.health.data_screen import print_report
from futures_agent.market.quality import Hole, Oddity
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.blocks import clear_block, set_block
from futures_agent.program.holds import refuse_if_held
from futures_agent.program.job import Job, Outcome, run_job
from futures_agent.settings import PathSettings, Settings
from futures_agent.store.database import database_errors, open_reader

NAME = "data-validation"
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
    known = read_exchanges_own(job.settings.paths.job(NAME))
    report = _judge(job, symbols, timeframes, known)
    if symbols is None and timeframes is None:
        report = _repaired(job, report, known) if repair else report
        _publish(job.settings.paths, report)
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


def _judge(
    job: Job,
    symbols: Sequence[str] | None,
    timeframes: Sequence[Timeframe] | None,
    exchanges_own: AbstractSet[Oddity],
) -> DataReport:
    settings = job.settings
    job.reporter.status("judging the candles")
    clock = ExchangeClock.load(settings.paths.exchange_state / CLOCK_FILE)
    with (
        database_errors(settings.paths.database),
        closing(open_reader(settings.paths.database, settings.database)) as db,
    ):
        return assess(
            db,
            settings.data,
            now_ms=clock.now_ms(),
            symbols=symbols,
            timeframes=timeframes,
            exchanges_own=exchanges_own,
        )


def _repaired(job: Job, report: DataReport, known: AbstractSet[Oddity]) -> DataReport:
    """Return the verdict after what looks bad was fetched again; `report` itself where nothing does.

    What is odd in the same way after it was fetched again is the exchange's own: the report remembers
    it (`known` is what the last one did), so that it is neither fetched nor a fault each night.
    """
    news = report.oddities - known
    if report.passed and not news:
        return report
    if not report.passed:
        _publish(job.settings.paths, msgspec.structs.replace(report, exchanges_own=sorted(known)))
    complete, what = _repair(job, report, news)
    again = _judge(job, None, None, known | news if complete else known)
    return msgspec.structs.replace(again, repair=what)


def _repair(job: Job, report: DataReport, oddities: Iterable[Oddity]) -> tuple[bool, str]:
    """Fetch again what looks bad, within bounds; return whether all of it came, and what was done."""
    from futures_agent.jobs import data_sync
    from futures_agent.jobs.candle_fetch import Attempts
    from futures_agent.jobs.candle_plan import SyncScope

    settings = job.settings
    limit_s = settings.sync.repair_limit_s
    attempts = Attempts(settings.sync, job.stopping, settings.exchange.time_scale, limit_s=limit_s)
    scope = SyncScope(
        full=True,
        repair_days=0.0 if report.passed else settings.sync.repair_days,
        suspects=_ranges(oddities),
    )
    _log.info("repairing: %s", "; ".join(report.faults[:2]) or "candles that contradict others")
    try:
        refuse_if_held(settings.paths.holds, data_sync.NAME)
        outcome = data_sync.synchronise(job, scope, attempts, turn_wait_s=limit_s)
    except (Interrupted, Corrupt):
        raise
    except AgentError as error:
        _log.warning("repair: %s", error)
        return False, f"failed: {error}"
    return outcome.code is ExitCode.OK and not outcome.counts["symbols_failed"], outcome.line


def _ranges(oddities: Iterable[Oddity]) -> dict[tuple[str, Timeframe], list[Hole]]:
    """Return the open times of the odd candles, and of every finer candle inside them."""
    found: dict[tuple[str, Timeframe], list[Hole]] = defaultdict(list)
    for symbol, timeframe, at in oddities:
        frame = Timeframe[timeframe]
        for each in Timeframe:
            if each.ms <= frame.ms:
                found[symbol, each].append((at, at + frame.ms - each.ms))
    return dict(found)


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
        warned = f"; warnings: {len(report.warnings)}" if report.warnings else ""
        return frames + excluded + warned + repaired
    more = f"; and {len(report.faults) - 2} more" if len(report.faults) > 2 else ""
    hint = repaired or "; `agentctl data-sync` repairs what the exchange has"
    return "; ".join(report.faults[:2]) + more + hint

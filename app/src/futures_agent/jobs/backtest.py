"""backtest: the nightly run of the live strategy over the stored candles.

Refuses what would mislead: blocked or bad data, a start that came too late. Its exit code tells
*ran and passed*, *ran and failed the gate* (a result, not a failure) and *could not run*.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from futures_agent.backtest.request import Request
from futures_agent.backtest.result import BacktestResult, build_result, run_id
from futures_agent.backtest.result_files import Incomplete, prune_results, write_incomplete, write_result
from futures_agent.backtest.signal_validation import SignalValidation, not_validated, validate_signals
from futures_agent.backtest.summary import print_summary, shows_summary
from futures_agent.clock import DAY_MS, MINUTE_MS, SystemClock, utc_text
from futures_agent.errors import AgentError, ExitCode, Interrupted
from futures_agent.exchange.clock import CLOCK_FILE, ExchangeClock
from futures_agent.health.data import read_exchanges_own
from futures_agent.program.blocks import refuse_if_blocked
from futures_agent.program.job import Job, Outcome, run_job, took
from futures_agent.program.records import RunLog
from futures_agent.settings import Effective, Settings

if TYPE_CHECKING:
    from futures_agent.backtest.run import BacktestRun

NAME = "backtest"
_log = logging.getLogger(__name__)


def run(effective: Effective, request: Request | None = None) -> ExitCode:
    """Run the job; `request` is what a person asked for besides the settings."""
    request = request or Request()
    effective = request.applied_to(effective)
    return run_job(NAME, effective.settings, lambda job: _backtest(job, effective, request))


def _backtest(job: Job, effective: Effective, request: Request) -> Outcome:
    _account_for_a_killed_run(job)
    if reason := _why_not(job):
        return Outcome(line=reason)
    if not request.past:
        refuse_if_blocked(job.settings.paths.job("data-validation"))
    progress = _Progress(job)
    try:
        result, report = _result_and_report(job, effective, request, progress)
        progress("writing the result", 0, 1)
    except Interrupted as error:
        _leave_incomplete(job, progress, str(error))
        raise
    # From here on a run that is told to stop is quicker finished than undone.
    results = job.settings.paths.results
    paths = write_result(results, result, report, latest=not request.is_typed(effective))
    prune_results(results, job.settings.backtest.keep_results)
    if shows_summary():
        job.reporter.end_bar()
        print_summary(result, paths)
    return _outcome(job, result)


def _why_not(job: Job) -> str:
    """Return why tonight's run does not take place, which is no failure; empty where it does."""
    settings = job.settings.backtest
    if not settings.enabled:
        return "turned off (backtest.enabled = false); nothing was run"
    if (late_min := minutes_late(job.settings, job.started_ms)) > settings.late_limit_min:
        return (
            f"skipped: {late_min:.0f} min after {settings.start_time_utc} UTC, "
            f"at most {settings.late_limit_min:.0f} allowed; the next night runs again"
        )
    return ""


class _Progress:
    """How far the run is, for the watchdog, the bar, and the record of an interrupted run."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.stage = "starting"
        self.share = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.stage, self.share = stage, done / total if total else 0.0
        self._job.check_stop()
        self._job.reporter.advance(done, total, stage)


def _simulate(job: Job, request: Request, progress: _Progress) -> BacktestRun:
    """Judge the candles and run the engine."""
    from futures_agent.backtest.run import run_backtest

    settings = job.settings
    now_ms = _exchange_now_ms(job)
    return run_backtest(
        settings,
        database=settings.paths.database,
        period=request.period(settings, now_ms),
        symbols=request.symbols,
        # Judged again with what data-validation knows: its flag may be older than the candles.
        exchanges_own=read_exchanges_own(settings.paths.job("data-validation")),
        on_progress=progress,
    )


def _result_and_report(
    job: Job, effective: Effective, request: Request, progress: _Progress
) -> tuple[BacktestResult, str]:
    from futures_agent.backtest.charts import charts_of
    from futures_agent.backtest.report import render_report
    from futures_agent.backtest.run import compile_cache_of

    made = _simulate(job, request, progress)
    finished_ms = SystemClock().now_ms()
    progress("comparing with live trading", 0, 1)
    validation = _validation(job, request)
    progress("metrics", 0, 1)
    result = build_result(
        made.simulation,
        effective,
        started_ms=job.started_ms,
        finished_ms=finished_ms,
        signal_validation=validation,
    )
    progress("report", 0, 1)
    charts = charts_of(made, job.settings.backtest.report_candles, compile_cache_of(job.settings))
    del made  # the candles, before a report of their size is put together
    return result, render_report(result, charts)


def _validation(job: Job, request: Request) -> SignalValidation:
    """Compare with what the live trader decided; only a run until now has a last day to compare."""
    from futures_agent.backtest.run import compile_cache_of

    if request.past:
        return not_validated("a run over a past period compares no live decisions")
    return validate_signals(job.settings, _exchange_now_ms(job), compile_cache_of(job.settings))


def _exchange_now_ms(job: Job) -> int:
    return ExchangeClock.load(job.settings.paths.exchange_state / CLOCK_FILE).now_ms()


def _leave_incomplete(job: Job, progress: _Progress, reason: str) -> None:
    """Leave a record of an interrupted run beside the results."""
    _write_incomplete(
        job, started_ms=job.started_ms, reason=reason, stage=progress.stage, share=progress.share
    )


def _account_for_a_killed_run(job: Job) -> None:
    """A run that was killed (watchdog, power) could say nothing: say it in its place, once."""
    earlier = [
        run for run in RunLog(job.settings.paths.job(NAME)).recent() if run.started_ms < job.started_ms
    ]
    if not earlier or earlier[-1].outcome != "died":
        return
    died = earlier[-1]
    if not any(job.settings.paths.results.glob(f"*{run_id(died.started_ms)}.incomplete_*.json")):
        _write_incomplete(
            job, started_ms=died.started_ms, reason=f"killed (pid {died.pid})", stage="unknown", share=0.0
        )


def _write_incomplete(job: Job, *, started_ms: int, reason: str, stage: str, share: float) -> None:
    partial = Incomplete(
        run_id=run_id(started_ms),
        started=utc_text(started_ms),
        interrupted=utc_text(SystemClock().now_ms()),
        reason=reason,
        stage=stage,
        progress=share,
    )
    try:
        write_incomplete(job.settings.paths.results, partial)
    except AgentError as error:
        _log.warning("the record of the interrupted run was not written: %s", error)


def _outcome(job: Job, result: BacktestResult) -> Outcome:
    metrics, verdict = result.metrics, result.verdict
    sharpe = "-" if metrics.sharpe is None else f"{metrics.sharpe:.2f}"
    cut_short = f"{metrics.cut_short}, " if metrics.cut_short else ""
    line = (
        f"{verdict.text}: {cut_short}{metrics.trades} trades, return {metrics.total_return:+.1%}, "
        f"Sharpe {sharpe}, drawdown {metrics.max_drawdown:.1%}; {len(result.symbols)} symbols, "
        f"{result.candles:,} candles; {took(job)}"
    )
    if not metrics.trades:
        line = f"{result.warnings[0]}; {line}"
    if not verdict.passed:
        line += f"; {verdict.failures}"
    if metrics.trades and result.warnings:
        more = f" (and {len(result.warnings) - 1} more)" if len(result.warnings) > 1 else ""
        line += f"; warning: {result.warnings[0]}{more}"
    return Outcome(
        line=line,
        code=ExitCode.OK if verdict.passed else ExitCode.GATE_FAILED,
        counts={"trades": metrics.trades, "candles": result.candles, "symbols": len(result.symbols)},
    )


def minutes_late(settings: Settings, started_ms: int) -> float:
    """Return how late this start is, in minutes; 0 when a person started it or when it retries.

    Only a timer's start can be late. A retry of tonight's run (an earlier attempt has a record since the
    scheduled time) is not.
    """
    if os.environ.get("TRIGGER_UNIT") != f"{NAME}.timer":
        return 0.0
    hours, minutes = settings.backtest.start_time_utc.split(":")
    scheduled = started_ms - started_ms % DAY_MS + (int(hours) * 60 + int(minutes)) * MINUTE_MS
    if scheduled > started_ms + MINUTE_MS:  # the timer never fires early; allow for a clock that is set back
        scheduled -= DAY_MS
    earlier = [
        run for run in RunLog(settings.paths.job(NAME)).recent() if scheduled <= run.started_ms < started_ms
    ]
    return 0.0 if earlier else max(0.0, (started_ms - scheduled) / MINUTE_MS)

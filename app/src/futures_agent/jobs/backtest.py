"""backtest: the nightly run of the live strategy over the stored candles.

Refuses what would mislead: blocked or bad data, a start that came too late. Its exit code tells
*ran and passed*, *ran and failed the gate* (a result, not a failure) and *could not run*.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from futures_agent.clock import DAY_MS, MINUTE_MS
from futures_agent.errors import ExitCode
from futures_agent.program.blocks import refuse_if_blocked
from futures_agent.program.job import Job, Outcome, run_job
from futures_agent.program.records import RunLog
from futures_agent.settings import Settings

NAME = "backtest"
_log = logging.getLogger(__name__)


def run(settings: Settings, symbols: Sequence[str] | None = None) -> ExitCode:
    """Run the job; `symbols` narrows what the settings say."""
    return run_job(NAME, settings, lambda job: _backtest(job, symbols))


def _backtest(job: Job, symbols: Sequence[str] | None) -> Outcome:
    settings = job.settings
    if not settings.backtest.enabled:
        return Outcome(line="turned off (backtest.enabled = false); nothing was run")
    if (late_min := minutes_late(settings, job.started_ms)) > settings.backtest.late_limit_min:
        return Outcome(
            line=f"skipped: {late_min:.0f} min after {settings.backtest.start_time_utc} UTC, "
            f"at most {settings.backtest.late_limit_min:.0f} allowed; the next night runs again"
        )
    refuse_if_blocked(settings.paths.job("data-validation"))
    from futures_agent.backtest.nightly import run_nightly

    return run_nightly(job, symbols)


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

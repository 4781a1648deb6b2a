"""`agentctl backtest --audit`: the audit of the strategy of the settings on the stored candles."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import msgspec

from futures_agent.backtest.audit.checks import Sampling, audit
from futures_agent.backtest.audit.report import AuditReport
from futures_agent.backtest.panel import Panel
from futures_agent.backtest.records import Simulation
from futures_agent.backtest.request import Request
from futures_agent.backtest.run import compile_cache_of, run_backtest, simulate_panel
from futures_agent.errors import Blocked, ExitCode
from futures_agent.exchange.clock import CLOCK_FILE, ExchangeClock
from futures_agent.health.data import read_exchanges_own
from futures_agent.program.progress import Reporter
from futures_agent.settings import Effective


def run_audit(
    effective: Effective,
    request: Request,
    *,
    seed: int | None = None,
    accept_outside: bool = False,
    as_json: bool = False,
) -> ExitCode:
    """Audit what a backtest of `request` would run, and print the findings; nothing is written.

    Unlike the nightly run it takes candles that are not fresh: what is judged is the strategy.

    Parameters
    ----------
    seed : int, optional
        Of an earlier audit, to repeat it.
    accept_outside : bool
        A person answers for what the step reads besides bars.

    Returns
    -------
    ExitCode
        OK: clean. AUDIT_FAILED: something was different. FAILED: inconclusive.

    Raises
    ------
    Blocked
        Recovery holds the database.
    Refuse
        As `run_backtest`; or the strategy fails on every sampled symbol.
    """
    settings = request.applied_to(effective).settings
    if settings.paths.locked_flag.exists():
        raise Blocked(f"{settings.paths.locked_flag} exists: recovery holds the database; it clears the file")
    now_ms = ExchangeClock.load(settings.paths.exchange_state / CLOCK_FILE).now_ms()
    period = request.period(settings, now_ms)
    with Reporter("audit") as reporter:

        def on_progress(stage: str, done: int, total: int) -> None:
            reporter.advance(done, total, stage)

        made = run_backtest(
            settings,
            database=settings.paths.database,
            period=msgspec.structs.replace(period, now_ms=None),
            symbols=request.symbols,
            exchanges_own=read_exchanges_own(settings.paths.job("data-validation")),
            on_progress=on_progress,
        )

        def resimulate(panel: Panel, compile_cache: Path | None) -> Simulation:
            return simulate_panel(panel, made.strategy, settings, compile_cache)

        report = audit(
            made.panel,
            made.strategy,
            made.params,
            resimulate,
            compile_cache=compile_cache_of(settings),
            sampling=Sampling(seed=secrets.randbelow(10**6) if seed is None else seed),
            accept_outside=accept_outside,
            on_progress=on_progress,
        )
    _print(report, as_json)
    return report.code


def _print(report: AuditReport, as_json: bool) -> None:
    if not as_json:
        print("\n".join(report.lines()), flush=True)
        return
    told = {"verdict": report.verdict, "exit_code": int(report.code), **msgspec.structs.asdict(report)}
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    sys.stdout.buffer.flush()

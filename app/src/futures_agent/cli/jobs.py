"""One command per job: the unit of the same name runs it."""

from __future__ import annotations

from typing import Annotated

import typer

from futures_agent.cli.frame import (
    SymbolsOption,
    TimeframesOption,
    app,
    effective_logged,
    end,
    settings_logged,
    split_setting,
    symbols_of,
    timeframes_of,
)
from futures_agent.errors import Refuse
from futures_agent.program.slices import in_own_slice


@app.command("data-sync")
def data_sync(
    symbols: SymbolsOption = None,
    timeframes: TimeframesOption = None,
    full: Annotated[
        bool, typer.Option("--full", help="Compare the newest stored candles of every series as well.")
    ] = False,
    repair_days: Annotated[
        float, typer.Option("--repair-days", min=0, max=3650, help="Fetch the last days again.")
    ] = 0.0,
) -> None:
    """Fetch what candles have newly closed, back-fill what is missing."""
    from futures_agent.jobs import data_sync as job
    from futures_agent.jobs.candle_plan import SyncScope

    in_own_slice(job.NAME)
    scope = SyncScope(
        symbols=symbols_of(symbols), timeframes=timeframes_of(timeframes), full=full, repair_days=repair_days
    )
    end(job.run(settings_logged(), scope))


@app.command("data-validation")
def data_validation(
    symbols: SymbolsOption = None,
    timeframes: TimeframesOption = None,
    repair: Annotated[
        bool, typer.Option("--repair/--no-repair", help="Fetch again what is bad, before the verdict.")
    ] = True,
) -> None:
    """Judge the stored candles; while they are bad, the backtest is blocked."""
    from futures_agent.jobs import data_validation as job

    in_own_slice(job.NAME)
    end(job.run(settings_logged(), symbols_of(symbols), timeframes_of(timeframes), repair=repair))


@app.command("sentiment-macro")
def sentiment_macro(symbols: SymbolsOption = None) -> None:
    """Collect funding, the exchange's statistics and macro series."""
    from futures_agent.jobs import sentiment_macro as job

    in_own_slice(job.NAME)
    end(job.run(settings_logged(), symbols_of(symbols)))


@app.command()
def backtest(
    since: Annotated[
        str | None, typer.Option("--from", help="First bar, UTC: 2025-01-01; default backtest.days before.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="End, not included, UTC: 2025-07-01; default now.")
    ] = None,
    symbols: SymbolsOption = None,
    strategy: Annotated[
        str | None, typer.Option("--strategy", help="A strategy's name, or package.module:NAME.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A parameter of the strategy, fast=10, or any setting, risk.max_positions=4; repeatable.",
        ),
    ] = None,
    audit: Annotated[
        bool,
        typer.Option("--audit", help="Instead, run the strategy again without the future, and compare."),
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="With --audit: repeat the one that printed it.")
    ] = None,
    accept_outside: Annotated[
        bool,
        typer.Option(
            "--accept-outside-data",
            help="With --audit: what the strategy reads besides bars was known at the time.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --audit: its findings as JSON.")] = False,
) -> None:
    """Backtest the strategy on the stored candles; leaves a JSON result and an HTML report."""
    from futures_agent.backtest.request import Request, is_param, parse_param
    from futures_agent.clock import parse_utc
    from futures_agent.jobs import backtest as job

    if not audit and (as_json or accept_outside or seed is not None):
        raise Refuse("--seed, --accept-outside-data, --json: only with --audit; add it, or leave them out")
    in_own_slice(job.NAME)
    assigned = setting or []
    request = Request(
        start_ms=None if since is None else parse_utc(since),
        end_ms=None if until is None else parse_utc(until),
        symbols=symbols_of(symbols),
        strategy=strategy,
        params=dict(parse_param(text) for text in assigned if is_param(text)),
    )
    effective = effective_logged(dict(split_setting(text) for text in assigned if not is_param(text)))
    if audit:
        from futures_agent.backtest.audit.command import run_audit

        end(run_audit(effective, request, seed=seed, accept_outside=accept_outside, as_json=as_json))
    end(job.run(effective, request))


@app.command()
def backup(
    accept_history: Annotated[
        bool, typer.Option("--accept-history", help="Keep old candles that changed without a record.")
    ] = False,
) -> None:
    """Take a verified copy of the database and of the files beside it."""
    from futures_agent.jobs import backup as job

    in_own_slice(job.NAME)
    end(job.run(settings_logged(), accept_history=accept_history))


@app.command("restore-test")
def restore_test() -> None:
    """Prove that the newest backup restores."""
    from futures_agent.jobs import restore_test as job

    in_own_slice(job.NAME)
    end(job.run(settings_logged()))


@app.command()
def compact() -> None:
    """Give unused space of the database back; refuses without a fresh backup."""
    from futures_agent.jobs import compact as job

    in_own_slice(job.NAME)
    end(job.run(settings_logged()))

"""The status screen: one screen a person reads in ten seconds."""

from __future__ import annotations

import sys

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from futures_agent.clock import age_text, utc_text
from futures_agent.health.data import DataReport
from futures_agent.health.status import JobState, Status

_GOOD, _BAD, _DIM = "green", "bold red", "dim"
_OUTCOME_STYLES = {
    "ok": _GOOD,
    "gate failed": "yellow",
    "running": "cyan",
    "interrupted": "yellow",
    "held": "yellow",
}
_PLAIN_WIDTH = 110  # where there is no terminal to ask


def print_status(status: Status) -> None:
    """Print the screen to stdout."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    console.print(
        Text.assemble(
            ("crypto futures agent  ", "bold"),
            (f"{utc_text(status.now_ms)}", _DIM),
            (f"  exchange time {utc_text(status.exchange_now_ms)}", _DIM),
        )
    )
    console.print(Panel(_data(status), title="candles", title_align="left", border_style=_DIM))
    console.print(Panel(_jobs(status), title="jobs", title_align="left", border_style=_DIM))
    console.print(Panel(_backtest(status), title="last backtest", title_align="left", border_style=_DIM))


def _table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style=_DIM)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def _data(status: Status) -> Group:
    lines: list[Table | Text] = []
    if status.data is None:
        lines.append(Text(status.data_fault or "", style=_BAD))
    else:
        good = Text("good: fresh, complete, without gaps", style=_GOOD)
        bad = Text("; ".join(status.data.faults[:3]), style=_BAD)
        lines += [_frames(status.data), good if status.data.passed else bad]
        lines += [Text(f"warning: {text}", style="yellow") for text in status.data.warnings[:2]]
        lines += [Text(f"excluded: {symbol}, {why}") for symbol, why in _first(status.data.excluded)]
    if status.database_mb is not None:
        lines.append(Text(f"database {status.database_mb:.0f} MB", style=_DIM))
    if status.blocked:
        lines.append(Text(f"the backtest is blocked: {status.blocked[0]}", style=_BAD))
    return Group(*lines)


def _first(excluded: dict[str, str], most: int = 5) -> list[tuple[str, str]]:
    shown = list(excluded.items())[:most]
    return shown + ([("…", f"{len(excluded) - most} more")] if len(excluded) > most else [])


def _frames(data: DataReport) -> Table:
    numbers = ("fresh symbols", "coverage", "oldest closed", "candles", "missing", "not at exchange")
    table = _table("timeframe", *numbers, right=numbers)
    for frame in data.frames:
        age = "-" if frame.oldest_age_ms is None else age_text(max(frame.oldest_age_ms, 0) / 1000) + " ago"
        table.add_row(
            frame.timeframe,
            f"{frame.covered}/{frame.symbols}",
            Text(f"{frame.coverage:.1%}", style=_GOOD if frame.covered == frame.symbols else "yellow"),
            age,
            f"{frame.candles:,}",
            Text(str(frame.missing), style=_BAD if frame.missing else _GOOD),
            str(frame.confirmed_missing),
        )
    return table


def _jobs(status: Status) -> Table:
    table = _table("job", "last run", "took", "outcome", "what it said", right=("took",))
    for job in status.jobs:
        table.add_row(*_job_row(job, status.now_ms))
    return table


def _job_row(job: JobState, now_ms: int) -> tuple[str | Text, ...]:
    if job.hold is not None:
        held = f"since {job.hold.since} by {job.hold.by}: {job.hold.why}"
        return job.name, "", "", Text("held", style="yellow"), Text(held)
    if job.last is None:
        return job.name, "never", "", "", Text("no run recorded yet", style=_DIM)
    ended = job.last.ended_ms
    return (
        job.name,
        age_text((now_ms - job.last.started_ms) / 1000) + " ago",
        "" if ended is None else f"{(ended - job.last.started_ms) / 1000:.1f} s",
        Text(job.outcome or "", style=_OUTCOME_STYLES.get(job.outcome or "", _BAD)),
        Text(job.last.line),  # free text: a bracket in it is no markup
    )


def _backtest(status: Status) -> Group | Text:
    summary = status.backtest
    if status.backtest_fault is not None:
        return Text(status.backtest_fault, style=_BAD)
    if summary is None:
        return Text("none yet; `agentctl backtest` runs one now", style=_DIM)
    metrics, passed = summary.metrics, summary.verdict.passed
    head = Text.assemble(
        (summary.verdict.text, _GOOD if passed else _BAD),
        f"  {summary.strategy.name} {summary.timeframe}, {len(summary.symbols)} symbols, "
        f"{summary.candles:,} candles in {summary.duration_s:.1f} s, {summary.finished}",
    )
    names = ("return", "Sharpe", "max drawdown", "profit factor", "win rate", "trades")
    table = _table(*names, right=names)
    table.add_row(
        _share(metrics.total_return),
        _number(metrics.sharpe),
        _share(metrics.max_drawdown),
        _number(metrics.profit_factor),
        _share(metrics.win_rate),
        f"{metrics.trades:,}",
    )
    lines: list[Text | Table] = [head, table]
    if not passed:
        lines.append(Text(f"gate: {summary.verdict.failures}", style="yellow"))
    validation = summary.signal_validation
    style = {"VALIDATED": _GOOD, "DIFFERENT": "yellow"}.get(validation.status, _DIM)
    lines.append(Text(f"live signals: {validation.status}, {validation.reason}", style=style))
    lines.extend(Text(f"warning: {text}", style="yellow") for text in summary.warnings[:2])
    return Group(*lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

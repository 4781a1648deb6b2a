"""A finished run on one screen, for the person who typed it."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from futures_agent.backtest.metrics import TradeGroup
from futures_agent.backtest.result import BacktestResult
from futures_agent.backtest.result_files import ResultPaths

_GOOD, _BAD, _DIM = "green", "bold red", "dim"
_PLAIN_WIDTH = 110  # where there is no terminal to ask
_MOST_SYMBOLS = 3  # best and worst
_MOST_REASONS = 6
_MOST_WARNINGS = 5


def shows_summary() -> bool:
    """Say whether a person may be reading: in the journal a run is its one outcome line."""
    return sys.stdout.isatty() or "INVOCATION_ID" not in os.environ


def print_summary(result: BacktestResult, paths: ResultPaths) -> None:
    """Print what a person wants to know first about `result` to stdout."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    console.print(_head(result))
    for warning in result.warnings[:_MOST_WARNINGS]:
        console.print(Text(f"warning: {warning}", style="yellow"))
    if len(result.warnings) > _MOST_WARNINGS:
        console.print(
            Text(f"… {len(result.warnings) - _MOST_WARNINGS} warnings more in the report", "yellow")
        )
    console.print(_numbers(result), _gate(result), sep="\n")
    traded = [group for group in result.by_symbol if group.trades]
    if traded:
        console.print(_symbols(traded))
    if result.rejections:
        console.print(Text(f"entries refused: {_refused(result.rejections)}"))
    validation = result.signal_validation
    console.print(Text(f"live signals: {validation.status}, {validation.reason}"))
    console.print(Text(f"report: {paths.html}"), soft_wrap=True)  # one line, to be copied


def _head(result: BacktestResult) -> Text:
    span = "no bar" if result.data is None else f"{result.data.start[:16]} to {result.data.end[:16]}"
    cut_short = result.metrics.cut_short
    return Text.assemble(
        (result.verdict.text, _GOOD if result.verdict.passed else _BAD),
        (f"  {cut_short}" if cut_short else "", _BAD),
        f"  {result.strategy.name} {result.timeframe}, {len(result.symbols)} symbols, "
        f"{result.candles:,} candles, {span}",
    )


def _numbers(result: BacktestResult) -> Table:
    metrics = result.metrics
    table = _table(
        *("return", "equity", "Sharpe", "Sortino", "max drawdown", "profit factor", "win rate"),
        *("trades", "fees", "slippage", "funding"),
    )
    table.add_row(
        f"{metrics.total_return:+.1%}",
        f"{metrics.final_equity:,.0f}",
        _number(metrics.sharpe),
        _number(metrics.sortino),
        f"{metrics.max_drawdown:.1%}",
        _number(metrics.profit_factor),
        "-" if metrics.win_rate is None else f"{metrics.win_rate:.1%}",
        f"{metrics.trades:,}",
        f"{metrics.fees:,.0f}",
        f"{metrics.slippage:,.0f}",
        f"{metrics.funding:+,.0f}",
    )
    return table


def _gate(result: BacktestResult) -> Table:
    table = _table("gate", "value", "needed", "", left=("gate", ""))
    for check in result.verdict.checks:
        table.add_row(
            check.name,
            "undefined" if check.value is None else f"{check.value:.4g}",
            f"{check.relation} {check.threshold:g}",
            Text("ok", style=_GOOD) if check.ok else Text("missed", style=_BAD),
        )
    return table


def _symbols(traded: list[TradeGroup]) -> Table:
    """Return the best and the worst symbols by net result; where there are few, each once."""
    ranked = sorted(traded, key=lambda group: group.net_pnl, reverse=True)
    shown = ranked[:_MOST_SYMBOLS] + ranked[max(_MOST_SYMBOLS, len(ranked) - _MOST_SYMBOLS) :]
    table = _table("symbol", "net", "trades", "win rate", "profit factor", left=("symbol",))
    for group in shown:
        table.add_row(
            group.name,
            Text(f"{group.net_pnl:+,.2f}", style=_GOOD if group.net_pnl > 0 else _BAD),
            str(group.trades),
            "-" if group.win_rate is None else f"{group.win_rate:.1%}",
            _number(group.profit_factor),
        )
    return table


def _refused(rejections: dict[str, int]) -> str:
    ranked = sorted(rejections.items(), key=lambda item: item[1], reverse=True)
    named = ", ".join(f"{name} {count:,}" for name, count in ranked[:_MOST_REASONS])
    return named + (f", … {len(ranked) - _MOST_REASONS} reasons more" if len(ranked) > _MOST_REASONS else "")


def _table(*columns: str, left: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style=_DIM)
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right")
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

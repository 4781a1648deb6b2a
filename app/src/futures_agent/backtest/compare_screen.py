"""A comparison of two runs for a person."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from futures_agent.backtest.compare import Comparison, MetricDifference, OneTrade, TradeDifferences
from futures_agent.clock import utc_text

_DIM, _CHANGED = "dim", "yellow"
_PLAIN_WIDTH = 110  # where there is no terminal to ask
_MOST_TRADES = 5  # of each kind; --json has all
_LONGEST = 60  # characters of a setting


def print_comparison(found: Comparison) -> None:
    """Print both runs side by side to stdout."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    console.print(Text(f"A  {found.a}  {found.verdict_a}\nB  {found.b}  {found.verdict_b}", style="bold"))
    changed = [*found.settings, *found.data]
    if changed:
        table = _table("differs", "A", "B")
        for one in changed:
            table.add_row(one.name, _shown(one.a, one.b), _shown(one.b, one.a))
        console.print(table)
    else:
        console.print("same settings, same data, same code")
    console.print(_numbers("metric", found.metrics))
    refused = [one for one in found.rejections if one.difference]
    if refused:
        console.print(_numbers("entries refused", refused))
    _print_trades(console, found.trades)
    console.print(_conclusion(found))


def _conclusion(found: Comparison) -> Text:
    if found.traded_alike:
        return Text("both traded alike: the same orders at the same prices", style="green")
    if found.equity_parts is None:
        return Text("the orders differ, the equity is the same at the end of each day", style=_CHANGED)
    return Text(f"the equities part on {found.equity_parts.day}", style=_CHANGED)


def _numbers(title: str, rows: list[MetricDifference]) -> Table:
    table = _table(title, "A", "B", "B − A", right=("A", "B", "B − A"))
    for one in rows:
        table.add_row(
            one.name,
            _number(one.a),
            _number(one.b),
            Text(f"{one.difference:+.6g}" if one.difference else "", style=_CHANGED),
        )
    return table


def _print_trades(console: Console, trades: TradeDifferences) -> None:
    console.print(
        f"trades: {trades.same} the same, {trades.other_fill} with another size or price, "
        f"{len(trades.other_outcome)} with another outcome, {len(trades.only_a)} only in A, "
        f"{len(trades.only_b)} only in B"
    )
    table = _table("", "symbol", "side", "entry", "exit", "reason", "net", right=("net",))
    for mark, some in (("only A", trades.only_a), ("only B", trades.only_b)):
        for trade in some[:_MOST_TRADES]:
            table.add_row(mark, *_trade_row(trade))
    for pair in trades.other_outcome[:_MOST_TRADES]:
        table.add_row("A", *_trade_row(pair.a))
        table.add_row("B", *_trade_row(pair.b))
    if table.row_count:
        console.print(table)


def _trade_row(trade: OneTrade) -> tuple[str, ...]:
    times = (utc_text(at)[:16] for at in (trade.entry_time, trade.exit_time))
    return trade.symbol, trade.side, *times, trade.exit_reason, f"{trade.net_pnl:+,.2f}"


def _table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style=_DIM)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def _shown(value: Any, other: Any) -> Text:
    """Return a setting; of a list only what the other run does not have."""
    if value is None:
        return Text("-", style=_DIM)
    text = str(value)
    if isinstance(value, list) and isinstance(other, list):
        own = [str(item) for item in value if item not in other]
        text = f"{len(value)}: {', '.join(own)}" if own else f"{len(value)}"
    return Text(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.6g}"

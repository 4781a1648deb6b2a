"""The live trader's screen: what it holds, what it is doing, and whether it may open anything."""

from __future__ import annotations

import sys

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from futures_agent.clock import SystemClock, age_text, utc_text
from futures_agent.live.status import LiveStatus, is_running

_GOOD, _WARN, _BAD, _DIM = "green", "yellow", "bold red", "dim"
_PLAIN_WIDTH = 110


def print_live(status: LiveStatus) -> None:
    """Print the whole screen."""
    console = _console()
    console.print(live_panel(status))
    for title, table in (("positions", _positions(status)), ("orders", _orders(status))):
        console.print(Panel(table, title=title, title_align="left", border_style=_DIM))


def print_positions(status: LiveStatus) -> None:
    _console().print(_positions(status))


def print_orders(status: LiveStatus) -> None:
    _console().print(_orders(status))


def live_panel(status: LiveStatus) -> Panel:
    """Return the trader's own panel, for its screen and the host's."""
    lines = [_head(status), _money(status), _heart(status)]
    if status.kill_switch:
        lines.append(Text("kill switch: drawdown; `agentctl live rearm --why …` re-arms it", style=_BAD))
    if status.paused is not None:
        lines.append(Text(f"paused by {status.paused.by}: {status.paused.why}", style=_WARN))
    elif status.opens_nothing:
        lines.append(Text(f"opens nothing: {status.opens_nothing}", style=_WARN))
    if status.excluded:
        first, why = next(iter(status.excluded.items()))
        lines.append(Text(f"excluded symbols: {len(status.excluded)}; {first}: {why}", style=_WARN))
    if status.database != "ok":
        lines.append(Text(f"database: {status.database}; the journal keeps what it lacks", style=_WARN))
    if status.rejections:
        counted = ", ".join(f"{name} {count}" for name, count in sorted(status.rejections.items()))
        lines.append(Text(f"entries refused: {counted}", style=_DIM))
    return Panel(Group(*lines), title=f"live trading: {status.mode}", title_align="left", border_style=_DIM)


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)


def _head(status: LiveStatus) -> Text:
    now_ms = SystemClock().now_ms()
    if not is_running(status):
        since = age_text((now_ms - status.written_ms) / 1000)
        return Text(f"does not run; last heard of {since} ago, then {status.phase}", style=_BAD)
    return Text.assemble(
        (status.phase, _GOOD if status.phase == "trading" else _WARN),
        f"  {status.strategy}, {status.symbols} symbols  pid {status.pid}, "
        f"up {age_text((now_ms - status.started_ms) / 1000)}  incidents {status.incidents}",
    )


def _money(status: LiveStatus) -> Text:
    close = utc_text(status.last_close_ms) if status.last_close_ms else "none yet"
    return Text(
        f"equity {status.equity:,.2f}  wallet {status.wallet:,.2f}  fills {status.fills}  last close {close}"
    )


def _heart(status: LiveStatus) -> Text:
    ages = "  ".join(f"{name} {age_text(age_s)} ago" for name, age_s in status.ages_s.items())
    style = _BAD if status.stale else _DIM
    return Text(f"heartbeat: {ages}" + (f"  STALE: {', '.join(status.stale)}" if status.stale else ""), style)


def _positions(status: LiveStatus) -> Table:
    numbers = ("quantity", "entry", "mark", "PnL", "stop", "target")
    table = Table("symbol", "side", box=None, pad_edge=False, header_style=_DIM)
    for name in numbers:
        table.add_column(name, justify="right")
    table.add_column("held")
    table.add_column("state")
    for each in status.positions:
        held_s = (status.exchange_now_ms - each.since_ms) / 1000
        state = Text(each.doing, style=_GOOD if each.protected else _BAD)
        table.add_row(
            each.symbol,
            each.side,
            f"{each.quantity:g}",
            f"{each.entry_price:g}",
            f"{each.mark_price:g}",
            Text(f"{each.unrealized_pnl:+,.2f}", style=_GOOD if each.unrealized_pnl >= 0 else "red"),
            f"{each.stop_price:g}" if each.stop_price else Text("none", style=_BAD),
            f"{each.target_price:g}" if each.target_price else "-",
            age_text(held_s),
            state,
        )
    if not status.positions:
        table.add_row("none")
    return table


def _orders(status: LiveStatus) -> Table:
    table = Table("symbol", "purpose", "side", "state", box=None, pad_edge=False, header_style=_DIM)
    for name in ("quantity", "price"):
        table.add_column(name, justify="right")
    table.add_column("age")
    table.add_column("client id", overflow="fold")
    for each in status.orders:
        age = age_text((status.exchange_now_ms - each.since_ms) / 1000)
        price = f"{each.price:g}" if each.price else "-"
        quantity = f"{each.quantity:g}" if each.quantity else "all"
        table.add_row(each.symbol, each.purpose, each.side, each.state, quantity, price, age, each.client_id)
    if not status.orders:
        table.add_row("none")
    return table

"""The board as HTML: figures, and a table for each kind of thing an account has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import Any, NamedTuple, TypeVar

from futures_agent.simulator.board import AccountRow, BalanceRow, Board, PositionRow
from futures_agent.simulator.fault_script import FAULT_KINDS
from futures_agent.simulator.page_forms import defaults_of
from futures_agent.simulator.trading.records import AlgoOrder, Fill, Order

Row = TypeVar("Row")
_NONE = "–"
_COLUMNS = frozenset(("number", "how", "state", "note", "planned", "engaged", "count"))
_DEFAULTS = defaults_of(FAULT_KINDS)


class Cell(NamedTuple):
    """One value on the page, and the class it is drawn with."""

    text: str
    style: str = ""


def board_html(board: Board) -> str:
    """Return the part of the page that changes."""
    return "".join(
        [
            _overview(board),
            *(_account(each) for each in board.accounts),
            '<section class="panel">',
            _table("Faults", board.faults[::-1], _fault, level=2),
            "</section>",
        ]
    )


def _overview(board: Board) -> str:
    pace = "stands still" if board.scale == 0 else "real time" if board.scale == 1 else f"×{board.scale:g}"
    statuses = ", ".join(f"{status}: {count:,}" for status, count in board.by_status.items())
    figures = {
        "venue time (UTC)": Cell(_time(board.now_ms)),
        "clock": Cell(pace),
        "requests": Cell(f"{board.requests:,}"),
        "answers by status": Cell(statuses or _NONE),
    }
    if board.ledger.fault:
        figures["ledger"] = Cell(board.ledger.fault)
    return f'<section class="panel">{_figures(figures)}</section>'


def _account(account: AccountRow) -> str:
    traits = "hedge mode" if account.hedge_mode else "one-way mode"
    if not account.can_trade:
        traits += ", may not trade"
    for symbol, restriction in account.restrictions.items():
        until = f" until {_time(restriction.until_ms)}" if restriction.until_ms else ""
        traits += f", may only reduce {escape(symbol)} ({restriction.code}){until}".replace("  ", " ")
    shown = f" <span>last {len(account.fills)} of {account.fills_in_all:,}</span>" if account.fills else ""
    return "".join(
        [
            f'<section class="panel"><h2>Account {escape(account.key)} <span>{traits}</span></h2>',
            *(_figures(_balance(each)) for each in account.balances),
            _table("Positions", account.positions, _position),
            _table("Open orders", account.orders, _order),
            _table("Conditional orders", account.conditional_orders, _algo),
            _table(f"Fills{shown}", account.fills, _fill),
            "</section>",
        ]
    )


def _balance(row: BalanceRow) -> dict[str, Cell]:
    return {
        f"wallet {row.asset}": Cell(_money(row.wallet)),
        "unrealised PnL": _gain(row.unrealized_pnl),
        "equity": Cell(_money(row.equity)),
        "available": Cell(_money(row.available)),
        "maintenance margin": Cell(_money(row.maintenance)),
    }


def _position(row: PositionRow) -> dict[str, Cell]:
    return {
        "symbol": Cell(row.symbol, "text"),
        "side": Cell(row.side if row.side != "BOTH" else "LONG" if row.amount > 0 else "SHORT", "text"),
        "amount": Cell(_number(row.amount)),
        "entry": Cell(_number(row.entry_price)),
        "mark": Cell(_number(row.mark_price)),
        "liquidation": Cell(
            _number(row.liquidation_price.quantize(row.entry_price)) if row.liquidation_price else _NONE
        ),
        "notional": Cell(_money(row.notional)),
        "unrealised PnL": _gain(row.unrealized_pnl),
        "margin": Cell(f"{row.margin_type.lower()} {row.leverage}×"),
    }


def _order(order: Order) -> dict[str, Cell]:
    return {
        "placed": Cell(_time(order.created_ms), "text"),
        "symbol": Cell(order.symbol, "text"),
        "side": Cell(_side(order.side, order.position_side), "text"),
        "type": Cell(f"{order.type} {order.time_in_force}", "text"),
        "quantity": Cell(_number(order.quantity)),
        "executed": Cell(_number(order.executed)),
        "price": Cell(_number(order.price)),
        "reduce only": Cell("yes" if order.reduce_only else _NONE),
        "client id": Cell(order.client_order_id, "text"),
    }


def _algo(algo: AlgoOrder) -> dict[str, Cell]:
    return {
        "placed": Cell(_time(algo.created_ms), "text"),
        "symbol": Cell(algo.symbol, "text"),
        "side": Cell(_side(algo.side, algo.position_side), "text"),
        "type": Cell(algo.type, "text"),
        "quantity": Cell("position" if algo.close_position else _number(algo.quantity)),
        "trigger": Cell(_number(algo.trigger_price or algo.activate_price)),
        "price": Cell(_number(algo.price) if algo.price else _NONE),
        "judged by": Cell("mark" if algo.working_type == "MARK_PRICE" else "last", "text"),
        "state": Cell(algo.status, "text"),
        "client id": Cell(algo.client_algo_id, "text"),
    }


def _fill(fill: Fill) -> dict[str, Cell]:
    return {
        "time": Cell(_time(fill.time_ms), "text"),
        "symbol": Cell(fill.symbol, "text"),
        "side": Cell(_side(fill.side, fill.position_side), "text"),
        "quantity": Cell(_number(fill.quantity)),
        "price": Cell(_number(fill.price)),
        "fee": Cell(_number(fill.fee)),
        "realised PnL": _gain(fill.realized_pnl) if fill.realized_pnl else Cell(_NONE),
        "order": Cell(str(fill.order_id)),
    }


def _fault(row: dict[str, Any]) -> dict[str, Cell]:
    how, usual = row["how"], _DEFAULTS[row["how"]]
    told = {
        name: value
        for name, value in row.items()
        if name not in _COLUMNS and (name not in usual or value != usual[name])
    }
    about = "".join(f", {_told(name, value)}" for name, value in told.items())
    planned = "∞" if row["planned"] is None else f"{row['planned']:,}"
    return {
        "number": Cell(str(row["number"]), "text"),
        "fault": Cell(f"{how}{about}", "text"),
        "state": Cell(": ".join([row["state"], *([row["note"]] if "note" in row else [])]), "text"),
        "engaged": Cell(f"{row['engaged']:,} of {planned}"),
    }


def _told(name: str, value: Any) -> str:
    """Return one field of a fault in words."""
    words = name.replace("_", " ")
    if value is True:
        return words
    if name in ("from_ms", "until_ms"):
        return f"{words.removesuffix(' ms')} {_time(value)}"
    return f"{words.removesuffix(' ms')} {value:g} ms" if name.endswith("_ms") else f"{words} {value}"


def _side(side: str, position_side: str) -> str:
    return side if position_side == "BOTH" else f"{side} {position_side}"


def _time(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms // 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _number(value: Decimal) -> str:
    """Return a price or quantity with the digits that it has."""
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _gain(amount: Decimal) -> Cell:
    style = "gain" if amount > 0 else "loss" if amount < 0 else ""
    return Cell(f"{amount:+,.2f}" if amount else "0.00", style)


def _figures(figures: Mapping[str, Cell]) -> str:
    pairs = "".join(
        f'<div><dt>{escape(name)}</dt><dd class="{cell.style}">{escape(cell.text)}</dd></div>'
        for name, cell in figures.items()
    )
    return f"<dl>{pairs}</dl>"


def _table(
    heading: str, rows: Sequence[Row], cells_of: Callable[[Row], dict[str, Cell]], *, level: int = 3
) -> str:
    """Return a table with a column for each of a row's cells; `heading` is HTML."""
    title = f"<h{level}>{heading}</h{level}>"
    if not rows:
        return f'{title}<p class="none">none</p>'
    cells = [cells_of(row) for row in rows]
    head = "".join(
        f'<th class="{cell.style if cell.style == "text" else ""}">{escape(name)}</th>'
        for name, cell in cells[0].items()
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{cell.style}">{escape(cell.text)}</td>' for cell in row.values())
        + "</tr>"
        for row in cells
    )
    return (
        f'{title}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )

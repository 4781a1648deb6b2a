"""The desk as a person sees it: positions with their stops, and orders that are open or unknown."""

from __future__ import annotations

from collections.abc import Mapping

from futures_agent.exchange.orders import PlaceStop, PlaceTarget
from futures_agent.live.desk import Desk, Holding
from futures_agent.live.ids import Purpose
from futures_agent.live.line import Line
from futures_agent.live.order import State
from futures_agent.live.rows import order_row
from futures_agent.live.status import OrderShown, PositionShown

_NAMES = {Purpose.ENTRY: "entry", Purpose.STOP: "stop", Purpose.TARGET: "target", Purpose.EXIT: "exit"}


def positions_shown(desk: Desk, marks: Mapping[str, float]) -> list[PositionShown]:
    """Return the open positions; `marks` are the newest mark prices."""
    return [_position(held, desk.lines[held.symbol], marks) for held in desk.holdings]


def orders_shown(desk: Desk) -> list[OrderShown]:
    """Return our orders that are open, or of which nobody knows yet what became."""
    shown = []
    for line in desk.lines.values():
        for order in line.orders.values():
            if order.is_done:
                continue
            row = order_row(order, set())
            shown.append(
                OrderShown(
                    symbol=line.symbol,
                    client_id=order.client_id,
                    purpose=_NAMES[order.purpose],
                    side=row.side,
                    state=row.status if order.state is State.LIVE else order.state.value,
                    quantity=row.quantity,
                    price=row.stop_price or row.price or 0.0,
                    since_ms=order.sent_ms,
                )
            )
    return shown


def _position(held: Holding, line: Line, marks: Mapping[str, float]) -> PositionShown:
    entry = float(held.entry_price or 0)
    mark = marks.get(held.symbol, entry)
    stop, trade = line.stop, line.trade
    request = stop.request if stop is not None else None
    live = (order.request for order in line.orders.values() if order.state is State.LIVE)
    target = next((each for each in live if isinstance(each, PlaceTarget)), None)
    doing = f"leaving: {line.exit_why}" if line.exit_why else ("open" if stop else "placing the stop")
    return PositionShown(
        symbol=held.symbol,
        side="LONG" if held.amount > 0 else "SHORT",
        quantity=float(abs(held.amount)),
        entry_price=entry,
        mark_price=mark,
        unrealized_pnl=float(held.amount) * (mark - entry),
        stop_price=float(request.trigger_price) if isinstance(request, PlaceStop) else 0.0,
        target_price=float(target.price) if target is not None else 0.0,
        since_ms=(trade.entry_ms or 0) if trade is not None else 0,
        protected=stop is not None,
        doing=doing,
        trade_id=trade.trade_id if trade is not None else "",
    )

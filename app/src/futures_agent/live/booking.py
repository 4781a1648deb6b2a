"""Fills: each counted once, for the order and the trade that it belongs to, in whatever order they come."""

from __future__ import annotations

from futures_agent.exchange.orders import FillSeen, FundingSeen
from futures_agent.live.ids import Purpose, adopted_id_of, system_exit
from futures_agent.live.line import Line, Unplaced
from futures_agent.live.order import PRESUMED, ZERO, Order, State
from futures_agent.live.trade import Trade

_HOUR_MS = 3_600_000
_FUNDING_HOURS_KEPT = 24 * 14
_NAMELESS_KEPT = 100
_QUERY_LAG_MS = 10_000  # a query may not find an order that is so young


def count_fill(line: Line, fill: FillSeen, at_ms: int) -> bool:
    """Count a fill unless it was counted before, and say whether it was new."""
    if fill.trade_id <= line.floor or fill.trade_id in line.fill_ids:
        return False
    line.fill_ids.add(fill.trade_id)
    if fill.time_ms < line.accepted_ms:
        line.nameless.append(fill)  # in the position that was accepted; an order may lack it all the same
        return False
    line.amount += fill.side * fill.quantity
    order = line.find(fill.client_id) or line.by_order_id(fill.order_id)
    if order is not None:
        _book(line, fill, order, at_ms)
    elif fill.client_id:
        _book_foreign(line, fill, at_ms)
    else:
        line.unplaced.append(Unplaced(fill=fill, at_ms=at_ms))
    return True


def place_fills(line: Line, at_ms: int) -> None:
    """Give fills that came without a name to the orders that turned out to be theirs.

    Once every order that could be theirs was asked about, the rest are not ours. Should one be ours after
    all, it is no longer missing there.
    """
    for fill in list(line.nameless):
        order = line.find(fill.client_id) or line.by_order_id(fill.order_id)
        if order is not None:
            line.nameless.remove(fill)
            order.hear_fill(fill, at_ms)
            _tell_reason(line, fill, order)
    del line.nameless[:-_NAMELESS_KEPT]
    waiting, line.unplaced = line.unplaced, []
    for unplaced in waiting:
        order = line.by_order_id(unplaced.fill.order_id)
        if order is not None:
            _book(line, unplaced.fill, order, at_ms)
        elif any(could_be_of(order, unplaced) for order in line.orders.values()):
            line.unplaced.append(unplaced)
        else:
            line.nameless.append(unplaced.fill)
            _book_foreign(line, unplaced.fill, at_ms)


def could_be_of(order: Order, unplaced: Unplaced) -> bool:
    """Say whether a fill without a name may belong to `order`: its number is not known since."""
    if order.order_id or order.side != unplaced.fill.side:
        return False
    if order.state in (State.SENT, State.UNKNOWN):
        return True
    if order.is_done and order.status not in PRESUMED:
        return False
    wait_ms = _QUERY_LAG_MS if order.absences or order.is_done else 0
    return order.status not in ("REFUSED", "LAPSED") and order.answered_ms <= unplaced.at_ms + wait_ms


def pay_funding(line: Line, payment: FundingSeen) -> None:
    """Add a payment to the trade that was open then, once: stream and query both tell of it."""
    hour = round(payment.time_ms / _HOUR_MS)
    if hour in line.funding_hours:
        return
    line.funding_hours.add(hour)
    newest = max(line.funding_hours)
    line.funding_hours = {each for each in line.funding_hours if each > newest - _FUNDING_HOURS_KEPT}
    for trade in (line.trade, *reversed(line.trades)):
        if trade is None or trade.entry_ms is None or trade.entry_ms > payment.time_ms:
            continue
        if not trade.closed or (trade.exit_ms or 0) >= payment.time_ms:
            trade.pay(payment)
            return


def _book(line: Line, fill: FillSeen, order: Order, at_ms: int) -> None:
    order.hear_fill(fill, at_ms)
    trade = _trade_of(line, order)
    if trade is None:
        _book_foreign(line, fill, at_ms)
    elif order.purpose is Purpose.ENTRY:
        trade.enter(fill, fill.quantity)
    else:
        trade.leave(fill, fill.quantity, _reason(line, order))


def _reason(line: Line, order: Order) -> str:
    if order.purpose is Purpose.STOP:
        return "STOP"
    if order.purpose is Purpose.TARGET:
        return "TARGET"
    return line.exit_why or "EXIT"


def _tell_reason(line: Line, fill: FillSeen, order: Order) -> None:
    """Correct why a trade ended whose last fill was not known to be ours."""
    for trade in (*line.trades, line.trade):
        if trade is not None and trade.trade_id == order.trade_id and trade.exit_ms == fill.time_ms:
            trade.exit_reason = _reason(line, order)


def _trade_of(line: Line, order: Order) -> Trade | None:
    """Return the trade of `order`: the current one, or one that this fill shows not to be over.

    Beside a current trade an earlier one takes only what its fills still lack.
    """
    if line.trade is None:
        reopen_trade(line, order.trade_id)
    if line.trade is not None and line.trade.trade_id == order.trade_id:
        return line.trade
    sign = -1 if order.purpose is Purpose.ENTRY else 1
    lacking = (t for t in line.trades if t.trade_id == order.trade_id and sign * t.open_quantity > 0)
    return next(lacking, None)


def reopen_trade(line: Line, trade_id: str) -> None:
    """Make a trade the current one again that was taken to be over."""
    for trade in line.trades:
        if trade.trade_id == trade_id:
            line.trades.remove(trade)
            trade.closed, trade.outcome, line.trade = False, "", trade
            return


def _book_foreign(line: Line, fill: FillSeen, at_ms: int) -> None:
    """Count a fill of no order of ours: against the trade first, what is left is a position of its own."""
    reason = system_exit(fill.client_id) or "FOREIGN"
    kind = "LIQUIDATED" if reason != "FOREIGN" else "FOREIGN_FILL"
    line.report(kind, f"{reason}: {_text(fill)}", at_ms)
    left = fill.quantity
    if line.trade is not None and fill.side == -line.trade.side:
        # By what the venue executed: fills of the entry may still be on their way. The exchange's own
        # orders only close.
        before = line.exposure - fill.side * fill.quantity
        closing = left if reason != "FOREIGN" else min(left, max(line.trade.side * before, ZERO))
        if closing:
            line.trade.leave(fill, closing, reason)
            left -= closing
        if left:
            close_trade(line)
    if left and line.trade is None:
        line.trade = Trade(
            trade_id=adopted_id_of(line.symbol, fill.time_ms),
            symbol=line.symbol,
            side=fill.side,
            wanted=left,
            wanted_ms=at_ms,
            adopted=True,
        )
    if left and line.trade is not None:
        line.trade.enter(fill, left)


def close_trade(line: Line) -> None:
    """End the current trade."""
    if line.trade is not None:
        if line.trade.open_quantity:
            line.ask(0)
        line.trade.closed = True
        line.trades.append(line.trade)
    line.trade, line.exit_why, line.wait_exit, line.wait_stop = None, "", False, False


def _text(fill: FillSeen) -> str:
    verb = "bought" if fill.side > 0 else "sold"
    order = fill.client_id or f"number {fill.order_id}"
    return f"{verb} {fill.quantity} {fill.symbol} at {fill.price}, order {order}"

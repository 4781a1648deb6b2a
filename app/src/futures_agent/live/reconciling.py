"""Comparing with the venue's account: the venue is right, once it is certain what it speaks of.

A snapshot tells of the time before it was taken. Whatever moved since may be in it or not, so that only a
symbol that was still can be judged by it; and a position that differs counts when two snapshots agree.
"""

from __future__ import annotations

from decimal import Decimal

from futures_agent.clock import SECOND_MS
from futures_agent.exchange.orders import OrderSeen, PlaceStop, PositionSeen, Snapshot, StopSeen
from futures_agent.live.answers import hear
from futures_agent.live.booking import close_trade, count_fill
from futures_agent.live.ids import Purpose, adopted_id_of, is_ours, system_exit
from futures_agent.live.line import Line, Stranger
from futures_agent.live.order import ZERO, Order, State
from futures_agent.live.records import Reconciled
from futures_agent.live.trade import Trade

_LAG_MS = SECOND_MS  # of the venue's lists behind its order book
_FILLS_MISSING_MS = 60 * SECOND_MS  # fills that no query brings for so long are told


def reconcile(line: Line, record: Reconciled) -> None:
    """Bring one symbol in line with the venue's account."""
    snapshot, at_ms = record.snapshot, record.at_ms
    for fill in record.fills:
        if fill.symbol == line.symbol and count_fill(line, fill, at_ms):
            line.moved_ms = max(line.moved_ms, fill.time_ms)
    _see_orders(line, snapshot, at_ms)
    _miss_orders(line, snapshot)
    line.ask_ms = None
    if snapshot.taken_ms > line.moved_ms:
        line.wait_exit = line.wait_stop = False
    elif line.wait_exit or line.wait_stop:
        line.ask(snapshot.taken_ms + SECOND_MS)
    _judge_position(line, snapshot, at_ms)
    for order in line.orders.values():
        if (
            order.unseen
            and order.heard_ms < snapshot.taken_ms - _FILLS_MISSING_MS
            and not order.fills_reported
        ):
            order.fills_reported = True
            line.report("FILLS_MISSING", f"{order.client_id}: {order.unseen} executed, no fill told", at_ms)


def see_stranger(line: Line, seen: OrderSeen | StopSeen, at_ms: int) -> None:
    """Take in an order that we do not know."""
    if not seen.is_open:
        line.strangers.pop(seen.client_id, None)
        line.gone_strangers.add(seen.client_id)
        return
    if system_exit(seen.client_id) or seen.client_id in line.gone_strangers:
        return
    if seen.type == "MARKET" and not is_ours(seen.client_id):
        return  # it does not rest: its fills tell
    if seen.client_id in line.strangers:
        line.strangers[seen.client_id].seen = seen
        return
    line.strangers[seen.client_id] = Stranger(seen=seen)
    what = f"{seen.type} {seen.client_id}, {'buy' if seen.side > 0 else 'sell'} {seen.quantity}"
    if isinstance(seen, OrderSeen) and not is_ours(seen.client_id):
        line.report("FOREIGN_ORDER", f"{what}: no entries here until a person removes it", at_ms)
    else:
        line.report("ORPHAN_ORDER", what, at_ms)


def adopt_stop(line: Line, at_ms: int) -> None:
    """Take over a stop that we do not know but that protects the position, where none of ours does."""
    side = 1 if line.exposure < 0 else -1
    if not line.exposure or line.trade is None:
        return
    if any(not order.is_done for order in line.of(Purpose.STOP)):
        return
    for client_id, stranger in line.strangers.items():
        seen = stranger.seen
        if not isinstance(seen, StopSeen) or seen.type != "STOP_MARKET" or seen.status != "NEW":
            continue
        if seen.close_position and seen.side == side and not stranger.cancels:
            order = Order(
                request=_as_request(seen), trade_id=line.trade.trade_id, purpose=Purpose.STOP, sent_ms=at_ms
            )
            order.hear_stop(seen, at_ms)
            line.orders[client_id] = order
            del line.strangers[client_id]
            return


def _see_orders(line: Line, snapshot: Snapshot, at_ms: int) -> None:
    opened: list[OrderSeen | StopSeen] = [*snapshot.orders, *snapshot.stops]
    mine = [seen for seen in opened if seen.symbol == line.symbol]
    listed = {seen.client_id for seen in mine}
    for client_id, stranger in list(line.strangers.items()):
        if client_id not in listed and stranger.seen.updated_ms < snapshot.taken_ms - _LAG_MS:
            del line.strangers[client_id]
    for seen in mine:
        order = line.find(seen.client_id)
        if order is not None:
            hear(order, seen, at_ms)
        else:
            see_stranger(line, seen, at_ms)


def _miss_orders(line: Line, snapshot: Snapshot) -> None:
    """Mark open orders of ours that the snapshot lacks although they are older than it."""
    listed = {seen.client_id for seen in snapshot.orders} | {seen.client_id for seen in snapshot.stops}
    for order in line.orders.values():
        old = max(order.sent_ms, order.heard_ms) < snapshot.taken_ms - _LAG_MS
        if order.state is State.LIVE and old and order.client_id not in listed and not order.missing:
            order.missing, order.asks = True, 0


def _judge_position(line: Line, snapshot: Snapshot, at_ms: int) -> None:
    found = next((each for each in snapshot.positions if each.symbol == line.symbol), None)
    amount = found.amount if found is not None else ZERO
    still = line.moved_ms < snapshot.taken_ms
    if still:
        line.steady_ms = line.seen_ms if line.seen_amount == amount else line.steady_ms
        line.seen_amount, line.seen_ms = amount, snapshot.taken_ms
    if amount == line.exposure:
        line.difference = line.told = None
        if still:
            line.equal_ms = snapshot.taken_ms
            if not line.is_unclear:
                _even_out(line, at_ms)
        return
    line.ask(snapshot.taken_ms + SECOND_MS)
    if not still or line.is_unclear:
        return
    if line.difference != amount or line.difference_ms >= snapshot.taken_ms:
        line.difference, line.difference_ms = amount, snapshot.taken_ms
        return
    _accept(line, amount, found, at_ms)
    line.difference = line.told = None
    line.equal_ms = line.accepted_ms = snapshot.taken_ms
    line.ask_ms = None


def _even_out(line: Line, at_ms: int) -> None:
    """Make the trades' sizes what the position is, where fills of others left them otherwise."""
    for trade in (*line.trades, line.trade):
        if trade is None:
            continue
        held = ZERO if trade.closed else trade.side * line.exposure
        rest = trade.open_quantity - held
        if rest > 0:
            trade.lose(rest, at_ms)
        elif rest < 0:
            trade.find(-rest, trade.exit_price or trade.entry_price or ZERO, at_ms)


def _accept(line: Line, amount: Decimal, found: PositionSeen | None, at_ms: int) -> None:
    """Take the venue's amount as ours: what cannot be explained ends, or begins, unexplained."""
    believed, line.amount = line.amount, amount
    price = found.entry_price if found is not None else ZERO
    text = f"the venue holds {amount} {line.symbol}, fills explain {believed}"
    line.report("POSITION_GONE" if not amount else "UNEXPLAINED_POSITION", text, at_ms)
    trade = line.trade
    if trade is not None and trade.side * amount <= 0 and trade.open_quantity > 0:
        trade.lose(trade.open_quantity, at_ms)
        if amount:
            close_trade(line)
    elif trade is not None and trade.side * amount > 0:
        more = trade.side * amount - trade.open_quantity
        if more > 0:
            trade.find(more, price, at_ms)
        elif more < 0:
            trade.lose(-more, at_ms)
    if amount and line.trade is None:
        side = 1 if amount > 0 else -1
        line.trade = Trade(
            trade_id=adopted_id_of(line.symbol, at_ms),
            symbol=line.symbol,
            side=side,
            wanted=abs(amount),
            wanted_ms=at_ms,
            adopted=True,
        )
        line.trade.find(abs(amount), price, at_ms)


def _as_request(seen: StopSeen) -> PlaceStop:
    return PlaceStop(
        symbol=seen.symbol, client_id=seen.client_id, side=seen.side, trigger_price=seen.trigger_price
    )

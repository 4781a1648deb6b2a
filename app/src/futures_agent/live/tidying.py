"""Orders that protect nothing any more: cancelled, ours and strangers'."""

from __future__ import annotations

from futures_agent.clock import SECOND_MS
from futures_agent.exchange.orders import Cancel, CancelStop, OrderSeen
from futures_agent.live.answers import ANSWER_LIMIT_MS
from futures_agent.live.ids import Purpose, is_ours
from futures_agent.live.line import Line
from futures_agent.live.order import Order, State
from futures_agent.live.wants import Wants, backoff_ms, send

_AGAIN_MS = SECOND_MS
_AGAIN_LIMIT_MS = 8 * SECOND_MS


def tidying_wants(line: Line) -> Wants:
    """Yield the cancellations of what is left over."""
    for order in line.orders.values():
        if order.state is State.LIVE and not order.missing and _is_left_over(line, order):
            kind = CancelStop if order.is_stop else Cancel
            request = kind(symbol=line.symbol, client_id=order.client_id)
            yield send(_when(order.cancelling, order.cancel_ms, order.cancels), order.trade_id, request)
    for client_id, stranger in line.strangers.items():
        regular = isinstance(stranger.seen, OrderSeen)
        if regular and not is_ours(client_id):
            continue  # a person's; it only keeps us from opening
        kind = Cancel if regular else CancelStop
        at_ms = _when(stranger.cancelling, stranger.cancel_ms, stranger.cancels)
        yield send(at_ms, "", kind(symbol=line.symbol, client_id=client_id))


def _is_left_over(line: Line, order: Order) -> bool:
    if order.purpose is Purpose.TARGET:
        return bool(line.exit_why) or order.side * line.exposure >= 0
    if order.purpose is not Purpose.STOP or order.status != "NEW" or order.leg:
        return False
    return order.side * line.exposure >= 0 or order is not line.stop


def _when(cancelling: bool, cancel_ms: int, cancels: int) -> int:
    if cancelling:
        return cancel_ms + ANSWER_LIMIT_MS
    return cancel_ms + backoff_ms(_AGAIN_MS, cancels, _AGAIN_LIMIT_MS) if cancels else 0

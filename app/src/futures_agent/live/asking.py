"""Orders whose fate is not known: asked about until it is.

An order without an answer is waited for, then queried, ever less often; the venue's store lags, so that
"does not exist" proves nothing. Only when no query found it for `live.unknown_limit_s`, and a snapshot of
that time shows a position that did not move, it counts as never placed.
"""

from __future__ import annotations

from futures_agent.clock import SECOND_MS
from futures_agent.exchange.orders import QueryOrder, QueryStop
from futures_agent.live.answers import ANSWER_LIMIT_MS
from futures_agent.live.booking import could_be_of
from futures_agent.live.line import Line
from futures_agent.live.order import Order, State
from futures_agent.live.records import Concluded
from futures_agent.live.wants import Want, Wants, backoff_ms, send

_FIRST_QUERY_MS = 500
_QUERY_LIMIT_MS = 8 * SECOND_MS
_FINISH_LIMIT_MS = 2 * SECOND_MS  # a market order open for longer, or a triggered stop, is asked about
_ABSENCES = 3


def asking_wants(line: Line, unknown_limit_ms: int) -> Wants:
    """Yield the queries, and what follows when none finds anything."""
    for order in line.orders.values():
        if order.state is State.UNKNOWN:
            if _may_conclude(line, order, unknown_limit_ms):
                yield _conclude(line, order, order.unknown_ms + unknown_limit_ms)
            yield _query(order, order.unknown_ms)
        elif order.state is State.SENT:
            yield _query(order, order.sent_ms + ANSWER_LIMIT_MS)
        elif order.state is State.LIVE and order.missing:
            yield _query(order, order.asked_ms if order.asks else 0, first_ms=0)
        elif order.state is State.LIVE and _should_have_ended(order):
            leg = bool(order.leg) or order.status != "TRIGGERING"
            yield _query(order, order.heard_ms + _FINISH_LIMIT_MS, leg=leg)
        else:
            times = [unplaced.at_ms for unplaced in line.unplaced if could_be_of(order, unplaced)]
            if times:
                yield _query(order, max(times), first_ms=0)


def unknown_since(line: Line, unknown_limit_ms: int) -> int | None:
    """Return from when on a snapshot would help to conclude that an order was not placed."""
    times = [
        order.unknown_ms + unknown_limit_ms
        for order in line.orders.values()
        if order.state is State.UNKNOWN and line.unmoved_ms < order.unknown_ms + unknown_limit_ms
    ]
    return min(times, default=None)


def _may_conclude(line: Line, order: Order, unknown_limit_ms: int) -> bool:
    until = order.unknown_ms + unknown_limit_ms
    # A fill that could be its own moved the position: the order must stay unfound for as long since.
    fills_ms = [each.at_ms for each in line.unplaced if each.fill.side == order.side]
    return (
        order.absences >= _ABSENCES
        and line.unmoved_ms >= until
        and order.answered_ms >= max([until, *(at_ms + unknown_limit_ms for at_ms in fills_ms)])
    )


def _conclude(line: Line, order: Order, at_ms: int) -> Want:
    return Want(
        at_ms,
        lambda now_ms: Concluded(
            at_ms=now_ms, symbol=line.symbol, client_id=order.client_id, status="NOT_PLACED"
        ),
    )


def _should_have_ended(order: Order) -> bool:
    if order.is_stop:
        return bool(order.leg) or order.status in ("TRIGGERING", "TRIGGERED", "FINISHED")
    return order.purpose.value in "EX"


def _query(order: Order, since_ms: int, *, first_ms: int = _FIRST_QUERY_MS, leg: bool = False) -> Want:
    """Want a query of `order`: after `first_ms`, then after waits that double."""
    if order.asking:
        at_ms = order.asked_ms + ANSWER_LIMIT_MS
    elif order.asked_ms >= since_ms and order.asks:
        at_ms = order.asked_ms + backoff_ms(_FIRST_QUERY_MS, order.asks, _QUERY_LIMIT_MS)
    else:
        at_ms = since_ms + first_ms
    request = QueryStop if order.is_stop and not leg else QueryOrder
    return send(at_ms, order.trade_id, request(symbol=order.request.symbol, client_id=order.client_id))

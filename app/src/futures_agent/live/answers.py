"""What follows from requests that are sent, and from what is answered to them."""

from __future__ import annotations

from futures_agent.clock import SECOND_MS
from futures_agent.exchange.orders import (
    Answer,
    Cancel,
    CancelStop,
    OrderSeen,
    PlaceMarket,
    PlaceStop,
    PlaceTarget,
    QueryOrder,
    QueryStop,
    StopSeen,
)
from futures_agent.exchange.outcome import Outcome
from futures_agent.live.ids import Purpose, purpose_of
from futures_agent.live.line import Line, Stranger
from futures_agent.live.order import Order, State
from futures_agent.live.records import Sent
from futures_agent.live.trade import Trade

_DUPLICATE = -4116  # an order with this client id is open: the first send arrived
_WOULD_TRIGGER = -2021
_REDUCE_REJECTED = (-2022, -4118)
_STOP_EXISTS = -4130
ANSWER_LIMIT_MS = 30 * SECOND_MS  # an answer that is not there by then will not come
_LEG_ABSENCES = 3  # queries without a trace of the order that a stop became: there is none


def take_sent(line: Line, sent: Sent) -> None:
    """Note that a request is under way."""
    request = sent.request
    if isinstance(request, PlaceMarket | PlaceTarget | PlaceStop):
        _place(line, request, sent)
        line.moved_ms = sent.at_ms
        return
    order = line.find(request.client_id) or line.strangers.get(request.client_id)
    if isinstance(request, Cancel | CancelStop):
        if order is not None:
            order.cancelling, order.cancel_ms, order.cancels = True, sent.at_ms, order.cancels + 1
        line.moved_ms = sent.at_ms
    elif isinstance(order, Order):
        order.asking, order.asked_ms, order.asks = True, sent.at_ms, order.asks + 1


def _place(line: Line, request: PlaceMarket | PlaceTarget | PlaceStop, sent: Sent) -> None:
    known = line.find(request.client_id)
    if known is not None:
        known.state, known.sent_ms, known.sends = State.SENT, sent.at_ms, known.sends + 1
        return
    if line.trade is None:  # what it belonged to was lost with a damaged journal
        line.trade = Trade(
            trade_id=sent.trade_id,
            symbol=line.symbol,
            side=request.side,
            wanted=request.quantity if isinstance(request, PlaceMarket) else line.exposure,
            wanted_ms=sent.at_ms,
            adopted=purpose_of(request.client_id) is not Purpose.ENTRY,
        )
    purpose = purpose_of(request.client_id) or Purpose.EXIT
    line.orders[request.client_id] = Order(
        request=request, trade_id=sent.trade_id, purpose=purpose, sent_ms=sent.at_ms
    )
    if isinstance(request, PlaceStop) and line.trade.stop_price is None:
        line.trade.stop_price = request.trigger_price
    if isinstance(request, PlaceTarget) and line.trade.target_price is None:
        line.trade.target_price = request.price


def take_answer(line: Line, answer: Answer, at_ms: int) -> None:
    """Take in what became of a request."""
    request = answer.request
    order = line.find(request.client_id)
    if order is None:
        _answer_stranger(line, answer, at_ms)
    elif isinstance(request, Cancel | CancelStop):
        line.moved_ms = at_ms
        _answer_cancel(order, answer, at_ms)
    elif isinstance(request, QueryOrder | QueryStop):
        _answer_query(line, order, answer, at_ms)
    else:
        line.moved_ms = at_ms
        _answer_place(line, order, answer, at_ms)


def hear(order: Order, seen: OrderSeen | StopSeen, at_ms: int) -> None:
    if isinstance(seen, StopSeen):
        order.hear_stop(seen, at_ms)
    else:
        order.hear_order(seen, at_ms)


def _answer_place(line: Line, order: Order, answer: Answer, at_ms: int) -> None:
    order.code = answer.code
    if answer.seen is not None:
        hear(order, answer.seen, at_ms)
        return
    if order.state is not State.SENT:
        return  # an event told more than the answer does
    if answer.outcome is Outcome.OK:
        order.status, order.state, order.heard_ms = order.status or "NEW", State.LIVE, at_ms
    elif answer.outcome is Outcome.NOT_EXECUTED:
        order.state, order.heard_ms = State.RETRY, at_ms
    elif answer.outcome is Outcome.UNKNOWN or answer.code == _DUPLICATE:
        order.doubt(at_ms)
    else:
        order.presume("REFUSED", at_ms)
        _refused(line, order, answer, at_ms)


def _refused(line: Line, order: Order, answer: Answer, at_ms: int) -> None:
    text = f"{order.client_id} refused: {answer.code} {answer.message}"
    if order.purpose is Purpose.STOP and answer.code == _WOULD_TRIGGER:
        line.exit_why = line.exit_why or "STOP"
        line.report("STOP_REFUSED", text, at_ms)
    elif order.purpose is Purpose.STOP and answer.code == _STOP_EXISTS:
        line.wait_stop = True
        line.ask(at_ms)
        for earlier in line.of(Purpose.STOP):
            if earlier.status in ("GONE", "NOT_PLACED"):
                earlier.doubt(at_ms)
    elif order.purpose in (Purpose.EXIT, Purpose.TARGET) and answer.code in _REDUCE_REJECTED:
        line.wait_exit = line.wait_exit or order.purpose is Purpose.EXIT
        line.ask(at_ms)
    else:
        line.report(f"{order.purpose.name}_REFUSED", text, at_ms)


def _answer_cancel(order: Order, answer: Answer, at_ms: int) -> None:
    order.cancelling = False
    if answer.seen is not None:
        hear(order, answer.seen, at_ms)
    elif answer.outcome is Outcome.OK and order.is_stop and not order.is_done:
        order.state, order.status, order.heard_ms = State.DONE, "CANCELED", at_ms
        order.missing = False
    elif answer.outcome in (Outcome.OK, Outcome.REJECTED) and not order.is_done:
        order.missing, order.asks = True, 0  # not open any more; what it was last, a query tells


def _answer_query(line: Line, order: Order, answer: Answer, at_ms: int) -> None:
    order.asking = False
    if answer.outcome is Outcome.OK and answer.seen is not None:
        order.answered_ms = at_ms
        hear(order, answer.seen, at_ms)
        return
    if answer.outcome is not Outcome.REJECTED:
        return
    order.answered_ms = at_ms
    order.absences += 1
    if order.state is State.SENT and at_ms >= order.sent_ms + ANSWER_LIMIT_MS:
        order.doubt(at_ms)
    if order.state is not State.LIVE:
        return
    if order.is_stop and (order.leg or order.status in ("TRIGGERED", "FINISHED")):
        if isinstance(answer.request, QueryOrder) and order.absences >= _LEG_ABSENCES:
            order.state, order.leg = State.DONE, order.leg or "GONE"
            line.ask(at_ms)
    elif order.missing:
        order.presume("GONE", at_ms)
        line.ask(at_ms)


def _answer_stranger(line: Line, answer: Answer, at_ms: int) -> None:
    stranger: Stranger | None = line.strangers.get(answer.request.client_id)
    if stranger is None:
        return
    stranger.cancelling = False
    line.moved_ms = at_ms
    if answer.outcome in (Outcome.OK, Outcome.REJECTED):
        line.gone_strangers.add(answer.request.client_id)
        del line.strangers[answer.request.client_id]

"""Entry, stop, target and exit of one symbol's trade: the order in which they are sent.

A stop follows the entry as soon as the entry is over, or a second after its first fill; a target follows a
stop that rests. A position without a stop for `live.unprotected_limit_s` is closed at market, and so is
what a stop left when it had triggered.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from msgspec import Struct

from futures_agent.clock import SECOND_MS
from futures_agent.exchange.orders import PlaceMarket, PlaceStop, PlaceTarget
from futures_agent.live.ids import Purpose, client_id_of
from futures_agent.live.line import Line
from futures_agent.live.order import Order, State
from futures_agent.live.records import Concluded, ExitWanted
from futures_agent.live.trade import Trade
from futures_agent.live.wants import Want, Wants, backoff_ms, send

_RESEND_MS = 200
_RESEND_LIMIT_MS = 5 * SECOND_MS
_ENTRY_SENDS = 5
_FIRST_FILL_WAIT_MS = SECOND_MS
_LOST_STOP_WAIT_MS = SECOND_MS  # a stop may end with its position, and the fill that says so comes later
_STOP_REFUSALS = 2
_STOPS = 6  # of one trade; who cancels them faster than that is not to be reckoned with
_TARGETS = 3
_EXIT_RETRY_LIMIT_MS = 30 * SECOND_MS


class Terms(Struct, frozen=True, kw_only=True):
    """What the settings and the market say."""

    decide_within_ms: int
    unprotected_limit_ms: int
    unknown_limit_ms: int
    adopts: bool  # positions without explanation are kept under a stop, not closed
    adopt_stop_share: float
    on_tick: Callable[[str, float], Decimal | None]  # a price on its symbol's grid; None before that is known
    mark_price: Callable[[str], float | None]
    max_quantity: Callable[[str], Decimal | None]  # of one market order


def entry_wants(line: Line, terms: Terms, *, may_send: bool) -> Wants:
    """Yield the entry order of the trade, as long as its decision is fresh.

    Without `may_send` the account was not looked at since the start: the entry waits, and may lapse.
    """
    trade = line.trade
    if trade is None or trade.adopted or trade.outcome:
        return
    order = line.entry
    lapses_ms = trade.decided_ms + terms.decide_within_ms
    if order is None:
        client_id = client_id_of(trade.trade_id, Purpose.ENTRY, 1)
        yield _lapse(line, client_id, 0 if line.exit_why else lapses_ms)
        if may_send:
            yield send(trade.wanted_ms, trade.trade_id, _entry_request(trade, client_id))
    elif order.state is State.RETRY:
        again_ms = _again_ms(order)
        given_up = bool(line.exit_why) or order.sends >= _ENTRY_SENDS
        yield _lapse(line, order.client_id, again_ms if given_up else max(again_ms, lapses_ms))
        if may_send:
            yield send(again_ms, trade.trade_id, order.request)


def naked_wants(line: Line, terms: Terms) -> Wants:
    """Yield the decision to close a position that cannot be protected."""
    if line.trade is None or line.exit_why or not line.exposure:
        return
    if line.naked_ms is not None:
        yield _leave(line, line.naked_ms + terms.unprotected_limit_ms, "UNPROTECTED")
    if line.trade.adopted and not terms.adopts:
        yield _leave(line, 0, "UNEXPLAINED")
    stops = list(line.of(Purpose.STOP))
    refused = sum(order.status == "REFUSED" and order.code != -4130 for order in stops)
    hopeless = refused >= _STOP_REFUSALS or len(stops) >= _STOPS
    if line.naked_ms is not None and hopeless and all(order.is_done for order in stops):
        yield _leave(line, 0, "UNPROTECTED")


def exit_wants(line: Line, terms: Terms) -> Wants:
    """Yield the next order that closes the position at market."""
    if not line.exit_why or not line.exposure or line.trade is None or line.wait_exit:
        return
    trade, at_ms, attempt = line.trade, 0, 0
    for order in line.of(Purpose.EXIT):
        attempt += 1
        if order.state in (State.SENT, State.LIVE):
            return
        if order.state is State.RETRY:
            again_ms = _again_ms(order)
            yield send(again_ms, trade.trade_id, order.request)
            return
        if order.state is State.UNKNOWN:
            # Another one can only close as well: waiting longer would leave the position to the market.
            at_ms = max(at_ms, order.unknown_ms + terms.unprotected_limit_ms)
        elif order.status != "FILLED":
            first_ms = SECOND_MS if order.status == "REFUSED" else _RESEND_MS
            at_ms = max(at_ms, order.heard_ms + backoff_ms(first_ms, attempt, _EXIT_RETRY_LIMIT_MS))
    most = terms.max_quantity(line.symbol)
    request = PlaceMarket(
        symbol=line.symbol,
        client_id=client_id_of(trade.trade_id, Purpose.EXIT, attempt + 1),
        side=-1 if line.exposure > 0 else 1,
        quantity=min(abs(line.exposure), most) if most else abs(line.exposure),
        reduce_only=True,
    )
    yield send(at_ms, trade.trade_id, request)


def stop_wants(line: Line, terms: Terms) -> Wants:
    """Yield the stop that the position lacks."""
    trade = line.trade
    if trade is None or line.exit_why or line.wait_stop or line.stop is not None:
        return
    if trade.side * line.exposure <= 0:
        return
    stops = list(line.of(Purpose.STOP))
    for order in stops:
        if order.state is State.RETRY:
            again_ms = _again_ms(order)
            yield send(again_ms, trade.trade_id, order.request)
            return
        # One that a query does not find may come to light yet: then the venue refuses another beside it.
        if not order.is_done and not (order.state is State.UNKNOWN and order.absences):
            return
    price = _stop_price(line, trade, terms)
    if price is None:
        return
    request = PlaceStop(
        symbol=line.symbol,
        client_id=client_id_of(trade.trade_id, Purpose.STOP, _next_attempt(stops)),
        side=-trade.side,
        trigger_price=price,
    )
    at_ms = _may_protect_ms(line)
    if stops and stops[-1].status in ("CANCELED", "EXPIRED", "GONE"):
        at_ms = max(at_ms, stops[-1].heard_ms + _LOST_STOP_WAIT_MS)
    yield send(at_ms, trade.trade_id, request)


def target_wants(line: Line, terms: Terms) -> Wants:
    """Yield the target, once a stop rests."""
    trade = line.trade
    if trade is None or line.exit_why or not line.entry_is_over or trade.target_distance <= 0:
        return
    if trade.side * line.exposure <= 0 or line.stop is None:
        return
    targets = list(line.of(Purpose.TARGET))
    for order in targets:
        if order.state is State.RETRY:
            again_ms = _again_ms(order)
            yield send(again_ms, trade.trade_id, order.request)
            return
        if not order.is_done or order.status in ("REFUSED", "FILLED"):
            return
    average = _entry_average(line, trade)
    if average is None or len(targets) >= _TARGETS:
        return
    price = trade.target_price
    if price is None:
        price = terms.on_tick(line.symbol, float(average) + trade.side * trade.target_distance)
    if price is None or price <= 0:
        return
    request = PlaceTarget(
        symbol=line.symbol,
        client_id=client_id_of(trade.trade_id, Purpose.TARGET, _next_attempt(targets)),
        side=-trade.side,
        quantity=abs(line.exposure),
        price=price,
    )
    yield send(0, trade.trade_id, request)


def drop_wants(line: Line) -> Wants:
    """Yield the end of orders that were to be sent again, and are of no use any more."""
    for order in line.orders.values():
        if order.state is not State.RETRY or order.purpose is Purpose.ENTRY:
            continue
        closes = order.side * line.exposure < 0
        if not closes or (line.exit_why and order.purpose is not Purpose.EXIT):
            yield _lapse(line, order.client_id, 0)


def _entry_request(trade: Trade, client_id: str) -> PlaceMarket:
    return PlaceMarket(symbol=trade.symbol, client_id=client_id, side=trade.side, quantity=trade.wanted)


def _again_ms(order: Order) -> int:
    """Return when what was certainly not executed is sent again."""
    return order.heard_ms + backoff_ms(_RESEND_MS, order.sends, _RESEND_LIMIT_MS)


def _lapse(line: Line, client_id: str, at_ms: int) -> Want:
    return Want(
        at_ms,
        lambda now_ms: Concluded(at_ms=now_ms, symbol=line.symbol, client_id=client_id, status="LAPSED"),
    )


def _leave(line: Line, at_ms: int, why: str) -> Want:
    return Want(at_ms, lambda now_ms: ExitWanted(at_ms=now_ms, symbol=line.symbol, why=why))


def _may_protect_ms(line: Line) -> int:
    """Return from when on the stop may be sent."""
    return 0 if line.entry_is_over else (line.naked_ms or 0) + _FIRST_FILL_WAIT_MS


def _stop_price(line: Line, trade: Trade, terms: Terms) -> Decimal | None:
    if trade.stop_price is not None:
        return trade.stop_price
    average = _entry_average(line, trade)
    if trade.adopted or trade.stop_distance <= 0:
        mark = terms.mark_price(line.symbol) or (float(average) if average is not None else 0.0)
        return terms.on_tick(line.symbol, mark * (1 - trade.side * terms.adopt_stop_share)) if mark else None
    if average is None:
        return None
    return terms.on_tick(line.symbol, float(average) - trade.side * trade.stop_distance)


def _entry_average(line: Line, trade: Trade) -> Decimal | None:
    """Return the average of the entry; None while the venue has not told it."""
    entry = line.entry
    return entry.average if entry is not None else trade.entry_price


def _next_attempt(orders: list[Order]) -> int:
    """Return the number of the next order of its kind; a stop of others that was taken over has none."""
    return 1 + len(orders)

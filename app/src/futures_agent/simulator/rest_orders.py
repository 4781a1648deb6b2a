"""Regular orders over REST: place, test, change, cancel, query, batches, and the dead man's switch."""

from __future__ import annotations

from functools import partial
from typing import Any

from futures_agent.simulator.order_documents import acknowledgement, order_answer, order_details
from futures_agent.simulator.order_lookups import (
    either_needed,
    listing_of,
    order_of,
    paged,
    symbol_if_sent,
)
from futures_agent.simulator.order_requests import ORDER_NAMES, is_reducing, read_order, read_side
from futures_agent.simulator.parameters import Parameters
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.rest_prices import best_prices
from futures_agent.simulator.rest_signed import (
    Access,
    AccountEndpoint,
    Call,
    done,
    outcome,
    weighs,
    weighs_by_symbol,
)
from futures_agent.simulator.trading.admission import require_permission, require_trading
from futures_agent.simulator.trading.filters import check_amendment, check_order, filters_of
from futures_agent.simulator.trading.records import ZERO, Order, OrderRequest
from futures_agent.simulator.trading.retention import KEPT_MS, remembers

_MOST_IN_BATCH, _MOST_CANCELLED = 5, 10
_USUAL_LIMIT = 500


def place_order(call: Call) -> dict[str, Any]:
    """Place one order."""
    return _place(call, call.params)


def test_order(call: Call) -> dict[str, Any]:
    """Check an order as far as it can be told without placing it."""
    _checked_request(call, call.params)
    return {}


def place_batch(call: Call) -> list[Any]:
    """Place up to five orders; each is accepted or refused on its own."""
    call.params.needed("batchOrders")
    orders = call.params.listed("batchOrders") or []
    if not 1 <= len(orders) <= _MOST_IN_BATCH:
        raise refusal(-4082, len(orders))
    return [outcome(lambda sent: _place(call, _element(sent)), order) for order in orders]


def modify_order(call: Call) -> dict[str, Any]:
    """Change price and quantity of a resting limit order."""
    order, side = order_of(call, call.params), read_side(call.params)
    quantity, price = call.params.decimal("quantity"), call.params.decimal("price")
    call.params.needed("quantity")
    call.params.needed("price")
    call.params.whole("modifyId")
    if order is None:
        raise refusal(-2013)
    if order.type != "LIMIT":
        raise refusal(-5025)
    if side != order.side:
        raise refusal(-1130, "side")
    if call.params.flag("reduceOnly", -4062) and not order.reduce_only:
        raise refusal(-5047)
    exchange, listing = call.venue.exchange, listing_of(call)
    if exchange.status(order.symbol) != "TRADING":
        raise refusal(-5024)
    require_permission(exchange.state, call.account, order, opening=True)
    quantity, price = quantity or ZERO, price or ZERO
    check_amendment(side, quantity, price, filters_of(listing), exchange.mark_price(order.symbol))
    changed = exchange.modify(
        call.account, order.symbol, quantity, price, call.now_ms, order_id=order.order_id
    )
    return order_answer(changed, legacy_avg_price=call.venue.legacy_avg_price)


def cancel_order(call: Call) -> dict[str, Any]:
    """Cancel one resting order."""
    return _cancel(call, call.params)


def cancel_all(call: Call) -> dict[str, Any]:
    """Cancel every resting order of a contract, conditional ones excepted."""
    call.venue.exchange.cancel_all(call.account, listing_of(call).symbol, call.now_ms)
    return done("The operation of cancel all open order is done.")


def cancel_batch(call: Call) -> list[Any]:
    """Cancel up to ten orders of one contract; each succeeds or fails on its own."""
    symbol = listing_of(call).symbol
    name = "orderIdList" if call.params.get("orderIdList") is not None else "origClientOrderIdList"
    ids = call.params.listed(name)
    if ids is None:
        raise either_needed("origClientOrderIdList", "orderIdList")
    if not 1 <= len(ids) <= _MOST_CANCELLED:
        raise refusal(-1130, name)
    one = name.removesuffix("List")
    named = [Parameters.of({"symbol": symbol, one: str(each)}) for each in ids]
    return [outcome(lambda params: _cancel(call, params), each) for each in named]


def arm_countdown(call: Call) -> dict[str, str]:
    """Cancel all orders of a contract after a while, unless this is called again; 0 disarms."""
    symbol = listing_of(call).symbol
    call.params.needed("countdownTime")
    after_ms = call.params.whole("countdownTime") or 0
    call.venue.exchange.countdown_cancel_all(call.account, symbol, after_ms, call.now_ms)
    return {"symbol": symbol, "countdownTime": str(after_ms)}


def query_order(call: Call) -> dict[str, Any]:
    """Answer one order, open or not."""
    order = order_of(call, call.params)
    if order is None:
        raise refusal(-2013)
    return _details(call, order)


def query_open_order(call: Call) -> dict[str, Any]:
    """Answer one order while it is open."""
    order = order_of(call, call.params)
    if order is None or not order.is_open:
        raise refusal(-2013)
    return _details(call, order)


def open_orders(call: Call) -> list[dict[str, Any]]:
    """Answer the resting orders of one contract or of all."""
    symbol = symbol_if_sent(call)
    orders = call.account.open_orders.values() if symbol is None else call.account.orders_of(symbol)
    return [_details(call, order) for order in orders]


def all_orders(call: Call) -> list[dict[str, Any]]:
    """Answer a page of the orders of one contract or of all, whatever became of them."""
    symbol = symbol_if_sent(call)
    orders = call.account.orders.values() if symbol is None else call.account.orders.of(symbol)
    orders = [order for order in orders if remembers(order, call.now_ms)]
    page = paged(
        call,
        orders,
        first_id="orderId",
        id_of=lambda order: order.order_id,
        time_of=lambda order: order.created_ms,
        kept_ms=KEPT_MS,
        usual_limit=_USUAL_LIMIT,
    )
    return [_details(call, order) for order in page]


def _details(call: Call, order: Order) -> dict[str, Any]:
    return order_details(order, call.account.algos.get(order.algo_id))


def _place(call: Call, params: Parameters) -> dict[str, Any]:
    request = _checked_request(call, params)
    order = call.venue.exchange.place(call.account, request, call.now_ms)
    told = order_answer if params.get("newOrderRespType") == "RESULT" else acknowledgement
    return told(order, legacy_avg_price=call.venue.legacy_avg_price)


def _checked_request(call: Call, params: Parameters) -> OrderRequest:
    """Return the order that `params` ask for, its parameters and the contract's filters obeyed."""
    exchange, listing = call.venue.exchange, listing_of(call, params)
    quote = partial(best_prices, call.venue, listing.symbol, call.now_ms)
    request = read_order(params, listing, call.account, call.now_ms, quote)
    reducing = is_reducing(request)
    require_trading(exchange.state, listing.symbol, opening=not reducing)
    check_order(
        request,
        filters_of(listing),
        mark_price=exchange.mark_price(listing.symbol),
        last_price=exchange.last_price(listing.symbol),
        reducing=reducing,
    )
    return request


def _cancel(call: Call, params: Parameters) -> dict[str, Any]:
    order = order_of(call, params)
    if order is None:
        raise refusal(-2011)
    cancelled = call.venue.exchange.cancel(call.account, order.symbol, call.now_ms, order_id=order.order_id)
    return order_answer(cancelled, legacy_avg_price=call.venue.legacy_avg_price)


def _element(order: object) -> Parameters:
    """Return one order of a batch as parameters; JSON's own numbers and flags count as their texts."""
    if not isinstance(order, dict):
        raise refusal(-1130, "batchOrders")
    values = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in order.items()
        if value is not None
    }
    params = Parameters.of(values)
    params.check_names(ORDER_NAMES.split())
    return params


_PATH = "/fapi/v1"
_ONE = "symbol orderId origClientOrderId"
ORDER_ENDPOINTS = (
    AccountEndpoint(
        "POST", f"{_PATH}/order", place_order, weighs(0), ORDER_NAMES, Access.TRADE, (1, 1), matches=True
    ),
    AccountEndpoint("POST", f"{_PATH}/order/test", test_order, weighs(0), ORDER_NAMES, Access.TRADE),
    AccountEndpoint(
        "PUT",
        f"{_PATH}/order",
        modify_order,
        weighs(0),
        f"{_ONE} side quantity price modifyId reduceOnly",
        Access.TRADE,
        (1, 1),
        matches=True,
    ),
    AccountEndpoint("DELETE", f"{_PATH}/order", cancel_order, weighs(1), _ONE, Access.TRADE, matches=True),
    AccountEndpoint(
        "DELETE", f"{_PATH}/allOpenOrders", cancel_all, weighs(1), "symbol", Access.TRADE, matches=True
    ),
    AccountEndpoint(
        "POST",
        f"{_PATH}/batchOrders",
        place_batch,
        weighs(5),
        "batchOrders",
        Access.TRADE,
        (5, 1),
        matches=True,
    ),
    AccountEndpoint(
        "DELETE",
        f"{_PATH}/batchOrders",
        cancel_batch,
        weighs(1),
        "symbol orderIdList origClientOrderIdList",
        Access.TRADE,
        matches=True,
    ),
    AccountEndpoint(
        "POST", f"{_PATH}/countdownCancelAll", arm_countdown, weighs(10), "symbol countdownTime", Access.TRADE
    ),
    AccountEndpoint("GET", f"{_PATH}/order", query_order, weighs(1), _ONE),
    AccountEndpoint("GET", f"{_PATH}/openOrder", query_open_order, weighs(1), _ONE),
    AccountEndpoint("GET", f"{_PATH}/openOrders", open_orders, weighs_by_symbol(1, 40), "symbol"),
    AccountEndpoint(
        "GET", f"{_PATH}/allOrders", all_orders, weighs(5), "symbol orderId startTime endTime limit"
    ),
)

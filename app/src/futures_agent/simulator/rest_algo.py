"""Conditional orders over REST: ids, lists and answers of their own, apart from the regular ones."""

from __future__ import annotations

from functools import partial
from typing import Any

from futures_agent.simulator.order_documents import algo_answer, algo_details, open_algo
from futures_agent.simulator.order_lookups import algo_of, listing_of, paged, symbol_if_sent
from futures_agent.simulator.order_requests import ALGO_NAMES, is_reducing, read_algo
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.rest_prices import best_prices
from futures_agent.simulator.rest_signed import (
    Access,
    AccountEndpoint,
    Call,
    done,
    weighs,
    weighs_by_symbol,
)
from futures_agent.simulator.trading.admission import require_trading
from futures_agent.simulator.trading.filters import check_algo, check_trigger_price, filters_of
from futures_agent.simulator.trading.retention import KEPT_MS, remembers

_USUAL_LIMIT = 500


def place_algo(call: Call) -> dict[str, Any]:
    """Place one conditional order; margin is not asked for before it triggers."""
    exchange, listing = call.venue.exchange, listing_of(call)
    quote = partial(best_prices, call.venue, listing.symbol, call.now_ms)
    request = read_algo(call.params, listing, call.account, call.now_ms, quote)
    reducing = is_reducing(request)
    require_trading(exchange.state, listing.symbol, opening=not reducing)
    mark_price = exchange.mark_price(listing.symbol)
    check_algo(request, filters_of(listing), mark_price=mark_price, reducing=reducing)
    check_trigger_price(request, listing, mark_price)
    return algo_answer(exchange.place_algo(call.account, request, call.now_ms))


def cancel_algo(call: Call) -> dict[str, Any]:
    """Cancel one conditional order that has not triggered."""
    algo = algo_of(call)
    if algo is None:
        raise refusal(-2011)
    call.venue.exchange.cancel_algo(call.account, call.now_ms, algo_id=algo.algo_id)
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_algo_id,
        "code": "200",  # a text, here alone
        "msg": "success",
    }


def cancel_all_algos(call: Call) -> dict[str, Any]:
    """Cancel every conditional order of a contract that has not triggered."""
    call.venue.exchange.cancel_all_algos(call.account, listing_of(call).symbol, call.now_ms)
    return done("The operation of cancel all open order is done.")


def query_algo(call: Call) -> dict[str, Any]:
    """Answer one conditional order, whatever became of it."""
    algo = algo_of(call)
    if algo is None:
        raise refusal(-2013)
    return algo_details(algo)


def open_algos(call: Call) -> list[dict[str, Any]]:
    """Answer the conditional orders that have not triggered, of one contract or of all."""
    symbol, algo_id = symbol_if_sent(call), call.params.whole("algoId")
    call.params.choice("algoType", ("CONDITIONAL",), "CONDITIONAL")
    return [
        open_algo(algo)
        for algo in call.account.open_algos.values()
        if symbol in (None, algo.symbol) and algo_id in (None, algo.algo_id)
    ]


def all_algos(call: Call) -> list[dict[str, Any]]:
    """Answer a page of the conditional orders of one contract."""
    symbol = listing_of(call).symbol
    algos = [algo for algo in call.account.algos.of(symbol) if remembers(algo, call.now_ms)]
    page = paged(
        call,
        algos,
        first_id="algoId",
        id_of=lambda algo: algo.algo_id,
        time_of=lambda algo: algo.created_ms,
        kept_ms=KEPT_MS,
        usual_limit=_USUAL_LIMIT,
    )
    return [algo_details(algo) for algo in page]


_PATH = "/fapi/v1"
_ONE = "algoId clientAlgoId symbol"  # the symbol is not needed, but clients send it
ALGO_ENDPOINTS = (
    AccountEndpoint(
        "POST", f"{_PATH}/algoOrder", place_algo, weighs(0), ALGO_NAMES, Access.TRADE, (1, 1), matches=True
    ),
    AccountEndpoint("DELETE", f"{_PATH}/algoOrder", cancel_algo, weighs(1), _ONE, Access.TRADE, matches=True),
    AccountEndpoint(
        "DELETE", f"{_PATH}/algoOpenOrders", cancel_all_algos, weighs(1), "symbol", Access.TRADE, matches=True
    ),
    AccountEndpoint("GET", f"{_PATH}/algoOrder", query_algo, weighs(1), _ONE),
    AccountEndpoint(
        "GET", f"{_PATH}/openAlgoOrders", open_algos, weighs_by_symbol(1, 40), "algoType symbol algoId"
    ),
    AccountEndpoint(
        "GET", f"{_PATH}/allAlgoOrders", all_algos, weighs(5), "symbol algoId startTime endTime limit"
    ),
)

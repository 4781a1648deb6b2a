"""What the exchange forgets: orders that ended without a fill after three days, the rest after three months.

Source: the notes of `GET /fapi/v1/order`, `userTrades` and `income`. Queries ask `remembers`, to the
millisecond; `forget` frees the memory now and then, and changes no answer.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left

from futures_agent.clock import DAY_MS
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.records import AlgoOrder, Order
from futures_agent.simulator.trading.shelf import Shelf
from futures_agent.simulator.trading.state import Due, State, Waiting

UNFILLED_KEPT_MS = 3 * DAY_MS  # of orders that ended without a fill
KEPT_MS = 90 * DAY_MS  # of other orders, fills, incomes


def remembers(order: Order | AlgoOrder, now_ms: int) -> bool:
    """Say whether queries at `now_ms` (ms UTC) still find an order; an open one always."""
    if isinstance(order, Order):
        alive, executed = order.is_open, order.executed
    else:
        # Once TRIGGERED it lives in the order that it became.
        alive, executed = order.is_open or order.status == "TRIGGERED", order.actual_quantity
    return alive or now_ms - order.updated_ms <= (KEPT_MS if executed else UNFILLED_KEPT_MS)


def find_order(
    account: Account, symbol: str, now_ms: int, *, order_id: int | None, client_order_id: str | None
) -> Order | None:
    """Return what a query at `now_ms` (ms UTC) finds by the id, without one the newest of the client's id."""
    if order_id:
        found = [account.orders[symbol, order_id]] if (symbol, order_id) in account.orders else []
    else:
        found = account.orders.named(client_order_id or "", symbol)
    return next((order for order in found if remembers(order, now_ms)), None)


def find_algo(
    account: Account, now_ms: int, *, algo_id: int | None, client_algo_id: str | None
) -> AlgoOrder | None:
    """Return a conditional order as `find_order` does a regular one."""
    if algo_id:
        found = [account.algos[algo_id]] if algo_id in account.algos else []
    else:
        found = account.algos.named(client_algo_id or "")
    return next((algo for algo in found if remembers(algo, now_ms)), None)


def forget(state: State) -> None:
    """Free what no query finds any more, and dates of orders that are closed."""
    for account in state.accounts:
        _forget_orders(account, state.now_ms)
        oldest_ms = state.now_ms - KEPT_MS
        del account.fills[: bisect_left(account.fills, oldest_ms, key=lambda fill: fill.time_ms)]
        del account.incomes[: bisect_left(account.incomes, oldest_ms, key=lambda each: each.time_ms)]
    state.waiting = [waiting for waiting in state.waiting if _holds(waiting)]
    heapq.heapify(state.waiting)


def _forget_orders(account: Account, now_ms: int) -> None:
    # New shelves: a dict that shrank by deletions keeps the room of its largest size.
    account.orders = Shelf(each for each in account.orders.items() if remembers(each[1], now_ms))
    account.algos = Shelf(each for each in account.algos.items() if remembers(each[1], now_ms))


def _holds(waiting: Waiting) -> bool:
    if waiting.due is not Due.GOOD_TILL:
        return True
    account, what = waiting.account, waiting.what
    return what in (account.open_algos if isinstance(what, int) else account.open_orders)

"""Which of an account's orders, fills and payments a query asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from futures_agent.clock import DAY_MS
from futures_agent.simulator.listing import Listing
from futures_agent.simulator.parameters import Parameters
from futures_agent.simulator.refusal import VenueError, refusal
from futures_agent.simulator.rest_signed import Call
from futures_agent.simulator.trading.records import AlgoOrder, Order
from futures_agent.simulator.trading.retention import find_algo, find_order

LARGEST_LIMIT = 1000
WINDOW_MS = 7 * DAY_MS  # the longest stretch of time that one query spans
Row = TypeVar("Row")


def listing_of(call: Call, params: Parameters | None = None) -> Listing:
    """Return the contract that the mandatory parameter `symbol` names.

    Raises
    ------
    VenueError
        -1102 without it, -1121 when there is none of that name.
    """
    listing = call.venue.market.listings.get((params or call.params).needed("symbol"))
    if listing is None:
        raise refusal(-1121)
    return listing


def symbol_if_sent(call: Call) -> str | None:
    """Return the parameter `symbol`, None where it was not sent; faults as of `listing_of`."""
    return listing_of(call).symbol if call.params.text("symbol") else None


def order_of(call: Call, params: Parameters) -> Order | None:
    """Return the order of `symbol` that orderId or origClientOrderId name; of a reused id the newest one.

    Raises
    ------
    VenueError
        -1102 where neither was sent; faults as of `listing_of`.
    """
    symbol = listing_of(call, params).symbol
    order_id, client_id = params.whole("orderId"), params.client_id("origClientOrderId")
    if order_id is None and client_id is None:
        raise either_needed("origClientOrderId", "orderId")
    return find_order(call.account, symbol, call.now_ms, order_id=order_id, client_order_id=client_id)


def algo_of(call: Call) -> AlgoOrder | None:
    """Return the conditional order that algoId or clientAlgoId name; of a reused id the newest one.

    Raises
    ------
    VenueError
        -1102 where neither was sent.
    """
    algo_id, client_id = call.params.whole("algoId"), call.params.client_id("clientAlgoId")
    if algo_id is None and client_id is None:
        raise either_needed("algoId", "clientAlgoId")
    return find_algo(call.account, call.now_ms, algo_id=algo_id, client_algo_id=client_id)


def either_needed(first: str, second: str) -> VenueError:
    """Return the refusal of a request that names nothing by either parameter."""
    return refusal(-1102, first, second, other=True)


def limit_of(params: Parameters, usual: int, largest: int = LARGEST_LIMIT) -> int:
    """Return how many rows were asked for.

    Raises
    ------
    VenueError
        -1130 when it is out of bounds.
    """
    limit = params.whole("limit")
    if limit is not None and not 1 <= limit <= largest:
        raise refusal(-1130, "limit")
    return usual if limit is None else limit


def window_of(call: Call, kept_ms: int, longest_ms: int = WINDOW_MS) -> tuple[int, int]:
    """Return the stretch of time [start, end], ms UTC, that startTime and endTime span.

    Without them it is the last WINDOW_MS, with one of them the longest from or up to it.

    Parameters
    ----------
    kept_ms : int
        Nothing older than this can be asked for.
    longest_ms : int
        Longer stretches are refused.

    Raises
    ------
    VenueError
        -1023 when it ends before it starts, -4165 when it is too long.
    """
    start_ms, end_ms = call.params.whole("startTime"), call.params.whole("endTime")
    if start_ms is not None and end_ms is not None:
        if start_ms > end_ms:
            raise refusal(-1023)
        if end_ms - start_ms > longest_ms:
            raise refusal(-4165, longest_ms // DAY_MS)
    elif start_ms is not None:
        end_ms = start_ms + longest_ms
    elif end_ms is not None:
        start_ms = end_ms - longest_ms
    else:
        start_ms, end_ms = call.now_ms - WINDOW_MS, call.now_ms
    return max(start_ms, call.now_ms - kept_ms), end_ms


def paged(
    call: Call,
    rows: Iterable[Row],
    *,
    time_of: Callable[[Row], int],
    kept_ms: int,
    usual_limit: int,
    first_id: str = "",
    id_of: Callable[[Row], int] | None = None,
    longest_ms: int = WINDOW_MS,
) -> list[Row]:
    """Return one page of `rows` (oldest first): from an id on, or of a stretch of time.

    Parameters
    ----------
    first_id : str
        Name of the parameter that holds the least id, of those that `id_of` returns; with it the time does
        not matter.
    kept_ms, longest_ms, usual_limit : int
        See `window_of`, `limit_of`.

    Raises
    ------
    VenueError
        As `window_of` and `limit_of`.
    """
    limit = limit_of(call.params, usual_limit)
    least = call.params.whole(first_id) if first_id else None
    if least is not None and id_of is not None:
        oldest = call.now_ms - kept_ms
        return [row for row in rows if id_of(row) >= least and time_of(row) >= oldest][:limit]
    start_ms, end_ms = window_of(call, kept_ms, longest_ms)
    within = [row for row in rows if start_ms <= time_of(row) <= end_ms]
    return within[:limit] if call.params.get("startTime") else within[-limit:]

"""What happened to an account: its fills and funding payments, page by page.

Sources: Binance USDⓈ-M "Account Trade List", "User's Force Orders" and "Get Income History": three months
back, seven days a query.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from futures_agent.clock import DAY_MS, MINUTE_MS
from futures_agent.exchange.account_payloads import Payment, decoded, fills_in, orders_in
from futures_agent.exchange.orders import FillSeen, FundingSeen
from futures_agent.exchange.signed import SignedClient
from futures_agent.exchange.signing import Value

_KEPT_MS = 89 * DAY_MS  # of three months, however short they are
_WINDOW_MS = 7 * DAY_MS - 1
_PAGE = 1000
_FORCED_PAGE = 100  # the most; nobody is liquidated more often in a week
_TRADES, _TRADES_WEIGHT = "/fapi/v1/userTrades", 5
_FORCED, _FORCED_WEIGHT = "/fapi/v1/forceOrders", 50  # 20 for one kind of them; both are wanted
_INCOME, _INCOME_WEIGHT = "/fapi/v1/income", 30


def fills_since(client: SignedClient, symbol: str, since_ms: int) -> list[FillSeen]:
    """Return the fills of `symbol` from `since_ms` (ms UTC) on, oldest first, each once.

    They tell no client ids but those of liquidation and auto-deleveraging: without them it would look as if
    somebody else had closed the position.

    Raises
    ------
    Refuse, Retry
        As `SignedClient.data`.
    """
    found: dict[int, FillSeen] = {}
    for start_ms, end_ms in _windows(client, since_ms):
        params: dict[str, Value] = {
            "symbol": symbol,
            "startTime": start_ms,
            "endTime": end_ms,
            "limit": _PAGE,
        }
        page = fills_in(client.data(_TRADES, params, _TRADES_WEIGHT))
        found.update((fill.trade_id, fill) for fill in page)
        while len(page) >= _PAGE and page[-1].time_ms <= end_ms:
            # From an id on there is no window; what lies beyond this one is asked for again, and found.
            params = {"symbol": symbol, "fromId": page[-1].trade_id + 1, "limit": _PAGE}
            page = fills_in(client.data(_TRADES, params, _TRADES_WEIGHT))
            found.update((fill.trade_id, fill) for fill in page)
    fills = sorted(found.values(), key=lambda fill: (fill.time_ms, fill.trade_id))
    closing_ms = next((fill.time_ms for fill in fills if fill.realized_pnl), None)
    if closing_ms is None:
        return fills
    names: dict[int, str] = {}
    for start_ms, end_ms in _windows(client, closing_ms - MINUTE_MS):
        params = {"symbol": symbol, "startTime": start_ms, "endTime": end_ms, "limit": _FORCED_PAGE}
        forced = orders_in(client.data(_FORCED, params, _FORCED_WEIGHT))
        names.update((order.order_id, order.client_id) for order in forced)
    return [replace(fill, client_id=names.get(fill.order_id, fill.client_id)) for fill in fills]


def funding_since(client: SignedClient, since_ms: int) -> list[FundingSeen]:
    """Return the funding payments from `since_ms` (ms UTC) on, oldest first, each once.

    Raises
    ------
    Refuse, Retry
        As `SignedClient.data`.
    """
    found: dict[tuple[int, str], Payment] = {}
    for start_ms, end_ms in _windows(client, since_ms):
        while start_ms <= end_ms:
            params: dict[str, Value] = {
                "incomeType": "FUNDING_FEE",
                "startTime": start_ms,
                "endTime": end_ms,
                "limit": _PAGE,
            }
            page = decoded(client.data(_INCOME, params, _INCOME_WEIGHT), list[Payment])
            found.update(((row.tran_id, row.symbol), row) for row in page)
            if len(page) < _PAGE:
                break
            # The last millisecond may be cut in two; a whole page of it alone would never end.
            last_ms = page[-1].time
            start_ms = last_ms if last_ms > start_ms else start_ms + 1
    return [row.seen for row in sorted(found.values(), key=lambda row: (row.time, row.symbol))]


def _windows(client: SignedClient, since_ms: int) -> Iterator[tuple[int, int]]:
    """Yield stretches [start, end] of time that one query may span, from `since_ms` up to now."""
    client.keep_clock()
    start_ms = max(since_ms, client.clock.now_ms() - _KEPT_MS)
    # Looked at anew each time: a query may have set the clock.
    while start_ms <= client.clock.now_ms() + client.clock.uncertainty_ms:
        end_ms = start_ms + _WINDOW_MS
        yield start_ms, end_ms
        start_ms = end_ms + 1

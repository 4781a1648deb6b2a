"""Admission: what the state of an account and of a contract allows; parameters are `filters`' business."""

from __future__ import annotations

from decimal import Decimal

from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.book import Best
from futures_agent.simulator.trading.margin import ISOLATED, initial_margin, opening_quantity
from futures_agent.simulator.trading.records import ZERO, Order, OrderRequest
from futures_agent.simulator.trading.state import State

MAX_OPEN_ORDERS = 200  # of one symbol, `MAX_NUM_ORDERS`
MARKET_TAKE_BOUND = Decimal("0.05")  # of exchangeInfo: how far from the mark price an order at market fills
CLOSED_STATUSES = frozenset({"SETTLING", "CLOSE", "DELIVERING", "DELIVERED"})
CLOSING_STATUSES = frozenset({"PRE_SETTLE", "PRE_DELIVERING"})  # positions may still be closed
TRADED_STATUSES = CLOSING_STATUSES | {"TRADING"}


def sign_of(side: str) -> int:
    """Return +1 for BUY, −1 for SELL."""
    return 1 if side == "BUY" else -1


def closes(request: Order | OrderRequest) -> bool:
    """Say whether an order in hedge mode closes: SELL of LONG, BUY of SHORT."""
    return request.position_side == ("LONG" if request.side == "SELL" else "SHORT")


def crosses(order: Order | OrderRequest, best: Best) -> bool:
    """Say whether an order would trade at once against the book's best price."""
    sign = sign_of(order.side)
    return order.type == "MARKET" or sign * (order.price - best.taken_by(sign)[0]) >= 0


def require_trading(state: State, symbol: str, *, opening: bool) -> None:
    """Refuse an order where the contract's state does not allow it.

    Raises
    ------
    VenueError
        -4141 closed for good, -4140 only closing is allowed, -1122 otherwise not trading.
    """
    status = state.status(symbol)
    if status == "TRADING" or (status in CLOSING_STATUSES and not opening):
        return
    if status in CLOSED_STATUSES:
        raise refusal(-4141)
    raise refusal(-4140 if opening and status in (*CLOSING_STATUSES, "TRADING_CANCEL_ONLY") else -1122)


def require_side(account: Account, position_side: str) -> None:
    """Refuse (-4061) a position side that does not belong to the account's position mode."""
    if (position_side != "BOTH") != account.dual_side:
        raise refusal(-4061)


def admit(
    state: State,
    account: Account,
    request: OrderRequest,
    price: Decimal,
    mark_price: Decimal,
    best: Best,
    *,
    triggered: bool,
) -> Decimal:
    """Return the quantity that is accepted of an order: a reducing one is capped at the position.

    Parameters
    ----------
    price, mark_price : Decimal
        The market's price and the mark price as the order arrives.
    best : Best
        The book that it meets.
    triggered : bool
        It comes from a conditional order, whose conditions were checked when it was placed.

    Raises
    ------
    VenueError
        Nothing is accepted.
    """
    symbol, sign = request.symbol, sign_of(request.side)
    opening = opening_quantity(account, symbol, request.position_side, sign, request.quantity)
    require_trading(state, symbol, opening=opening > 0 and not request.reduce_only)
    require_side(account, request.position_side)
    if not triggered:
        _require_room(account, request)
        if (fault := state.interference.refuse_order(account, request, state.now_ms)) is not None:
            raise fault
    if not price:
        raise refusal(-2020)
    if request.time_in_force == "GTX" and crosses(request, best):
        raise refusal(-5022)
    if request.type == "MARKET" and sign * (price - mark_price) > mark_price * MARKET_TAKE_BOUND:
        raise refusal(-4131)
    if request.reduce_only or closes(request):
        return _capped(account, request, sign)
    _require_margin(state, account, request, opening, price)
    return request.quantity


def _require_room(account: Account, request: OrderRequest) -> None:
    open_orders = account.orders_of(request.symbol)
    if any(order.client_order_id == request.client_order_id for order in open_orders):
        raise refusal(-4116)
    if len(open_orders) >= MAX_OPEN_ORDERS:
        raise refusal(-2025)


def _capped(account: Account, request: OrderRequest, sign: int) -> Decimal:
    held = account.position(request.symbol, request.position_side).amount
    if held * sign >= 0 or (closes(request) and request.quantity > abs(held)):
        raise refusal(-2022)
    return min(request.quantity, abs(held))


def _require_margin(
    state: State, account: Account, request: OrderRequest, opening: Decimal, price: Decimal
) -> None:
    """Refuse what exceeds the free margin (-2019), or the largest position at this leverage (-2027)."""
    symbol = request.symbol
    if request.type == "LIMIT":
        price = request.price if request.side == "BUY" else max(request.price, price)
    position = account.position(symbol, request.position_side)
    held = position.amount
    free = state.margin(account, state.margin_assets[symbol]).free
    if opening < request.quantity:  # what is closed on the way frees its margin
        mark = state.mark(symbol)
        isolated = account.margin_type(symbol) == ISOLATED
        own = position.isolated_wallet + position.unrealized_pnl(mark)
        free += own if isolated else initial_margin(account, symbol, abs(held) * mark)
    if opening and initial_margin(account, symbol, opening * price) > free:
        raise refusal(-2019)
    waiting = sum(
        (order.remaining for order in account.orders_of(symbol) if order.side == request.side), ZERO
    )
    after = abs(held + sign_of(request.side) * (request.quantity + waiting))
    if opening and after * price > state.brackets.max_notional(symbol, account.leverage(symbol)):
        raise refusal(-2027)

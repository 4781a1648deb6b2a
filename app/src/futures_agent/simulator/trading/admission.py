"""Admission: what the state of an account and of a contract allows; parameters are `filters`' business."""

from __future__ import annotations

from decimal import Decimal

from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.book import Best
from futures_agent.simulator.trading.margin import (
    ISOLATED,
    assumed_price,
    initial_margin,
    opening_quantity,
    order_margin,
    order_values,
)
from futures_agent.simulator.trading.records import ZERO, AlgoRequest, Order, OrderRequest, closes
from futures_agent.simulator.trading.state import State

_NO_POSITION_MAY_GROW = -4107
CLOSED_STATUSES = frozenset({"SETTLING", "CLOSE", "DELIVERING", "DELIVERED"})
CLOSING_STATUSES = frozenset({"PRE_SETTLE", "PRE_DELIVERING"})  # positions may still be closed
TRADED_STATUSES = CLOSING_STATUSES | {"TRADING"}


def sign_of(side: str) -> int:
    """Return +1 for BUY, −1 for SELL."""
    return 1 if side == "BUY" else -1


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


def require_permission(
    state: State, account: Account, order: Order | OrderRequest | AlgoRequest, *, opening: bool
) -> None:
    """Refuse an order of an account that may only reduce, unless it is bound to that.

    Parameters
    ----------
    opening : bool
        It would enlarge a position as it is now, which alone matters where -4107 is the reason.

    Raises
    ------
    VenueError
        With the code of the restriction.
    """
    restriction = account.restriction(order.symbol, state.now_ms)
    if restriction is None or order.reduce_only or closes(order):
        return
    if not isinstance(order, OrderRequest) and order.close_position:
        return
    if opening or restriction.code != _NO_POSITION_MAY_GROW:
        raise refusal(restriction.code)


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
    require_permission(state, account, request, opening=opening > 0)
    if not triggered:
        _require_room(state, account, request)
        if (fault := state.interference.refuse_order(account, request, state.now_ms)) is not None:
            raise fault
    if not price:
        raise refusal(-2020)
    if request.time_in_force == "GTX" and crosses(request, best):
        raise refusal(-5022)
    bound = state.market.listings[symbol].market_take_bound
    if request.type == "MARKET" and sign * (price - mark_price) > mark_price * bound:
        raise refusal(-4131)
    if request.reduce_only or closes(request):
        return _capped(account, request, sign)
    limit = request.price if request.type == "LIMIT" else price
    require_margin(state, account, request, request.quantity, limit)
    if crosses(request, best):
        require_carried(state, account, request, request.quantity, price)
    return request.quantity


def _require_room(state: State, account: Account, request: OrderRequest) -> None:
    if account.open_orders.named(request.client_order_id, request.symbol):
        raise refusal(-4116)
    if len(account.orders_of(request.symbol)) >= state.market.listings[request.symbol].max_orders:
        raise refusal(-2025)


def _capped(account: Account, request: OrderRequest, sign: int) -> Decimal:
    held = account.position(request.symbol, request.position_side).amount
    if held * sign >= 0 or (closes(request) and request.quantity > abs(held)):
        raise refusal(-2022)
    return min(request.quantity, abs(held))


def require_margin(
    state: State,
    account: Account,
    order: Order | OrderRequest,
    quantity: Decimal,
    price: Decimal,
    *,
    instead_of: Order | None = None,
) -> None:
    """Refuse an order for `quantity` at `price` that ties up too much, together with what is open already.

    `instead_of` is the open order that it replaces.

    Raises
    ------
    VenueError
        -2019 it exceeds the free margin, -2027 the largest position at this leverage.
    """
    symbol, side, sign = order.symbol, order.position_side, sign_of(order.side)
    mark = state.mark(symbol)
    price = assumed_price(sign, price, mark)
    present = account.orders_of(symbol, side)
    others = [each for each in present if each is not instead_of]
    values = order_values(others, mark)
    without, before, after = (
        order_margin(account, symbol, side, each, mark)
        for each in (values, order_values(present, mark), values.plus(sign, quantity * price))
    )
    free = state.margin(account, state.margin_assets[symbol]).free + before - without
    if after > without and after - without > free:
        raise refusal(-2019)
    waiting = sum((each.remaining for each in others if _adds(each, order.side)), ZERO)
    whole = account.position(symbol, side).amount + sign * (quantity + waiting)
    opening = opening_quantity(account, symbol, side, sign, quantity)
    if opening and abs(whole) * price > state.brackets.max_notional(symbol, account.leverage(symbol)):
        raise refusal(-2027)


def require_carried(
    state: State, account: Account, order: Order | OrderRequest, quantity: Decimal, price: Decimal
) -> None:
    """Refuse a fill of `quantity` at `price` now whose opening part the account cannot carry.

    Other open orders do not count: each is judged when its turn comes.

    Raises
    ------
    VenueError
        -2019 the margin beside the positions does not suffice, -2027 the position would be too large.
    """
    symbol, sign = order.symbol, sign_of(order.side)
    opening = opening_quantity(account, symbol, order.position_side, sign, quantity)
    if not opening:
        return
    position, mark = account.position(symbol, order.position_side), state.mark(symbol)
    free = state.margin(account, state.margin_assets[symbol]).free_of_positions
    if opening < quantity:  # what is closed on the way frees its margin
        isolated = account.margin_type(symbol) == ISOLATED
        own = position.isolated_wallet + position.unrealized_pnl(mark)
        free += own if isolated else initial_margin(account, symbol, abs(position.amount) * mark)
    if initial_margin(account, symbol, opening * assumed_price(sign, price, mark)) > free:
        raise refusal(-2019)
    whole = abs(position.amount + sign * quantity) * max(price, mark)
    if whole > state.brackets.max_notional(symbol, account.leverage(symbol)):
        raise refusal(-2027)


def _adds(order: Order, side: str) -> bool:
    return order.side == side and not (order.reduce_only or order.close_position or closes(order))

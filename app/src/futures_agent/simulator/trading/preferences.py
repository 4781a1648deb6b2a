"""What an account decides about its margin: leverage, margin type, position mode, isolated margin."""

from __future__ import annotations

from decimal import Decimal

from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.trading import events
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.clearing import Clearing
from futures_agent.simulator.trading.margin import CROSSED, ISOLATED
from futures_agent.simulator.trading.records import ZERO, Position
from futures_agent.simulator.trading.state import State, money


def set_leverage(state: State, account: Account, symbol: str, leverage: int) -> Decimal:
    """Change the leverage of one symbol; return the largest notional allowed at it.

    Raises
    ------
    VenueError
        -4028 not offered, -4161 lower with an isolated position, -2027 the position is too large for it,
        -2028 the margin does not suffice for it.
    """
    state.status(symbol)
    if not 1 <= leverage <= state.brackets.max_leverage(symbol):
        raise refusal(-4028, leverage)
    held = _positions(account, symbol)
    before = account.leverage(symbol)
    isolated = account.margin_type(symbol) == ISOLATED
    if held and isolated and leverage < before:
        raise refusal(-4161)
    most = state.brackets.max_notional(symbol, leverage)
    if any(abs(position.amount) * state.mark(symbol) > most for position in held):
        raise refusal(-2027)
    account.set_leverage(symbol, leverage)
    if leverage < before and state.margin(account, state.margin_assets[symbol]).free < 0:
        account.set_leverage(symbol, before)
        raise refusal(-2028)
    state.ledger.record(state.now_ms, account.account_id, "LEVERAGE", symbol=symbol, leverage=leverage)
    state.emit(account, events.leverage_changed(state.now_ms, symbol, leverage))
    return most


def set_margin_type(state: State, account: Account, symbol: str, margin_type: str) -> None:
    """Change one symbol to CROSSED or ISOLATED.

    Raises
    ------
    VenueError
        -4046 it is that already, -4047 with open orders, -4048 with a position.
    """
    state.status(symbol)
    if account.margin_type(symbol) == margin_type:
        raise refusal(-4046)
    if account.orders_of(symbol) or account.algos_of(symbol):
        raise refusal(-4047)
    if _positions(account, symbol):
        raise refusal(-4048)
    account.set_margin_type(symbol, margin_type)
    state.ledger.record(
        state.now_ms, account.account_id, "MARGIN_TYPE", symbol=symbol, margin_type=margin_type
    )
    sides = ("LONG", "SHORT") if account.dual_side else ("BOTH",)
    flat = [account.position(symbol, side) for side in sides]
    state.emit(account, events.margin_type_changed(state.now_ms, account, flat, state.mark))


def set_position_mode(state: State, account: Account, *, dual_side: bool) -> None:
    """Change to hedge mode (`dual_side`) or one-way mode, for all symbols.

    Raises
    ------
    VenueError
        -4059 it is that already, -4067 with open orders, -4068 with a position.
    """
    if account.dual_side == dual_side:
        raise refusal(-4059)
    if account.open_orders or account.open_algos:
        raise refusal(-4067)
    if account.held():
        raise refusal(-4068)
    account.dual_side = dual_side
    state.ledger.record(state.now_ms, account.account_id, "POSITION_MODE", dual_side=dual_side)


def change_isolated_margin(
    state: State, clearing: Clearing, account: Account, position: Position, amount: Decimal
) -> None:
    """Move `amount` from the cross wallet to an isolated position, or back where it is negative.

    Raises
    ------
    VenueError
        -4054 there is no isolated position, -4055 the amount is 0, -4050 or -4051 there is not that much.
    """
    amount = money(amount)
    if not amount:
        raise refusal(-4055)
    symbol, asset = position.symbol, state.margin_assets[position.symbol]
    if not position.amount or account.margin_type(symbol) == CROSSED:
        raise refusal(-4054)
    if amount > state.margin(account, asset).available:
        raise refusal(-4050)
    mark = state.mark(symbol)
    spare = position.isolated_wallet + min(position.unrealized_pnl(mark), ZERO)
    needed = abs(position.amount) * mark / account.leverage(symbol)
    if amount < 0 and spare + amount < needed:
        raise refusal(-4051)
    position.isolated_wallet += amount
    clearing.record_position(account, position)
    clearing.tell_account(account, "MARGIN_TRANSFER", asset, [position])


def _positions(account: Account, symbol: str) -> list[Position]:
    return [position for position in account.held() if position.symbol == symbol]

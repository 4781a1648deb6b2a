"""Margin: what positions and orders tie up, and the price at which a position is taken away.

Source: the exchange's pages on initial and maintenance margin, leverage brackets and liquidation of
USDⓈ-M futures. N = |amount| · mark price; initial margin N / leverage; maintenance margin N · rate − cum,
with rate and cum of the bracket that N lies in. Open orders: see `order_margin`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from importlib.resources import files

from msgspec import Struct

from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.records import ZERO, Order, Position, closes

Rows = Sequence[Sequence[Decimal]]
MarkPrice = Callable[[str], Decimal]  # of a symbol, now

ISOLATED, CROSSED = "ISOLATED", "CROSSED"


class Bracket(Struct, frozen=True):
    """The terms of positions whose notional lies in (floor, cap], quote units."""

    number: int
    leverage: int  # the highest allowed
    floor: Decimal
    cap: Decimal
    rate: Decimal  # maintenance margin, share of the notional
    cum: Decimal  # what makes the maintenance margin continuous from bracket to bracket


class Brackets:
    """The leverage brackets of every symbol.

    Parameters
    ----------
    overrides : mapping of symbol to rows (notional cap, leverage, maintenance margin rate)
        `usual` among them stands for all symbols without rows of their own.
    """

    def __init__(self, overrides: Mapping[str, Rows]) -> None:
        packaged = json.loads(files(__package__).joinpath("leverage_brackets.json").read_text())
        packaged.pop("columns")
        tables = {
            symbol: [[Decimal(each) for each in row] for row in rows] for symbol, rows in packaged.items()
        }
        if "usual" in overrides:
            tables.clear()
        self._tables = {symbol: _brackets(rows) for symbol, rows in {**tables, **overrides}.items()}

    def of(self, symbol: str) -> tuple[Bracket, ...]:
        """Return the brackets of `symbol`, smallest notional first."""
        return self._tables.get(symbol) or self._tables["usual"]

    def at(self, symbol: str, notional: Decimal) -> Bracket:
        """Return the bracket that `notional` lies in; above the last cap, the last one."""
        table = self.of(symbol)
        return next((bracket for bracket in table if notional <= bracket.cap), table[-1])

    def max_notional(self, symbol: str, leverage: int) -> Decimal:
        """Return the largest position allowed at `leverage`; 0 where that leverage is not offered."""
        return max((bracket.cap for bracket in self.of(symbol) if bracket.leverage >= leverage), default=ZERO)

    def max_leverage(self, symbol: str) -> int:
        return self.of(symbol)[0].leverage

    def maintenance(self, symbol: str, notional: Decimal) -> Decimal:
        """Return the maintenance margin of a position of `notional`, quote units."""
        bracket = self.at(symbol, notional)
        return notional * bracket.rate - bracket.cum


def _brackets(rows: Rows) -> tuple[Bracket, ...]:
    table: list[Bracket] = []
    floor = rate = cum = ZERO
    for number, (cap, leverage, next_rate) in enumerate(rows, 1):
        cum += floor * (next_rate - rate)
        rate = next_rate
        table.append(Bracket(number, int(leverage), floor, cap, rate, cum))
        floor = cap
    return tuple(table)


class PositionMargin(Struct, frozen=True):
    """One position at the current mark price; quote units."""

    notional: Decimal  # signed as the amount
    unrealized_pnl: Decimal
    initial: Decimal
    maintenance: Decimal
    isolated_margin: Decimal  # isolated wallet + unrealised PnL, 0 with crossed margin
    liquidation_price: Decimal  # 0 where it cannot be liquidated


class AccountMargin(Struct, frozen=True):
    """One account's sums in one margin asset; quote units."""

    wallet: Decimal
    unrealized_pnl: Decimal
    cross_wallet: Decimal  # wallet without what isolated positions have set aside
    cross_unrealized_pnl: Decimal
    position_initial: Decimal
    order_initial: Decimal
    maintenance: Decimal
    cross_maintenance: Decimal
    free: Decimal  # what new positions and orders may tie up; below 0 when prices went against the account

    @property
    def available(self) -> Decimal:
        return max(self.free, ZERO)

    @property
    def free_of_positions(self) -> Decimal:
        """What is left beside the positions, were there no open orders."""
        return self.free + self.order_initial

    @property
    def margin_balance(self) -> Decimal:
        return self.wallet + self.unrealized_pnl

    @property
    def cross_balance(self) -> Decimal:
        return self.cross_wallet + self.cross_unrealized_pnl


def initial_margin(account: Account, symbol: str, notional: Decimal) -> Decimal:
    """Return what a position or order of `notional` ≥ 0 ties up."""
    return notional / account.leverage(symbol)


def assumed_price(sign: int, price: Decimal, mark_price: Decimal) -> Decimal:
    """Return the price that an order is charged at: its own, of one that sells at least the mark price."""
    return price if sign > 0 else max(price, mark_price)


class OrderValues(Struct, frozen=True):
    """What open orders of one symbol and position side may still trade, by side; quote units."""

    bids: Decimal = ZERO
    asks: Decimal = ZERO

    def plus(self, sign: int, value: Decimal) -> OrderValues:
        """Return them with `value` more to buy (+1) or to sell (−1)."""
        if sign > 0:
            return OrderValues(self.bids + value, self.asks)
        return OrderValues(self.bids, self.asks + value)


def order_values(orders: Iterable[Order], mark_price: Decimal) -> OrderValues:
    """Sum the open orders of one symbol and position side; what can only reduce does not count."""
    values = OrderValues()
    for order in orders:
        if order.reduce_only or order.close_position or closes(order):
            continue
        price = assumed_price(order.sign, order.price, mark_price)
        values = values.plus(order.sign, order.remaining * price)
    return values


def order_margin(
    account: Account, symbol: str, side: str, values: OrderValues, mark_price: Decimal
) -> Decimal:
    """Return what the open orders of one symbol and position side tie up beside the position.

    Source: the exchange's page on leverage and margin: position and orders together need
    max(|N + bids|, |N − asks|) / leverage, N signed as the position; N / leverage of it is the position's.
    Only one side can add to a position: the other side's orders are not charged as well.
    """
    position = account.positions.get((symbol, side))
    held = position.amount * mark_price if position else ZERO
    together = max(abs(held + values.bids), abs(held - values.asks))
    return initial_margin(account, symbol, together - abs(held))


def opening_quantity(account: Account, symbol: str, side: str, sign: int, quantity: Decimal) -> Decimal:
    """Return the part of `quantity`, bought (+1) or sold (−1), that opens or adds to a position."""
    position = account.positions.get((symbol, side))
    held = position.amount if position else ZERO
    return quantity if held * sign >= 0 else max(quantity - abs(held), ZERO)


def account_margin(
    account: Account, asset: str, symbols: Mapping[str, str], brackets: Brackets, mark: MarkPrice
) -> AccountMargin:
    """Return the account's sums in `asset`; `symbols` maps each symbol to its margin asset."""
    unrealized = cross_unrealized = position_initial = maintenance = cross_maintenance = isolated = ZERO
    cross_initial = ZERO
    for position in account.held():
        if symbols[position.symbol] != asset:
            continue
        price = mark(position.symbol)
        notional, pnl = abs(position.amount) * price, position.unrealized_pnl(price)
        needed = brackets.maintenance(position.symbol, notional)
        initial = initial_margin(account, position.symbol, notional)
        unrealized += pnl
        position_initial += initial
        maintenance += needed
        if account.margin_type(position.symbol) == ISOLATED:
            isolated += position.isolated_wallet
        else:
            cross_unrealized += pnl
            cross_initial += initial
            cross_maintenance += needed
    waiting: dict[tuple[str, str], list[Order]] = {}
    for order in account.open_orders.values():
        if symbols[order.symbol] == asset:
            waiting.setdefault((order.symbol, order.position_side), []).append(order)
    orders = ZERO
    for (symbol, side), together in waiting.items():
        price = mark(symbol)
        orders += order_margin(account, symbol, side, order_values(together, price), price)
    wallet = account.wallet(asset)
    cross = wallet - isolated
    return AccountMargin(
        wallet=wallet,
        unrealized_pnl=unrealized,
        cross_wallet=cross,
        cross_unrealized_pnl=cross_unrealized,
        position_initial=position_initial,
        order_initial=orders,
        maintenance=maintenance,
        cross_maintenance=cross_maintenance,
        free=cross + cross_unrealized - cross_initial - orders,
    )


def liquidation_price(
    account: Account, position: Position, whole: AccountMargin, brackets: Brackets, mark_price: Decimal
) -> Decimal:
    """Return the mark price at which `position` is liquidated, other symbols standing still; 0 for never.

    Solves margin + Σ amount · (P − entry) = Σ (|amount| · P · rate − cum) for P: over the position alone
    with isolated margin, over every position of the symbol with crossed margin, where the margin is the
    cross wallet with the other symbols' unrealised PnL and without their maintenance margin.
    """
    if account.margin_type(position.symbol) == ISOLATED:
        margin, together = position.isolated_wallet, [position]
    else:
        together = [each for each in account.held() if each.symbol == position.symbol]
        own_pnl = sum((each.unrealized_pnl(mark_price) for each in together), ZERO)
        own = sum(
            (brackets.maintenance(each.symbol, abs(each.amount) * mark_price) for each in together), ZERO
        )
        margin = whole.cross_balance - own_pnl - (whole.cross_maintenance - own)
    above = margin
    below = ZERO
    for each in together:
        bracket = brackets.at(each.symbol, abs(each.amount) * mark_price)
        above += bracket.cum - each.amount * each.entry_price
        below += abs(each.amount) * bracket.rate - each.amount
    return max(above / below, ZERO) if below else ZERO


def position_margin(
    account: Account, position: Position, whole: AccountMargin, brackets: Brackets, mark_price: Decimal
) -> PositionMargin:
    """Return what GET /fapi/v3/positionRisk tells of one position that is not flat."""
    notional = abs(position.amount) * mark_price
    pnl = position.unrealized_pnl(mark_price)
    isolated = account.margin_type(position.symbol) == ISOLATED
    return PositionMargin(
        notional=position.amount * mark_price,
        unrealized_pnl=pnl,
        initial=initial_margin(account, position.symbol, notional),
        maintenance=brackets.maintenance(position.symbol, notional),
        isolated_margin=position.isolated_wallet + pnl if isolated else ZERO,
        liquidation_price=liquidation_price(account, position, whole, brackets, mark_price),
    )

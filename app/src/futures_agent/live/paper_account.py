"""The paper account: the fold of its steps. A step is what one event did to it, whole or not at all."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TypeVar

from msgspec import Struct

from futures_agent.exchange.orders import (
    FillSeen,
    FundingSeen,
    OrderSeen,
    PositionSeen,
    Seen,
    StopSeen,
    WalletSeen,
)

T = TypeVar("T", OrderSeen, StopSeen)

ZERO = Decimal(0)
ASSET = "USDT"
FORMAT = 1
_EXCHANGE_LEVERAGE = 20  # of a symbol nobody has set it for


class Opening(Struct, frozen=True, kw_only=True):
    """The first line of an account's file."""

    format: int
    at_ms: int
    equity: Decimal


class Step(Struct, frozen=True, kw_only=True):
    """What happened at once, in the order in which it is told."""

    at_ms: int  # in the market; what is in `seen` may be stamped later, as it was learnt later
    seen: tuple[Seen, ...] = ()
    leverage: int = 0  # for positions opened from now on; 0: as it was


class Book:
    """One symbol's position and open orders."""

    def __init__(self, symbol: str) -> None:
        self.position = PositionSeen(symbol=symbol, amount=ZERO, entry_price=ZERO, updated_ms=0)
        self.leverage = 0  # of the position
        self.orders: dict[str, OrderSeen] = {}  # open ones by client id
        self.stops: dict[str, StopSeen] = {}

    @property
    def side(self) -> int:
        """+1 long, −1 short, 0 flat."""
        return (self.position.amount > 0) - (self.position.amount < 0)

    @property
    def margin(self) -> Decimal:
        """What is set aside for the position, quote units."""
        position = self.position
        return abs(position.amount) * position.entry_price / self.leverage if position.amount else ZERO

    def copy(self) -> Book:
        book = Book(self.position.symbol)
        book.position, book.leverage = self.position, self.leverage
        book.orders, book.stops = self.orders.copy(), self.stops.copy()
        return book

    def apply(self, seen: Seen, leverage: int) -> None:
        """Take in what happened to this symbol; `leverage` is that of a position opened by it."""
        if isinstance(seen, PositionSeen):
            if self.position.amount * seen.amount <= 0:  # opened, closed or turned
                self.leverage = leverage
            self.position = seen
        elif isinstance(seen, OrderSeen):
            _keep(self.orders, seen)
        elif isinstance(seen, StopSeen):
            _keep(self.stops, seen)


class Account:
    """What the steps so far have made of an account.

    Attributes
    ----------
    wallet : Decimal
        Deposits + realised PnL − fees + funding, quote units.
    books : dict
        By symbol.
    orders, stops : dict
        The newest of each (symbol, client id), in whatever state.
    fills : dict
        By symbol, oldest first.
    last_id : int
        Orders, conditional orders and fills are numbered together.
    told_ms : int
        The latest time that anything is stamped with.
    """

    def __init__(self, opening: Opening) -> None:
        self.wallet = opening.equity
        self.wallet_ms = self.told_ms = opening.at_ms
        self.leverage = _EXCHANGE_LEVERAGE
        self.books: dict[str, Book] = {}
        self.orders: dict[tuple[str, str], OrderSeen] = {}
        self.stops: dict[tuple[str, str], StopSeen] = {}
        self.fills: defaultdict[str, list[FillSeen]] = defaultdict(list)
        self.funding: list[FundingSeen] = []
        self.last_id = 0
        self._moves: defaultdict[str, list[tuple[int, Decimal]]] = defaultdict(list)
        self._funded: set[tuple[str, int]] = set()

    def book(self, symbol: str) -> Book:
        return self.books.setdefault(symbol, Book(symbol))

    @property
    def free_margin(self) -> Decimal:
        """What new positions may set aside; an isolated position's unrealised PnL is not part of it."""
        return self.wallet - sum((book.margin for book in self.books.values()), ZERO)

    def held_at(self, symbol: str, instant_ms: int) -> Decimal:
        """Return the position as it was just before `instant_ms`, whenever its fills became known."""
        return sum((amount for at_ms, amount in self._moves[symbol] if at_ms < instant_ms), ZERO)

    def newest_position(self, symbol: str) -> tuple[int, int | None]:
        """Return when the newest position began, and when it ended; None: it has not. (0, 0): none ever."""
        held, began_ms, ended_ms = ZERO, 0, 0
        for at_ms, amount in self._moves[symbol]:
            began_ms = at_ms if not held else began_ms
            held += amount
            ended_ms = at_ms
        return began_ms, None if held else ended_ms

    def is_funded(self, symbol: str, instant_ms: int) -> bool:
        return (symbol, instant_ms) in self._funded

    def apply(self, step: Step) -> None:
        self.leverage = step.leverage or self.leverage
        for seen in step.seen:
            self._apply(seen, step.at_ms)

    def _apply(self, seen: Seen, at_ms: int) -> None:
        if isinstance(seen, WalletSeen):
            self.wallet, self.wallet_ms = seen.balance, seen.time_ms
            self.told_ms = max(self.told_ms, seen.time_ms)
            return
        self.book(seen.symbol).apply(seen, self.leverage)
        if isinstance(seen, FillSeen):
            self.fills[seen.symbol].append(seen)
            self._moves[seen.symbol].append((at_ms, seen.side * seen.quantity))
            self.last_id = max(self.last_id, seen.trade_id)
        elif isinstance(seen, FundingSeen):
            self.funding.append(seen)
            self._funded.add((seen.symbol, at_ms))
        elif isinstance(seen, OrderSeen):
            self.orders[seen.symbol, seen.client_id] = seen
            self.last_id = max(self.last_id, seen.order_id)
        elif isinstance(seen, StopSeen):
            self.stops[seen.symbol, seen.client_id] = seen
            self.last_id = max(self.last_id, seen.algo_id)
        told_ms = seen.time_ms if isinstance(seen, FillSeen | FundingSeen) else seen.updated_ms
        self.told_ms = max(self.told_ms, told_ms)


def _keep(opened: dict[str, T], seen: T) -> None:
    if seen.is_open:
        opened[seen.client_id] = seen
    else:
        opened.pop(seen.client_id, None)

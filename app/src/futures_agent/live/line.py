"""One symbol: its position, its orders, its trade, and what is unclear about them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from msgspec import Struct, field

from futures_agent.clock import HOUR_MS
from futures_agent.exchange.orders import FillSeen, OrderSeen, PositionSeen, StopSeen
from futures_agent.live.ids import Purpose
from futures_agent.live.order import PRESUMED, ZERO, Order, State
from futures_agent.live.trade import Trade


class Report(Struct, frozen=True, kw_only=True):
    """An incident that is not written yet."""

    at_ms: int
    kind: str
    text: str


class Stranger(Struct, kw_only=True):
    """An open order that we do not know."""

    seen: OrderSeen | StopSeen
    cancelling: bool = False
    cancel_ms: int = 0
    cancels: int = 0


class Unplaced(Struct, frozen=True, kw_only=True):
    """A fill whose order is not known yet."""

    fill: FillSeen
    at_ms: int


class Line(Struct, kw_only=True):
    """What is known of one symbol; changed only by what records tell.

    Attributes
    ----------
    amount : Decimal
        The position by all fills counted and all differences accepted; < 0 is short.
    orders, past : dict
        Ours since the last checkpoint, by client id; `past` are finished ones of earlier trades.
    trade : Trade, optional
        The one that is not over.
    floor : int
        Fills up to this trade id were counted before the last checkpoint.
    exit_why : str
        Why the position is to be closed; empty: it is not.
    wait_exit, wait_stop : bool
        No further exit, no further stop before the next snapshot: the venue contradicted what we believe.
    naked_ms : int, optional
        Since when the position is without a stop.
    told, told_ms
        The position as the venue told it last, and when it was heard.
    difference, difference_ms
        What a snapshot said of the position instead of what we believe, and its time: doubt until a
        second one says the same.
    equal_ms : int
        The newest snapshot that agreed with us.
    seen_amount, seen_ms, steady_ms
        What the newest snapshot said of the position, its time, and that of the one before if it said the
        same.
    accepted_ms : int
        The snapshot whose position was taken as ours: fills from before are in it.
    moved_ms : int
        When anything happened last that a snapshot taken before could lack.
    ask_ms : int, optional
        From when a reconciliation is wanted.
    """

    symbol: str
    amount: Decimal = ZERO
    orders: dict[str, Order] = field(default_factory=dict)
    past: dict[str, Order] = field(default_factory=dict)
    trade: Trade | None = None
    trades: list[Trade] = field(default_factory=list)  # those that are over
    fill_ids: set[int] = field(default_factory=set)
    floor: int = 0
    unplaced: list[Unplaced] = field(default_factory=list)
    nameless: list[FillSeen] = field(default_factory=list)  # taken as not ours, their order never known
    strangers: dict[str, Stranger] = field(default_factory=dict)
    gone_strangers: set[str] = field(default_factory=set)
    exit_why: str = ""
    wait_exit: bool = False
    wait_stop: bool = False
    naked_ms: int | None = None
    told: PositionSeen | None = None
    told_ms: int = 0
    difference: Decimal | None = None
    difference_ms: int = 0
    equal_ms: int = 0
    seen_amount: Decimal | None = None
    seen_ms: int = 0
    steady_ms: int = 0
    accepted_ms: int = 0
    moved_ms: int = 0
    ask_ms: int | None = None
    decided_ms: int = 0
    reports: list[Report] = field(default_factory=list)
    funding_hours: set[int] = field(default_factory=set)

    @property
    def exposure(self) -> Decimal:
        """The position, with what the venue executed and no fill has told yet."""
        return self.amount + sum((order.side * order.unseen for order in self.orders.values()), ZERO)

    @property
    def entry(self) -> Order | None:
        """The entry order of the trade."""
        if self.trade is None:
            return None
        return next(self.of(Purpose.ENTRY), None)

    @property
    def entry_is_over(self) -> bool:
        """Whether the trade's position grows no more by what we sent."""
        if self.trade is None or self.trade.adopted or self.trade.outcome:
            return True
        return self.entry is not None and self.entry.is_done

    @property
    def stop(self) -> Order | None:
        """The stop that protects the position; one left from an earlier trade lies at the wrong price."""
        side = -_sign(self.exposure)
        stops = self.of(Purpose.STOP)
        return next((order for order in stops if order.protects and order.side == side), None)

    @property
    def unmoved_ms(self) -> int:
        """A time from which on snapshots have shown that the position did not move."""
        return max(self.equal_ms, self.steady_ms)

    @property
    def is_unclear(self) -> bool:
        """Whether anything is under way or unknown, or fills are missing."""
        unsettled = (State.SENT, State.UNKNOWN, State.RETRY)
        return bool(self.unplaced) or any(
            order.state in unsettled or order.unseen or order.missing for order in self.orders.values()
        )

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing here: no position, no open order of ours, nothing unclear."""
        return (
            self.trade is None
            and not self.exposure
            and not self.is_unclear
            and all(order.is_done for order in self.orders.values())
            and not self.strangers
            and self.difference is None
            and self.told_agrees
        )

    @property
    def told_agrees(self) -> bool:
        return self.told is None or self.told.amount == self.exposure

    def of(self, purpose: Purpose) -> Iterator[Order]:
        """Yield the trade's orders of one purpose, oldest first."""
        trade_id = self.trade.trade_id if self.trade else ""
        return (o for o in self.orders.values() if o.trade_id == trade_id and o.purpose is purpose)

    def find(self, client_id: str) -> Order | None:
        """Return our order of that name; one of an earlier trade is taken up again for it."""
        if client_id in self.past:
            self.orders[client_id] = self.past.pop(client_id)
        return self.orders.get(client_id)

    def by_order_id(self, order_id: int) -> Order | None:
        """Return our order that the venue gave this number."""
        if not order_id:
            return None
        for order in (*self.orders.values(), *self.past.values()):
            if order.order_id == order_id:
                return self.find(order.client_id)
        return None

    def put_away(self, at_ms: int) -> None:
        """Lay finished orders of earlier trades aside, so that a long life costs nothing.

        Those that were only presumed to be over stay at hand for an hour.
        """
        current = self.trade.trade_id if self.trade else ""
        for client_id, order in list(self.orders.items()):
            certain = order.status not in PRESUMED or order.heard_ms < at_ms - HOUR_MS
            if order.is_done and not order.unseen and certain and order.trade_id != current:
                self.past[client_id] = self.orders.pop(client_id)

    def report(self, kind: str, text: str, at_ms: int) -> None:
        self.reports.append(Report(at_ms=at_ms, kind=kind, text=text))

    def ask(self, at_ms: int) -> None:
        """Want a reconciliation from `at_ms` on."""
        self.ask_ms = at_ms if self.ask_ms is None else min(self.ask_ms, at_ms)


def _sign(amount: Decimal) -> int:
    return (amount > 0) - (amount < 0)

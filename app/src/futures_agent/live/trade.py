"""One trade: from the decision to the last fill of its exit, with what it earned and cost."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct, field

from futures_agent.exchange.orders import FillSeen, FundingSeen
from futures_agent.live.order import ZERO


class Part(Struct, frozen=True, kw_only=True):
    """A fill, or the part of one, that belongs to a trade."""

    fill: FillSeen
    quantity: Decimal
    entry: bool


class Trade(Struct, kw_only=True):
    """A position's life; money in the margin asset.

    Attributes
    ----------
    wanted : Decimal
        What was to be bought or sold; of a position that was found, its size then.
    adopted : bool
        Nobody decided it: the venue held a position that the journal does not explain.
    found_price : Decimal
        Of an adopted one: the venue's entry price; it counts for what was found.
    unexplained : Decimal
        What of the position ended without any fill that we know.
    fees : dict
        Paid (> 0), by asset.
    funding : Decimal
        Received (> 0) or paid.
    stop_price, target_price : Decimal, optional
        As first placed.
    outcome : str
        Why nothing came of it: REFUSED, NOT_PLACED, LAPSED; empty otherwise.
    """

    trade_id: str
    symbol: str
    side: int
    wanted: Decimal
    wanted_ms: int
    decided_ms: int = 0
    stop_distance: float = 0.0
    target_distance: float = 0.0
    reasons: int = 0
    adopted: bool = False
    found_quantity: Decimal = ZERO
    found_price: Decimal = ZERO
    parts: list[Part] = field(default_factory=list)
    entered: Decimal = ZERO
    entry_notional: Decimal = ZERO
    exited: Decimal = ZERO
    exit_notional: Decimal = ZERO
    unexplained: Decimal = ZERO
    fees: dict[str, Decimal] = field(default_factory=dict)
    funding: Decimal = ZERO
    stop_price: Decimal | None = None
    target_price: Decimal | None = None
    entry_ms: int | None = None  # first fill
    exit_ms: int | None = None  # last fill
    exit_reason: str = ""
    outcome: str = ""
    closed: bool = False

    @property
    def open_quantity(self) -> Decimal:
        return self.entered - self.exited - self.unexplained

    @property
    def entry_price(self) -> Decimal | None:
        """Average of the entry's fills."""
        return self.entry_notional / self.entered if self.entered else None

    @property
    def exit_price(self) -> Decimal | None:
        return self.exit_notional / self.exited if self.exited else None

    @property
    def gross_pnl(self) -> Decimal | None:
        """Price move × what was closed by fills; None while nothing was."""
        if not self.exited or not self.entered:
            return None
        return self.side * (self.exit_notional - self.entry_notional * self.exited / self.entered)

    def net_pnl(self, asset: str) -> Decimal | None:
        """Return gross − fees in `asset` + funding; fees in other assets are not in it."""
        gross = self.gross_pnl
        return None if gross is None else gross - self.fees.get(asset, ZERO) + self.funding

    def enter(self, fill: FillSeen, quantity: Decimal) -> None:
        """Count `quantity` of `fill` as entry."""
        self._count(fill, quantity, entry=True)
        self.entered += quantity
        self.entry_notional += quantity * fill.price
        self.entry_ms = fill.time_ms if self.entry_ms is None else min(self.entry_ms, fill.time_ms)

    def leave(self, fill: FillSeen, quantity: Decimal, reason: str) -> None:
        """Count `quantity` of `fill` as exit; the last fill's reason is the trade's."""
        self._count(fill, quantity, entry=False)
        self.exited += quantity
        self.exit_notional += quantity * fill.price
        if self.exit_ms is None or fill.time_ms >= self.exit_ms:
            self.exit_ms, self.exit_reason = fill.time_ms, reason

    def find(self, quantity: Decimal, price: Decimal, at_ms: int) -> None:
        """Count `quantity` as entered at `price` without a fill that would tell."""
        self.found_quantity += quantity
        self.found_price = price
        self.entered += quantity
        self.entry_notional += quantity * price
        self.entry_ms = self.entry_ms or at_ms

    def lose(self, quantity: Decimal, at_ms: int) -> None:
        """Count `quantity` as gone without a fill that would tell."""
        self.unexplained += quantity
        self.exit_ms, self.exit_reason = at_ms, "UNEXPLAINED"

    def pay(self, payment: FundingSeen) -> None:
        self.funding += payment.amount

    def _count(self, fill: FillSeen, quantity: Decimal, *, entry: bool) -> None:
        self.parts.append(Part(fill=fill, quantity=quantity, entry=entry))
        if fill.fee:
            share = fill.fee * quantity / fill.quantity
            self.fees[fill.fee_asset] = self.fees.get(fill.fee_asset, ZERO) + share

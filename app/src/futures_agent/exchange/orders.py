"""What a trader asks of a venue, and what it sees happen there: one set of words for every broker.

Requests say what to do; answers say what became of a request; the rest is what was seen, by stream or by
query, and may come late, twice, or out of order. Quantities and prices are exact decimals.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from futures_agent.exchange.outcome import Outcome


class PlaceMarket(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """Trade `quantity` at market; with `reduce_only` it can only close.

    `side` is +1 to buy, −1 to sell, here and everywhere below.
    """

    symbol: str
    client_id: str
    side: int
    quantity: Decimal
    reduce_only: bool = False


class PlaceTarget(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """Rest a reduce-only LIMIT order, good till cancelled."""

    symbol: str
    client_id: str
    side: int
    quantity: Decimal
    price: Decimal


class PlaceStop(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """Rest a STOP_MARKET order that closes the whole position (`closePosition`), at the algo service."""

    symbol: str
    client_id: str  # clientAlgoId; the order it becomes at the trigger carries it too
    side: int
    trigger_price: Decimal


class Cancel(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """Cancel a regular order."""

    symbol: str
    client_id: str


class CancelStop(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """Cancel a conditional order that has not triggered."""

    symbol: str
    client_id: str


class QueryOrder(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """Ask what became of a regular order."""

    symbol: str
    client_id: str


class QueryStop(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """Ask what became of a conditional order; a broker looks at the open ones first."""

    symbol: str
    client_id: str


Request = PlaceMarket | PlaceTarget | PlaceStop | Cancel | CancelStop | QueryOrder | QueryStop


class OrderSeen(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """A regular order as the venue tells it."""

    symbol: str
    client_id: str
    order_id: int
    side: int
    type: str  # MARKET, LIMIT
    status: str  # NEW, PARTIALLY_FILLED, FILLED, CANCELED, REJECTED, EXPIRED, EXPIRED_IN_MATCH
    quantity: Decimal
    executed: Decimal
    avg_price: Decimal  # of what was executed; 0 where the venue does not tell
    price: Decimal  # limit; 0 at market
    reduce_only: bool
    updated_ms: int

    @property
    def is_open(self) -> bool:
        return self.status in ("NEW", "PARTIALLY_FILLED")


class StopSeen(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """A conditional order as the venue tells it."""

    symbol: str
    client_id: str
    algo_id: int
    order_id: int  # of the order that it became; 0 before its trigger
    side: int
    type: str  # STOP_MARKET, …
    status: str  # NEW, TRIGGERING, TRIGGERED, FINISHED, CANCELED, EXPIRED, REJECTED
    trigger_price: Decimal
    quantity: Decimal  # 0 with close_position
    close_position: bool
    reduce_only: bool
    updated_ms: int
    reason: str = ""  # why it was rejected or expired, where told

    @property
    def is_open(self) -> bool:
        """Whether it still protects: not yet triggered, or on its way to the book."""
        return self.status in ("NEW", "TRIGGERING", "TRIGGERED")


class FillSeen(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """One fill of one order of ours; (symbol, trade_id) names it for good."""

    symbol: str
    client_id: str  # empty where a list of fills does not tell: `order_id` does
    order_id: int
    trade_id: int
    side: int
    price: Decimal
    quantity: Decimal
    fee: Decimal  # > 0 is paid
    fee_asset: str
    realized_pnl: Decimal
    maker: bool
    time_ms: int


class PositionSeen(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """A position; `amount` < 0 is short, 0 is none."""

    symbol: str
    amount: Decimal
    entry_price: Decimal
    updated_ms: int


class WalletSeen(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """The wallet balance of one asset: deposits + realised PnL − fees + funding, without unrealised PnL."""

    asset: str
    balance: Decimal
    time_ms: int


class FundingSeen(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """One funding payment; `amount` > 0 is received."""

    symbol: str
    amount: Decimal
    asset: str
    time_ms: int


class Snapshot(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """The account as queries tell it; what happened after `taken_ms` may be missing, or in it already.

    Attributes
    ----------
    taken_ms : int
        Exchange time before the first of the queries was sent.
    positions : tuple
        Those that are not flat.
    orders, stops : tuple
        The open ones, whoever placed them.
    wallet : WalletSeen
        Of the margin asset.
    """

    taken_ms: int
    positions: tuple[PositionSeen, ...]
    orders: tuple[OrderSeen, ...]
    stops: tuple[StopSeen, ...]
    wallet: WalletSeen


Seen = OrderSeen | StopSeen | FillSeen | PositionSeen | WalletSeen | FundingSeen


class Answer(Struct, frozen=True, kw_only=True, tag=True, tag_field="what"):
    """What became of a request, as far as its answer tells.

    Attributes
    ----------
    outcome : Outcome
        UNKNOWN: it may have been executed; only queries and the user stream can tell.
    code, message : int or None, str
        The venue's, of a refusal; the transport's words where no answer came.
    seen : OrderSeen or StopSeen, optional
        The order, where the answer shows it.
    """

    request: Request
    outcome: Outcome
    code: int | None = None
    message: str = ""
    seen: OrderSeen | StopSeen | None = None

"""Orders, fills and positions of the venue. Times are ms UTC, prices quote units, quantities base units."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

ZERO = Decimal(0)
PRICE_UNIT = Decimal("1e-12")  # of computed prices, finer than any tick

# Orders in these states rest in the book.
OPEN_STATUSES = frozenset({"NEW", "PARTIALLY_FILLED"})
# Conditional orders in these states have not reached the book yet.
OPEN_ALGO_STATUSES = frozenset({"NEW", "TRIGGERING"})


class OrderRequest(Struct, frozen=True, kw_only=True):
    """A regular order as a client asks for it; parameters are checked already (`filters`)."""

    symbol: str
    side: str  # BUY, SELL
    type: str  # LIMIT, MARKET
    quantity: Decimal
    position_side: str = "BOTH"  # BOTH, or LONG and SHORT in hedge mode
    price: Decimal = ZERO  # LIMIT only
    time_in_force: str = "GTC"  # GTC, IOC, FOK, GTX, GTD
    reduce_only: bool = False
    client_order_id: str = ""  # empty: the venue makes one up
    self_trade_prevention: str = "EXPIRE_MAKER"
    price_match: str = "NONE"
    good_till_ms: int = 0  # GTD only


class AlgoRequest(Struct, frozen=True, kw_only=True):
    """A conditional order as a client asks for it; parameters are checked already (`filters`)."""

    symbol: str
    side: str
    type: str  # STOP_MARKET, TAKE_PROFIT_MARKET, STOP, TAKE_PROFIT, TRAILING_STOP_MARKET
    quantity: Decimal = ZERO  # 0 with close_position
    position_side: str = "BOTH"
    price: Decimal = ZERO  # STOP and TAKE_PROFIT
    trigger_price: Decimal = ZERO  # all but TRAILING_STOP_MARKET
    time_in_force: str = "GTC"
    working_type: str = "CONTRACT_PRICE"  # or MARK_PRICE
    close_position: bool = False
    price_protect: bool = False
    reduce_only: bool = False
    activate_price: Decimal = ZERO  # TRAILING_STOP_MARKET; 0: active at once
    callback_rate: Decimal = ZERO  # TRAILING_STOP_MARKET, per cent
    client_algo_id: str = ""
    self_trade_prevention: str = "EXPIRE_MAKER"
    price_match: str = "NONE"
    good_till_ms: int = 0


class Order(Struct, kw_only=True, gc=False):
    """A regular order in whatever state it is."""

    order_id: int  # increasing per symbol
    client_order_id: str
    symbol: str
    side: str
    type: str
    position_side: str
    quantity: Decimal
    price: Decimal  # 0 for MARKET
    time_in_force: str
    reduce_only: bool
    close_position: bool
    created_ms: int
    updated_ms: int
    status: str = "NEW"
    executed: Decimal = ZERO  # base units
    quote: Decimal = ZERO  # Σ price · quantity of its fills
    orig_type: str = ""  # of the conditional order it came from, else its own type
    stop_price: Decimal = ZERO  # of the conditional order it came from
    working_type: str = "CONTRACT_PRICE"
    price_protect: bool = False
    price_match: str = "NONE"
    self_trade_prevention: str = "EXPIRE_MAKER"
    good_till_ms: int = 0
    algo_id: int = 0  # the conditional order it came from
    amendments: int = 0
    expiry_reason: int = 0  # `er` of ORDER_TRADE_UPDATE

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.executed

    @property
    def avg_price(self) -> Decimal:
        """Average price of its fills; 0 without any."""
        if not self.executed:
            return ZERO
        average = self.quote / self.executed
        return average if average * self.executed == self.quote else average.quantize(PRICE_UNIT)

    @property
    def sign(self) -> int:
        """+1 for BUY, −1 for SELL."""
        return 1 if self.side == "BUY" else -1


def closes(order: Order | OrderRequest | AlgoRequest) -> bool:
    """Say whether an order in hedge mode closes: SELL of LONG, BUY of SHORT."""
    return order.position_side == ("LONG" if order.side == "SELL" else "SHORT")


class AlgoOrder(Struct, kw_only=True, gc=False):
    """A conditional order: NEW → TRIGGERING → TRIGGERED → FINISHED, or CANCELED, EXPIRED, REJECTED."""

    algo_id: int  # 16 digits, increasing over all symbols
    client_algo_id: str
    symbol: str
    side: str
    type: str
    position_side: str
    quantity: Decimal
    price: Decimal
    trigger_price: Decimal
    time_in_force: str
    working_type: str
    close_position: bool
    price_protect: bool
    reduce_only: bool
    activate_price: Decimal
    callback_rate: Decimal
    self_trade_prevention: str
    price_match: str
    good_till_ms: int
    created_ms: int
    updated_ms: int
    status: str = "NEW"
    is_activated: bool = False  # TRAILING_STOP_MARKET: activate_price was reached
    extreme_price: Decimal = ZERO  # TRAILING_STOP_MARKET: the best price since activation
    trigger_ms: int = 0
    actual_type: str = ""  # MARKET or LIMIT once triggered
    actual_order_id: int = 0  # the regular order it became; 0 before
    actual_price: Decimal = ZERO
    actual_quantity: Decimal = ZERO
    reason: str = ""  # why it was REJECTED or EXPIRED

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_ALGO_STATUSES

    @property
    def sign(self) -> int:
        """+1 for BUY, −1 for SELL."""
        return 1 if self.side == "BUY" else -1


class Fill(Struct, frozen=True, kw_only=True, gc=False):
    """One trade of one order."""

    trade_id: int  # increasing per symbol
    order_id: int
    symbol: str
    side: str
    position_side: str
    price: Decimal
    quantity: Decimal
    quote: Decimal  # price · quantity
    fee: Decimal  # > 0 is paid
    fee_asset: str
    realized_pnl: Decimal
    maker: bool
    time_ms: int


class Income(Struct, frozen=True, kw_only=True, gc=False):
    """One change of a wallet, as GET /fapi/v1/income lists it."""

    symbol: str  # empty for transfers
    type: str  # TRANSFER, REALIZED_PNL, COMMISSION, FUNDING_FEE, INSURANCE_CLEAR
    amount: Decimal
    asset: str
    info: str
    time_ms: int
    tran_id: int
    trade_id: str


class Position(Struct, kw_only=True):
    """What an account holds of one symbol on one position side; `amount` < 0 is short."""

    symbol: str
    side: str  # BOTH, LONG, SHORT
    amount: Decimal = ZERO
    entry_price: Decimal = ZERO
    costs: Decimal = ZERO  # fees paid less PnL realised since it was opened, which closing has to bring back
    realized_pnl: Decimal = ZERO  # of all fills so far, fees not taken off
    isolated_wallet: Decimal = ZERO  # margin set aside, 0 with crossed margin
    updated_ms: int = 0

    @property
    def sign(self) -> int:
        """+1 long, −1 short, 0 flat."""
        return (self.amount > 0) - (self.amount < 0)

    @property
    def break_even_price(self) -> Decimal:
        """Price at which closing would bring back what was paid so far."""
        return (self.entry_price + self.costs / self.amount).quantize(PRICE_UNIT) if self.amount else ZERO

    def unrealized_pnl(self, mark_price: Decimal) -> Decimal:
        return self.amount * (mark_price - self.entry_price)

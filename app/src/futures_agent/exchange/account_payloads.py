"""Decoding what the exchange tells of an account: every order, fill and position in the words of `orders`.

Tolerant of news (fields, types and states that nobody knew), strict about what counts: a row without its
quantity or side is no row, and a list that holds one is not used.
Source: Binance USDⓈ-M "Trade" and "Account" REST pages.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import msgspec

from futures_agent.errors import Retry
from futures_agent.exchange.orders import (
    FillSeen,
    FundingSeen,
    OrderSeen,
    PositionSeen,
    StopSeen,
    WalletSeen,
)
from futures_agent.exchange.transport import Reply

Number = str | int | float | None  # as the exchange writes it; empty or null where there is none
_Row = TypeVar("_Row")
_Seen = TypeVar("_Seen")
_SIDES = {"BUY": 1, "SELL": -1}
BOTH = "BOTH"  # the position side of one-way mode


class _Order(msgspec.Struct, rename="camel"):
    symbol: str
    client_order_id: str
    order_id: int
    side: str
    status: str
    orig_qty: Decimal
    executed_qty: Decimal
    type: str = ""
    avg_price: Number = None
    price: Number = None
    reduce_only: bool = False
    update_time: int = 0


class _Algo(msgspec.Struct, rename="camel"):
    symbol: str
    client_algo_id: str
    algo_id: int
    side: str
    algo_status: str
    order_type: str = ""
    trigger_price: Number = None
    quantity: Number = None
    close_position: bool = False
    reduce_only: bool = False
    update_time: int = 0
    actual_order_id: Number = None


class _Position(msgspec.Struct, rename="camel"):
    symbol: str
    position_amt: Decimal
    entry_price: Number = None
    position_side: str = BOTH
    update_time: int = 0


class _Balance(msgspec.Struct, rename="camel"):
    asset: str
    balance: Decimal
    update_time: int = 0


class _Trade(msgspec.Struct, rename="camel"):
    symbol: str
    id: int
    order_id: int
    side: str
    price: Decimal
    qty: Decimal
    commission: Decimal
    commission_asset: str
    time: int
    realized_pnl: Number = None
    maker: bool = False


class Payment(msgspec.Struct, rename="camel"):
    """One row of the income history."""

    income: Decimal
    asset: str
    time: int
    tran_id: int
    symbol: str = ""

    @property
    def seen(self) -> FundingSeen:
        return FundingSeen(
            symbol=self.symbol, amount=finite(self.income), asset=self.asset, time_ms=self.time
        )


class AccountConfig(msgspec.Struct, rename="camel"):
    """Permissions and modes of an account."""

    can_trade: bool
    dual_side_position: bool
    can_withdraw: bool = False
    multi_assets_margin: bool = False


class SymbolConfig(msgspec.Struct, rename="camel"):
    """Margin type and leverage of one contract."""

    symbol: str
    margin_type: str
    leverage: int


class ListenKey(msgspec.Struct, rename="camel"):
    listen_key: str


def decoded(reply: Reply, kind: type[_Row]) -> _Row:
    """Return the body of `reply`; whole numbers and truths may be texts.

    Raises
    ------
    Retry
        It is something else.
    """
    try:
        return msgspec.json.decode(reply.body, type=kind, strict=False)
    except msgspec.DecodeError as error:
        raise Retry(f"{reply.url}: the answer is not what was asked for: {error}; not used") from None


def order_in(reply: Reply) -> OrderSeen:
    """Return the regular order that an answer shows (Retry: it shows none)."""
    return _one(reply, _Order, _order)


def orders_in(reply: Reply) -> tuple[OrderSeen, ...]:
    """Return a list of regular orders (Retry: a row is none)."""
    return _all(reply, _Order, _order)


def stop_in(reply: Reply) -> StopSeen:
    """Return the conditional order that an answer shows (Retry: it shows none)."""
    return _one(reply, _Algo, _stop)


def stops_in(reply: Reply) -> tuple[StopSeen, ...]:
    """Return a list of conditional orders (Retry: a row is none)."""
    return _all(reply, _Algo, _stop)


def positions_in(reply: Reply) -> tuple[PositionSeen, ...]:
    """Return the positions that are not flat (Retry: a row is no position)."""
    rows = _all(reply, _Position, _position)
    return tuple(row for row in rows if row.amount)


def balances_in(reply: Reply) -> tuple[WalletSeen, ...]:
    """Return the wallet balance of each asset (Retry: a row is none)."""
    return _all(
        reply,
        _Balance,
        lambda row: WalletSeen(asset=row.asset, balance=finite(row.balance), time_ms=row.update_time),
    )


def fills_in(reply: Reply) -> tuple[FillSeen, ...]:
    """Return a page of fills (Retry: a row is none)."""
    return _all(reply, _Trade, _fill)


def side_of(text: str) -> int:
    """Return +1 for BUY, −1 for SELL (ValueError: neither)."""
    if text not in _SIDES:
        raise ValueError(f"side {text!r} is neither BUY nor SELL")
    return _SIDES[text]


def decimal_of(number: Number) -> Decimal:
    """Return the number that the exchange wrote, 0 for an empty text or null (ValueError: no number)."""
    try:
        return finite(Decimal(str(number))) if number not in ("", None) else Decimal(0)
    except InvalidOperation:
        raise ValueError(f"{number!r} is no number") from None


def finite(value: Decimal) -> Decimal:
    """Return `value` (ValueError: it is infinite or no number)."""
    if not value.is_finite():
        raise ValueError(f"{value} is no number")
    return value


def _one(reply: Reply, kind: type[_Row], seen: Callable[[_Row], _Seen]) -> _Seen:
    row = decoded(reply, kind)
    try:
        return seen(row)
    except ValueError as error:
        raise Retry(f"{reply.url}: {error}; the answer is not used") from None


def _all(reply: Reply, kind: type[_Row], seen: Callable[[_Row], _Seen]) -> tuple[_Seen, ...]:
    rows: list[_Row] = decoded(reply, list[kind])  # type: ignore[valid-type]
    try:
        return tuple(seen(row) for row in rows)
    except ValueError as error:
        raise Retry(f"{reply.url}: {error}; the answer is not used") from None


def _order(row: _Order) -> OrderSeen:
    return OrderSeen(
        symbol=row.symbol,
        client_id=row.client_order_id,
        order_id=row.order_id,
        side=side_of(row.side),
        type=row.type,
        status=row.status,
        quantity=finite(row.orig_qty),
        executed=finite(row.executed_qty),
        avg_price=decimal_of(row.avg_price),
        price=decimal_of(row.price),
        reduce_only=row.reduce_only,
        updated_ms=row.update_time,
    )


def _stop(row: _Algo) -> StopSeen:
    return StopSeen(
        symbol=row.symbol,
        client_id=row.client_algo_id,
        algo_id=row.algo_id,
        order_id=int(row.actual_order_id or 0),
        side=side_of(row.side),
        type=row.order_type,
        status=row.algo_status,
        trigger_price=decimal_of(row.trigger_price),
        quantity=decimal_of(row.quantity),
        close_position=row.close_position,
        reduce_only=row.reduce_only,
        updated_ms=row.update_time,
    )


def _position(row: _Position) -> PositionSeen:
    if row.position_side != BOTH and row.position_amt:
        raise ValueError(f"{row.symbol}: a {row.position_side} position, so not in one-way mode")
    return PositionSeen(
        symbol=row.symbol,
        amount=finite(row.position_amt),
        entry_price=decimal_of(row.entry_price),
        updated_ms=row.update_time,
    )


def _fill(row: _Trade) -> FillSeen:
    return FillSeen(
        symbol=row.symbol,
        client_id="",
        order_id=row.order_id,
        trade_id=row.id,
        side=side_of(row.side),
        price=finite(row.price),
        quantity=finite(row.qty),
        fee=finite(row.commission),
        fee_asset=row.commission_asset,
        realized_pnl=decimal_of(row.realized_pnl),
        maker=row.maker,
        time_ms=row.time,
    )

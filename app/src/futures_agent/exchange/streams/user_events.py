"""What the user-data stream tells, in the words of `orders`.

Tolerant of news, strict about what counts, as `account_payloads`. Fast copies of fills (TRADE_LITE) tell
nothing that does not follow, and are left out. Funding is not told as such: the payment moves the wallet,
which is told, and the list of payments names it once and for all.
Source: Binance USDⓈ-M "User Data Streams".
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from futures_agent.exchange.account_payloads import BOTH, Number, decimal_of, finite, side_of
from futures_agent.exchange.orders import FillSeen, OrderSeen, PositionSeen, Seen, StopSeen, WalletSeen

_NOTHING = msgspec.Raw(b"{}")
_FILLING = ("TRADE", "CALCULATED")  # the latter: liquidation and auto-deleveraging


class Unreadable(Exception):
    """An event is not what its kind promises: something was told that is now unknown."""


class Event(msgspec.Struct):
    """One message of the stream; `order` and the rest are read by kind."""

    kind: str = msgspec.field(default="", name="e")
    told_ms: int = msgspec.field(default=0, name="E")
    happened_ms: int = msgspec.field(default=0, name="T")
    order: msgspec.Raw = msgspec.field(default=_NOTHING, name="o")
    account: msgspec.Raw = msgspec.field(default=_NOTHING, name="a")
    positions: msgspec.Raw = msgspec.field(default=_NOTHING, name="p")
    listen_key: str = msgspec.field(default="", name="listenKey")


class _Order(msgspec.Struct):
    s: str
    S: str
    X: str
    i: int
    q: Decimal
    z: Decimal
    T: int
    c: str | None = None
    o: str | None = None
    x: str | None = None
    p: Number = None
    ap: Number = None
    L: Number = None
    l: Number = None  # noqa: E741
    n: Number = None
    N: str | None = None
    t: int | None = None
    m: bool | None = None
    R: bool | None = None
    rp: Number = None


class _Algo(msgspec.Struct):
    s: str
    S: str
    X: str
    aid: int
    caid: str
    o: str | None = None
    q: Number = None
    tp: Number = None
    ai: Number = None
    cp: bool | None = None
    R: bool | None = None
    rm: str | None = None


class _Balance(msgspec.Struct):
    a: str
    wb: Decimal


class _Position(msgspec.Struct):
    s: str
    pa: Decimal
    ep: Number = None
    ps: str = BOTH


class _Account(msgspec.Struct):
    B: list[_Balance] = []
    P: list[_Position] = []


class _Called(msgspec.Struct):
    s: str


def read_event(text: str) -> Event:
    """Return the event that a message tells; one without a kind for everything else.

    Raises
    ------
    Unreadable
        The message is no JSON object.
    """
    try:
        return msgspec.json.decode(text, type=Event, strict=False)
    except msgspec.DecodeError as error:
        raise Unreadable(f"a message that is no event: {error}") from None


def seen_in(event: Event) -> list[Seen]:
    """Return what an event tells, in order: a fill before the order that it completes.

    Raises
    ------
    Unreadable
        It is not what its kind promises.
    """
    try:
        match event.kind:
            case "ORDER_TRADE_UPDATE":
                return list(_of_order(msgspec.json.decode(event.order, type=_Order, strict=False)))
            case "ALGO_UPDATE":
                algo = msgspec.json.decode(event.order, type=_Algo, strict=False)
                return [_of_algo(algo, event.happened_ms)]
            case "ACCOUNT_UPDATE":
                account = msgspec.json.decode(event.account, type=_Account, strict=False)
                return list(_of_account(account, event.happened_ms))
    except (msgspec.DecodeError, ValueError) as error:
        raise Unreadable(f"{event.kind} cannot be read: {error}") from None
    return []


def called_symbols(event: Event) -> list[str]:
    """Return the symbols that a MARGIN_CALL warns of, as far as it can be read."""
    try:
        rows = msgspec.json.decode(event.positions, type=list[_Called], strict=False)
    except msgspec.DecodeError:
        return []
    return [row.s for row in rows]


def _of_order(row: _Order) -> Iterator[Seen]:
    quantity = decimal_of(row.l)
    if row.x in _FILLING and quantity and row.t:
        yield FillSeen(
            symbol=row.s,
            client_id=row.c or "",
            order_id=row.i,
            trade_id=row.t,
            side=side_of(row.S),
            price=decimal_of(row.L),
            quantity=quantity,
            fee=decimal_of(row.n),
            fee_asset=row.N or "",
            realized_pnl=decimal_of(row.rp),
            maker=bool(row.m),
            time_ms=row.T,
        )
    yield OrderSeen(
        symbol=row.s,
        client_id=row.c or "",
        order_id=row.i,
        side=side_of(row.S),
        type=row.o or "",
        status=row.X,
        quantity=finite(row.q),
        executed=finite(row.z),
        avg_price=decimal_of(row.ap),
        price=decimal_of(row.p),
        reduce_only=bool(row.R),
        updated_ms=row.T,
    )


def _of_algo(row: _Algo, happened_ms: int) -> StopSeen:
    return StopSeen(
        symbol=row.s,
        client_id=row.caid,
        algo_id=row.aid,
        order_id=int(row.ai or 0),
        side=side_of(row.S),
        type=row.o or "",
        status=row.X,
        trigger_price=decimal_of(row.tp),
        quantity=decimal_of(row.q),
        close_position=bool(row.cp),
        reduce_only=bool(row.R),
        updated_ms=happened_ms,
        reason=row.rm or "",
    )


def _of_account(account: _Account, happened_ms: int) -> Iterator[Seen]:
    for balance in account.B:
        yield WalletSeen(asset=balance.a, balance=finite(balance.wb), time_ms=happened_ms)
    for row in account.P:
        if row.ps == BOTH:
            yield PositionSeen(
                symbol=row.s,
                amount=finite(row.pa),
                entry_price=decimal_of(row.ep),
                updated_ms=happened_ms,
            )

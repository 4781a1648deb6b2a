"""Records: everything that changes what the desk knows. The journal holds them, in order, and nothing else.

The desk after a crash is the fold of its records. So whatever is about to be sent is a record first, on
the disk before the request is on the wire.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from futures_agent.exchange.orders import (
    Answer,
    FillSeen,
    FundingSeen,
    OrderSeen,
    PositionSeen,
    Request,
    Snapshot,
    StopSeen,
    WalletSeen,
)


class EntryWanted(Struct, frozen=True, kw_only=True, tag=True):
    """The strategy entered and the risk gate agreed."""

    at_ms: int  # exchange time
    trade_id: str  # follows from symbol and deciding bar: the same decision is the same trade
    symbol: str
    side: int
    quantity: Decimal
    stop_distance: float  # price units from the fill; > 0
    target_distance: float  # 0: no target
    decided_ms: int  # close of the deciding bar
    reasons: int


class ExitWanted(Struct, frozen=True, kw_only=True, tag=True):
    """A position is to be closed at market."""

    at_ms: int
    symbol: str
    why: str  # SIGNAL, FLATTEN, UNPROTECTED, UNEXPLAINED


class Sent(Struct, frozen=True, kw_only=True, tag=True):
    """A request is about to be sent; until it is answered, it may or may not have been."""

    at_ms: int
    request: Request
    trade_id: str


class Answered(Struct, frozen=True, kw_only=True, tag=True):
    at_ms: int
    answer: Answer


class Happened(Struct, frozen=True, kw_only=True, tag=True):
    """Something was seen that the desk had not known."""

    at_ms: int
    seen: OrderSeen | StopSeen | FillSeen | PositionSeen | WalletSeen | FundingSeen


class Reconciled(Struct, frozen=True, kw_only=True, tag=True):
    """The venue's account as queried, with the fills since the last time; the venue is right."""

    at_ms: int
    snapshot: Snapshot
    fills: tuple[FillSeen, ...]


class Incident(Struct, frozen=True, kw_only=True, tag=True):
    """Something a person should know about; also written where incidents are kept."""

    at_ms: int
    symbol: str
    kind: str  # UNPROTECTED, UNEXPLAINED_POSITION, ORPHAN_ORDER, LIQUIDATED, STOP_REFUSED, …
    text: str


class Started(Struct, frozen=True, kw_only=True, tag=True):
    """A trader began to write here."""

    at_ms: int
    mode: str
    version: str


Record = EntryWanted | ExitWanted | Sent | Answered | Happened | Reconciled | Incident | Started

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


class Concluded(Struct, frozen=True, kw_only=True, tag=True):
    """The desk gave up on an order of its own that no answer and no event settled.

    `status` is NOT_PLACED (no query found it for long enough, and the position did not move) or LAPSED
    (it was not sent while its decision was fresh, or not executed as often as it may be tried).
    """

    at_ms: int
    symbol: str
    client_id: str
    status: str


class Settled(Struct, frozen=True, kw_only=True, tag=True):
    """What of one symbol outlives its orders and trades, once it has none open."""

    symbol: str
    last_fill: int  # fills up to this trade id are accounted for
    decided_ms: int  # no entry decided then or earlier is taken again


class Checkpoint(Struct, frozen=True, kw_only=True, tag=True):
    """A time at which nothing was open: all that later records need of the earlier ones.

    `kept` is what the trader wants to know again, under names of its own.
    """

    at_ms: int
    wallet: WalletSeen | None
    settled: tuple[Settled, ...]
    kept: dict[str, float]


class Started(Struct, frozen=True, kw_only=True, tag=True):
    """A trader began to write here."""

    at_ms: int
    mode: str
    version: str


Record = (
    EntryWanted
    | ExitWanted
    | Sent
    | Answered
    | Happened
    | Reconciled
    | Incident
    | Concluded
    | Checkpoint
    | Started
)

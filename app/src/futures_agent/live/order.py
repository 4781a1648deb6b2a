"""One order of ours: what was sent, what was heard of it, and what that leaves open."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from futures_agent.exchange.orders import FillSeen, OrderSeen, PlaceMarket, PlaceStop, PlaceTarget, StopSeen
from futures_agent.live.ids import Purpose

Place = PlaceMarket | PlaceTarget | PlaceStop
ZERO = Decimal(0)

_FINAL = ("FILLED", "CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH")
_FINAL_STOP = ("FINISHED", "CANCELED", "EXPIRED", "REJECTED")
_STOP_RANKS = {"NEW": 0, "TRIGGERING": 1, "TRIGGERED": 2} | dict.fromkeys(_FINAL_STOP, 3)
# What we made of silence or a refusal ourselves; anything the venue tells later is better knowledge.
PRESUMED = ("NOT_PLACED", "LAPSED", "GONE", "REFUSED")


class State(StrEnum):
    """What is known of an order."""

    SENT = "SENT"  # under way, unanswered
    RETRY = "RETRY"  # certainly not executed, to be sent again as it is
    UNKNOWN = "UNKNOWN"  # may or may not be live
    LIVE = "LIVE"  # open at the venue
    DONE = "DONE"  # will not trade any more


class Order(Struct, kw_only=True):
    """An order of ours; changed only by what records tell.

    Attributes
    ----------
    status : str
        The venue's last word (of a stop: the algo service's), or one of PRESUMED.
    leg : str
        Of a stop: the status of the order that it became; empty before.
    executed, avg_price : Decimal
        As the venue tells; what of `executed` came as fills is `filled`.
    heard_ms : int
        When anything of it was last heard, exchange time.
    unknown_ms : int
        Since when its fate is unknown; 0: it is not.
    asking, cancelling : bool
        Whether a query, a cancellation is under way; `asked_ms` and `cancel_ms` say when it was sent.
    absences : int
        Queries in a row that did not find it.
    answered_ms : int
        When a query of it was last answered.
    missing : bool
        A snapshot lacks it, or a cancellation did not find it: to be queried.
    """

    request: Place
    trade_id: str
    purpose: Purpose
    sent_ms: int
    state: State = State.SENT
    sends: int = 1
    status: str = ""
    leg: str = ""
    code: int | None = None
    order_id: int = 0
    algo_id: int = 0
    executed: Decimal = ZERO
    avg_price: Decimal = ZERO
    filled: Decimal = ZERO
    filled_notional: Decimal = ZERO
    fees: Decimal = ZERO
    heard_ms: int = 0
    unknown_ms: int = 0
    asking: bool = False
    asked_ms: int = 0
    asks: int = 0
    answered_ms: int = 0
    absences: int = 0
    cancelling: bool = False
    cancel_ms: int = 0
    cancels: int = 0
    missing: bool = False
    fills_reported: bool = False

    @property
    def client_id(self) -> str:
        return self.request.client_id

    @property
    def side(self) -> int:
        return self.request.side

    @property
    def is_stop(self) -> bool:
        return isinstance(self.request, PlaceStop)

    @property
    def is_done(self) -> bool:
        return self.state is State.DONE

    @property
    def unseen(self) -> Decimal:
        """What the venue says was executed and no fill has told yet."""
        return max(self.executed - self.filled, ZERO)

    @property
    def has_triggered(self) -> bool:
        """Of a stop: whether the venue acted on it; what it left of the position is to be closed."""
        return self.is_stop and (bool(self.leg or self.filled) or self.status in ("FINISHED", "REJECTED"))

    @property
    def protects(self) -> bool:
        """Of a stop: whether it rests at the venue, untriggered, as far as is known."""
        rests = self.status == "NEW" and not self.leg
        return self.is_stop and self.state is State.LIVE and rests and not self.missing

    def hear_order(self, seen: OrderSeen, at_ms: int) -> None:
        """Take in a regular order as the venue tells it, or the order that a stop became.

        What is older than what is known already changes nothing: executed quantities only grow, and no
        final status is left again.
        """
        if self.order_id and seen.order_id and seen.order_id != self.order_id:
            return
        self.order_id = seen.order_id or self.order_id
        self.executed = max(self.executed, seen.executed)
        if seen.avg_price > 0 and seen.executed == self.executed:
            self.avg_price = seen.avg_price
        known = self.leg if self.is_stop else self.status
        if known not in _FINAL:
            self._set_regular(seen.status, at_ms)
        self._heard(at_ms)

    def _set_regular(self, status: str, at_ms: int) -> None:
        known = self.leg if self.is_stop else self.status
        if (known, status) == ("PARTIALLY_FILLED", "NEW"):
            return
        if self.is_stop:
            self.leg = status
        else:
            self.status = status
        self.state = State.DONE if status in _FINAL else State.LIVE

    def hear_stop(self, seen: StopSeen, at_ms: int) -> None:
        """Take in a conditional order as the venue tells it; older news change nothing."""
        self.algo_id = seen.algo_id or self.algo_id
        self.order_id = seen.order_id or self.order_id
        known = -1 if self.status in (*PRESUMED, "") else _STOP_RANKS.get(self.status, 0)
        if _STOP_RANKS.get(seen.status, 0) >= known and known < 3:
            self.status = seen.status
            ended = seen.status in _FINAL_STOP and seen.status != "FINISHED"
            # What has become an order ends as that order does.
            if not self.leg:
                self.state = State.DONE if ended else State.LIVE
        self._heard(at_ms)

    def hear_fill(self, fill: FillSeen, at_ms: int) -> None:
        """Count one fill; whether it was counted before is the caller's to know."""
        self.order_id = fill.order_id or self.order_id
        self.filled += fill.quantity
        self.filled_notional += fill.quantity * fill.price
        self.fees += fill.fee
        self.executed = max(self.executed, self.filled)
        known = self.leg if self.is_stop else self.status
        if known not in _FINAL:
            whole = not isinstance(self.request, PlaceStop) and self.filled >= self.request.quantity
            self._set_regular("FILLED" if whole else "PARTIALLY_FILLED", at_ms)
        self._heard(at_ms)

    def presume(self, status: str, at_ms: int) -> None:
        """Take it as ended without the venue's word."""
        self.state, self.status, self.heard_ms, self.unknown_ms = State.DONE, status, at_ms, 0
        self.missing = False

    def doubt(self, at_ms: int) -> None:
        """Take its fate as unknown from now on."""
        self.state, self.unknown_ms, self.absences, self.asks, self.asked_ms = State.UNKNOWN, at_ms, 0, 0, 0

    def _heard(self, at_ms: int) -> None:
        self.heard_ms = at_ms
        self.unknown_ms = 0
        self.absences = 0
        self.missing = False
        if self.state in (State.SENT, State.RETRY, State.UNKNOWN):
            self.state = State.LIVE

    @property
    def average(self) -> Decimal | None:
        """Average price of what was executed; None while the venue has not told it."""
        if self.executed <= 0:
            return None
        if not self.unseen:
            return self.filled_notional / self.filled
        return self.avg_price if self.avg_price > 0 else None

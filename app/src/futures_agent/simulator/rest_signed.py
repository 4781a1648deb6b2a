"""Endpoints that belong to an account: its key, its signature, its order counts, then the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeVar

import msgspec

from futures_agent.simulator.fault_store import StaleStatus, is_of_positions
from futures_agent.simulator.parameters import Parameters
from futures_agent.simulator.refusal import VenueError, refusal
from futures_agent.simulator.rest import Params, Sent
from futures_agent.simulator.signing import (
    LARGEST_RECV_WINDOW_MS,
    USUAL_RECV_WINDOW_MS,
    check_engine_time,
    check_time,
    signature_is_valid,
    split_signature,
)
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.venue import Venue

T = TypeVar("T")
_SIGNED = frozenset(("timestamp", "recvWindow", "signature"))


class Access(Enum):
    """What an endpoint asks of the one who calls it."""

    KEY = "key"  # the header alone
    READ = "read"  # and a signature
    TRADE = "trade"  # and a key that may trade


@dataclass(frozen=True)
class Call:
    """A request that was let through, as an endpoint sees it.

    Attributes
    ----------
    venue : Venue
        Its lock is held, and its exchange has come as far as `now_ms`.
    account : Account
    params : Parameters
    now_ms : int
        Venue time, ms UTC.
    """

    venue: Venue
    account: Account
    params: Parameters
    now_ms: int


def weighs(weight: int) -> Callable[[Params], int]:
    """Return a request weight that is always the same."""
    return lambda params: weight


def weighs_by_symbol(one: int, every: int) -> Callable[[Params], int]:
    """Return a request weight that depends on whether one symbol was asked for, or all."""
    return lambda params: one if params.get("symbol") else every


@dataclass(frozen=True)
class AccountEndpoint:
    """One endpoint of an account.

    Attributes
    ----------
    method, path : str
    answer : callable
        Call → JSON document; raises VenueError to refuse.
    weight : callable
        Request weight, counted by address.
    reads : str
        Names of the parameters it takes, separated by blanks, beside those of the signature.
    access : Access
    orders : pair of int
        How many orders it counts in ten seconds, and in a minute.
    matches : bool
        Reaches the matching engine, which judges the age of the request once more.
    """

    method: str
    path: str
    answer: Callable[[Call], Any]
    weight: Callable[[Params], int]
    reads: str = ""
    access: Access = Access.READ
    orders: tuple[int, int] = (0, 0)
    matches: bool = False
    pool: str = ""

    def perform(self, venue: Venue, sent: Sent, now_ms: int, headers: dict[str, str]) -> bytes:
        """Return the body of the answer; a counted order adds its counts to the `headers`.

        Raises
        ------
        VenueError
            The venue refuses.
        """
        account = self._account(venue, sent.api_key)
        params = Parameters(sent.query, sent.body)
        if self.access is not Access.KEY:
            self._check_signature(venue, account, params, sent, now_ms)
        with venue.lock:
            venue.advance(now_ms)
            counts = venue.order_counts.admit(account.account_id, self.orders, now_ms)
            params.check_names(_SIGNED | set(self.reads.split()))
            document = self._told(Call(venue, account, params, now_ms))
        if any(self.orders):
            headers.update(counts)
        return msgspec.json.encode(document)

    def _told(self, call: Call) -> Any:
        """Return the answer, or what a store that lags behind takes for it."""
        if self.method != "GET":
            return self.answer(call)
        true, stale = _attempt(self.answer, call), []

        def strikes(fault: StaleStatus) -> bool:
            if not fault.hits(self.path, call.account.key):
                return False
            past = call.venue.history.account_at(
                call.account, call.now_ms - fault.lag_ms, positions=is_of_positions(self.path)
            )
            if past is None:
                return False
            stale.append(_attempt(self.answer, replace(call, account=past)))
            return bool(stale[-1] != true)

        told = stale[-1] if call.venue.faults.engage(StaleStatus, call.now_ms, strikes) else true
        if isinstance(told, VenueError):
            raise told
        return told

    def _account(self, venue: Venue, key: str | None) -> Account:
        if not key:
            raise refusal(-2014)
        account = venue.exchange.account_of(key)
        if account is None or (self.access is Access.TRADE and not account.can_trade):
            raise refusal(-2015)
        return account

    def _check_signature(
        self, venue: Venue, account: Account, params: Parameters, sent: Sent, now_ms: int
    ) -> None:
        payload, signature = split_signature(sent.query, sent.body)
        timestamp_ms = params.whole("timestamp")
        if timestamp_ms is None:
            raise refusal(-1102, "timestamp")
        window_ms = params.whole("recvWindow")
        if window_ms is None:
            window_ms = USUAL_RECV_WINDOW_MS
        elif window_ms > LARGEST_RECV_WINDOW_MS:
            raise refusal(-1130, "recvWindow")
        told_ms = venue.told_ms(now_ms)
        check_time(timestamp_ms, window_ms, told_ms)
        secret = account.config.public_key or account.config.secret
        if not signature_is_valid(secret, payload, signature):
            raise refusal(-1022)
        if self.matches:
            check_engine_time(timestamp_ms, window_ms, told_ms + venue.engine_delay_ms(now_ms))


def _attempt(answer: Callable[[Call], Any], call: Call) -> Any:
    """Return the answer, or the refusal."""
    try:
        return answer(call)
    except VenueError as refused:
        return refused


def outcome(action: Callable[[T], Any], one: T) -> Any:
    """Return what `action` makes of `one`, or its refusal as one element of a list of answers."""
    try:
        return action(one)
    except VenueError as error:
        return {"code": error.code, "msg": str(error)}


def done(text: str = "success") -> dict[str, Any]:
    """Return the answer of a call that has nothing else to tell."""
    return {"code": 200, "msg": text}

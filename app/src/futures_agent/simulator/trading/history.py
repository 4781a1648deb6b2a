"""Orders and positions as they were lately, for queries that are answered from a store that lags behind."""

from __future__ import annotations

from collections import deque
from copy import copy
from typing import Any, NamedTuple, TypeVar

from futures_agent.clock import MINUTE_MS
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.records import AlgoOrder, Order, Position
from futures_agent.simulator.trading.shelf import Shelf

LONGEST_LAG_MS = MINUTE_MS

_Thing = Order | AlgoOrder | Position
_Key = tuple[Any, ...]


K = TypeVar("K", tuple[str, int], int)
Kept = TypeVar("Kept", Order, AlgoOrder)


class _Past(NamedTuple):
    """How something was until `until_ms`."""

    until_ms: int
    account_id: int
    key: _Key
    was: _Thing


class History:
    """What changed in the last LONGEST_LAG_MS; told by the events of the exchange."""

    def __init__(self) -> None:
        self._past: deque[_Past] = deque()
        self._now: dict[tuple[int, _Key], _Thing] = {}  # open orders, and positions that there ever were

    def on_event(self, account: Account, payload: dict[str, Any]) -> None:
        """Take in an event of an account's user data, which has become what it tells."""
        now_ms = payload["E"]
        match payload["e"]:
            case "ORDER_TRADE_UPDATE":
                key = (payload["o"]["s"], payload["o"]["i"])
                self._note(account, key, account.orders[key], now_ms)
            case "ALGO_UPDATE":
                algo_id = payload["o"]["aid"]
                self._note(account, (algo_id,), account.algos[algo_id], now_ms)
            case "ACCOUNT_UPDATE":
                for row in payload["a"]["P"]:
                    position = account.position(row["s"], row["ps"])
                    self._note(account, (row["s"], row["ps"]), position, now_ms)
        while self._past and self._past[0].until_ms <= now_ms - LONGEST_LAG_MS:
            self._past.popleft()

    def account_at(self, account: Account, time_ms: int, *, positions: bool) -> Account | None:
        """Return the account with its orders, or its positions, as they were at `time_ms` (ms UTC).

        Orders that were not there yet are as they were accepted. None where nothing has changed since.
        """
        then: dict[_Key, _Thing] = {}
        for past in self._past:
            if past.account_id == account.account_id and past.until_ms > time_ms:
                then.setdefault(past.key, past.was)
        changed = [was for was in then.values() if isinstance(was, Position) == positions]
        if not changed:
            return None
        seen = copy(account)
        if positions:
            held = {(each.symbol, each.side): each for each in changed if isinstance(each, Position)}
            seen.positions = account.positions | held
            return seen
        orders = {(each.symbol, each.order_id): each for each in changed if isinstance(each, Order)}
        algos = {each.algo_id: each for each in changed if isinstance(each, AlgoOrder)}
        seen.orders, seen.algos = account.orders.with_(orders), account.algos.with_(algos)
        # Nothing that is closed opens again: what was open then is open now, or among the changed.
        still = {key: order for key, order in orders.items() if order.is_open}
        seen.open_orders = _by_age({**account.open_orders, **still})
        waiting = {key: algo for key, algo in algos.items() if algo.is_open}
        seen.open_algos = _by_age({**account.open_algos, **waiting})
        return seen

    def _note(self, account: Account, key: _Key, thing: _Thing, now_ms: int) -> None:
        known = account.account_id, key
        was = self._now.get(known)
        if was is None and isinstance(thing, Position):
            was = Position(symbol=thing.symbol, side=thing.side)
        if was is not None:
            self._past.append(_Past(now_ms, account.account_id, key, was))
        if isinstance(thing, Position) or thing.is_open:
            self._now[known] = copy(thing)
        else:
            self._now.pop(known, None)


def _by_age(orders: dict[K, Kept]) -> Shelf[K, Kept]:
    return Shelf(sorted(orders.items(), key=lambda each: (each[1].created_ms, each[0])))

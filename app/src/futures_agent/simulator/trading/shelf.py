"""Orders by their ids, and at hand by contract and by the name that a client gave them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from typing import TypeVar

from futures_agent.simulator.trading.records import AlgoOrder, Order

K = TypeVar("K", bound=Hashable)
Kept = TypeVar("Kept", Order, AlgoOrder)


class Shelf(MutableMapping[K, Kept]):
    """Orders by id, in the order of their arrival; their symbols and client ids must not change."""

    def __init__(self, items: Iterable[tuple[K, Kept]] = ()) -> None:
        self._all: dict[K, Kept] = {}
        self._of: dict[str, dict[K, Kept]] = {}
        # Clients may use an id again; a single holder stands without a list, which takes a third of the room.
        self._named: dict[str, K | list[K]] = {}
        for key, order in items:
            self[key] = order

    def __getitem__(self, key: K) -> Kept:
        return self._all[key]

    def __setitem__(self, key: K, order: Kept) -> None:
        if key in self._all:
            del self[key]
        self._all[key] = self._of.setdefault(order.symbol, {})[key] = order
        name = _name(order)
        holder = self._named.get(name)
        if isinstance(holder, list):
            holder.append(key)
        else:
            self._named[name] = key if holder is None else [holder, key]

    def __delitem__(self, key: K) -> None:
        order = self._all.pop(key)
        del self._of[order.symbol][key]
        name = _name(order)
        holder = self._named[name]
        if isinstance(holder, list) and len(holder) > 1:
            holder.remove(key)
        else:
            del self._named[name]

    def __iter__(self) -> Iterator[K]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, key: object) -> bool:
        return key in self._all

    def values(self) -> ValuesView[Kept]:
        return self._all.values()

    def with_(self, others: Mapping[K, Kept]) -> Shelf[K, Kept]:
        """Return a shelf on which `others`, of the same symbols and names, stand in their places."""
        shelf: Shelf[K, Kept] = Shelf()
        shelf._all, shelf._named = {**self._all, **others}, self._named
        shelf._of = {symbol: dict(orders) for symbol, orders in self._of.items()}
        for key, order in others.items():
            shelf._of[order.symbol][key] = order
        return shelf

    def of(self, symbol: str) -> list[Kept]:
        """Return the orders of `symbol`, in the order of their arrival."""
        return list(self._of.get(symbol, {}).values())

    def named(self, client_id: str, symbol: str = "") -> list[Kept]:
        """Return the orders of a client's id, newest first; with `symbol` only its own."""
        found = [self._all[key] for key in reversed(self._holders(client_id))]
        return [order for order in found if symbol in ("", order.symbol)]

    def _holders(self, client_id: str) -> list[K]:
        holder = self._named.get(client_id)
        if holder is None:
            return []
        return holder if isinstance(holder, list) else [holder]


def _name(order: Order | AlgoOrder) -> str:
    return order.client_order_id if isinstance(order, Order) else order.client_algo_id

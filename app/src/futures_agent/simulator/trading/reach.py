"""Reach: what waits along a contract's path, and which of it the price comes to first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from math import ceil, floor
from typing import NamedTuple

from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.prices import Leg
from futures_agent.simulator.trading.records import AlgoOrder, Order, Position
from futures_agent.simulator.trading.state import State
from futures_agent.simulator.trading.triggers import TRAILING, triggers_below


class Mark(NamedTuple):
    """One price at which something happens."""

    level: Decimal
    below: bool  # it happens below `level`, else above
    account: Account
    what: Order | AlgoOrder | Position

    @property
    def through(self) -> bool:
        """Whether the price must go through the level, as for a resting order (see `execution.fills`)."""
        return isinstance(self.what, Order)

    def reached(self, price: Decimal) -> bool:
        if price == self.level:
            return not self.through
        return price < self.level if self.below else price > self.level


class Arrival(NamedTuple):
    """The price comes to a mark."""

    time_ms: int
    price: Decimal
    mark: Mark


Trail = dict[int, Decimal]  # of activated trailing stops by algo id: the best price so far
PriceOf = Callable[[Account, Position], Decimal]


def marks_of(
    state: State,
    symbol: str,
    trail: Trail,
    level_of: Callable[[Order], Decimal],
    liquidation_price: PriceOf,
) -> list[Mark]:
    """Return every mark of `symbol` on the scale of the last price, in the order of accounts and arrival."""
    marks: list[Mark] = []
    scale = state.prices.mark_scale(symbol)
    protect = state.market.listings[symbol].trigger_protect
    for account in state.accounts:
        for position in account.held():
            if position.symbol == symbol and (price := liquidation_price(account, position)):
                marks.append(Mark(price / scale, position.amount > 0, account, position))
        for algo in account.algos_of(symbol):
            if algo.status == "NEW" and not (algo.price_protect and abs(scale - 1) > protect):
                level, below = _level(algo, trail)
                marked = algo.working_type == "MARK_PRICE"
                marks.append(Mark(level / scale if marked else level, below, account, algo))
        for order in account.orders_of(symbol):
            if level := level_of(order):
                marks.append(Mark(level, order.side == "BUY", account, order))
    return marks


def trail_of(algos: Iterable[AlgoOrder]) -> Trail:
    """Return the activated trailing stops among `algos`."""
    return {algo.algo_id: algo.extreme_price for algo in algos if algo.type == TRAILING and algo.is_activated}


def follow(trail: Trail, algos: Iterable[AlgoOrder], price: Decimal) -> None:
    """Show trailing stops a price: a selling one keeps the highest, a buying one the lowest."""
    for algo in algos:
        if algo.algo_id in trail:
            best = max if algo.side == "SELL" else min
            trail[algo.algo_id] = best(trail[algo.algo_id], price)


def first_on(leg: Leg, marks: Iterable[Mark]) -> Arrival | None:
    """Return the first mark that the price comes to on this part of `leg`, if any.

    Marks that it begins beyond come first, in their order.
    """
    begin = leg.at(leg.from_ms)
    found: Mark | None = None
    rising = leg.end > leg.start
    for mark in marks:
        if mark.reached(begin):
            return Arrival(leg.from_ms, begin, mark)
        nearer = found is None or (mark.level < found.level if rising else mark.level > found.level)
        if mark.reached(leg.end) and nearer:
            found = mark
    if found is None:
        return None
    share = (found.level - leg.start) / (leg.end - leg.start)
    elapsed = share * (leg.end_ms - leg.start_ms)
    elapsed_ms = floor(elapsed) + 1 if found.through else ceil(elapsed)
    # What only the last price of a leg touches is touched within it: the next candle may open elsewhere.
    time_ms = max(min(leg.start_ms + elapsed_ms, leg.end_ms - 1), leg.from_ms)
    return Arrival(time_ms, found.level, found) if time_ms < leg.to_ms else None


def _level(algo: AlgoOrder, trail: Trail) -> tuple[Decimal, bool]:
    """Return at what price a conditional order triggers or starts to trail, and whether at or below it."""
    if algo.type != TRAILING:
        return algo.trigger_price, triggers_below(algo)
    selling = algo.side == "SELL"
    if not algo.is_activated:
        return algo.activate_price, not selling
    back = algo.callback_rate / 100
    return trail[algo.algo_id] * (1 - back if selling else 1 + back), selling

"""Bars: how a finished candle ends positions, by the very rules of the backtest (`execution.fills`)."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import numpy as np

from futures_agent.execution.fills import AMBIGUOUS, LIQUIDATION, NONE, STOP, bar_exit, finer_exit
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.liquidation import Liquidation, bankruptcy_price
from futures_agent.simulator.trading.margin import ISOLATED
from futures_agent.simulator.trading.matching import Matching
from futures_agent.simulator.trading.records import AlgoOrder, Order, Position
from futures_agent.simulator.trading.state import State
from futures_agent.simulator.trading.triggers import TRAILING, Triggers, is_stop


class _Bracket(NamedTuple):
    """The fields of `execution.fills.BRACKET`."""

    side: int
    stop_price: float
    target_price: float
    liquidation_price: float
    bankruptcy_price: float


class _Bar(NamedTuple):
    """The fields of a candle that the fill rules read."""

    timestamp: int
    open: float
    high: float
    low: float


def _plain(candle: np.void) -> _Bar:
    return _Bar(*(candle[name].item() for name in _Bar._fields))


class Bars:
    """Judges positions by finished candles."""

    def __init__(
        self, state: State, matching: Matching, triggers: Triggers, liquidation: Liquidation
    ) -> None:
        self._state = state
        self._matching = matching
        self._triggers = triggers
        self._liquidation = liquidation

    def judge(self, account: Account, position: Position, candle: np.void) -> None:
        """Let the candle do to one position what it does: stop it, bring it to its target, liquidate it.

        What protects the position are the conditional orders and resting orders that close it. Trailing
        stops are left to the path.
        """
        side, bar = position.sign, _plain(candle)
        while position.sign == side:
            stop = self._nearest(self._stops(account, position), side)
            target = self._nearest(self._targets(account, position), -side)
            bracket = self._bracket(account, position, stop, target)
            reason, level = bar_exit(bracket, bar)
            if reason == NONE:
                return
            if reason == AMBIGUOUS:
                reason, level = self._decide(position.symbol, bracket, bar.timestamp)
            price = Decimal(repr(float(level)))
            if reason == LIQUIDATION:
                self._liquidation.liquidate(account, position, price)
                continue
            item = stop if reason == STOP else target
            if isinstance(item, AlgoOrder):
                self._triggers.fire(account, item, price)
            elif item is not None:
                self._matching.fill_resting(account, item)

    def _decide(self, symbol: str, bracket: _Bracket, open_ms: int) -> tuple[int, float]:
        candles, step_ms = self._state.prices.finer(symbol, open_ms)
        bars = [_plain(candle) for candle in candles]
        return finer_exit(bracket, bars, 0, len(bars), open_ms, step_ms)

    def _bracket(
        self,
        account: Account,
        position: Position,
        stop: AlgoOrder | Order | None,
        target: AlgoOrder | Order | None,
    ) -> _Bracket:
        liquidation = self._liquidation.price_of(account, position)
        isolated = account.margin_type(position.symbol) == ISOLATED
        return _Bracket(
            side=position.sign,
            stop_price=float(_price(stop)) if stop else 0.0,
            target_price=float(_price(target)) if target else 0.0,
            liquidation_price=float(liquidation),
            bankruptcy_price=float(bankruptcy_price(position)) if isolated else 0.0,
        )

    def _stops(self, account: Account, position: Position) -> list[AlgoOrder | Order]:
        return [algo for algo in self._closing(account, position) if is_stop(algo)]

    def _targets(self, account: Account, position: Position) -> list[AlgoOrder | Order]:
        targets: list[AlgoOrder | Order] = [
            algo for algo in self._closing(account, position) if not is_stop(algo)
        ]
        for order in account.orders_of(position.symbol):
            if closes_position(order, position) and self._matching.rests(order):
                targets.append(order)
        return targets

    def _closing(self, account: Account, position: Position) -> list[AlgoOrder]:
        return [
            algo
            for algo in account.algos_of(position.symbol)
            if algo.status == "NEW" and algo.type != TRAILING and closes_position(algo, position)
        ]

    @staticmethod
    def _nearest(items: list[AlgoOrder | Order], side: int) -> AlgoOrder | Order | None:
        """Return the item that an adverse move of a position of `side` meets first."""
        return max(items, key=lambda item: side * _price(item), default=None)


def closes_position(item: AlgoOrder | Order, position: Position) -> bool:
    """Say whether an order trades against a position that is not flat."""
    return item.position_side == position.side and item.sign == -position.sign


def _price(item: AlgoOrder | Order) -> Decimal:
    return item.trigger_price if isinstance(item, AlgoOrder) else item.price

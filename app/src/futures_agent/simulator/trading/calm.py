"""Calm: stretches of time in which, for certain, nothing happens by itself, so that they need no walking.

For certain means: were every symbol at its worst price of the stretch at once, no mark would be reached and
no margin would be thin. Where that is not so, something may happen or not: the timeline has to walk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial

from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.liquidation import CALL_RATIO, Liquidation
from futures_agent.simulator.trading.margin import ISOLATED, account_margin
from futures_agent.simulator.trading.matching import Matching
from futures_agent.simulator.trading.reach import follow, marks_of, trail_of
from futures_agent.simulator.trading.records import ZERO, Position
from futures_agent.simulator.trading.state import State

Range = tuple[Decimal, Decimal]  # lowest and highest price


class Calm:
    """Looks ahead along the paths of what is at stake."""

    def __init__(self, state: State, matching: Matching, liquidation: Liquidation) -> None:
        self._state = state
        self._matching = matching
        self._liquidation = liquidation

    def holds(self, symbols: Sequence[str], to_ms: int) -> bool:
        """Say whether nothing can happen in `symbols`, all that are at stake, from now up to `to_ms`.

        Nothing is known of what is scheduled: that must not be due before `to_ms`.
        """
        state = self._state
        ranges = {symbol: state.prices.extremes(symbol, state.now_ms, to_ms) for symbol in symbols}
        return all(self._reaches_nothing(symbol, *ranges[symbol]) for symbol in symbols) and all(
            self._keeps_margin(account, ranges) for account in state.accounts
        )

    def _reaches_nothing(self, symbol: str, low: Decimal, high: Decimal) -> bool:
        """Say whether no order's mark lies within reach, nor where trailing stops may have gone by then."""
        algos = [algo for account in self._state.accounts for algo in account.algos_of(symbol)]
        trail = trail_of(algos)
        for price in (low, high):
            follow(trail, algos, price)
        marks = marks_of(self._state, symbol, trail, self._matching.level_of, lambda account, position: ZERO)
        return not any(mark.reached(low if mark.below else high) for mark in marks)

    def _keeps_margin(self, account: Account, ranges: Mapping[str, Range]) -> bool:
        """Say whether the account's margins are neither thin at any prices of `ranges` nor were before.

        Margin less maintenance margin is concave in each price, so it is least at an end of the range.
        """
        if self._liquidation.has_warned(account):
            return False
        isolated: list[Position] = []
        crossed: dict[str, list[Position]] = {}
        for position in account.held():
            if account.margin_type(position.symbol) == ISOLATED:
                isolated.append(position)
            else:
                crossed.setdefault(position.symbol, []).append(position)
        marks = {symbol: self._marks(symbol, ranges) for symbol in {each.symbol for each in account.held()}}
        for position in isolated:
            least = min(self._spare([position], mark) for mark in marks[position.symbol])
            if position.isolated_wallet + least <= 0:
                return False
        worst = {
            symbol: min(marks[symbol], key=partial(self._spare, positions))
            for symbol, positions in crossed.items()
        }
        return all(
            self._is_solvent(account, asset, worst)
            for asset in {self._state.margin_assets[symbol] for symbol in crossed}
        )

    def _marks(self, symbol: str, ranges: Mapping[str, Range]) -> list[Decimal]:
        scale = self._state.prices.mark_scale(symbol)
        return [price * scale for price in ranges[symbol]]

    def _spare(self, positions: Sequence[Position], mark: Decimal) -> Decimal:
        """Return what a symbol's positions add, at a mark price, to the margin beyond what is thin."""
        brackets = self._state.brackets
        needed = (brackets.maintenance(each.symbol, abs(each.amount) * mark) for each in positions)
        return sum((each.unrealized_pnl(mark) for each in positions), ZERO) - sum(needed, ZERO) / CALL_RATIO

    def _is_solvent(self, account: Account, asset: str, marks: Mapping[str, Decimal]) -> bool:
        state = self._state
        whole = account_margin(
            account,
            asset,
            state.margin_assets,
            state.brackets,
            lambda symbol: marks.get(symbol) or state.mark(symbol),
        )
        return whole.cross_maintenance < CALL_RATIO * whole.cross_balance

"""Funding: what positions pay each other at the funding instants.

An instant is stamped a few milliseconds after its minute; who holds a position when the minute begins, before
anything trades in it, pays or receives. Instants off the hour are settled at the next full hour.
"""

from __future__ import annotations

from decimal import Decimal

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.simulator.sentiment import Sentiment
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.clearing import Clearing
from futures_agent.simulator.trading.margin import ISOLATED
from futures_agent.simulator.trading.records import Position
from futures_agent.simulator.trading.state import State, money


class Funding:
    """Settles the payments that `sentiment` publishes."""

    def __init__(self, state: State, clearing: Clearing, sentiment: Sentiment) -> None:
        self._state = state
        self._clearing = clearing
        self._sentiment = sentiment

    def settle(self, hour_ms: int) -> None:
        """Settle the instants of the hour that ends at `hour_ms`, at the mark prices of that time."""
        for account in self._state.accounts:
            for position in account.held():
                for rate in self._rates(position.symbol, hour_ms):
                    self._pay(account, position, rate)

    def _rates(self, symbol: str, hour_ms: int) -> list[Decimal]:
        payments = self._sentiment.funding(symbol, hour_ms - HOUR_MS + MINUTE_MS, hour_ms + MINUTE_MS - 1)
        return [Decimal(repr(float(rate))) for rate in payments["rate"]]

    def _pay(self, account: Account, position: Position, rate: Decimal) -> None:
        """Book −amount · mark price · rate: longs pay while the rate is positive."""
        state, symbol = self._state, position.symbol
        amount = money(-position.amount * state.mark(symbol) * rate)
        if not amount:
            return
        asset = state.margin_assets[symbol]
        isolated = account.margin_type(symbol) == ISOLATED
        if isolated:
            position.isolated_wallet += amount
        state.book(account, "FUNDING_FEE", amount, asset, symbol=symbol)
        position.costs -= amount
        self._clearing.record_position(account, position)
        changed = [position] if isolated else []
        self._clearing.tell_account(
            account, "FUNDING_FEE", asset, changed, change=amount, symbol="" if isolated else symbol
        )

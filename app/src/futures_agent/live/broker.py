"""What the trader trades at: the exchange, or the paper broker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from futures_agent.exchange.orders import Answer, FillSeen, FundingSeen, Request, Seen, Snapshot

OnSeen = Callable[[Seen], None]


class Broker(Protocol):
    """A venue with one account in one-way mode, one margin asset. Safe for concurrent threads.

    What is seen without asking comes through the `on_seen` of its construction, from whatever thread.
    """

    def prepare(self, symbols: Sequence[str], leverage: int) -> None:
        """Make sure of one-way mode, isolated margin and `leverage` for `symbols`; repeatable.

        Raises
        ------
        Refuse
            The account cannot be used: key, permissions, mode.
        Retry
            No answer.
        """

    def send(self, request: Request) -> Answer:
        """Send one request, once, and return what became of it; waits no longer than the time-outs."""

    def snapshot(self) -> Snapshot:
        """Return positions, open orders, open conditional orders and the wallet (Retry: no answer)."""

    def fills_since(self, symbol: str, since_ms: int) -> list[FillSeen]:
        """Return the account's fills of `symbol` from `since_ms` on, oldest first (Retry: no answer)."""

    def funding_since(self, since_ms: int) -> list[FundingSeen]:
        """Return the funding payments from `since_ms` on, oldest first (Retry: no answer)."""

    def close(self) -> None:
        """End connections and threads; requests under way count as unanswered."""

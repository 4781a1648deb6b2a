"""Where faults reach into the exchange: a healthy one does none of this."""

from __future__ import annotations

from decimal import Decimal

from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.records import AlgoOrder, AlgoRequest, Order, OrderRequest

WHOLE = Decimal(1)


class Interference:
    """Asked at each of these points; subclass it, and set `exchange.interference`, to misbehave."""

    def refuse_order(self, account: Account, request: OrderRequest, now_ms: int) -> VenueError | None:
        """Return a refusal of an order that the rules would accept."""
        return None

    def refuse_algo(self, account: Account, request: AlgoRequest, now_ms: int) -> VenueError | None:
        """Return a refusal of a conditional order that the rules would accept."""
        return None

    def reject_trigger(self, account: Account, algo: AlgoOrder, now_ms: int) -> str:
        """Return why a triggered conditional order is REJECTED by the order book; empty: it is not."""
        return ""

    def fill_share(self, account: Account, order: Order, now_ms: int) -> Decimal:
        """Return the share (0…1) of what is left of an order that trades now.

        The rest of a MARKET or IOC order expires, the rest of a resting order trades a second later,
        a FOK order is refused.
        """
        return WHOLE

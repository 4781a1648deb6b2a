"""Faults inside the exchange: fills that stop half-way, stops that the order book refuses."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from futures_agent.simulator.fault_plan import FaultPlan, Spell
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.interference import WHOLE, Interference
from futures_agent.simulator.trading.records import AlgoOrder, Order


class OrderFault(Spell, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Disturb orders on their way to being filled.

    Attributes
    ----------
    how : str
        `partial fill`: only `share` of what is left trades; the rest of a MARKET or IOC order expires, the
        rest of a resting one goes on trading. `stop rejected`: a conditional order that triggers is
        REJECTED, for `reason`.
    key, symbol : str
        Only orders of that API key's account, in that contract; empty for all.
    """

    how: Literal["partial fill", "stop rejected"]
    key: str = ""
    symbol: str = ""
    share: Decimal = Decimal("0.5")
    reason: Annotated[str, Meta(min_length=1)] = "Margin is insufficient."

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"`share` {self.share} must lie between 0 and 1")

    def hits(self, how: str, account: Account, symbol: str) -> bool:
        """Say whether an order in `symbol` is an occasion to do `how`."""
        return self.how == how and self.key in ("", account.key) and self.symbol in ("", symbol)


class PlannedInterference(Interference):
    """Disturbs orders as a plan of faults says."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan

    def reject_trigger(self, account: Account, algo: AlgoOrder, now_ms: int) -> str:
        fault = self._engage("stop rejected", account, algo.symbol, now_ms)
        return fault.reason if fault else ""

    def fill_share(self, account: Account, order: Order, now_ms: int) -> Decimal:
        fault = self._engage("partial fill", account, order.symbol, now_ms)
        return fault.share if fault else WHOLE

    def _engage(self, how: str, account: Account, symbol: str, now_ms: int) -> OrderFault | None:
        return self._plan.engage(OrderFault, now_ms, lambda each: each.hits(how, account, symbol))

"""Faults of the store that queries read: it lags behind the matching engine."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from msgspec import Meta

from futures_agent.simulator.fault_plan import Spell
from futures_agent.simulator.faults import Asked
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.trading.history import LONGEST_LAG_MS

_ORDER_PATHS = frozenset(
    f"/fapi/v1/{name}"
    for name in "order openOrder openOrders allOrders algoOrder openAlgoOrders allAlgoOrders".split()
)
_STORE_PATHS = _ORDER_PATHS | {"/fapi/v1/userTrades"}
_POSITION_PATHS = frozenset(("/fapi/v2/positionRisk", "/fapi/v3/positionRisk"))


class StoreLag(Spell, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Queries do not know orders, conditional orders and trades younger than `lag_ms` of venue time."""

    how: Literal["store lag"] = "store lag"
    count: Annotated[int, Meta(ge=1)] | None = None
    path: str = ""
    key: str = ""
    lag_ms: Annotated[int, Meta(ge=1)] = 3_000

    def hits(self, asked: Asked) -> bool:
        """Say whether a request may be answered from the store that lags."""
        return (
            asked.method == "GET"
            and asked.path in _STORE_PATHS
            and self.path in ("", asked.path)
            and self.key in ("", asked.api_key)
        )

    def hides(self, body: bytes, now_ms: int) -> bool:
        """Say whether the true answer `body` tells something too young."""
        told = json.loads(body)
        return any(self._too_young(row, now_ms) for row in (told if isinstance(told, list) else [told]))

    def without(self, body: bytes, now_ms: int) -> bytes:
        """Return the true answer `body` without what is too young.

        Raises
        ------
        VenueError
            -2013 where that is all it tells.
        """
        told = json.loads(body)
        if not isinstance(told, list):
            raise refusal(-2013)
        kept = [row for row in told if not self._too_young(row, now_ms)]
        return json.dumps(kept, ensure_ascii=False).encode()

    def _too_young(self, row: dict[str, Any], now_ms: int) -> bool:
        created_ms = row.get("createTime", row.get("time", 0))
        return now_ms - int(created_ms) < self.lag_ms


class StaleStatus(Spell, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Queries tell orders and conditional orders as they were `lag_ms` of venue time ago, or when accepted.

    Attributes
    ----------
    positions : bool
        positionRisk tells positions of that time as well.
    """

    how: Literal["stale status"] = "stale status"
    count: Annotated[int, Meta(ge=1)] | None = None
    path: str = ""
    key: str = ""
    lag_ms: Annotated[int, Meta(ge=1, le=LONGEST_LAG_MS)] = 3_000
    positions: bool = False

    def hits(self, path: str, key: str) -> bool:
        """Say whether a query of that path and API key may be answered from the store that lags."""
        paths = _ORDER_PATHS | _POSITION_PATHS if self.positions else _ORDER_PATHS
        return path in paths and self.path in ("", path) and self.key in ("", key)


def is_of_positions(path: str) -> bool:
    """Say whether a query of that path is for positions rather than orders."""
    return path in _POSITION_PATHS

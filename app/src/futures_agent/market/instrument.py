"""A tradable contract and the exchange's rules for its prices and quantities."""

from __future__ import annotations

import msgspec


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of one USDⓈ-M perpetual, as the exchange states them (prices in quote, sizes in base)."""

    symbol: str
    status: str  # TRADING, SETTLING, …; unknown texts mean "not tradable"
    tick_size: float
    step_size: float
    min_quantity: float
    max_quantity: float
    min_notional: float
    price_precision: int
    quantity_precision: int
    liquidation_fee: float  # share of notional taken when a position is liquidated
    onboard_ms: int  # first day of trading, ms UTC
    tradable: bool  # a USDT-quoted coin perpetual whose status is TRADING

    @property
    def why_untradable(self) -> str:
        """Why the agent does not trade it, for a person; only meaningful where `tradable` is false."""
        if self.status == "TRADING":
            return "not a USDT-quoted coin perpetual with usable filters"
        return f"not trading at the exchange ({self.status})"

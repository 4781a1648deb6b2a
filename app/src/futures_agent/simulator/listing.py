"""A contract as the exchange lists it: its grid, its filters, its entry in exchangeInfo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import floor, log10
from typing import Any

from futures_agent.clock import DAY_MS
from futures_agent.simulator.series import Grid

NEVER_DELIVERED_MS = 4_133_404_800_000  # 2100-12-25, what perpetuals carry
_MIN_NOTIONAL = {"BTC": "50", "ETH": "20"}
_QUOTES = ("USDT", "USDC")


@dataclass(frozen=True)
class Listing:
    """One contract.

    Attributes
    ----------
    price : float
        A typical price in quote units, from which bounds of the filters derive.
    grid : Grid
        Decimals of the tick (10**-price), of the step (10**-volume) and of turnover.
    price_precision : int
        Decimals in which prices are written; at least those of the tick.
    quantity_precision : int, optional
        Decimals that quantities may have; at least those of the step, and as many unless told.
    max_orders, max_amendments : int
        Open orders of one account in the contract, and changes of one order.
    market_take_bound, trigger_protect : Decimal
        How far, as shares, the market may be from the mark price for an order at market, and the mark from
        the last price for a protected conditional order to trigger.
    liquidation_fee : Decimal
        Share of the notional.
    stop_multiplier : Decimal
        Trigger prices lie between the mark price times this, and divided by it. The exchange documents the
        refusal (-4210, -4211) but no bound; this one leaves room for any stop that makes sense.
    """

    symbol: str
    price: float
    grid: Grid
    price_precision: int
    onboard_ms: int
    status: str = "TRADING"
    contract_type: str = "PERPETUAL"
    underlying_type: str = "COIN"
    delivery_ms: int = NEVER_DELIVERED_MS
    quantity_precision: int | None = None
    max_orders: int = 200
    max_amendments: int = 10_000
    market_take_bound: Decimal = Decimal("0.05")
    trigger_protect: Decimal = Decimal("0.0500")
    liquidation_fee: Decimal = Decimal("0.012500")
    stop_multiplier: Decimal = Decimal(5)

    @property
    def pair(self) -> str:
        return self.symbol.partition("_")[0]

    @property
    def quote_asset(self) -> str:
        return next((quote for quote in _QUOTES if self.pair.endswith(quote)), "USDT")

    @property
    def base_asset(self) -> str:
        return self.pair.removesuffix(self.quote_asset)

    @property
    def quantity_decimals(self) -> int:
        """Decimals that quantities may have, before the step is asked for."""
        return self.grid.volume if self.quantity_precision is None else self.quantity_precision

    def status_at(self, now_ms: int) -> str:
        """Return the state of the contract: before its first day it waits to be traded."""
        return "PENDING_TRADING" if now_ms < self.onboard_ms else self.status

    def entry(self, now_ms: int) -> dict[str, Any]:
        """Return the contract's entry in exchangeInfo at `now_ms` (ms UTC), keys in the live order."""
        perpetual = self.contract_type == "PERPETUAL"
        return {
            "symbol": self.symbol,
            "pair": self.pair,
            "contractType": self.contract_type,
            "deliveryDate": self.delivery_ms,
            "onboardDate": self.onboard_ms,
            "status": self.status_at(now_ms),
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": self.base_asset,
            "quoteAsset": self.quote_asset,
            "marginAsset": self.quote_asset,
            "pricePrecision": self.price_precision,
            "quantityPrecision": self.quantity_decimals,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": self.underlying_type,
            "underlyingSubType": ["Crypto"] if self.underlying_type == "COIN" else ["Stock"],
            "triggerProtect": f"{self.trigger_protect:f}",
            "liquidationFee": f"{self.liquidation_fee:f}",
            "marketTakeBound": f"{self.market_take_bound:f}",
            "maxMoveOrderLimit": self.max_amendments,
            "filters": self._filters(),
            "orderTypes": [
                "LIMIT",
                "MARKET",
                "STOP",
                "STOP_MARKET",
                "TAKE_PROFIT",
                "TAKE_PROFIT_MARKET",
                "TRAILING_STOP_MARKET",
            ],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
            "permissionSets": ["GRID", "COPY", "DCA", "PSB"] if perpetual else ["GRID", "COPY"],
        }

    def _filters(self) -> list[dict[str, Any]]:
        # The tick and the bounds are written in the precision of prices, as the live document does.
        precision, tick = self.price_precision, 10.0**-self.grid.price
        step = f"{10.0**-self.grid.volume:.{self.grid.volume}f}"
        largest = 10 ** max(0, 7 - floor(log10(self.price)))
        return [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": f"{max(tick, round(self.price / 100, self.grid.price)):.{precision}f}",
                "maxPrice": f"{self.price * 50:.0f}"
                if self.price >= 1
                else f"{self.price * 50:.{precision}f}",
                "tickSize": f"{tick:.{precision}f}",
            },
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": str(largest), "stepSize": step},
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": step,
                "maxQty": str(-(-largest // 8)),
                "stepSize": step,
            },
            {"filterType": "MAX_NUM_ORDERS", "limit": self.max_orders},
            {"filterType": "MIN_NOTIONAL", "notional": _MIN_NOTIONAL.get(self.base_asset, "5")},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
            {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
        ]


def untradable(listing: Listing, now_ms: int) -> list[Listing]:
    """Return contracts that a client has to leave alone, shaped after `listing`.

    One per reason: it settles, it is in a state unknown to older clients (and not written in ASCII), it
    is dated, it is quoted in another currency, it is not a coin.
    """
    delivery = quarter_end(now_ms)
    date = datetime.fromtimestamp(delivery / 1000, tz=UTC).strftime("%y%m%d")
    return [
        replace(listing, symbol="LUNAUSDT", status="SETTLING", delivery_ms=now_ms - now_ms % DAY_MS),
        replace(listing, symbol="币安人生USDT", status="TRADING_CANCEL_ONLY"),
        replace(listing, symbol=f"BTCUSDT_{date}", contract_type="CURRENT_QUARTER", delivery_ms=delivery),
        replace(listing, symbol="BTCUSDC"),
        replace(listing, symbol="TSLAUSDT", contract_type="TRADIFI_PERPETUAL", underlying_type="EQUITY"),
    ]


def quarter_end(now_ms: int) -> int:
    """Return the next quarterly delivery: the last Friday of March, June, September, December, 08:00 UTC."""
    now = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
    month = now.month + (-now.month) % 3
    for year, quarter in ((now.year, month), (now.year + month // 12, month % 12 + 3)):
        after = datetime(year + quarter // 12, quarter % 12 + 1, 1, 8, tzinfo=UTC)
        friday = after - timedelta(days=(after.weekday() - 4 - 1) % 7 + 1)
        if friday > now:
            break
    return int(friday.timestamp() * 1000)

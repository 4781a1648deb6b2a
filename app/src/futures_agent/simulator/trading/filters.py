"""The rules that a contract's entry in exchangeInfo sets: grids, bounds, least notional.

Source: the exchange's page of filters. A filter that the entry lacks is not judged, and so is a bound of 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from msgspec import Struct

from futures_agent.simulator.listing import Listing
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.trading.records import ZERO, AlgoRequest, OrderRequest


class Lot(Struct, frozen=True):
    """Bounds and step of quantities, base units; 0 sets no bound."""

    least: Decimal = ZERO
    most: Decimal = ZERO
    step: Decimal = ZERO


class Filters(Struct, frozen=True, kw_only=True):
    """What one contract asks of orders; prices in quote units, shares of the mark price."""

    price_precision: int
    quantity_precision: int
    min_price: Decimal = ZERO
    max_price: Decimal = ZERO
    tick_size: Decimal = ZERO
    lot: Lot = Lot()
    market_lot: Lot = Lot()
    min_notional: Decimal = ZERO
    multiplier_up: Decimal = ZERO
    multiplier_down: Decimal = ZERO
    market_take_bound: Decimal = ZERO


@lru_cache(maxsize=2048)
def filters_of(listing: Listing) -> Filters:
    """Return the filters that the entry of `listing` tells clients."""
    return read_filters(listing.entry(listing.onboard_ms))


def read_filters(entry: Mapping[str, Any]) -> Filters:
    """Return the filters of one contract's entry in exchangeInfo."""
    told = {each["filterType"]: each for each in entry["filters"]}
    price, percent = told.get("PRICE_FILTER", {}), told.get("PERCENT_PRICE", {})
    return Filters(
        price_precision=entry["pricePrecision"],
        quantity_precision=entry["quantityPrecision"],
        min_price=Decimal(price.get("minPrice", 0)),
        max_price=Decimal(price.get("maxPrice", 0)),
        tick_size=Decimal(price.get("tickSize", 0)),
        lot=_lot(told.get("LOT_SIZE", {})),
        market_lot=_lot(told.get("MARKET_LOT_SIZE", {})),
        min_notional=Decimal(told.get("MIN_NOTIONAL", {}).get("notional", 0)),
        multiplier_up=Decimal(percent.get("multiplierUp", 0)),
        multiplier_down=Decimal(percent.get("multiplierDown", 0)),
        market_take_bound=Decimal(entry.get("marketTakeBound", 0)),
    )


def check_order(
    request: OrderRequest, filters: Filters, *, mark_price: Decimal, last_price: Decimal, reducing: bool
) -> None:
    """Refuse a regular order that a filter forbids.

    Parameters
    ----------
    request : OrderRequest
        Price and quantity as they were sent.
    mark_price, last_price : Decimal
        Of the contract now; 0 before its first trade.
    reducing : bool
        The order can only reduce a position: no least notional is asked of it.

    Raises
    ------
    VenueError
        With the code of the filter; -2020 before the first trade.
    """
    market = request.type == "MARKET"
    check_quantity(request.quantity, filters, market=market)
    if not last_price:
        raise refusal(-2020)
    if market:
        _check_take_bound(request.side, filters, mark_price, last_price)
        price = mark_price
    else:
        price = request.price
        check_price(price, filters)
        _check_percent_price(request.side, price, filters, mark_price)
    if not reducing and price * request.quantity < filters.min_notional:
        raise refusal(-4164, filters.min_notional)


def check_amendment(
    side: str, quantity: Decimal, price: Decimal, filters: Filters, mark_price: Decimal
) -> None:
    """Refuse a change of a limit order to `quantity` and `price` that a filter forbids.

    Raises
    ------
    VenueError
        With the code of the filter; -5029 for the least notional.
    """
    check_quantity(quantity, filters, market=False)
    check_price(price, filters)
    _check_percent_price(side, price, filters, mark_price)
    if price * quantity < filters.min_notional:
        raise refusal(-5029, filters.min_notional)


def check_algo(request: AlgoRequest, filters: Filters, *, mark_price: Decimal, reducing: bool) -> None:
    """Refuse a conditional order that a filter forbids; its prices are not held against the mark price yet.

    Raises
    ------
    VenueError
        With the code of the filter; -4183 or -4184 where the limit price is too far from the trigger price.
    """
    limited = request.type in ("STOP", "TAKE_PROFIT")
    for price in (request.trigger_price, request.activate_price):
        if price:
            check_price(price, filters)
    if not request.close_position:
        check_quantity(request.quantity, filters, market=not limited)
    if limited:
        check_price(request.price, filters)
        _check_stop_distance(request, filters)
    price = request.price if limited else request.trigger_price or mark_price
    if not reducing and not request.close_position and price * request.quantity < filters.min_notional:
        raise refusal(-4164, filters.min_notional)


def check_trigger_price(request: AlgoRequest, listing: Listing, mark_price: Decimal) -> None:
    """Refuse a conditional order that waits for a price too far from the mark price.

    Raises
    ------
    VenueError
        -4210 or -4211.
    """
    cap, floor = mark_price * listing.stop_multiplier, mark_price / listing.stop_multiplier
    for price in (request.trigger_price, request.activate_price):
        if mark_price and price > cap:
            raise refusal(-4210, f"{cap:.{listing.price_precision}f}")
        if price and price < floor:
            raise refusal(-4211, f"{floor:.{listing.price_precision}f}")


def check_price(price: Decimal, filters: Filters) -> None:
    """Refuse a price (quote units) off the grid or out of bounds.

    Raises
    ------
    VenueError
        -4001 unless positive, -1111 with too many decimals, -4013 below the least, -4002 above the
        largest, -4014 between two ticks.
    """
    if price <= 0:
        raise refusal(-4001)
    if _decimals(price) > filters.price_precision:
        raise refusal(-1111)
    if price < filters.min_price:
        raise refusal(-4013)
    if filters.max_price and price > filters.max_price:
        raise refusal(-4002)
    if filters.tick_size and price % filters.tick_size:
        raise refusal(-4014)


def check_quantity(quantity: Decimal, filters: Filters, *, market: bool) -> None:
    """Refuse a quantity (base units) off the grid or out of bounds; at market the bounds are others.

    Raises
    ------
    VenueError
        -4003 unless positive, -1111 with too many decimals, -4004 below the least, -4005 above the
        largest, -4023 between two steps.
    """
    lot = filters.market_lot if market else filters.lot
    if quantity <= 0:
        raise refusal(-4003)
    if _decimals(quantity) > filters.quantity_precision:
        raise refusal(-1111)
    if quantity < lot.least:
        raise refusal(-4004)
    if lot.most and quantity > lot.most:
        raise refusal(-4005)
    if lot.step and (quantity - lot.least) % lot.step:
        raise refusal(-4023)


def _check_percent_price(side: str, price: Decimal, filters: Filters, mark_price: Decimal) -> None:
    """Refuse a buy far above, or a sale far below the mark price."""
    if side == "BUY" and filters.multiplier_up and price > mark_price * filters.multiplier_up:
        raise refusal(-4016)
    if side == "SELL" and price < mark_price * filters.multiplier_down:
        raise refusal(-4024)


def _check_take_bound(side: str, filters: Filters, mark_price: Decimal, last_price: Decimal) -> None:
    """Refuse an order at market while the market is too far from the mark price."""
    sign = 1 if side == "BUY" else -1
    if (
        filters.market_take_bound
        and sign * (last_price - mark_price) > mark_price * filters.market_take_bound
    ):
        raise refusal(-4131)


def _check_stop_distance(request: AlgoRequest, filters: Filters) -> None:
    cap = request.trigger_price * filters.multiplier_up
    floor = request.trigger_price * filters.multiplier_down
    if request.side == "BUY" and filters.multiplier_up and request.price > cap:
        raise refusal(-4183, f"{cap:.{filters.price_precision}f}")
    if request.side == "SELL" and request.price < floor:
        raise refusal(-4184, f"{floor:.{filters.price_precision}f}")


def _lot(told: Mapping[str, str]) -> Lot:
    return Lot(*(Decimal(told.get(name, 0)) for name in ("minQty", "maxQty", "stepSize")))


def _decimals(number: Decimal) -> int:
    """Return the decimals of `number` that are not trailing zeros."""
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0

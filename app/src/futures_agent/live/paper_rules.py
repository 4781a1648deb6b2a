"""What the exchange refuses, the paper broker refuses too, with its codes: a bug must show before it costs.

Source: the exchange's pages of filters and of error codes (USDⓈ-M futures). A bound of 0 is none.
"""

from __future__ import annotations

import re
from decimal import Decimal

from futures_agent.exchange.orders import PlaceMarket, PlaceStop, PlaceTarget
from futures_agent.live.paper_account import Account, Book
from futures_agent.market.instrument import Instrument

# `{}` takes the value given to `Refused`.
TEXTS = {
    -1100: "Illegal characters found in parameter '{}'.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1121: "Invalid symbol.",
    -1122: "Invalid symbol status.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2019: "Margin is insufficient.",
    -2020: "Unable to fill.",
    -2021: "Order would immediately trigger.",
    -2022: "ReduceOnly Order is rejected.",
    -4001: "Price less than 0.",
    -4003: "Quantity less than zero.",
    -4004: "Quantity less than min quantity.",
    -4005: "Quantity greater than max quantity.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id length should not be more than 36 chars",
    -4023: "Qty not increased by step size.",
    -4116: "clientOrderId is duplicated.",
    -4130: "An open stop or take profit order with GTE and closePosition in the direction is existing.",
    -4164: "Order's notional must be no smaller than {} (unless you choose reduce only)",
    -4509: "Time in Force (TIF) GTE can only be used with open positions. "
    "Please ensure that positions are available.",
}
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]+")
_LONGEST_ID = 36


class Refused(Exception):
    """A definite refusal in the exchange's words."""

    def __init__(self, code: int, value: object = "") -> None:
        super().__init__(TEXTS[code].format(value))
        self.code = code


def admit_market(
    request: PlaceMarket, instrument: Instrument, account: Account, last: Decimal | None
) -> Decimal:
    """Return the quantity that is accepted of an order at market; `last` is the price, if there is one.

    Raises
    ------
    Refused
        With the exchange's code.
    """
    book = account.book(request.symbol)
    _check_client_id(request.client_id, taken=request.client_id in book.orders)
    _check_quantity(request.quantity, instrument)
    if last is None:
        raise Refused(-2020)
    if request.reduce_only:
        return _reducing(request, book)
    if not instrument.tradable:
        raise Refused(-1122)
    if last * request.quantity < (least := exact(instrument.min_notional)):
        raise Refused(-4164, least)
    _check_margin(request, account, book, last)
    return request.quantity


def admit_target(
    request: PlaceTarget, instrument: Instrument, account: Account, last: Decimal | None
) -> Decimal:
    """Return the quantity that is accepted of a resting reduce-only order.

    Raises
    ------
    Refused
        With the exchange's code.
    """
    book = account.book(request.symbol)
    _check_client_id(request.client_id, taken=request.client_id in book.orders)
    _check_quantity(request.quantity, instrument)
    _check_price(request.price, instrument)
    if last is None:
        raise Refused(-2020)
    return _reducing(request, book)


def admit_stop(request: PlaceStop, instrument: Instrument, account: Account, last: Decimal | None) -> None:
    """Accept a stop that closes the position, or not.

    Raises
    ------
    Refused
        -2021 where the price is at or beyond it already; else with the exchange's code.
    """
    book = account.book(request.symbol)
    _check_client_id(
        request.client_id, taken=any(request.client_id in each.stops for each in account.books.values())
    )
    _check_price(request.trigger_price, instrument)
    if book.side != -request.side:
        raise Refused(-4509)
    if any(stop.side == request.side for stop in book.stops.values()):
        raise Refused(-4130)
    if last is None:
        raise Refused(-2020)
    if request.side * (last - request.trigger_price) >= 0:
        raise Refused(-2021)


def exact(number: float) -> Decimal:
    """Return the decimal that a float was read from."""
    return Decimal(repr(float(number)))


def _check_client_id(client_id: str, *, taken: bool) -> None:
    if len(client_id) > _LONGEST_ID:
        raise Refused(-4015)
    if not _CLIENT_ID.fullmatch(client_id):
        raise Refused(-1100, "newClientOrderId")
    if taken:
        raise Refused(-4116)


def _check_quantity(quantity: Decimal, instrument: Instrument) -> None:
    least, most, step = map(exact, (instrument.min_quantity, instrument.max_quantity, instrument.step_size))
    if quantity <= 0:
        raise Refused(-4003)
    if _decimals(quantity) > instrument.quantity_precision:
        raise Refused(-1111)
    if quantity < least:
        raise Refused(-4004)
    if most and quantity > most:
        raise Refused(-4005)
    if step and (quantity - least) % step:
        raise Refused(-4023)


def _check_price(price: Decimal, instrument: Instrument) -> None:
    tick = exact(instrument.tick_size)
    if price <= 0:
        raise Refused(-4001)
    if _decimals(price) > instrument.price_precision:
        raise Refused(-1111)
    if tick and price % tick:
        raise Refused(-4014)


def _reducing(request: PlaceMarket | PlaceTarget, book: Book) -> Decimal:
    """Return how much of a reduce-only order can reduce."""
    if book.side != -request.side:
        raise Refused(-2022)
    return min(request.quantity, abs(book.position.amount))


def _check_margin(request: PlaceMarket, account: Account, book: Book, last: Decimal) -> None:
    held, free = book.position.amount * -request.side, account.free_margin
    opening = request.quantity
    if held > 0:  # what is closed on the way frees its margin
        opening = max(opening - held, Decimal(0))
        free += book.margin
    if opening * last / account.leverage > free:
        raise Refused(-2019)


def _decimals(number: Decimal) -> int:
    """Return the decimals of `number` that are not trailing zeros."""
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0

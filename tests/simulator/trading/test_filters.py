from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.trading.filters import (
    Filters,
    Lot,
    check_algo,
    check_amendment,
    check_order,
    check_price,
    check_quantity,
    read_filters,
)
from futures_agent.simulator.trading.records import AlgoRequest, OrderRequest

# What the exchange listed for BTCUSDT, shortened.
ENTRY: dict[str, Any] = {
    "pricePrecision": 2,
    "quantityPrecision": 3,
    "triggerProtect": "0.0500",
    "marketTakeBound": "0.05",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "556.80", "maxPrice": "4529764", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.002", "maxQty": "1000", "stepSize": "0.002"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.005", "maxQty": "120", "stepSize": "0.005"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": "50"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500"},
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ],
}
FILTERS = read_filters(ENTRY)
BARE = read_filters({"pricePrecision": 2, "quantityPrecision": 3, "filters": []})
MARK = Decimal(100_000)


def code_of(check: Callable[[], object]) -> int:
    """Return the code of a refusal, 0 where there is none."""
    try:
        check()
    except VenueError as error:
        return error.code
    return 0


def order(**changes: Any) -> OrderRequest:
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.002", "price": "100000"}
    return _request(OrderRequest, terms | changes)


def algo(**changes: Any) -> AlgoRequest:
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "STOP", "quantity": "0.002"}
    return _request(AlgoRequest, terms | {"price": "110000", "trigger_price": "110000"} | changes)


def _request(kind: type[Any], terms: dict[str, Any]) -> Any:
    decimals = ("quantity", "price", "trigger_price", "activate_price")
    return kind(**{name: Decimal(value) if name in decimals else value for name, value in terms.items()})


def test_what_an_entry_tells() -> None:
    assert (
        Filters(
            price_precision=2,
            quantity_precision=3,
            min_price=Decimal("556.80"),
            max_price=Decimal(4_529_764),
            tick_size=Decimal("0.10"),
            lot=Lot(Decimal("0.002"), Decimal(1000), Decimal("0.002")),
            market_lot=Lot(Decimal("0.005"), Decimal(120), Decimal("0.005")),
            min_notional=Decimal(50),
            multiplier_up=Decimal("1.05"),
            multiplier_down=Decimal("0.95"),
            market_take_bound=Decimal("0.05"),
        )
        == FILTERS
    )


@pytest.mark.parametrize(
    ("price", "code"),
    [
        ("556.8", 0),
        ("100000.10", 0),
        ("1E+5", 0),
        ("4529764", 0),
        ("0", -4001),
        ("-0.001", -4001),
        ("100000.001", -1111),
        ("100000.100", 0),
        ("556.7", -4013),
        ("4529764.1", -4002),
        ("100000.05", -4014),
    ],
)
def test_prices(price: str, code: int) -> None:
    assert code_of(lambda: check_price(Decimal(price), FILTERS)) == code


@pytest.mark.parametrize(
    ("quantity", "market", "code"),
    [
        ("0.002", False, 0),
        ("0.0040", False, 0),
        ("1000", False, 0),
        ("0", False, -4003),
        ("-1", True, -4003),
        ("0.0021", False, -1111),
        ("0.001", False, -4004),
        ("0.004", True, -4004),
        ("0.005", True, 0),
        ("1000.002", False, -4005),
        ("120.005", True, -4005),
        ("0.003", False, -4023),
        ("0.012", True, -4023),
    ],
)
def test_quantities(quantity: str, market: bool, code: int) -> None:
    assert code_of(lambda: check_quantity(Decimal(quantity), FILTERS, market=market)) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"price": "105000"}, 0),
        ({"price": "105000.1"}, -4016),
        ({"price": "80000"}, 0),
        ({"side": "SELL", "price": "95000"}, 0),
        ({"side": "SELL", "price": "94999.9"}, -4024),
        ({"side": "SELL", "price": "200000"}, 0),
        ({"price": "24000"}, -4164),
        ({"price": "25000"}, 0),
        ({"type": "MARKET", "price": "0", "quantity": "0.005"}, 0),
        ({"type": "MARKET", "price": "0", "quantity": "0.003"}, -4004),
    ],
)
def test_orders(changes: dict[str, Any], code: int) -> None:
    request = order(**changes)
    check = lambda: check_order(request, FILTERS, mark_price=MARK, last_price=MARK, reducing=False)  # noqa: E731
    assert code_of(check) == code


def test_reducing_orders_may_be_small() -> None:
    small = order(price="24000")
    check_order(small, FILTERS, mark_price=MARK, last_price=MARK, reducing=True)


@pytest.mark.parametrize(
    ("side", "last", "code"),
    [
        ("BUY", "105000", 0),
        ("BUY", "105000.1", -4131),
        ("SELL", "105000.1", 0),
        ("SELL", "95000", 0),
        ("SELL", "94999.9", -4131),
    ],
)
def test_a_market_far_from_the_mark_price(side: str, last: str, code: int) -> None:
    request = order(type="MARKET", side=side, quantity="0.005")
    assert (
        code_of(
            lambda: check_order(request, FILTERS, mark_price=MARK, last_price=Decimal(last), reducing=False)
        )
        == code
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"price": "115500"}, 0),
        ({"price": "115500.1"}, -4183),
        ({"side": "SELL", "price": "104500"}, 0),
        ({"side": "SELL", "price": "104499.9"}, -4184),
        ({"trigger_price": "110000.05"}, -4014),
        ({"price": "110000.05"}, -4014),
        ({"quantity": "0.003"}, -4023),
        ({"type": "STOP_MARKET", "price": "0", "quantity": "0.004"}, -4004),
        ({"type": "STOP_MARKET", "price": "0", "quantity": "0", "close_position": True}, 0),
        ({"price": "20000", "trigger_price": "20000"}, -4164),
        ({"type": "TRAILING_STOP_MARKET", "trigger_price": "0", "price": "0", "quantity": "0.005"}, 0),
        ({"type": "TRAILING_STOP_MARKET", "trigger_price": "0", "activate_price": "1"}, -4013),
    ],
)
def test_conditional_orders(changes: dict[str, Any], code: int) -> None:
    request = algo(**changes)
    assert code_of(lambda: check_algo(request, FILTERS, mark_price=MARK, reducing=False)) == code


@pytest.mark.parametrize(
    ("quantity", "price", "code"),
    [
        ("0.002", "100000", 0),
        ("0.003", "100000", -4023),
        ("0.002", "100000.05", -4014),
        ("0.002", "106000", -4016),
        ("0.002", "24000", -5029),
    ],
)
def test_amendments(quantity: str, price: str, code: int) -> None:
    args = ("BUY", Decimal(quantity), Decimal(price), FILTERS, MARK)
    assert code_of(lambda: check_amendment(*args)) == code


def test_filters_that_are_not_told_forbid_nothing() -> None:
    odd = order(price="1000000.07", quantity="12345.678")
    check_order(odd, BARE, mark_price=MARK, last_price=MARK * 2, reducing=False)
    check_order(order(type="MARKET"), BARE, mark_price=MARK, last_price=MARK * 2, reducing=False)
    check_algo(algo(price="1", trigger_price="110000"), BARE, mark_price=MARK, reducing=False)
    assert code_of(lambda: check_price(Decimal("0.001"), BARE)) == -1111

"""Margins and liquidation prices, computed by hand."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from futures_agent.clock import HOUR_MS
from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.margin import Brackets
from trading_orders import limit, market
from trading_worlds import BTC, ETH, START_MS, flat, scripted_exchange

D = Decimal
TEN_TIMES = AccountConfig(key="k", balances={"USDT": D(1000)}, leverage=10)
ISOLATED = AccountConfig(key="k", balances={"USDT": D(1000)}, leverage=10, margin_type="ISOLATED")
FREE = {"maker_fee": D(0), "taker_fee": D(0)}


def test_brackets_of_the_exchange() -> None:
    """cum makes the maintenance margin continuous: floor · (rate − rate of the bracket before), summed."""
    table = Brackets({}).of(BTC)
    assert [(row.leverage, row.floor, row.cap, row.rate, row.cum) for row in table[:3]] == [
        (125, 0, 300_000, D("0.004"), 0),
        (100, 300_000, 800_000, D("0.005"), 300),
        (75, 800_000, 3_000_000, D("0.0065"), 1_500),
    ]
    brackets = Brackets({})
    for below, above in pairwise(table):
        assert below.cap * below.rate - below.cum == below.cap * above.rate - above.cum
        assert brackets.at(BTC, below.cap) == below
        assert brackets.at(BTC, below.cap + 1) == above
    assert brackets.at(BTC, D(10) ** 12) == table[-1]
    assert brackets.maintenance(BTC, D(500_000)) == D(500_000) * D("0.005") - 300
    assert brackets.max_notional(BTC, 100) == 800_000
    assert brackets.max_notional(BTC, 126) == 0
    assert brackets.max_leverage("UNKNOWNUSDT") == 75


def test_initial_and_maintenance_margin_of_a_crossed_position() -> None:
    exchange, _ = scripted_exchange(
        {BTC: [(100, 110, 100, 110), *flat(110, 2)]}, accounts=(TEN_TIMES,), **FREE
    )
    market(exchange, "BUY", "20")
    exchange.advance(START_MS + HOUR_MS)
    whole = exchange.margin(exchange.accounts[0])
    # 20 · 110 = 2200 of notional; a tenth of it, and 1 % of it; 20 · (110 − 100) gained.
    assert (whole.position_initial, whole.maintenance, whole.cross_maintenance) == (220, 22, 22)
    assert (whole.wallet, whole.unrealized_pnl, whole.margin_balance) == (1000, 200, 1200)
    assert (whole.available, whole.order_initial) == (980, 0)
    one = exchange.position_margin(exchange.accounts[0], exchange.accounts[0].position(BTC))
    assert (one.notional, one.initial, one.maintenance, one.unrealized_pnl) == (2200, 220, 22, 200)
    # (1000 + 0 − 20 · 100) / (20 · 0.01 − 20)
    assert one.liquidation_price.quantize(D("1e-9")) == D("50.505050505")


def test_open_orders_tie_up_margin_unless_they_only_reduce() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(TEN_TIMES,), **FREE)
    limit(exchange, "BUY", "10", "90")
    limit(exchange, "SELL", "10", "120")
    account = exchange.accounts[0]
    # Only one side can come to add to the position: the larger one, |0 − 1200| / 10.
    assert exchange.margin(account).order_initial == 120
    market(exchange, "BUY", "4")
    # max(|400 + 900|, |400 − 1200|) / 10, of which 40 are the position's.
    assert exchange.margin(account).order_initial == 90
    limit(exchange, "SELL", "4", "130", reduce_only=True)
    assert exchange.margin(account).order_initial == 90
    assert exchange.margin(account).available == 1000 - 40 - 90
    limit(exchange, "SELL", "10", "150")
    assert exchange.margin(account).order_initial == (2700 - 400) / 10 - 40


def test_orders_on_the_other_side_of_a_position_reduce_it_once() -> None:
    """Of sells of 10 at 101 each, against a long of 10: k · 1010 − 1000 ≤ 10 · 1000."""
    exchange, _ = scripted_exchange(
        {BTC: [(100, 102, 100, 102), *flat(102, 2)]}, accounts=(TEN_TIMES,), **FREE
    )
    account = exchange.accounts[0]
    market(exchange, "BUY", "10")
    for _ in range(10):
        limit(exchange, "SELL", "10", "101")
    for kind in (market, limit):
        price = () if kind is market else ("101",)
        with pytest.raises(VenueError, match="Margin is insufficient"):
            kind(exchange, "SELL", "10", *price)
    exchange.advance(START_MS + HOUR_MS)
    whole = exchange.margin(account)
    assert account.position(BTC).amount == -90
    assert whole.position_initial == 918  # 90 · 102 / 10, of 1000 + 10 · 1 − 90 · 1
    assert whole.available == 2


def test_the_two_sides_of_a_hedge_are_charged_for_what_opens_them() -> None:
    hedged = AccountConfig(key="k", balances={"USDT": D(1000)}, leverage=10, dual_side=True)
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(hedged,), **FREE)
    market(exchange, "BUY", "10", position_side="LONG")
    limit(exchange, "SELL", "10", "110", position_side="LONG")
    assert exchange.margin(exchange.accounts[0]).order_initial == 0
    limit(exchange, "SELL", "10", "110", position_side="SHORT")
    limit(exchange, "BUY", "10", "90", position_side="LONG")
    assert exchange.margin(exchange.accounts[0]).order_initial == 110 + 90


def test_a_resting_order_that_fills_opens_no_more_than_is_carried() -> None:
    """BTC has lost 500 of 1000 and holds 200: the 450 for ETH are not there any more."""
    exchange, events = scripted_exchange(
        {BTC: [(100, 100, 80, 80), *flat(80, 3)], ETH: [*flat(10, 1), (10, 10, 8.9, 8.9), *flat(8.9, 2)]},
        accounts=(TEN_TIMES,),
        **FREE,
    )
    account = exchange.accounts[0]
    market(exchange, "BUY", "25")
    whole = limit(exchange, "BUY", "500", "9", symbol=ETH)
    part = limit(exchange, "BUY", "300", "8.95", symbol=ETH)
    exchange.advance(START_MS + 2 * HOUR_MS)
    assert (whole.status, whole.executed, whole.expiry_reason) == ("EXPIRED", 0, 0)
    assert (part.status, account.position(ETH).amount) == ("FILLED", 300)
    assert [event["o"]["x"] for event in events if event["e"] == "ORDER_TRADE_UPDATE"][-2:] == [
        "EXPIRED",
        "TRADE",
    ]


@pytest.mark.parametrize("path", ["ticks", "bar"])
def test_what_only_closes_of_a_resting_order_fills_whatever_the_margin(path: str) -> None:
    """A short of 45 buys back 100: at 106 there are 530 left, and a long of 55 needs 583."""
    exchange, _ = scripted_exchange(
        {BTC: [(100, 108, 100, 108), *flat(108, 1), (108, 108, 105, 105), *flat(105, 1)]},
        accounts=(TEN_TIMES,),
        path=path,
        **FREE,
    )
    account = exchange.accounts[0]
    market(exchange, "SELL", "45")
    exchange.advance(START_MS + 2 * HOUR_MS)
    order = limit(exchange, "BUY", "100", "106")
    account.wallets["USDT"] -= 200  # as a fee or a loss elsewhere would
    exchange.advance(START_MS + 4 * HOUR_MS)
    assert account.position(BTC).amount == 0
    assert (order.status, order.executed, order.expiry_reason) == ("EXPIRED", 45, 0)


def test_a_resting_order_that_fills_opens_no_more_than_its_leverage_allows() -> None:
    brackets = {"usual": ((D(500), D(20), D("0.01")), (D(5000), D(10), D("0.02")))}
    exchange, _ = scripted_exchange(
        {BTC: [(100, 100, 80, 80), *flat(80, 2)]}, accounts=(TEN_TIMES,), brackets=brackets, **FREE
    )
    account = exchange.accounts[0]
    orders = [limit(exchange, "BUY", quantity, "90") for quantity in ("6", "5")]
    exchange.set_leverage(account, BTC, 20, START_MS)
    exchange.advance(START_MS + HOUR_MS)
    assert [order.status for order in orders] == ["EXPIRED", "FILLED"]


def test_an_order_needs_no_more_than_what_is_available() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(TEN_TIMES,), **FREE)
    with pytest.raises(VenueError, match=r"^Margin is insufficient\.$"):
        market(exchange, "BUY", "100.001")
    market(exchange, "BUY", "100")
    assert exchange.margin(exchange.accounts[0]).available == 0
    with pytest.raises(VenueError, match="Margin is insufficient"):
        limit(exchange, "BUY", "0.001", "90")
    market(exchange, "SELL", "200")  # closing needs none, and frees what the other half needs
    assert exchange.accounts[0].position(BTC).amount == -100


def test_the_largest_position_at_a_leverage() -> None:
    brackets = {"usual": ((D(500), D(20), D("0.01")), (D(5000), D(10), D("0.02")))}
    account = AccountConfig(key="k", balances={"USDT": D(100_000)}, leverage=20)
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(account,), brackets=brackets)
    limit(exchange, "BUY", "3", "90")
    with pytest.raises(VenueError, match="Exceeded the maximum allowable position") as refused:
        market(exchange, "BUY", "2.001")
    assert refused.value.code == -2027
    market(exchange, "BUY", "2")


def test_isolated_margin_is_set_aside_and_moves_only_with_its_position() -> None:
    exchange, _ = scripted_exchange({BTC: [(100, 100, 95, 95), *flat(95, 2)]}, accounts=(ISOLATED,), **FREE)
    account = exchange.accounts[0]
    market(exchange, "BUY", "20")
    position = account.position(BTC)
    assert position.isolated_wallet == 200
    exchange.advance(START_MS + HOUR_MS)
    whole = exchange.margin(account)
    assert (whole.cross_wallet, whole.cross_unrealized_pnl, whole.available) == (800, 0, 800)
    assert (whole.wallet, whole.unrealized_pnl, whole.cross_maintenance) == (1000, -100, 0)
    assert exchange.position_margin(account, position).isolated_margin == 100


def test_isolated_liquidation_price_and_partial_close() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(ISOLATED,), **FREE)
    account = exchange.accounts[0]
    market(exchange, "SELL", "20")
    position = account.position(BTC)
    margin = exchange.position_margin(account, position)
    # (200 + 20 · 100) / (20 · 0.01 + 20)
    assert margin.liquidation_price.quantize(D("1e-9")) == D("108.910891089")
    market(exchange, "BUY", "5", reduce_only=True)
    assert position.isolated_wallet == 150
    same = exchange.position_margin(account, position).liquidation_price
    assert same == margin.liquidation_price


def test_other_symbols_carry_and_burden_a_crossed_position() -> None:
    exchange, _ = scripted_exchange(
        {BTC: flat(100, 2), ETH: [(10, 10, 10, 12), *flat(12, 2)]}, accounts=(TEN_TIMES,), **FREE
    )
    account = exchange.accounts[0]
    market(exchange, "BUY", "50")
    market(exchange, "BUY", "100", symbol=ETH)
    exchange.advance(START_MS + HOUR_MS)
    margin = exchange.position_margin(account, account.position(BTC))
    # Wallet 1000 + 200 of ETH's profit − 12 of its maintenance margin; (1188 − 50 · 100) / (0.5 − 50)
    assert margin.liquidation_price.quantize(D("1e-9")) == D("77.010101010")


@pytest.mark.parametrize("path", ["bar", "ticks"])
def test_a_hedge_with_margin_to_spare_is_left_alone(path: str) -> None:
    """Both sides of 1 at 100: their common liquidation price lies far above, for the long side too."""
    hedged = AccountConfig(key="k", balances={"USDT": D(1000)}, leverage=10, dual_side=True)
    exchange, _ = scripted_exchange(
        {BTC: [(100, 130, 70, 100), *flat(100, 1)]}, accounts=(hedged,), path=path
    )
    for side, position_side in (("BUY", "LONG"), ("SELL", "SHORT")):
        market(exchange, side, "1", position_side=position_side)
    exchange.advance(START_MS + 2 * HOUR_MS)
    assert [position.amount for position in exchange.accounts[0].held()] == [1, -1]


def test_the_two_sides_of_a_hedge_are_liquidated_together() -> None:
    hedged = AccountConfig(key="k", balances={"USDT": D(1000)}, leverage=10, dual_side=True)
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(hedged,), **FREE)
    account = exchange.accounts[0]
    market(exchange, "BUY", "50", position_side="LONG")
    market(exchange, "SELL", "20", position_side="SHORT")
    long, short = (
        exchange.position_margin(account, account.position(BTC, side)).liquidation_price
        for side in ("LONG", "SHORT")
    )
    # (1000 − 50 · 100 + 20 · 100) / (50 · 0.01 + 20 · 0.01 − 50 + 20)
    assert long == short == D(2000) / D("29.3")


def test_a_position_without_leverage_is_never_liquidated() -> None:
    rich = AccountConfig(key="k", balances={"USDT": D(10_000)}, leverage=1)
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(rich,), **FREE)
    market(exchange, "BUY", "20")
    account = exchange.accounts[0]
    assert exchange.position_margin(account, account.position(BTC)).liquidation_price == 0

"""Fills: prices, money and what remains of an order."""

from __future__ import annotations

from decimal import Decimal

import pytest

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.execution.fills import market_fill
from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.book import best_of
from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.interference import Interference
from futures_agent.simulator.trading.records import Order
from trading_orders import limit, market
from trading_worlds import BTC, START_MS, flat, kinds, scripted_exchange

D = Decimal
RICH = AccountConfig(key="k", balances={"USDT": D(100_000)})
FALL = [(100.0, 100.0, 80.0, 80.0)]  # down to 80 by minute 42, along 100, 100, 80, 80


class Shares(Interference):
    """Lets only these shares of orders trade, one after the other, then all."""

    def __init__(self, *shares: str) -> None:
        self._shares = list(shares)

    def fill_share(self, account: Account, order: Order, now_ms: int) -> Decimal:
        return D(self._shares.pop(0)) if self._shares else D(1)


def test_a_market_order_pays_half_the_spread_and_its_impact() -> None:
    """0.01 % + 1 % · √(2.5 / 1000 base units of an hour): 100 · 1.0006, up to the next tick for a buyer."""
    costs = {"half_spread": D("0.0001"), "impact": D("0.01")}
    for path, price in (
        ("ticks", D("100.06")),
        ("bar", D(repr(market_fill(1, 100.0, 0.0001 + 0.01 * 0.05)))),
    ):
        exchange, events = scripted_exchange(
            {BTC: flat(100, 3)}, volume=1000.0, path=path, accounts=(RICH,), **costs
        )
        exchange.advance(START_MS + HOUR_MS)
        order = market(exchange, "BUY", "2.5")
        assert (order.status, order.avg_price, order.executed) == ("FILLED", price, D("2.5"))
        fee = (price * D("2.5") * D("0.0005")).quantize(D("1e-8"))
        assert exchange.accounts[0].fills[0].fee == fee
        assert exchange.accounts[0].wallet("USDT") == 100_000 - fee
        assert kinds(events) == ["NEW", "TRADE_LITE", "TRADE", "account ORDER"]


def test_a_seller_gets_less() -> None:
    exchange, _ = scripted_exchange(
        {BTC: flat(100, 3)}, half_spread=D("0.0001"), impact=D("0.01"), accounts=(RICH,)
    )
    exchange.advance(START_MS + HOUR_MS)
    assert market(exchange, "SELL", "2.5").avg_price == D("99.94")


def test_an_order_at_a_candles_open_fills_at_that_open() -> None:
    exchange, _ = scripted_exchange(
        {BTC: [(100, 130, 90, 95), (97, 99, 96, 98)]}, path="bar", accounts=(RICH,)
    )
    exchange.advance(START_MS + HOUR_MS)
    assert market(exchange, "BUY", "1").avg_price == 97
    exchange.advance(START_MS + HOUR_MS + 1_000)  # the window in which the price stands at the open
    assert market(exchange, "BUY", "1").avg_price == 97
    exchange.advance(START_MS + HOUR_MS + 18 * MINUTE_MS)  # the lower extreme of a rising candle
    assert market(exchange, "BUY", "1").avg_price == 96


def test_adding_averages_the_entry_and_reducing_keeps_it() -> None:
    bars = [*flat(100, 1), *flat(110, 1), *flat(120, 1), *flat(120, 1)]
    exchange, _ = scripted_exchange({BTC: bars}, accounts=(RICH,))
    position = exchange.accounts[0].position(BTC)
    market(exchange, "BUY", "1")
    exchange.advance(START_MS + HOUR_MS)
    market(exchange, "BUY", "3")
    assert (position.amount, position.entry_price) == (4, D("107.5"))
    exchange.advance(START_MS + 2 * HOUR_MS)
    market(exchange, "SELL", "2")
    assert (position.amount, position.entry_price) == (2, D("107.5"))
    sold = exchange.accounts[0].fills[-1]
    assert sold.realized_pnl == 25  # 2 · (120 − 107.5)
    # Fees: 0.05 % of 100, of 330, of 240.
    assert exchange.accounts[0].wallet("USDT") == D(100_000) + 25 - D("0.05") - D("0.165") - D("0.12")
    assert position.break_even_price == D("107.5") + (D("0.335") - 25) / 2


def test_a_larger_opposite_order_turns_the_position() -> None:
    exchange, _ = scripted_exchange({BTC: [*flat(100, 1), *flat(90, 2)]}, accounts=(RICH,))
    market(exchange, "BUY", "1")
    exchange.advance(START_MS + HOUR_MS)
    market(exchange, "SELL", "3")
    position = exchange.accounts[0].position(BTC)
    assert (position.amount, position.entry_price) == (-2, 90)
    assert exchange.accounts[0].fills[-1].realized_pnl == -10


def test_a_resting_order_fills_at_its_own_price_as_maker_when_the_price_goes_through_it() -> None:
    exchange, events = scripted_exchange({BTC: FALL * 2}, accounts=(RICH,))
    order = limit(exchange, "BUY", "1", "90")
    assert (order.status, kinds(events)) == ("NEW", ["NEW"])
    exchange.advance(START_MS + 30 * MINUTE_MS + 1)
    assert order.status == "NEW"
    exchange.advance(START_MS + 30 * MINUTE_MS + 2)
    # Half of the way from 100 (minute 18) to 80 (minute 42).
    (fill,) = exchange.accounts[0].fills
    assert (order.status, order.updated_ms) == ("FILLED", START_MS + 30 * MINUTE_MS + 1)
    assert (fill.price, fill.maker, fill.fee) == (90, True, D("0.018"))


@pytest.mark.parametrize("path", ["ticks", "bar"])
def test_a_price_that_only_touches_a_resting_order_leaves_it_alone(path: str) -> None:
    exchange, _ = scripted_exchange({BTC: FALL * 3}, accounts=(RICH,), path=path)
    touched, passed = limit(exchange, "BUY", "1", "80"), limit(exchange, "BUY", "1", "80.01")
    exchange.advance(START_MS + HOUR_MS)
    assert (touched.status, passed.status) == ("NEW", "FILLED")


def test_a_gap_through_a_resting_order_fills_at_its_own_price() -> None:
    exchange, _ = scripted_exchange({BTC: [*flat(100, 1), *flat(80, 1)]}, accounts=(RICH,))
    limit(exchange, "BUY", "1", "90")
    exchange.advance(START_MS + HOUR_MS)
    assert not exchange.accounts[0].fills
    exchange.advance(START_MS + HOUR_MS + 1)
    assert exchange.accounts[0].fills[0].price == 90


WIDE = {"half_spread": D("0.01"), "impact": D(0)}  # around 100: 99 and 101


def test_a_crossing_limit_order_takes_at_the_books_best_price() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,), **WIDE)
    assert limit(exchange, "BUY", "1", "101").avg_price == 101
    assert limit(exchange, "BUY", "1", "105").avg_price == 101
    assert limit(exchange, "SELL", "1", "99").avg_price == 99
    assert not any(fill.maker for fill in exchange.accounts[0].fills)


@pytest.mark.parametrize(("side", "inside", "best"), [("BUY", "100.99", "101"), ("SELL", "99.01", "99")])
def test_a_limit_order_inside_the_spread_does_not_trade(side: str, inside: str, best: str) -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,), **WIDE)
    resting, posted = (limit(exchange, side, "1", inside, time_in_force=term) for term in ("GTC", "GTX"))
    ioc = limit(exchange, side, "1", inside, time_in_force="IOC")
    assert (ioc.status, ioc.expiry_reason) == ("EXPIRED", 2)
    for term, price, code in (("FOK", inside, -5021), ("GTX", best, -5022)):
        with pytest.raises(VenueError) as refused:
            limit(exchange, side, "1", price, time_in_force=term)
        assert refused.value.code == code
    exchange.advance(START_MS + HOUR_MS)
    assert (resting.status, posted.status) == ("NEW", "NEW")
    exchange.modify(exchange.accounts[0], BTC, D(1), D(best), exchange.now_ms, order_id=resting.order_id)
    assert (resting.status, exchange.accounts[0].fills[-1].maker) == ("FILLED", False)


@pytest.mark.parametrize(("side", "low", "high"), [("BUY", 99.0, 100.0), ("SELL", 100.0, 101.0)])
def test_a_limit_order_inside_the_spread_fills_when_the_other_side_comes(
    side: str, low: float, high: float
) -> None:
    """A buy at 100.5 when the ask has come down from 101 to it: the last price is below 100.5 / 1.01."""
    exchange, _ = scripted_exchange({BTC: [(100, high, low, 100), *flat(100, 1)]}, accounts=(RICH,), **WIDE)
    order = limit(exchange, side, "1", "100.5" if side == "BUY" else "99.5")
    exchange.advance(START_MS + 5 * MINUTE_MS)
    assert order.status == "NEW"
    exchange.advance(START_MS + HOUR_MS)
    (fill,) = exchange.accounts[0].fills
    assert (fill.price, fill.maker) == (order.price, True)


def test_a_limit_order_takes_no_more_than_its_price_reaches() -> None:
    """What moves the price up to 101.01, the next tick: 1.01² of an hour's volume of 1000."""
    exchange, _ = scripted_exchange({BTC: flat(100, 3)}, accounts=(RICH,), impact=D("0.01"))
    exchange.advance(START_MS + HOUR_MS)
    with pytest.raises(VenueError) as refused:
        limit(exchange, "BUY", "1100", "101", time_in_force="FOK")
    assert refused.value.code == -5021
    assert limit(exchange, "BUY", "1000", "101", time_in_force="FOK").status == "FILLED"
    ioc = limit(exchange, "BUY", "1100", "101", time_in_force="IOC")
    assert (ioc.status, ioc.expiry_reason) == ("EXPIRED", 2)
    order = limit(exchange, "BUY", "1100", "101")
    assert order.status == "PARTIALLY_FILLED"
    assert order.executed == ioc.executed == pytest.approx(D("1020.1"), abs=D("0.001"))
    assert order.avg_price == 101
    exchange.advance(exchange.now_ms + 1_000)
    assert order.status == "PARTIALLY_FILLED"
    exchange.advance(exchange.now_ms + 1)
    last = exchange.accounts[0].fills[-1]
    assert (order.status, last.price, last.maker) == ("FILLED", 101, True)


def test_what_waits_at_the_best_price_is_there_whatever_the_impact() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,), impact=D("0.5"), volume=0.001)
    best = best_of(exchange.state.market.listings[BTC], D(100), D(0), exchange.now_ms)
    order = limit(exchange, "BUY", str(best.ask_quantity + 1), "100", time_in_force="IOC")
    assert (order.executed, order.avg_price) == (best.ask_quantity, 100)


def test_times_in_force() -> None:
    exchange, events = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,))
    ioc = limit(exchange, "BUY", "1", "99", time_in_force="IOC")
    assert (ioc.status, ioc.expiry_reason, kinds(events)) == ("EXPIRED", 2, ["NEW", "EXPIRED"])
    assert limit(exchange, "BUY", "1", "100", time_in_force="IOC").status == "FILLED"
    assert limit(exchange, "BUY", "1", "101", time_in_force="FOK").status == "FILLED"
    with pytest.raises(VenueError) as refused:
        limit(exchange, "BUY", "1", "99", time_in_force="FOK")
    assert refused.value.code == -5021
    with pytest.raises(VenueError) as refused:
        limit(exchange, "BUY", "1", "100", time_in_force="GTX")
    assert refused.value.code == -5022
    assert limit(exchange, "BUY", "1", "99.99", time_in_force="GTX").status == "NEW"
    until_ms = START_MS + 700_000
    dated = limit(exchange, "BUY", "1", "98", time_in_force="GTD", good_till_ms=until_ms)
    exchange.advance(until_ms - 1)
    assert dated.status == "NEW"
    exchange.advance(until_ms)
    assert (dated.status, dated.updated_ms) == ("EXPIRED", until_ms)


def test_what_a_market_order_does_not_get_expires() -> None:
    exchange, events = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,))
    exchange.interfere(Shares("0.3331"))
    order = market(exchange, "BUY", "1")
    assert (order.status, order.executed, order.expiry_reason) == ("EXPIRED", D("0.333"), 9)
    assert kinds(events) == ["NEW", "TRADE_LITE", "TRADE", "account ORDER", "EXPIRED"]
    assert events[2]["o"]["X"] == "PARTIALLY_FILLED"
    assert exchange.accounts[0].position(BTC).amount == D("0.333")


def test_a_market_order_that_gets_nothing_expires() -> None:
    exchange, events = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,))
    exchange.interfere(Shares("0"))
    assert market(exchange, "BUY", "1").status == "EXPIRED"
    assert kinds(events) == ["NEW", "EXPIRED"]


def test_the_rest_of_a_resting_order_trades_a_second_later() -> None:
    exchange, _ = scripted_exchange({BTC: FALL * 2}, accounts=(RICH,))
    order = limit(exchange, "BUY", "1", "90")
    exchange.interfere(Shares("0.25", "0.5"))
    exchange.advance(START_MS + 30 * MINUTE_MS + 2)
    assert (order.status, order.executed) == ("PARTIALLY_FILLED", D("0.25"))
    exchange.advance(START_MS + 31 * MINUTE_MS)
    times = [fill.time_ms - START_MS - 30 * MINUTE_MS - 1 for fill in exchange.accounts[0].fills]
    assert (order.status, times) == ("FILLED", [0, 1_000, 2_000])
    assert order.avg_price == 90


def test_fok_with_less_than_all_there_is_refused() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,))
    exchange.interfere(Shares("0.9"))
    with pytest.raises(VenueError) as refused:
        limit(exchange, "BUY", "1", "101", time_in_force="FOK")
    assert refused.value.code == -5021


def test_reduce_only_takes_no_more_than_is_held() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,))
    with pytest.raises(VenueError) as refused:
        market(exchange, "SELL", "1", reduce_only=True)
    assert refused.value.code == -2022
    market(exchange, "BUY", "2")
    with pytest.raises(VenueError):
        market(exchange, "BUY", "1", reduce_only=True)
    assert market(exchange, "SELL", "5", reduce_only=True).quantity == 2
    assert exchange.accounts[0].position(BTC).amount == 0


def test_reduce_only_orders_go_when_there_is_nothing_left_to_reduce() -> None:
    exchange, events = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,))
    market(exchange, "BUY", "2")
    target = limit(exchange, "SELL", "2", "120", reduce_only=True)
    market(exchange, "SELL", "1")
    assert target.status == "NEW"
    market(exchange, "SELL", "1")
    assert (target.status, target.expiry_reason) == ("EXPIRED", 4)
    assert kinds(events)[-2:] == ["account ORDER", "EXPIRED"]


def test_a_resting_reduce_only_order_fills_with_what_is_left_of_the_position() -> None:
    exchange, _ = scripted_exchange({BTC: [(100, 120, 100, 120)] * 2}, accounts=(RICH,))
    market(exchange, "BUY", "2")
    target = limit(exchange, "SELL", "2", "110", reduce_only=True)
    market(exchange, "SELL", "0.5")
    exchange.advance(START_MS + HOUR_MS)
    assert (target.status, target.executed) == ("EXPIRED", D("1.5"))
    assert exchange.accounts[0].position(BTC).amount == 0


def test_the_sides_of_a_hedge_are_two_positions() -> None:
    hedged = AccountConfig(key="k", balances={"USDT": D(100_000)}, dual_side=True)
    exchange, _ = scripted_exchange({BTC: [*flat(100, 1), *flat(110, 2)]}, accounts=(hedged,))
    account = exchange.accounts[0]
    with pytest.raises(VenueError) as refused:
        market(exchange, "BUY", "1")
    assert refused.value.code == -4061
    market(exchange, "BUY", "2", position_side="LONG")
    market(exchange, "SELL", "1", position_side="SHORT")
    assert (account.position(BTC, "LONG").amount, account.position(BTC, "SHORT").amount) == (2, -1)
    exchange.advance(START_MS + HOUR_MS)
    with pytest.raises(VenueError) as refused:
        market(exchange, "SELL", "3", position_side="LONG")
    assert refused.value.code == -2022
    market(exchange, "SELL", "2", position_side="LONG")
    market(exchange, "BUY", "1", position_side="SHORT")
    assert [fill.realized_pnl for fill in account.fills] == [0, 0, 20, -10]


def test_amending_moves_price_and_quantity_and_asks_for_margin() -> None:
    exchange, events = scripted_exchange({BTC: flat(100, 2)})
    account = exchange.accounts[0]
    order = limit(exchange, "BUY", "1", "90")
    other = limit(exchange, "BUY", "1", "91")

    def amend(quantity: str, price: str) -> Order:
        return exchange.modify(account, BTC, D(quantity), D(price), START_MS, order_id=order.order_id)

    amend("2", "95")
    assert (order.quantity, order.price, order.amendments) == (2, 95, 1)
    assert kinds(events)[-1] == "AMENDMENT"
    assert list(account.open_orders.values()) == [other, order]  # it lost its place
    with pytest.raises(VenueError) as refused:
        amend("2", "95")
    assert refused.value.code == -5027
    with pytest.raises(VenueError) as refused:
        amend("2000", "95")
    assert (refused.value.code, order.quantity) == (-2019, 2)
    amend("2", "101")
    assert (order.status, order.avg_price) == ("FILLED", 100)
    with pytest.raises(VenueError) as refused:
        amend("3", "95")
    assert refused.value.code == -2013


def test_amending_a_post_only_order_across_the_market_cancels_it() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)})
    order = limit(exchange, "BUY", "1", "90", time_in_force="GTX")
    exchange.modify(exchange.accounts[0], BTC, D(1), D(100), START_MS, order_id=order.order_id)
    assert (order.status, order.price) == ("CANCELED", 90)


def test_ids_grow_and_an_open_clients_id_is_taken() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)})
    account = exchange.accounts[0]
    first = limit(exchange, "BUY", "1", "90", client_order_id="mine")
    with pytest.raises(VenueError) as refused:
        limit(exchange, "BUY", "1", "90", client_order_id="mine")
    assert refused.value.code == -4116
    exchange.cancel(account, BTC, START_MS, client_order_id="mine")
    second = limit(exchange, "BUY", "1", "90", client_order_id="mine")
    third = limit(exchange, "BUY", "1", "90")
    assert [order.order_id - first.order_id for order in (second, third)] == [1, 2]
    assert len(third.client_order_id) == 22
    assert exchange.order(account, BTC, client_order_id="mine") is second
    assert exchange.order(account, BTC, first.order_id) is first
    for lookup in ({"order_id": 1}, {"client_order_id": "nobody's"}):
        with pytest.raises(VenueError) as refused:
            exchange.order(account, BTC, **lookup)
        assert refused.value.code == -2013
    with pytest.raises(VenueError) as refused:
        exchange.cancel(account, BTC, START_MS, order_id=first.order_id)
    assert refused.value.code == -2011


def test_two_hundred_open_orders_are_enough() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,))
    for _ in range(200):
        limit(exchange, "BUY", "0.01", "90")
    with pytest.raises(VenueError) as refused:
        limit(exchange, "BUY", "0.01", "90")
    assert refused.value.code == -2025
    assert len(exchange.cancel_all(exchange.accounts[0], BTC, START_MS)) == 200


def test_a_market_order_stays_within_its_bound_of_the_mark_price() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,))
    exchange.state.prices.mark_offset[BTC] = D("-0.06")
    with pytest.raises(VenueError) as refused:
        market(exchange, "BUY", "1")
    assert refused.value.code == -4131
    market(exchange, "SELL", "1")


@pytest.mark.parametrize(
    ("status", "code"),
    [("TRADING_HALT", -1122), ("TRADING_CANCEL_ONLY", -4140), ("SETTLING", -4141), ("PRE_SETTLE", -4140)],
)
def test_a_contract_that_does_not_trade(status: str, code: int) -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,))
    exchange.set_status(BTC, status, START_MS)
    with pytest.raises(VenueError) as refused:
        market(exchange, "BUY", "1")
    assert refused.value.code == code


def test_a_contract_that_is_about_to_close_lets_positions_go() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(RICH,))
    market(exchange, "BUY", "2")
    exchange.set_status(BTC, "PRE_SETTLE", START_MS)
    assert exchange.accounts[0].position(BTC).amount == 2
    with pytest.raises(VenueError) as refused:
        market(exchange, "SELL", "3")
    assert refused.value.code == -4140
    market(exchange, "SELL", "2")
    assert exchange.accounts[0].position(BTC).amount == 0


def test_an_unknown_contract() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)})
    with pytest.raises(VenueError) as refused:
        market(exchange, "BUY", "1", symbol="NOPEUSDT")
    assert refused.value.code == -1121

"""Funding, computed by hand."""

from __future__ import annotations

from decimal import Decimal

from futures_agent.clock import HOUR_MS
from futures_agent.simulator.trading.config import AccountConfig
from trading_orders import market
from trading_worlds import BTC, START_MS, flat, kinds, scripted_exchange

D = Decimal
RISING = [*flat(100, 1), *flat(110, 1), *flat(120, 3)]
# Stamped a few ms after the hour, as the exchange does.
AT_TEN = {BTC: [(START_MS + HOUR_MS + 7, 0.0001)]}


def test_longs_pay_shorts_while_the_rate_is_positive() -> None:
    """−amount · mark price · rate: 2 · 110 · 0.0001, at the price with which the hour opens."""
    for side, change in (("BUY", D("-0.022")), ("SELL", D("0.022"))):
        exchange, events = scripted_exchange({BTC: RISING}, funding=AT_TEN)
        market(exchange, side, "2")
        before = exchange.accounts[0].wallet("USDT")
        exchange.advance(START_MS + HOUR_MS - 1)
        assert exchange.accounts[0].wallet("USDT") == before
        events.clear()
        exchange.advance(START_MS + HOUR_MS)
        assert exchange.accounts[0].wallet("USDT") == before + change
        income = exchange.accounts[0].incomes[-1]
        assert (income.type, income.amount, income.time_ms) == ("FUNDING_FEE", change, START_MS + HOUR_MS)
        assert kinds(events) == ["account FUNDING_FEE"]
        told = events[0]["a"]
        assert (told["P"], told["S"], D(told["B"][0]["bc"])) == ([], BTC, change)
        exchange.advance(START_MS + 4 * HOUR_MS)
        assert exchange.accounts[0].wallet("USDT") == before + change


def test_who_opens_at_the_instant_does_not_pay_it() -> None:
    exchange, _ = scripted_exchange({BTC: RISING}, funding=AT_TEN)
    exchange.advance(START_MS + HOUR_MS)
    market(exchange, "BUY", "2")
    exchange.advance(START_MS + 3 * HOUR_MS)
    assert not [each for each in exchange.accounts[0].incomes if each.type == "FUNDING_FEE"]


def test_isolated_margin_pays_for_itself() -> None:
    account = AccountConfig(key="k", leverage=10, margin_type="ISOLATED")
    exchange, events = scripted_exchange({BTC: RISING}, funding=AT_TEN, accounts=(account,))
    market(exchange, "BUY", "2")
    events.clear()
    exchange.advance(START_MS + HOUR_MS)
    position = exchange.accounts[0].position(BTC)
    assert position.isolated_wallet == 20 - D("0.022")
    told = events[0]["a"]
    assert [(each["s"], each["iw"], each["mt"]) for each in told["P"]] == [(BTC, "19.978", "isolated")]
    assert "S" not in told


def test_instants_within_an_hour_are_settled_at_its_end() -> None:
    payments = {BTC: [(START_MS + HOUR_MS + 1_800_000, 0.0001), (START_MS + 2 * HOUR_MS + 3, -0.0003)]}
    exchange, _ = scripted_exchange({BTC: RISING}, funding=payments)
    market(exchange, "BUY", "1")
    exchange.advance(START_MS + 2 * HOUR_MS)
    paid = [each.amount for each in exchange.accounts[0].incomes if each.type == "FUNDING_FEE"]
    assert paid == [-D("0.012"), D("0.036")]

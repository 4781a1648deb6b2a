"""Positions that are taken away, and what that costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.exchange import Exchange
from trading_orders import algo, limit, market
from trading_worlds import BTC, ETH, START_MS, flat, kinds, scripted_exchange

D = Decimal
FALL = [(100.0, 100.0, 80.0, 80.0), *flat(80, 3)]  # 80 at minute 42, from 100 at minute 18


def account(balance: int, leverage: int, margin_type: str = "CROSSED", **more: Any) -> AccountConfig:
    return AccountConfig(
        key="k", balances={"USDT": D(balance)}, leverage=leverage, margin_type=margin_type, **more
    )


def sums(exchange: Exchange) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for income in exchange.accounts[0].incomes:
        found[income.type] = found.get(income.type, D(0)) + income.amount
    return found


def test_an_isolated_position_is_liquidated_at_its_price() -> None:
    """10 at 100 with 100 set aside: (100 − 1000) / (0.1 − 10) = 90.909…, sold a tick below."""
    exchange, events = scripted_exchange({BTC: FALL}, accounts=(account(1000, 10, "ISOLATED"),))
    market(exchange, "BUY", "10")
    stop = algo(exchange, "STOP_MARKET", "SELL", "75", "10", reduce_only=True)
    events.clear()
    exchange.advance(START_MS + HOUR_MS)
    assert kinds(events) == ["NEW", "CALCULATED", "account ORDER", "account INSURANCE_CLEAR"]
    forced = events[1]["o"]
    assert forced["c"].startswith("autoclose-")
    assert (forced["X"], forced["L"], forced["l"], forced["rp"]) == ("FILLED", "90.9", "10", "-91")
    assert sums(exchange) == {
        "TRANSFER": 1000,
        "REALIZED_PNL": -91,
        "COMMISSION": -D("0.5") - D("0.4545"),  # 0.05 % of 1000 and of 909
        # 1.25 % of 909, less what the margin of 100 could not pay of 91 + 0.4545 + 11.3625.
        "INSURANCE_CLEAR": -D("11.3625") + D("2.817"),
    }
    assert exchange.accounts[0].wallet("USDT") == 1000 - D("0.5") - 100
    fund = exchange.accounts[0].incomes[-1]
    assert (fund.type, fund.symbol, fund.info) == ("INSURANCE_CLEAR", BTC, "INSURANCE_FUND")
    assert exchange.accounts[0].position(BTC).amount == 0
    assert stop.status == "NEW"
    # Down by 9.0909… of 20 in 24 minutes.
    assert exchange.accounts[0].fills[-1].time_ms == START_MS + 18 * MINUTE_MS + 654_546


def test_a_gap_beyond_bankruptcy_costs_no_more_than_the_margin() -> None:
    exchange, _ = scripted_exchange(
        {BTC: [*flat(100, 1), *flat(50, 2)]}, accounts=(account(1000, 10, "ISOLATED"),)
    )
    market(exchange, "BUY", "10")
    exchange.advance(START_MS + HOUR_MS + 1)
    assert sums(exchange)["REALIZED_PNL"] == -100
    assert exchange.accounts[0].fills[-1].price == 90
    assert exchange.accounts[0].wallet("USDT") == 1000 - D("0.5") - 100


def test_an_isolated_margin_that_pays_for_all_needs_no_insurance() -> None:
    """10 at 100 with 100 set aside, by command at 100: 0.5 of fee, 12.5 of clearance."""
    exchange, _ = scripted_exchange({BTC: flat(100, 2)}, accounts=(account(1000, 10, "ISOLATED"),))
    market(exchange, "BUY", "10")
    exchange.liquidate(exchange.accounts[0], BTC, START_MS)
    assert sums(exchange)["INSURANCE_CLEAR"] == -D("12.5")
    assert exchange.accounts[0].wallet("USDT") == 1000 - 1 - D("12.5")


def test_funding_beyond_the_isolated_margin_is_the_insurance_funds() -> None:
    """A margin of 10 pays 30 of funding: the position goes at its entry, and the account has lost 10."""
    exchange, _ = scripted_exchange(
        {BTC: flat(100, 3)},
        funding={BTC: [(START_MS + HOUR_MS, 0.03)]},
        accounts=(account(1000, 100, "ISOLATED"),),
        brackets={"usual": ((D(10_000_000), D(100), D("0.005")),)},
    )
    market(exchange, "BUY", "10")
    exchange.advance(START_MS + HOUR_MS)
    assert exchange.accounts[0].fills[-1].price == 100
    assert sums(exchange)["FUNDING_FEE"] == -30
    assert exchange.accounts[0].wallet("USDT") == 1000 - D("0.5") - 10


def test_a_crossed_loss_leaves_isolated_margin_alone() -> None:
    """ETH keeps its 100 while BTC loses more than the other 900."""
    exchange, _ = scripted_exchange(
        {BTC: [*flat(100, 1), *flat(50, 2)], ETH: flat(10, 3)}, accounts=(account(1000, 10),)
    )
    exchange.set_margin_type(exchange.accounts[0], ETH, "ISOLATED", START_MS)
    market(exchange, "BUY", "100", symbol=ETH)
    market(exchange, "BUY", "50")
    exchange.advance(START_MS + HOUR_MS + 1)
    (left,) = exchange.accounts[0].held()
    assert (left.symbol, left.isolated_wallet) == (ETH, 100)
    assert exchange.accounts[0].wallet("USDT") == 100
    assert exchange.margin(exchange.accounts[0]).cross_wallet == 0


def test_a_short_is_liquidated_above() -> None:
    exchange, _ = scripted_exchange(
        {BTC: [(100, 120, 100, 120), *flat(120, 1)]}, accounts=(account(1000, 10, "ISOLATED"),)
    )
    market(exchange, "SELL", "10")
    exchange.advance(START_MS + HOUR_MS)
    assert exchange.accounts[0].fills[-1].price == D("108.92")  # (100 + 1000) / 10.1 = 108.910891…


def test_crossed_margin_gives_way_together() -> None:
    """Both positions draw on one wallet: the one that falls takes the other with it."""
    exchange, events = scripted_exchange(
        {BTC: FALL, ETH: [*flat(10, 4)]}, accounts=(account(1000, 20),), maker_fee=D(0), taker_fee=D(0)
    )
    market(exchange, "BUY", "100")
    market(exchange, "BUY", "500", symbol=ETH)
    resting = limit(exchange, "BUY", "1", "5", symbol=ETH)
    events.clear()
    exchange.advance(START_MS + HOUR_MS)
    # BTC at (1000 − 50 − 10000) / (1 − 100) = 91.41…; its loss and clearance leave less than ETH needs.
    assert exchange.accounts[0].fills[-2].price == D("91.41")
    assert [fill.symbol for fill in exchange.accounts[0].fills[-2:]] == [BTC, ETH]
    assert (resting.status, resting.expiry_reason) == ("EXPIRED", 5)
    assert not exchange.accounts[0].held()
    # −859 of PnL, −114.2625 of clearance of BTC, −62.5 of ETH: the insurance fund pays what is missing.
    assert exchange.accounts[0].wallet("USDT") == 0
    assert exchange.accounts[0].incomes[-1].amount == D("35.7625")
    assert exchange.accounts[0].incomes[-1].info == "INSURANCE_FUND"
    assert kinds(events)[-1] == "account INSURANCE_CLEAR"


def test_crossed_margin_spares_what_it_still_carries() -> None:
    """BTC goes at (1000 − 0.5 − 6000) / (3 − 60) = 87.728…, and leaves 263.2 − 65.79."""
    brackets = {"usual": ((D(10_000_000), D(20), D("0.05")),)}
    exchange, _ = scripted_exchange(
        {BTC: FALL, ETH: flat(10, 4)},
        accounts=(account(1000, 20),),
        maker_fee=D(0),
        taker_fee=D(0),
        brackets=brackets,
    )
    market(exchange, "BUY", "60")
    market(exchange, "BUY", "1", symbol=ETH)
    exchange.advance(START_MS + HOUR_MS)
    assert exchange.accounts[0].fills[-1].price == D("87.72")
    assert exchange.accounts[0].wallet("USDT") == 1000 - D("736.8") - D("65.79")
    assert [position.symbol for position in exchange.accounts[0].held()] == [ETH]


def test_a_margin_call_warns_once() -> None:
    """At 80 there are 1000 − 2.38 of fee − 952 of loss, of which 38.08 are needed: more than 80 %."""
    exchange, events = scripted_exchange({BTC: FALL}, accounts=(account(1000, 20),))
    market(exchange, "BUY", "47.6")
    exchange.advance(START_MS + HOUR_MS)
    (call,) = (event for event in events if event["e"] == "MARGIN_CALL")
    row = call["p"][0]
    assert (row["s"], row["ps"], row["pa"], row["mt"], row["mm"]) == (BTC, "BOTH", "47.6", "CROSSED", "38.08")


def test_a_margin_call_warns_of_an_isolated_position_once() -> None:
    """10 at 100 with 100 set aside: at 91 there are 10, of which 9.1 are needed."""
    exchange, events = scripted_exchange(
        {BTC: [(100, 100, 91, 91), *flat(91, 1), (91, 100, 91, 100), (100, 100, 91, 91)], ETH: flat(10, 4)},
        accounts=(account(1000, 10, "ISOLATED"),),
    )
    market(exchange, "BUY", "10")
    market(exchange, "BUY", "1", symbol=ETH)
    exchange.advance(START_MS + 2 * HOUR_MS)
    (call,) = (event for event in events if event["e"] == "MARGIN_CALL")
    assert "cw" not in call  # it comes with crossed positions only
    row = {"s": BTC, "ps": "BOTH", "pa": "10", "mt": "ISOLATED", "iw": "100", "mp": "91"}
    (told,) = call["p"]
    assert {name: told[name] for name in row} == row
    assert (told["up"], told["mm"]) == ("-90", "9.1")
    exchange.advance(START_MS + 4 * HOUR_MS)  # it recovers, and becomes thin again
    assert kinds(events).count("MARGIN_CALL") == 2


def test_liquidation_by_command() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 2)})
    public: list[dict[str, Any]] = []
    exchange.subscribe(lambda who, payload: None, public.append)
    with pytest.raises(VenueError) as refused:
        exchange.liquidate(exchange.accounts[0], BTC, START_MS)
    assert refused.value.code == -2024
    market(exchange, "SELL", "2")
    exchange.liquidate(exchange.accounts[0], BTC, START_MS)
    assert exchange.accounts[0].position(BTC).amount == 0
    (order,) = (event["o"] for event in public if event["e"] == "forceOrder")
    assert (order["S"], order["q"], order["p"], order["X"]) == ("BUY", "2", "100", "FILLED")


def test_deleveraging_closes_at_the_mark_price_without_clearance() -> None:
    exchange, events = scripted_exchange({BTC: flat(100, 2)})
    market(exchange, "BUY", "2")
    exchange.deleverage(exchange.accounts[0], BTC, START_MS)
    forced = [event["o"] for event in events if event["e"] == "ORDER_TRADE_UPDATE"][-1]
    assert (forced["c"], forced["x"], forced["X"], forced["L"]) == (
        "adl_autoclose",
        "CALCULATED",
        "NEW_ADL",
        "100",
    )
    assert "INSURANCE_CLEAR" not in sums(exchange)


def test_a_contract_that_settles_ends_all_that_is_open_in_it() -> None:
    exchange, events = scripted_exchange({BTC: flat(100, 2)})
    public: list[dict[str, Any]] = []
    exchange.subscribe(lambda who, payload: None, public.append)
    market(exchange, "BUY", "2")
    resting = limit(exchange, "BUY", "1", "90")
    stop = algo(exchange, "STOP_MARKET", "SELL", "90", "2", reduce_only=True)
    exchange.set_status(BTC, "SETTLING", START_MS)
    assert (resting.status, resting.expiry_reason, stop.status) == ("EXPIRED", 7, "EXPIRED")
    forced = [event["o"] for event in events if event["e"] == "ORDER_TRADE_UPDATE"][-1]
    assert forced["c"].startswith("settlement_autoclose-")
    assert not exchange.accounts[0].held()
    assert [(event["e"], event["cs"]) for event in public] == [("contractInfo", "SETTLING")]
    assert exchange.status(BTC) == "SETTLING"

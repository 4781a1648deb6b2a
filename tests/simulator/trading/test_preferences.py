"""What an account may change about its margin, and when."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.exchange import Exchange
from trading_orders import algo, limit, market
from trading_worlds import BTC, START_MS, flat, kinds, scripted_exchange

D = Decimal
BRACKETS = {"usual": ((D(500), D(20), D("0.01")), (D(5000), D(10), D("0.02")))}


def world(**account: Any) -> tuple[Exchange, list[dict[str, Any]]]:
    config = AccountConfig(key="k", **{"balances": {"USDT": D(1000)}, "leverage": 10, **account})
    return scripted_exchange(
        {BTC: flat(100, 2)}, accounts=(config,), brackets=BRACKETS, maker_fee=D(0), taker_fee=D(0)
    )


def code_of(change: Callable[..., Any], *arguments: Any, **options: Any) -> int:
    with pytest.raises(VenueError) as refused:
        change(*arguments, **options)
    return refused.value.code


def test_leverage_is_bounded_by_the_brackets() -> None:
    exchange, events = world()
    account = exchange.accounts[0]
    assert exchange.set_leverage(account, BTC, 20, START_MS) == 500
    assert exchange.set_leverage(account, BTC, 10, START_MS) == 5000
    assert (account.leverage(BTC), events[-1]["ac"]) == (10, {"s": BTC, "l": 10})
    for leverage in (0, 21):
        assert code_of(exchange.set_leverage, account, BTC, leverage, START_MS) == -4028
    market(exchange, "BUY", "6")
    assert code_of(exchange.set_leverage, account, BTC, 20, START_MS) == -2027
    assert code_of(exchange.set_leverage, account, "NOPEUSDT", 5, START_MS) == -1121


def test_less_leverage_needs_more_margin() -> None:
    exchange, _ = world()
    account = exchange.accounts[0]
    market(exchange, "BUY", "40")
    assert code_of(exchange.set_leverage, account, BTC, 3, START_MS) == -2028
    assert account.leverage(BTC) == 10
    exchange.set_leverage(account, BTC, 4, START_MS)
    assert exchange.margin(account).available == 0


def test_isolated_leverage_may_only_rise_while_there_is_a_position() -> None:
    exchange, _ = world(margin_type="ISOLATED", leverage=5)
    account = exchange.accounts[0]
    market(exchange, "BUY", "1")
    assert code_of(exchange.set_leverage, account, BTC, 4, START_MS) == -4161
    exchange.set_leverage(account, BTC, 10, START_MS)


def test_the_margin_type_changes_while_nothing_is_open() -> None:
    exchange, _ = world()
    account = exchange.accounts[0]
    assert code_of(exchange.set_margin_type, account, BTC, "CROSSED", START_MS) == -4046
    order = limit(exchange, "BUY", "1", "90")
    assert code_of(exchange.set_margin_type, account, BTC, "ISOLATED", START_MS) == -4047
    exchange.cancel(account, BTC, START_MS, order_id=order.order_id)
    market(exchange, "BUY", "1")
    assert code_of(exchange.set_margin_type, account, BTC, "ISOLATED", START_MS) == -4048
    market(exchange, "SELL", "1")
    exchange.set_margin_type(account, BTC, "ISOLATED", START_MS)
    assert account.margin_type(BTC) == "ISOLATED"


def test_the_position_mode_changes_while_nothing_is_open() -> None:
    exchange, _ = world()
    account = exchange.accounts[0]
    assert code_of(exchange.set_position_mode, account, False, START_MS) == -4059
    stop = algo(exchange, "STOP_MARKET", "SELL", "90", "1")
    assert code_of(exchange.set_position_mode, account, True, START_MS) == -4067
    exchange.cancel_algo(account, START_MS, algo_id=stop.algo_id)
    market(exchange, "BUY", "1")
    assert code_of(exchange.set_position_mode, account, True, START_MS) == -4068
    market(exchange, "SELL", "1")
    exchange.set_position_mode(account, True, START_MS)
    market(exchange, "BUY", "1", position_side="LONG")
    assert account.position(BTC, "LONG").amount == 1


def test_isolated_margin_can_be_added_and_what_is_spare_taken_back() -> None:
    exchange, events = world(margin_type="ISOLATED")
    account = exchange.accounts[0]
    assert code_of(exchange.change_position_margin, account, BTC, D(1), START_MS) == -4054
    market(exchange, "BUY", "20")
    position = account.position(BTC)
    before = exchange.position_margin(account, position).liquidation_price
    exchange.change_position_margin(account, BTC, D(300), START_MS)
    assert (position.isolated_wallet, account.wallet("USDT")) == (500, 1000)
    assert exchange.margin(account).available == 500
    assert exchange.position_margin(account, position).liquidation_price < before
    assert kinds(events)[-1] == "account MARGIN_TRANSFER"
    assert code_of(exchange.change_position_margin, account, BTC, D(0), START_MS) == -4055
    assert code_of(exchange.change_position_margin, account, BTC, D(501), START_MS) == -4050
    assert code_of(exchange.change_position_margin, account, BTC, D(-301), START_MS) == -4051
    exchange.change_position_margin(account, BTC, D(-300), START_MS)
    assert position.isolated_wallet == 200


def test_transfers_move_what_is_free() -> None:
    exchange, events = world()
    account = exchange.accounts[0]
    market(exchange, "BUY", "40")
    assert code_of(exchange.transfer, account, "USDT", D("-600.01"), START_MS) == -2018
    exchange.transfer(account, "USDT", D(-600), START_MS)
    exchange.transfer(account, "USDT", D("12.5"), START_MS)
    assert account.wallet("USDT") == D("412.5")
    told = [event["a"] for event in events if event["e"] == "ACCOUNT_UPDATE"][-2:]
    assert [(each["m"], each["B"][0]["bc"]) for each in told] == [("WITHDRAW", "-600"), ("DEPOSIT", "12.5")]
    exchange.transfer(account, "USDC", D(7), START_MS)
    assert exchange.ledger.balances()[1, "USDC"]["wallet"] == account.wallet("USDC") == 7


@pytest.mark.parametrize("dual_side", [False, True])
def test_a_change_of_the_margin_type_is_told(dual_side: bool) -> None:
    exchange, events = world(dual_side=dual_side)
    exchange.set_margin_type(exchange.accounts[0], BTC, "ISOLATED", START_MS)
    assert kinds(events) == ["account MARGIN_TYPE_CHANGE"]
    told = events[0]["a"]
    assert told["B"] == []  # no balance has changed
    sides = ["LONG", "SHORT"] if dual_side else ["BOTH"]
    assert [(row["s"], row["ps"], row["pa"], row["mt"]) for row in told["P"]] == [
        (BTC, side, "0", "isolated") for side in sides
    ]

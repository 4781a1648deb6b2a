from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from futures_agent.exchange.orders import FillSeen, OrderSeen, PositionSeen, StopSeen, WalletSeen
from futures_agent.exchange.streams.user_events import Unreadable, called_symbols, read_event, seen_in

# As the exchange documents them, and as some were seen.
TRADE = """{"e":"ORDER_TRADE_UPDATE","E":1568879465651,"T":1568879465650,"o":{"s":"BTCUSDT","c":"client id",
"S":"SELL","o":"MARKET","f":"GTC","q":"0.001","p":"0","ap":"7100.50","sp":"0","x":"TRADE","X":"FILLED","i":8886774,
"l":"0.001","z":"0.001","L":"7100.50","N":"USDT","n":"0.00284","T":1568879465650,"t":12345678,"b":"0","a":"0",
"m":false,"R":true,"wt":"CONTRACT_PRICE","ot":"STOP_MARKET","ps":"BOTH","cp":false,"pP":false,"si":0,"ss":0,
"rp":"12.34","V":"EXPIRE_MAKER","pm":"NONE","gtd":0,"er":"0"}}"""
ALGO = """{"e":"ALGO_UPDATE","T":1765431097030,"E":1765431097031,"o":{"caid":"mine","aid":1000000033225453,
"at":"CONDITIONAL","o":"STOP_MARKET","s":"DOGEUSDT","S":"BUY","ps":"BOTH","f":"GTC","q":"38","X":"TRIGGERED",
"ai":"88937381063","ap":"0","aq":"0","act":"MARKET","tp":"0.13855","p":"0","V":"EXPIRE_MAKER",
"wt":"CONTRACT_PRICE","pm":"NONE","cp":false,"pP":false,"R":false,"tt":1765431097019,"gtd":0,"ia":false}}"""
ACCOUNT = """{"e":"ACCOUNT_UPDATE","E":1564745798939,"T":1564745798938,"a":{"m":"ORDER",
"B":[{"a":"USDT","wb":"122624.12","cw":"100.12","bc":"0"}],"P":[{"s":"BTCUSDT","pa":"-0.001","ep":"7100.5",
"bep":"7103.3","cr":"200","up":"0","mt":"cross","iw":"0","ps":"BOTH"}]}}"""


def changed(text: str, **details: Any) -> str:
    event = json.loads(text)
    event["o"].update(details)
    return json.dumps(event)


def test_a_fill_and_then_the_order_that_it_completes() -> None:
    fill, order = seen_in(read_event(TRADE))
    assert fill == FillSeen(
        symbol="BTCUSDT",
        client_id="client id",
        order_id=8886774,
        trade_id=12345678,
        side=-1,
        price=Decimal("7100.50"),
        quantity=Decimal("0.001"),
        fee=Decimal("0.00284"),
        fee_asset="USDT",
        realized_pnl=Decimal("12.34"),
        maker=False,
        time_ms=1568879465650,
    )
    assert order == OrderSeen(
        symbol="BTCUSDT",
        client_id="client id",
        order_id=8886774,
        side=-1,
        type="MARKET",
        status="FILLED",
        quantity=Decimal("0.001"),
        executed=Decimal("0.001"),
        avg_price=Decimal("7100.50"),
        price=Decimal(0),
        reduce_only=True,
        updated_ms=1568879465650,
    )


@pytest.mark.parametrize("execution", ["NEW", "CANCELED", "EXPIRED", "AMENDMENT", "SOMETHING_NEW"])
def test_what_is_no_trade_is_no_fill(execution: str) -> None:
    (order,) = seen_in(read_event(changed(TRADE, x=execution, X=execution, t=0, l="0")))
    assert isinstance(order, OrderSeen)
    assert order.status == execution


def test_a_liquidation_of_the_systems_own_with_nulls() -> None:
    details = {"c": "autoclose-1", "x": "CALCULATED", "X": "NEW_INSURANCE", "n": None, "N": None, "rp": None}
    fill, order = seen_in(read_event(changed(TRADE, **details, o=None, p=None)))
    assert isinstance(fill, FillSeen)
    assert isinstance(order, OrderSeen)
    assert (fill.client_id, fill.fee, fill.fee_asset, fill.quantity) == (
        "autoclose-1",
        0,
        "",
        Decimal("0.001"),
    )
    assert (order.status, order.type, order.price) == ("NEW_INSURANCE", "", 0)


def test_a_conditional_order() -> None:
    (seen,) = seen_in(read_event(ALGO))
    assert seen == StopSeen(
        symbol="DOGEUSDT",
        client_id="mine",
        algo_id=1000000033225453,
        order_id=88937381063,
        side=1,
        type="STOP_MARKET",
        status="TRIGGERED",
        trigger_price=Decimal("0.13855"),
        quantity=Decimal(38),
        close_position=False,
        reduce_only=False,
        updated_ms=1765431097030,
    )
    (rejected,) = seen_in(read_event(changed(ALGO, X="REJECTED", ai="", rm="Margin is insufficient.")))
    assert isinstance(rejected, StopSeen)
    assert (rejected.order_id, rejected.reason, rejected.is_open) == (0, "Margin is insufficient.", False)


def test_wallet_and_position() -> None:
    assert seen_in(read_event(ACCOUNT)) == [
        WalletSeen(asset="USDT", balance=Decimal("122624.12"), time_ms=1564745798938),
        PositionSeen(
            symbol="BTCUSDT",
            amount=Decimal("-0.001"),
            entry_price=Decimal("7100.5"),
            updated_ms=1564745798938,
        ),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"result":null,"id":1}',
        '{"e":"TRADE_LITE","E":1,"T":1,"s":"BTCUSDT","a":"not an account"}',
        '{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ac":{"s":"BTCUSDT","l":25}}',
        '{"e":"NEWS","E":1,"o":[1,2],"p":7}',
    ],
)
def test_everything_else_is_nothing_to_see(text: str) -> None:
    assert seen_in(read_event(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[1]",
        changed(TRADE, z=None),
        changed(TRADE, S="NEITHER"),
        changed(TRADE, L="NaN"),
        changed(ALGO, aid=None),
        '{"e":"ACCOUNT_UPDATE","E":1,"T":1,"a":{"B":[{"a":"USDT","wb":"Infinity"}]}}',
        '{"e":"ACCOUNT_UPDATE","E":1,"T":1,"a":{"P":[{"s":"BTCUSDT"}]}}',
    ],
)
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(Unreadable):
        seen_in(read_event(text))


def test_a_margin_call_names_its_symbols() -> None:
    call = '{"e":"MARGIN_CALL","E":1,"cw":"3","p":[{"s":"ETHUSDT","ps":"BOTH","pa":"1"},{"s":"BTCUSDT"}]}'
    assert called_symbols(read_event(call)) == ["ETHUSDT", "BTCUSDT"]
    assert called_symbols(read_event('{"e":"MARGIN_CALL","E":1,"p":"news"}')) == []

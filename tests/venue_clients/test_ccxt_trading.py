"""ccxt trades."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from futures_agent.simulator.server import RunningSimulator
from venue_client import ClientProcess

Ask = Callable[..., Any]
BITCOIN, ETHER = "BTC/USDT:USDT", "ETH/USDT:USDT"


@pytest.fixture
def away(venue: RunningSimulator) -> Callable[[float], float]:
    """Return `away(share)`: a price so far from the last one."""
    return lambda share: round(share * float(venue.venue.exchange.last_price("BTCUSDT")))


def test_a_position_from_its_entry_to_its_exit(ccxt: Ask) -> None:
    before = ccxt("fetch_balance")["USDT"]["total"]
    bought = ccxt("create_order", BITCOIN, "market", "buy", 0.02)
    assert (bought["status"], bought["filled"]) == ("closed", 0.02)
    (position,) = ccxt("fetch_positions", [BITCOIN])
    assert (position["side"], position["contracts"]) == ("long", 0.02)
    ccxt("create_order", BITCOIN, "market", "sell", 0.02, params={"reduceOnly": True})
    assert ccxt("fetch_positions", [BITCOIN]) == []
    trades = ccxt("fetch_my_trades", BITCOIN)
    assert [trade["side"] for trade in trades] == ["buy", "sell"]
    fees = sum(trade["fee"]["cost"] for trade in trades)
    gained = sum(float(trade["info"]["realizedPnl"]) for trade in trades)
    assert ccxt("fetch_balance")["USDT"]["total"] == pytest.approx(before + gained - fees)


def test_an_order_that_waits(ccxt: Ask, away: Callable[[float], float]) -> None:
    placed = ccxt("create_order", BITCOIN, "limit", "buy", 0.01, away(0.97))
    assert placed["status"] == "open"
    assert [order["id"] for order in ccxt("fetch_open_orders", BITCOIN)] == [placed["id"]]
    changed = ccxt("edit_order", placed["id"], BITCOIN, "limit", "buy", 0.02, away(0.96))
    assert changed["amount"] == 0.02
    assert ccxt("cancel_order", placed["id"], BITCOIN)["status"] == "canceled"
    assert ccxt("fetch_order", placed["id"], BITCOIN)["status"] == "canceled"
    assert ccxt("fetch_open_orders", BITCOIN) == []


def test_a_stop_is_routed_to_the_conditional_orders(ccxt: Ask, away: Callable[[float], float]) -> None:
    stop = {"stopLossPrice": away(0.9), "reduceOnly": True}
    placed = ccxt("create_order", BITCOIN, "market", "sell", 0.02, params=stop)
    assert ccxt("fetch_open_orders", BITCOIN) == []
    (waiting,) = ccxt("fetch_open_orders", BITCOIN, params={"trigger": True})
    assert (waiting["id"], waiting["triggerPrice"]) == (placed["id"], away(0.9))
    ccxt("cancel_order", placed["id"], BITCOIN, params={"trigger": True})
    assert ccxt("fetch_open_orders", BITCOIN, params={"trigger": True}) == []


def test_terms(ccxt: Ask) -> None:
    assert ccxt("set_leverage", 7, BITCOIN)["leverage"] == 7
    assert ccxt("fetch_leverages", [BITCOIN])[BITCOIN]["longLeverage"] == 7
    ccxt("set_margin_mode", "isolated", ETHER)
    assert ccxt("fetch_margin_modes", [ETHER])[ETHER]["marginMode"] == "isolated"
    assert ccxt("fetch_leverage_tiers", [BITCOIN])[BITCOIN][0]["maxLeverage"] >= 50
    assert ccxt("fetch_trading_fee", BITCOIN)["taker"] == 0.0005
    assert ccxt("fetch_position_mode", BITCOIN)["hedged"] is False


@pytest.mark.parametrize(
    "call",
    [
        "fetch_ticker",
        "fetch_order_book",
        "fetch_funding_rate",
        "fetch_open_interest",
        "fetch_funding_history",
    ],
)
def test_what_else_is_read_of_a_contract(call: str, ccxt: Ask) -> None:
    ccxt(call, BITCOIN)


def test_incomes(ccxt: Ask) -> None:
    assert ccxt("fetch_ledger", "USDT")[0]["type"] == "transfer"


def test_a_refusal_is_raised_with_its_code(ccxt_process: ClientProcess) -> None:
    answer = ccxt_process.ask({"call": "create_order", "with": [BITCOIN, "market", "buy", 30]})
    # Away from its own hosts ccxt maps few codes to exceptions; the text holds them.
    assert answer["error"] == "ExchangeError"
    assert '"code":-2019' in answer["text"]

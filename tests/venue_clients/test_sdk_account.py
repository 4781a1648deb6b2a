"""The exchange's own Python client manages an account; every answer fits its models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from futures_agent.simulator.server import RunningSimulator

Ask = Callable[..., Any]
BTC, ETH = {"symbol": "BTCUSDT"}, {"symbol": "ETHUSDT"}


@pytest.fixture
def long(sdk: Ask) -> Iterator[None]:
    """Hold 0.02 BTC for the time of a test."""
    sdk("new_order", **BTC, side="BUY", type="MARKET", quantity="0.02")
    yield
    sdk("new_order", **BTC, side="SELL", type="MARKET", quantity="0.02", reduce_only="true")


@pytest.mark.usefixtures("long")
def test_the_account_with_a_position(sdk: Ask) -> None:
    for version in ("v2", "v3"):
        account = sdk(f"account_information_{version}")
        equity = Decimal(account["totalWalletBalance"]) + Decimal(account["totalUnrealizedProfit"])
        assert Decimal(account["totalMarginBalance"]) == equity
        (held,) = (each for each in account["positions"] if Decimal(each["positionAmt"]))
        assert (held["symbol"], Decimal(held["positionAmt"])) == ("BTCUSDT", Decimal("0.02"))
        (balance,) = (each for each in sdk(f"futures_account_balance_{version}") if each["asset"] == "USDT")
        assert balance["balance"] == account["assets"][0]["walletBalance"]
        (risk,) = (
            each for each in sdk(f"position_information_{version}", **BTC) if Decimal(each["positionAmt"])
        )
        assert Decimal(risk["entryPrice"]) > 0
        assert abs(Decimal(risk["notional"])) == pytest.approx(
            Decimal("0.02") * Decimal(risk["markPrice"]), abs=Decimal("0.01")
        )


def test_trades_and_incomes_of_a_round_trip(sdk: Ask) -> None:
    bought = sdk("new_order", **ETH, side="BUY", type="MARKET", quantity="0.2")["orderId"]
    sold = sdk("new_order", **ETH, side="SELL", type="MARKET", quantity="0.2")["orderId"]
    trades = [each for each in sdk("account_trade_list", **ETH) if each["orderId"] in (bought, sold)]
    assert [each["side"] for each in trades] == ["BUY", "SELL"]
    incomes = sdk("get_income_history", **ETH)
    paid = [Decimal(each["income"]) for each in incomes if each["incomeType"] == "COMMISSION"]
    assert paid == [-Decimal(each["commission"]) for each in trades]
    gained = [Decimal(each["income"]) for each in incomes if each["incomeType"] == "REALIZED_PNL"]
    assert gained == [Decimal(each["realizedPnl"]) for each in trades if Decimal(each["realizedPnl"])]


def test_leverage_and_what_it_allows(sdk: Ask) -> None:
    changed = sdk("change_initial_leverage", **BTC, leverage=10)
    (config,) = sdk("symbol_configuration", **BTC)
    assert (changed["leverage"], config["leverage"]) == (10, 10)
    assert changed["maxNotionalValue"] == config["maxNotionalValue"]
    (table,) = sdk("notional_and_leverage_brackets", **BTC)
    caps = [each["notionalCap"] for each in table["brackets"] if each["initialLeverage"] >= 10]
    assert float(config["maxNotionalValue"]) == max(caps)
    assert {each["symbol"] for each in sdk("notional_and_leverage_brackets")} >= {"BTCUSDT", "ETHUSDT"}


def test_isolated_margin(sdk: Ask, venue: RunningSimulator) -> None:
    assert sdk("change_margin_type", **ETH, margin_type="ISOLATED")["code"] == 200
    sdk("new_order", **ETH, side="BUY", type="MARKET", quantity="0.2")
    (before,) = sdk("position_information_v3", **ETH)
    assert sdk("modify_isolated_position_margin", **ETH, amount="25", type="1")["code"] == 200
    (after,) = sdk("position_information_v3", **ETH)
    assert Decimal(after["isolatedWallet"]) - Decimal(before["isolatedWallet"]) == 25
    sdk("new_order", **ETH, side="SELL", type="MARKET", quantity="0.2")
    assert sdk("change_margin_type", **ETH, margin_type="CROSSED")["code"] == 200


def test_position_mode(sdk: Ask) -> None:
    for hedge in (True, False):
        assert sdk("change_position_mode", dual_side_position=str(hedge).lower())["code"] == 200
        assert sdk("get_current_position_mode")["dualSidePosition"] is hedge
        assert sdk("futures_account_configuration")["dualSidePosition"] is hedge


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("user_commission_rate", BTC),
        ("get_current_multi_assets_mode", {}),
        ("position_adl_quantile_estimation", {}),
        ("users_force_orders", {}),
        ("futures_trading_quantitative_rules_indicators", {}),
        ("get_bnb_burn_status", {}),
        ("query_user_rate_limit", {}),
    ],
)
@pytest.mark.usefixtures("long")
def test_what_else_an_account_can_ask(call: str, arguments: dict[str, str], sdk: Ask) -> None:
    sdk(call, **arguments)


def test_the_life_of_a_listen_key(sdk: Ask) -> None:
    key = sdk("start_user_data_stream")["listenKey"]
    assert len(key) == 64
    assert sdk("start_user_data_stream")["listenKey"] == key
    assert sdk("keepalive_user_data_stream")["listenKey"] == key
    sdk("close_user_data_stream")
    assert sdk("start_user_data_stream")["listenKey"] != key


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("mark_price", BTC),
        ("mark_price", {}),
        ("symbol_order_book_ticker", BTC),
        ("symbol_order_book_ticker", {}),
        ("symbol_price_ticker", BTC),
        ("symbol_price_ticker_v2", BTC),
        ("ticker24hr_price_change_statistics", BTC),
        ("order_book", BTC),
        ("open_interest", BTC),
    ],
)
def test_prices(call: str, arguments: dict[str, str], sdk: Ask) -> None:
    assert sdk(call, **arguments)

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from signed_client import Floor, SignedClient, trading_floor

TOTALS = (
    "totalInitialMargin totalMaintMargin totalWalletBalance totalUnrealizedProfit totalMarginBalance "
    "totalPositionInitialMargin totalOpenOrderInitialMargin totalCrossWalletBalance totalCrossUnPnl "
    "availableBalance maxWithdrawAmount"
).split()
ASSET = (
    "asset walletBalance unrealizedProfit marginBalance maintMargin initialMargin positionInitialMargin "
    "openOrderInitialMargin crossWalletBalance crossUnPnl availableBalance maxWithdrawAmount marginAvailable "
    "updateTime"
).split()
POSITION = (
    "symbol positionSide positionAmt unrealizedProfit isolatedMargin notional isolatedWallet initialMargin "
    "maintMargin updateTime"
).split()
RISK = (
    "symbol positionSide positionAmt entryPrice breakEvenPrice markPrice unRealizedProfit liquidationPrice "
    "isolatedMargin notional marginAsset isolatedWallet initialMargin maintMargin positionInitialMargin "
    "openOrderInitialMargin adl bidNotional askNotional updateTime"
).split()
TRADE = (
    "buyer commission commissionAsset id maker orderId price qty quoteQty baseQty marginAsset realizedPnl "
    "side positionSide symbol pair time"
).split()


def numbers(row: dict[str, Any], *names: str) -> list[Decimal]:
    return [Decimal(row[name]) for name in names]


def test_an_account_nobody_used(client: SignedClient) -> None:
    account = client.ask("GET", "/fapi/v3/account")
    assert list(account) == [*TOTALS, "assets", "positions"]
    assert list(account["assets"][0]) == ASSET
    assert account["positions"] == []
    assert numbers(account, "totalWalletBalance", "availableBalance") == [5000, 5000]
    (balance,) = client.ask("GET", "/fapi/v3/balance")
    assert numbers(balance, "balance", "crossWalletBalance", "maxWithdrawAmount") == [5000] * 3
    assert (balance["asset"], balance["marginAvailable"]) == ("USDT", True)
    assert client.ask("GET", "/fapi/v3/positionRisk") == []
    assert client.ask("GET", "/fapi/v2/balance") == [balance]


def test_margins_of_a_position_and_an_order(client: SignedClient) -> None:
    exchange = client.simulator.venue.exchange
    client.ask("POST", "leverage", symbol="BTCUSDT", leverage=10)
    client.market("SELL", "0.01")
    mark, fill = exchange.mark_price("BTCUSDT"), client.account.fills[-1]
    ask = (mark * Decimal("1.04")).quantize(Decimal("0.1"))
    client.limit("SELL", "0.02", ask)
    client.limit("BUY", "1", "2900", "ETHUSDT")
    (bitcoin, ether) = client.ask("GET", "/fapi/v3/positionRisk")
    assert sorted(bitcoin) == sorted(ether) == sorted(RISK)
    pnl = (fill.price - mark) / 100
    assert numbers(bitcoin, "positionAmt", "entryPrice", "markPrice") == [Decimal("-0.01"), fill.price, mark]
    assert numbers(bitcoin, "unRealizedProfit", "notional") == [pnl, -mark / 100]
    assert numbers(bitcoin, "positionInitialMargin", "openOrderInitialMargin") == [mark / 1000, ask / 500]
    assert numbers(bitcoin, "initialMargin", "maintMargin") == [
        mark / 1000 + ask / 500,
        mark / 100 * Decimal("0.004"),
    ]
    assert numbers(ether, "positionAmt", "openOrderInitialMargin") == [0, 145]
    assert bitcoin["positionSide"] == "BOTH"
    account = client.ask("GET", "/fapi/v3/account")
    wallet = 5000 - fill.fee
    assert numbers(account, "totalWalletBalance", "totalUnrealizedProfit", "totalMarginBalance") == [
        wallet,
        pnl,
        wallet + pnl,
    ]
    margins = mark / 1000 + ask / 500 + 145
    assert numbers(account, "totalInitialMargin", "availableBalance") == [margins, wallet + pnl - margins]
    assert [sorted(position) for position in account["positions"]] == [sorted(POSITION)] * 2


def test_version_two_lists_every_contract(client: SignedClient) -> None:
    client.market("BUY", "0.01")
    account = client.ask("GET", "/fapi/v2/account")
    assert account["canTrade"] is True
    assert len(account["positions"]) == len(client.simulator.market.listings)
    assert {position["leverage"] for position in account["positions"]} == {"20"}
    risks = client.ask("GET", "/fapi/v2/positionRisk")
    assert [risk["symbol"] for risk in risks] == list(client.simulator.market.listings)
    (bitcoin,) = client.ask("GET", "/fapi/v2/positionRisk", symbol="BTCUSDT")
    assert (bitcoin["leverage"], bitcoin["marginType"], bitcoin["positionAmt"]) == ("20", "cross", "0.01")


def test_hedge_mode_shows_two_sides(client: SignedClient) -> None:
    assert client.ask("GET", "positionSide/dual") == {"dualSidePosition": False}
    assert client.ask("POST", "positionSide/dual", dualSidePosition="true") == {"code": 200, "msg": "success"}
    assert client.ask("GET", "positionSide/dual") == {"dualSidePosition": True}
    client.market("BUY", "0.02", positionSide="LONG")
    client.market("SELL", "0.01", positionSide="SHORT")
    rows = client.ask("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")
    assert [(row["positionSide"], row["positionAmt"]) for row in rows] == [
        ("LONG", "0.02"),
        ("SHORT", "-0.01"),
    ]
    client.market("SELL", "0.02", positionSide="LONG")
    rows = client.ask("GET", "/fapi/v3/positionRisk")
    assert [row["positionSide"] for row in rows] == ["SHORT"]


def test_terms(client: SignedClient) -> None:
    leverage = client.ask("POST", "leverage", symbol="ETHUSDT", leverage=7)
    assert (leverage["leverage"], leverage["symbol"]) == (7, "ETHUSDT")
    assert client.ask("POST", "marginType", symbol="ETHUSDT", marginType="ISOLATED")["code"] == 200
    (terms,) = client.ask("GET", "symbolConfig", symbol="ETHUSDT")
    assert terms == {
        "symbol": "ETHUSDT",
        "marginType": "ISOLATED",
        "isAutoAddMargin": False,
        "leverage": 7,
        "maxNotionalValue": leverage["maxNotionalValue"],
    }
    assert len(client.ask("GET", "symbolConfig")) == len(client.simulator.market.listings)
    config = client.ask("GET", "accountConfig")
    assert config["multiAssetsMargin"] is config["canWithdraw"] is config["dualSidePosition"] is False
    assert client.ask("GET", "multiAssetsMargin") == {"multiAssetsMargin": False}
    assert client.ask("GET", "feeBurn") == {"feeBurn": False}
    assert client.ask("POST", "feeBurn", feeBurn="false")["code"] == 200


def test_isolated_margin_can_be_changed(client: SignedClient) -> None:
    client.ask("POST", "marginType", symbol="BTCUSDT", marginType="ISOLATED")
    client.market("BUY", "0.01")
    before = client.account.position("BTCUSDT").isolated_wallet
    changed = client.ask("POST", "positionMargin", symbol="BTCUSDT", amount="25.5", type=1)
    assert changed == {
        "amount": 25.5,
        "code": 200,
        "msg": "Successfully modify position margin.",
        "type": 1,
    }
    (risk,) = client.ask("GET", "/fapi/v3/positionRisk")
    assert Decimal(risk["isolatedWallet"]) == before + Decimal("25.5")
    client.ask("POST", "positionMargin", symbol="BTCUSDT", amount="20", type=2)
    assert client.account.position("BTCUSDT").isolated_wallet == before + Decimal("5.5")


def test_brackets_are_numbers(client: SignedClient) -> None:
    (bitcoin,) = client.ask("GET", "leverageBracket", symbol="BTCUSDT")
    assert bitcoin["brackets"][0] == {
        "bracket": 1,
        "initialLeverage": 125,
        "notionalCap": 300_000,
        "notionalFloor": 0,
        "maintMarginRatio": 0.004,
        "cum": 0.0,
    }
    assert bitcoin["brackets"][1]["cum"] == 300.0
    assert len(client.ask("GET", "leverageBracket")) == len(client.simulator.market.listings)


def test_rates_and_limits(client: SignedClient) -> None:
    assert client.ask("GET", "commissionRate", symbol="BTCUSDT") == {
        "symbol": "BTCUSDT",
        "makerCommissionRate": "0.0002",
        "takerCommissionRate": "0.0005",
        "rpiCommissionRate": "0.00005",
    }
    assert client.ask("GET", "rateLimit/order") == [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    ]
    assert client.ask("GET", "apiTradingStatus")["indicators"] == {}


def test_trades_and_income_tell_the_same_money(client: SignedClient) -> None:
    first = client.market("BUY", "0.02")
    second = client.market("SELL", "0.01")
    trades = client.ask("GET", "userTrades", symbol="BTCUSDT")
    assert [list(trade) for trade in trades] == [TRADE, TRADE]
    assert [(trade["orderId"], trade["side"], trade["buyer"]) for trade in trades] == [
        (first["orderId"], "BUY", True),
        (second["orderId"], "SELL", False),
    ]
    assert client.ask("GET", "userTrades", symbol="BTCUSDT", orderId=second["orderId"]) == trades[1:]
    assert client.ask("GET", "userTrades", symbol="BTCUSDT", fromId=trades[1]["id"]) == trades[1:]
    assert client.ask("GET", "userTrades", symbol="BTCUSDT", limit=1) == trades[1:]
    rows = client.ask("GET", "income")
    assert [row["incomeType"] for row in rows] == [
        *("TRANSFER", "COMMISSION", "REALIZED_PNL", "COMMISSION"),
    ]
    assert sum(Decimal(row["income"]) for row in rows) == client.account.wallet("USDT")
    fees = client.ask("GET", "income", symbol="BTCUSDT", incomeType="COMMISSION")
    assert [Decimal(row["income"]) for row in fees] == [-Decimal(trade["commission"]) for trade in trades]
    assert [row["tradeId"] for row in fees] == [str(trade["id"]) for trade in trades]
    assert Decimal(rows[2]["income"]) == Decimal(trades[1]["realizedPnl"]) < 0
    assert len({row["tranId"] for row in rows}) == 4
    assert client.ask("GET", "income", symbol="ETHUSDT") == []


def test_history_is_told_in_windows() -> None:
    with trading_floor() as floor:
        client, clock = floor.client(), floor.simulator.clock
        client.market("BUY", "0.01")
        client.market("SELL", "0.01")
        floor.step(8 * DAY_MS)
        assert client.ask("GET", "userTrades", symbol="BTCUSDT") == []
        start_ms = clock.now_ms() - 8 * DAY_MS - MINUTE_MS
        assert len(client.ask("GET", "userTrades", symbol="BTCUSDT", startTime=start_ms)) == 2
        assert client.ask("GET", "income", incomeType="COMMISSION") == []
        assert len(client.ask("GET", "income", startTime=start_ms, incomeType="COMMISSION")) == 2
        months = {"startTime": clock.now_ms() - 80 * DAY_MS, "endTime": clock.now_ms()}
        assert len(client.ask("GET", "income", incomeType="COMMISSION", **months)) == 2
        assert client.refused("GET", "userTrades", symbol="BTCUSDT", **months)[0] == -4165
        floor.step(90 * DAY_MS)
        assert client.ask("GET", "userTrades", symbol="BTCUSDT", startTime=start_ms) == []
        assert client.ask("GET", "userTrades", symbol="BTCUSDT", fromId=0) == []


def test_forced_orders(client: SignedClient) -> None:
    venue = client.simulator.venue
    client.market("BUY", "0.01")
    client.market("BUY", "1", "ETHUSDT")
    with venue.lock:
        venue.exchange.liquidate(client.account, "BTCUSDT", venue.clock.now_ms())
        venue.exchange.deleverage(client.account, "ETHUSDT", venue.clock.now_ms())
    liquidated, deleveraged = client.ask("GET", "forceOrders")
    assert liquidated["clientOrderId"].startswith("autoclose-")
    assert deleveraged["clientOrderId"].startswith("adl_autoclose")
    assert liquidated["status"] == "FILLED"
    assert client.ask("GET", "forceOrders", autoCloseType="ADL") == [deleveraged]
    assert client.ask("GET", "forceOrders", symbol="BTCUSDT") == [liquidated]
    assert client.ask("GET", "forceOrders", endTime=venue.clock.now_ms() - 1) == []
    assert client.refused("GET", "forceOrders", limit=101)[0] == -1130


def test_profit_moves_a_position_to_the_front_of_the_queue(client: SignedClient) -> None:
    assert client.ask("GET", "adlQuantile") == []
    client.market("BUY", "0.01")
    assert client.ask("GET", "adlQuantile") == [{"symbol": "BTCUSDT", "adlQuantile": {"BOTH": 0}}]
    position = client.account.position("BTCUSDT")
    position.entry_price *= Decimal("0.8")
    (row,) = client.ask("GET", "adlQuantile", symbol="BTCUSDT")
    assert row["adlQuantile"]["BOTH"] == 4


class TestListenKey:
    def send(self, client: SignedClient, method: str) -> Any:
        return client.raw(method, "listenKey").json()

    def test_one_key_per_account(self, client: SignedClient) -> None:
        key = self.send(client, "POST")["listenKey"]
        assert len(key) == 64
        assert self.send(client, "POST") == self.send(client, "PUT") == {"listenKey": key}
        assert self.send(client, "DELETE") == {}
        assert self.send(client, "PUT") == {"code": -1125, "msg": "This listenKey does not exist."}
        assert self.send(client, "POST")["listenKey"] != key

    def test_it_is_good_for_an_hour(self) -> None:
        with trading_floor() as floor:
            client, clock = floor.client(), floor.simulator.clock
            key = self.send(client, "POST")["listenKey"]
            clock.step(HOUR_MS - 1)
            assert self.send(client, "PUT")["listenKey"] == key
            clock.step(HOUR_MS - 1)
            assert self.send(client, "PUT")["listenKey"] == key
            clock.step(HOUR_MS)
            assert self.send(client, "PUT")["code"] == -1125


def test_weights(floor: Floor) -> None:
    client = floor.client()

    def costs(method: str, path: str, **params: Any) -> int:
        before = int(client.send("GET", "openOrder").headers["X-MBX-USED-WEIGHT-1M"])
        return int(client.send(method, path, **params).headers["X-MBX-USED-WEIGHT-1M"]) - before

    for path in ("account", "balance", "positionRisk"):
        assert costs("GET", f"/fapi/v3/{path}") == costs("GET", f"/fapi/v2/{path}") == 5
    weights = {
        5: "accountConfig symbolConfig userTrades adlQuantile",
        1: "leverageBracket rateLimit/order",
        20: "commissionRate",
        30: "income positionSide/dual multiAssetsMargin feeBurn",
        10: "apiTradingStatus",
        50: "forceOrders",
    }
    for weight, paths in weights.items():
        assert {path: costs("GET", path) for path in paths.split()} == dict.fromkeys(paths.split(), weight)
    for path in ("leverage", "marginType", "positionSide/dual", "positionMargin", "listenKey"):
        assert costs("POST", path) == 1
    assert costs("GET", "forceOrders", autoCloseType="ADL") == 20
    assert costs("GET", "apiTradingStatus", symbol="BTCUSDT") == 1


@pytest.mark.parametrize("path", ["account", "balance", "positionRisk"])
def test_every_asset_has_its_own_margin(client: SignedClient, path: str) -> None:
    """What is held in dollars of one kind is no margin for contracts of another."""
    venue = client.simulator.venue
    with venue.lock:
        venue.exchange.transfer(client.account, "USDC", Decimal(7), venue.clock.now_ms())
    told = client.ask("GET", f"/fapi/v3/{path}")
    if path == "balance":
        assert [Decimal(row["balance"]) for row in told] == [5000, 7]
    elif path == "account":
        assert Decimal(told["totalWalletBalance"]) == 5000
        assert [asset["asset"] for asset in told["assets"]] == ["USDT", "USDC"]
    else:
        assert told == []

"""What befalls orders, accounts and contracts, as a client sees it, and as the ledger has it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import requests

from futures_agent.clock import HOUR_MS, SECOND_MS, utc_text
from futures_agent.simulator.fault_acts import (
    AccountRestricted,
    ContractLimits,
    ContractStatus,
    ForcedClose,
    ForeignOrder,
    FundingInterval,
    GridChange,
    MarkOffset,
    PriceJump,
)
from futures_agent.simulator.fault_orders import OrderFault
from futures_agent.simulator.fault_plan import Planned
from futures_agent.simulator.server import RunningSimulator
from signed_client import SignedClient

Factory = Callable[..., RunningSimulator]

STOP = {
    "algoType": "CONDITIONAL",
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "quantity": "0.010",
}


@pytest.fixture
def client(simulator_factory: Factory) -> SignedClient:
    return SignedClient(simulator_factory())


def befall(client: SignedClient, fault: Planned) -> None:
    """Plan `fault` and let its time, now, come."""
    client.simulator.add_fault(fault)
    client.simulator.venue.advance(client.simulator.clock.now_ms())


def row(client: SignedClient) -> tuple[str, int, str]:
    """Return state, strikes and note of the first fault."""
    told = client.simulator.venue.faults.rows(client.simulator.clock.now_ms())[0]
    return told["state"], told["engaged"], told.get("note", "")


def price(client: SignedClient, share: str) -> str:
    """Return a price that is so far (a share) from the last one, on the tick."""
    last = client.simulator.venue.exchange.last_price("BTCUSDT")
    return str((last * (1 + Decimal(share))).quantize(Decimal("0.1")))


def amount(client: SignedClient) -> Decimal:
    return client.account.position("BTCUSDT").amount


def contract(client: SignedClient, symbol: str = "BTCUSDT") -> dict[str, Any]:
    document = requests.get(f"{client.simulator.url}/fapi/v1/exchangeInfo", timeout=10).json()
    found: dict[str, Any] = next(entry for entry in document["symbols"] if entry["symbol"] == symbol)
    return found


def test_an_order_fills_in_part_and_its_rest_expires(client: SignedClient) -> None:
    befall(client, OrderFault(how="partial fill", share=Decimal("0.4"), symbol="BTCUSDT", key="demo"))
    placed = client.market("BUY", "0.010", newOrderRespType="RESULT")
    assert (placed["status"], placed["executedQty"]) == ("EXPIRED", "0.004")
    assert amount(client) == Decimal("0.004")
    assert row(client) == ("used up", 1, "")
    assert client.market("BUY", "0.010", newOrderRespType="RESULT")["status"] == "FILLED"


def test_a_resting_order_fills_in_parts(client: SignedClient) -> None:
    befall(client, OrderFault(how="partial fill"))
    placed = client.limit("BUY", "0.010", price(client, "0.001"))
    query = {"symbol": "BTCUSDT", "orderId": placed["orderId"]}
    half = client.ask("GET", "order", **query)
    assert (half["status"], half["executedQty"]) == ("PARTIALLY_FILLED", "0.005")
    client.simulator.clock.step(2 * SECOND_MS)
    assert client.ask("GET", "order", **query)["status"] == "FILLED"
    assert row(client)[1] == 1


def test_a_stop_is_rejected_when_it_triggers(client: SignedClient) -> None:
    client.market("BUY", "0.010")
    befall(client, OrderFault(how="stop rejected"))
    # A stop that the falling mark price triggers for certain.
    stop = client.ask(
        "POST", "algoOrder", **STOP, triggerPrice=price(client, "-0.02"), workingType="MARK_PRICE"
    )
    befall(client, MarkOffset(symbol="BTCUSDT", share=Decimal("-0.03")))
    client.simulator.clock.step(2 * SECOND_MS)
    told = client.ask("GET", "algoOrder", algoId=stop["algoId"])
    assert told["algoStatus"] == "REJECTED"
    assert client.account.algos[stop["algoId"]].reason == "Margin is insufficient."
    assert amount(client) == Decimal("0.010")
    assert row(client)[1] == 1


@pytest.mark.parametrize(
    ("how", "prefix", "entry"), [("liquidation", "autoclose-", 1), ("deleveraging", "adl_autoclose", 0)]
)
def test_a_position_is_taken_away(client: SignedClient, how: Any, prefix: str, entry: int) -> None:
    client.market("BUY", "0.010")
    befall(client, ForcedClose(how=how, symbol="BTCUSDT"))
    assert amount(client) == 0
    order = client.ask("GET", "allOrders", symbol="BTCUSDT")[-1]
    assert (order["side"], Decimal(order["executedQty"])) == ("SELL", Decimal("0.010"))
    assert order["clientOrderId"].startswith(prefix)
    assert len(list(client.simulator.venue.exchange.ledger.entries("LIQUIDATION"))) == entry
    assert row(client) == ("used up", 1, "")


def test_acts_happen_in_order_of_time_and_those_without_a_time_now(client: SignedClient) -> None:
    start_ms = client.simulator.clock.now_ms()
    for status, at_ms in (("now", 0), ("second", start_ms + 2_000), ("first", start_ms + 1_000)):
        client.simulator.add_fault(ContractStatus(symbol="BTCUSDT", status=status, from_ms=at_ms))
    client.simulator.clock.step(10_000)
    client.ask("GET", "openOrders", symbol="BTCUSDT")
    told = list(client.simulator.venue.exchange.ledger.entries("STATUS"))
    assert [(each["status"], each["t"] - start_ms) for each in told] == [
        ("first", 1_000),
        ("second", 2_000),
        ("now", 10_000),
    ]


def test_a_position_that_is_not_there_cannot_be_taken_away(client: SignedClient) -> None:
    befall(client, ForcedClose(how="liquidation", symbol="BTCUSDT"))
    assert row(client) == ("failed", 0, "Position is not sufficient.")


def test_an_unknown_account_is_named(client: SignedClient) -> None:
    befall(client, ForcedClose(how="liquidation", symbol="BTCUSDT", key="nobody"))
    assert row(client)[2].startswith("no account has the key 'nobody'")


def test_a_mark_price_that_runs_away_liquidates(client: SignedClient) -> None:
    client.ask("POST", "leverage", symbol="BTCUSDT", leverage=100)
    quantity = (Decimal(200_000) / client.simulator.venue.exchange.last_price("BTCUSDT")).quantize(
        Decimal("0.001")
    )
    client.market("BUY", str(quantity))
    befall(client, MarkOffset(symbol="BTCUSDT", share=Decimal("-0.04")))
    client.simulator.clock.step(2 * 60 * SECOND_MS)
    client.ask("GET", "openOrders", symbol="BTCUSDT")
    assert amount(client) == 0
    assert list(client.simulator.venue.exchange.ledger.entries("LIQUIDATION"))


@pytest.mark.parametrize("terms", [{}, {"price": Decimal("50000.0")}])
def test_an_order_of_another_hand_appears(client: SignedClient, terms: dict[str, Any]) -> None:
    order = ForeignOrder(
        symbol="BTCUSDT", side="BUY", quantity=Decimal("0.010"), client_order_id="phone", **terms
    )
    befall(client, order)
    (told,) = client.ask("GET", "allOrders", symbol="BTCUSDT")
    assert (told["clientOrderId"], told["type"]) == ("phone", "LIMIT" if terms else "MARKET")
    assert amount(client) == (0 if terms else Decimal("0.010"))


def test_a_contract_is_halted_and_trades_again(client: SignedClient) -> None:
    client.market("BUY", "0.010")
    befall(client, ContractStatus(symbol="BTCUSDT"))
    assert contract(client)["status"] == "TRADING_HALT"
    order = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.010"}
    assert client.refused("POST", "order", **order)[0] == -1122
    befall(client, ContractStatus(symbol="BTCUSDT", status="TRADING"))
    assert contract(client)["status"] == "TRADING"
    client.market("SELL", "0.010")
    assert amount(client) == 0


def test_a_contract_that_settles_closes_positions_and_orders(client: SignedClient) -> None:
    client.market("BUY", "0.010")
    client.limit("BUY", "0.010", price(client, "-0.04"))
    befall(client, ContractStatus(symbol="BTCUSDT", status="SETTLING"))
    assert contract(client)["status"] == "SETTLING"
    assert amount(client) == 0
    resting, forced = client.ask("GET", "allOrders", symbol="BTCUSDT")[-2:]
    assert resting["status"] == "EXPIRED"
    assert forced["clientOrderId"].startswith("settlement_autoclose-")


def test_a_contract_that_is_not_there_cannot_change(client: SignedClient) -> None:
    for fault in (
        ContractStatus(symbol="NONEUSDT"),
        GridChange(how="tick size", symbol="NONEUSDT", decimals=1),
        FundingInterval(symbol="NONEUSDT", hours=1),
        MarkOffset(symbol="NONEUSDT", share=Decimal(0)),
        PriceJump(symbol="NONEUSDT", share=Decimal("0.1")),
    ):
        befall(client, fault)
    rows = client.simulator.venue.faults.rows(0)
    assert {(told["state"], told["note"]) for told in rows} == {("failed", "Invalid symbol.")}


def test_a_tick_grows(client: SignedClient) -> None:
    fine = price(client, "-0.01")
    befall(client, GridChange(how="tick size", symbol="BTCUSDT", decimals=0))
    tick = next(each for each in contract(client)["filters"] if each["filterType"] == "PRICE_FILTER")
    assert Decimal(tick["tickSize"]) == 1
    whole = str(int(Decimal(fine)))
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.010", "timeInForce": "GTC"}
    assert client.refused("POST", "order", **terms, price=f"{whole}.1")[0] == -4014
    assert client.limit("BUY", "0.010", whole)["status"] == "NEW"


def test_a_step_grows(client: SignedClient) -> None:
    befall(client, GridChange(how="step size", symbol="BTCUSDT", decimals=2))
    told = contract(client)
    assert told["quantityPrecision"] == 3
    lot = next(each for each in told["filters"] if each["filterType"] == "LOT_SIZE")
    assert (Decimal(lot["minQty"]), Decimal(lot["stepSize"])) == (Decimal("0.01"), Decimal("0.01"))
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET"}
    assert client.refused("POST", "order", **terms, quantity="0.005")[0] == -4004
    assert client.refused("POST", "order", **terms, quantity="0.015")[0] == -4023
    client.market("BUY", "0.02")


def test_limits_that_are_told_are_in_force(client: SignedClient) -> None:
    limits = {"market_take_bound": "0.02", "trigger_protect": "0.03", "liquidation_fee": "0.5"}
    shares = {name: Decimal(share) for name, share in limits.items()}
    befall(client, ContractLimits(symbol="BTCUSDT", max_orders=2, max_amendments=1, **shares))
    told = contract(client)
    assert (told["marketTakeBound"], told["triggerProtect"], told["liquidationFee"]) == (
        "0.02",
        "0.03",
        "0.5",
    )
    assert told["maxMoveOrderLimit"] == 1
    assert next(each["limit"] for each in told["filters"] if each["filterType"] == "MAX_NUM_ORDERS") == 2

    order = client.limit("BUY", "0.010", price(client, "-0.04"))
    changed = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010", "orderId": order["orderId"]}
    client.ask("PUT", "order", **changed, price=price(client, "-0.03"))
    assert client.refused("PUT", "order", **changed, price=price(client, "-0.02"))[0] == -5026
    client.limit("BUY", "0.010", price(client, "-0.04"))
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.010", "timeInForce": "GTC"}
    assert client.refused("POST", "order", **terms, price=price(client, "-0.04"))[0] == -2025
    client.ask("DELETE", "allOpenOrders", symbol="BTCUSDT")

    market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
    befall(client, MarkOffset(symbol="BTCUSDT", share=Decimal("-0.025")))
    assert client.refused("POST", "order", **market)[0] == -4131
    befall(client, MarkOffset(symbol="BTCUSDT", share=Decimal("-0.019")))
    client.market("BUY", "0.010")
    befall(client, ForcedClose(how="liquidation", symbol="BTCUSDT"))
    (fee,) = client.ask("GET", "income", incomeType="INSURANCE_CLEAR")
    (closed,) = client.ask("GET", "forceOrders", symbol="BTCUSDT")
    assert -Decimal(fee["income"]) == Decimal(closed["cumQuote"]) / 2


def test_a_protected_stop_waits_by_the_share_that_is_told(client: SignedClient) -> None:
    client.market("BUY", "0.010")
    befall(client, ContractLimits(symbol="BTCUSDT", trigger_protect=Decimal("0.01")))
    befall(client, MarkOffset(symbol="BTCUSDT", share=Decimal("-0.02")))
    terms = STOP | {"workingType": "MARK_PRICE", "priceProtect": "true"}
    stop = client.ask("POST", "algoOrder", **terms, triggerPrice=price(client, "-0.03"))
    befall(client, MarkOffset(symbol="BTCUSDT", share=Decimal("-0.035")))
    client.simulator.clock.step(60 * SECOND_MS)
    assert client.ask("GET", "algoOrder", algoId=stop["algoId"])["algoStatus"] == "NEW"
    befall(client, ContractLimits(symbol="BTCUSDT", trigger_protect=Decimal("0.04")))
    client.simulator.clock.step(60 * SECOND_MS)
    assert client.ask("GET", "algoOrder", algoId=stop["algoId"])["algoStatus"] == "FINISHED"


OPENING: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
LARGER: dict[str, Any] = STOP | {"side": "BUY"}


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"how": "reduce only"}, -4401),
        ({"how": "reduce only", "code": -4400, "symbol": "BTCUSDT"}, -4400),
        ({"how": "cooling off"}, -4192),
    ],
)
def test_an_account_that_may_only_reduce(client: SignedClient, told: dict[str, Any], code: int) -> None:
    client.market("BUY", "0.020")
    resting = client.limit("BUY", "0.010", price(client, "-0.04"))
    befall(client, AccountRestricted(**told))
    assert client.refused("POST", "order", **OPENING)[0] == code
    assert client.refused("POST", "order", **(OPENING | {"side": "SELL"}))[0] == code  # it is not bound to
    assert client.refused("POST", "algoOrder", **LARGER, triggerPrice=price(client, "0.01"))[0] == code
    amended = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.020", "orderId": resting["orderId"]}
    assert client.refused("PUT", "order", **amended, price=price(client, "-0.03"))[0] == code
    client.market("SELL", "0.005", reduceOnly="true")
    closing = STOP | {"quantity": None, "closePosition": "true"}
    client.ask("POST", "algoOrder", **closing, triggerPrice=price(client, "-0.05"))
    (account,) = requests.get(f"{client.simulator.url}/sim/state", timeout=10).json()["accounts"]
    assert account["restrictions"] == {told.get("symbol", ""): [code, None]}
    page = requests.get(f"{client.simulator.url}/sim/board", timeout=10).text
    assert f"({code})" in page
    assert "may only reduce" in page
    befall(client, AccountRestricted(how="unrestricted", symbol=told.get("symbol", "")))
    client.market("BUY", "0.010")
    assert "may only reduce" not in requests.get(f"{client.simulator.url}/sim/board", timeout=10).text


def test_a_restriction_ends_by_itself_and_another_contract_has_none(client: SignedClient) -> None:
    hour_ms = client.simulator.clock.now_ms() + HOUR_MS
    befall(client, AccountRestricted(how="reduce only", symbol="BTCUSDT", code=-4106, until_ms=hour_ms))
    client.market("BUY", "0.10", symbol="ETHUSDT")
    client.simulator.clock.step(HOUR_MS - 1)
    assert client.refused("POST", "order", **OPENING)[0] == -4106
    client.simulator.clock.step(1)
    client.market("BUY", "0.010")


def test_with_4107_what_reduces_may_pass_unbound(client: SignedClient) -> None:
    client.market("BUY", "0.020")
    befall(client, AccountRestricted(how="reduce only", code=-4107))
    client.market("SELL", "0.010")
    assert client.refused("POST", "order", **(OPENING | {"side": "SELL", "quantity": "0.020"}))[0] == -4107
    assert client.refused("POST", "order", **OPENING)[0] == -4107


def test_a_stop_that_opens_is_rejected_once_the_account_may_only_reduce(client: SignedClient) -> None:
    stop = client.ask("POST", "algoOrder", **LARGER, triggerPrice=price(client, "0.01"))
    befall(client, AccountRestricted(how="reduce only"))
    befall(client, PriceJump(symbol="BTCUSDT", share=Decimal("0.2")))
    client.simulator.clock.step(HOUR_MS)
    client.ask("GET", "openOrders", symbol="BTCUSDT")
    algo = client.account.algos[stop["algoId"]]
    assert (algo.status, algo.reason.partition(":")[0]) == (
        "REJECTED",
        "Compliance restricted account permission",
    )


def test_funding_comes_more_often(client: SignedClient) -> None:
    simulator = client.simulator
    client.market("BUY", "0.010")
    befall(client, FundingInterval(symbol="BTCUSDT", hours=1))
    for _ in range(4):
        simulator.clock.step(HOUR_MS)
        client.ask("GET", "openOrders", symbol="BTCUSDT")
    paid = client.ask("GET", "income", incomeType="FUNDING_FEE")
    assert [utc_text(each["time"])[11:13] for each in paid] == ["15", "16", "17", "18"]
    start = simulator.clock.now_ms() - 5 * HOUR_MS
    url = f"{simulator.url}/fapi/v1/fundingRate?symbol=BTCUSDT&startTime={start}"
    assert len(requests.get(url, timeout=10).json()) == 4


def test_a_stop_behind_a_gap_fills_beyond_its_price(client: SignedClient) -> None:
    client.market("BUY", "0.010")
    stop = client.ask("POST", "algoOrder", **STOP, triggerPrice=price(client, "-0.05"))
    trigger = Decimal(price(client, "-0.05"))
    befall(client, PriceJump(symbol="BTCUSDT", share=Decimal("-0.2")))
    client.simulator.clock.step(HOUR_MS)
    told = client.ask("GET", "algoOrder", algoId=stop["algoId"])
    assert told["algoStatus"] == "FINISHED"
    sold = client.ask("GET", "userTrades", symbol="BTCUSDT")[-1]
    assert Decimal(sold["price"]) < trigger * Decimal("0.9")
    assert amount(client) == 0

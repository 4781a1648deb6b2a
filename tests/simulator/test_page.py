"""The page of a running simulator: what it shows is what the exchange holds, and it breaks at nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
import pytest
import requests
from msgspec import Meta, Struct

from futures_agent.simulator.board import Board, board_of
from futures_agent.simulator.fault_script import FAULT_KINDS
from futures_agent.simulator.page_forms import fault_form
from futures_agent.simulator.page_tables import board_html
from futures_agent.simulator.server import RunningSimulator
from futures_agent.simulator.trading.config import AccountConfig, TradingConfig
from futures_agent.simulator.trading.records import OrderRequest

SimulatorFactory = Callable[..., RunningSimulator]


def place(simulator: RunningSimulator, side: str, quantity: str, **more: Any) -> None:
    venue = simulator.venue
    request = OrderRequest(
        symbol="BTCUSDT", side=side, type=more.pop("type", "MARKET"), quantity=Decimal(quantity), **more
    )
    with venue.lock:
        venue.exchange.place(venue.exchange.accounts[0], request, venue.clock.now_ms())


def words(page: str) -> list[str]:
    """Return the texts of a page in order."""
    return [text for text in re.split(r"<[^>]*>", page) if text.strip()]


@pytest.fixture
def traded(simulator_factory: SimulatorFactory) -> RunningSimulator:
    """A simulator whose first account is long and has an order in the book."""
    simulator = simulator_factory()
    place(simulator, "BUY", "0.02")
    far = simulator.venue.exchange.last_price("BTCUSDT") * Decimal("0.97")
    place(simulator, "BUY", "0.01", type="LIMIT", price=far.quantize(Decimal("1")), client_order_id="mine-1")
    return simulator


def test_the_state_holds_what_the_exchange_holds(traded: RunningSimulator) -> None:
    exchange = traded.venue.exchange
    (account,) = exchange.accounts
    told = requests.get(f"{traded.url}/sim/state", timeout=10).json()
    (row,) = told["accounts"]
    assert told["now_ms"] == traded.clock.now_ms()
    assert row["key"] == account.key
    assert [Decimal(each["wallet"]) for each in row["balances"]] == [account.wallet("USDT")]
    (position,) = row["positions"]
    assert (position["symbol"], Decimal(position["amount"])) == ("BTCUSDT", Decimal("0.02"))
    (balance,) = row["balances"]
    assert Decimal(balance["equity"]) == account.wallet("USDT") + Decimal(position["unrealized_pnl"])
    assert [order["client_order_id"] for order in row["orders"]] == ["mine-1"]
    assert [Decimal(fill["quantity"]) for fill in row["fills"]] == [Decimal("0.02")]


def test_the_page_shows_the_state(traded: RunningSimulator) -> None:
    answer = requests.get(f"{traded.url}/sim", timeout=10)
    assert answer.url == f"{traded.url}/sim/"
    assert answer.headers["Content-Type"].startswith("text/html")
    shown = words(answer.text)
    assert "2026-03-10 14:20:00" in shown
    assert "stands still" in shown
    assert "mine-1" in shown
    assert "0.02" in shown
    assert "{{" not in answer.text


def test_the_board_is_the_page_without_its_frame(traded: RunningSimulator) -> None:
    board = requests.get(f"{traded.url}/sim/board", timeout=10).text
    assert board == board_html(board_of(traded.venue))
    assert board.startswith("<section")


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://elsewhere.example"}, {"Host": "127.0.0.1.rebound.example:8099"}], ids=str
)
def test_foreign_pages_in_a_browser_here_steer_nothing(
    headers: dict[str, str], traded: RunningSimulator
) -> None:
    before = traded.clock.now_ms()
    step = requests.post(f"{traded.url}/sim/clock", json={"step_ms": 1000}, headers=headers, timeout=10)
    seen = requests.get(f"{traded.url}/sim/state", headers=headers, timeout=10)
    assert (step.status_code, seen.status_code) == (403, 403)
    assert traded.clock.now_ms() == before


def test_only_the_newest_fills_are_listed(simulator_factory: SimulatorFactory) -> None:
    simulator = simulator_factory()
    for _ in range(12):
        place(simulator, "BUY", "0.01")
        place(simulator, "SELL", "0.01")
    (row,) = board_of(simulator.venue).accounts
    assert (len(row.fills), row.fills_in_all) == (20, 24)
    assert row.fills[0] == simulator.venue.exchange.accounts[0].fills[-1]
    assert "last 20 of 24" in words(board_html(board_of(simulator.venue)))


def test_what_clients_write_is_shown_and_not_run(simulator_factory: SimulatorFactory) -> None:
    accounts = (AccountConfig(key="<script>alert(1)</script>", secret="s"),)
    simulator = simulator_factory(trading=TradingConfig(accounts=accounts))
    place(simulator, "BUY", "0.01", type="LIMIT", price=Decimal(1000), client_order_id="<b>&")
    page = requests.get(f"{simulator.url}/sim/", timeout=10).text
    assert "<script>alert" not in page
    assert "&lt;b&gt;&amp;" in page


def test_a_fault_is_listed_with_how_often_it_struck(simulator_factory: SimulatorFactory) -> None:
    simulator = simulator_factory()
    fault = {"how": "refused", "status": 503, "count": 3, "path": "/fapi/v1/ping"}
    assert requests.post(f"{simulator.url}/sim/faults", json=fault, timeout=10).status_code == 200
    assert requests.get(f"{simulator.url}/fapi/v1/ping", timeout=10).status_code == 503
    board = board_of(simulator.venue)
    (row,) = board.faults
    assert (row["planned"], row["engaged"]) == (3, 1)
    shown = words(board_html(board))
    assert "1 of 3" in shown
    assert any("path /fapi/v1/ping" in text for text in shown)


def test_the_state_is_what_its_type_says(traded: RunningSimulator) -> None:
    told = requests.get(f"{traded.url}/sim/state", timeout=10).content
    assert msgspec.json.decode(told, type=Board) == board_of(traded.venue)


class Halt(Struct):
    """Stop trading in one contract."""

    symbol: str
    hours: Literal[1, 2]
    how: Literal["halt"] = "halt"
    after_ms: Annotated[int, Meta(ge=0, le=9)] = 3


class Noise(Struct):
    """Spoil some answers."""

    how: Literal["late", "never"]
    from_ms: int = 0
    until_ms: int | None = None
    share: float | None = None
    loud: bool = True
    side: Literal["", "in", "out"] = "out"


def test_a_form_offers_the_fields_of_each_kind() -> None:
    form = fault_form((Halt, Noise))
    options = re.findall(r'<option data-kind="(\d)">(\w+)</option>', form)
    assert options == [("0", "halt"), ("1", "late"), ("1", "never")]
    first, second = re.findall(r"<fieldset.*?</fieldset>", form)
    assert "disabled hidden" in second
    assert "disabled" not in first
    assert '<input type="text" name="symbol" value="" required>' in first
    assert '<input type="number" name="after_ms" value="3" step="1" min="0" max="9">' in first
    assert '<select name="hours" required data-number><option></option><option>1</option>' in first
    assert "Spoil some answers." in second
    assert '<input type="number" name="share" value="" step="any">' in second
    assert '<input type="checkbox" name="loud" checked>' in second
    assert "<option>in</option><option selected>out</option>" in second
    assert 'name="at"' in second
    assert "from_ms" not in second
    assert 'name="at"' not in first


def test_every_fault_that_there_is_can_be_filled_in() -> None:
    form = fault_form(FAULT_KINDS)
    hows = {how for kind in FAULT_KINDS for how in get_args(get_type_hints(kind)["how"])}
    assert set(re.findall(r'<option data-kind="\d+"[^>]*>([^<]+)</option>', form)) == hows


def test_only_what_is_unusual_of_a_fault_is_told(simulator_factory: SimulatorFactory) -> None:
    simulator = simulator_factory()
    fault = {"how": "event late", "delay_ms": 250, "event": "ACCOUNT_UPDATE", "at": "+60"}
    assert requests.post(f"{simulator.url}/sim/faults", json=fault, timeout=10).status_code == 200
    shown = words(board_html(board_of(simulator.venue)))
    assert "event late, from 2026-03-10 14:21:00, event ACCOUNT_UPDATE, delay 250 ms" in shown
    assert "waiting" in shown

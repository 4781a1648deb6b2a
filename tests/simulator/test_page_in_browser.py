"""The simulator's page in a real browser: it keeps itself fresh, its controls work, and it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from chromium_page import CHROMIUM, ChromiumPage
from futures_agent.clock import HOUR_MS
from futures_agent.simulator.server import RunningSimulator
from futures_agent.simulator.trading.records import AlgoRequest, OrderRequest

SimulatorFactory = Callable[..., RunningSimulator]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to show the page with")

WATCH_FAULTS = (
    "window.faults = [];"
    "addEventListener('error', (event) => faults.push(event.message));"
    "addEventListener('unhandledrejection', (event) => faults.push(String(event.reason)));"
)


@pytest.fixture
def simulator(simulator_factory: SimulatorFactory) -> RunningSimulator:
    """A simulator whose account has something in each table."""
    simulator = simulator_factory()
    exchange, now_ms = simulator.venue.exchange, simulator.clock.now_ms()
    (account,) = exchange.accounts
    last = exchange.last_price("BTCUSDT")
    waiting = {"type": "LIMIT", "price": (last * Decimal("0.97")).quantize(Decimal(1))}
    stop = {"type": "STOP_MARKET", "trigger_price": (last * Decimal("0.95")).quantize(Decimal(1))}
    with simulator.venue.lock:
        for order in ({"type": "MARKET"}, waiting):
            request = OrderRequest(symbol="BTCUSDT", side="BUY", quantity=Decimal("0.01"), **order)
            exchange.place(account, request, now_ms)
        protection = AlgoRequest(symbol="BTCUSDT", side="SELL", quantity=Decimal("0.01"), **stop)
        exchange.place_algo(account, protection, now_ms)
    return simulator


@pytest.fixture
def page(simulator: RunningSimulator, tmp_path: Path) -> Iterator[ChromiumPage]:
    with ChromiumPage(tmp_path / "profile") as page:
        page.open(f"{simulator.url}/sim/", before=WATCH_FAULTS)
        yield page
        assert page.evaluate("faults") == []


def press(page: ChromiumPage, label: str) -> str:
    """Press a button and return what the page says of it."""
    page.evaluate(
        "document.getElementById('said').textContent = '';"
        f"[...document.querySelectorAll('button')].find((each) => each.textContent === {label!r}).click()"
    )
    return said(page)


def said(page: ChromiumPage) -> str:
    """Return what the page says once it says something, at the latest after twenty seconds."""
    text = page.evaluate(
        "new Promise((done) => { const text = () => document.getElementById('said').textContent;"
        " const until = Date.now() + 20000;"
        " const look = () => text() || Date.now() > until ? done(text()) : setTimeout(look, 10); look(); })"
    )
    assert isinstance(text, str)
    return text


def board(page: ChromiumPage) -> str:
    """Return the text of the board, asked for afresh."""
    text = page.evaluate("refresh().then(() => document.getElementById('board').innerText)")
    assert isinstance(text, str)
    return text


def test_what_changes_is_shown_without_reloading(page: ChromiumPage, simulator: RunningSimulator) -> None:
    assert "2026-03-10 14:20:00" in board(page)
    simulator.clock.step(5_000)
    assert "2026-03-10 14:20:05" in board(page)
    assert page.evaluate("document.querySelectorAll('#board table').length") == 4


def test_the_clock_obeys_its_buttons(page: ChromiumPage, simulator: RunningSimulator) -> None:
    before = simulator.clock.now_ms()
    assert press(page, "1 h") == "Done: POST /sim/clock"
    assert simulator.clock.now_ms() == before + HOUR_MS
    press(page, "×60")
    assert simulator.clock.scale == 60
    press(page, "Stand still")
    assert simulator.clock.scale == 0


def test_a_fault_is_chosen_filled_in_and_injected(page: ChromiumPage, simulator: RunningSimulator) -> None:
    page.evaluate(
        "const chooser = document.querySelector('[data-chooser]'); chooser.value = 'mark offset';"
        "chooser.dispatchEvent(new Event('change', { bubbles: true }))"
    )
    shown = page.evaluate(
        "[...document.querySelectorAll('fieldset:not([hidden]) [name]')].map((each) => each.name)"
    )
    assert shown == ["symbol", "share", "at"]
    page.evaluate(
        "document.querySelector('fieldset:not([hidden]) [name=symbol]').value = 'BTCUSDT';"
        "document.querySelector('fieldset:not([hidden]) [name=share]').value = '-0.02'"
    )
    mark = simulator.venue.exchange.mark_price("BTCUSDT")
    assert press(page, "Inject") == "Done: POST /sim/faults"
    assert "mark offset, symbol BTCUSDT, share -0.02" in board(page)
    simulator.clock.step(1_000)
    board(page)
    assert simulator.venue.exchange.mark_price("BTCUSDT") < mark * Decimal("0.985")
    assert press(page, "Clear all faults") == "Done: DELETE /sim/faults"
    assert simulator.venue.faults.rows(0) == []


def test_what_is_refused_is_told(page: ChromiumPage) -> None:
    page.evaluate("send('POST', 'faults', { how: 'nonsense' })")
    assert said(page).startswith("no fault `nonsense`; there are")
    assert page.evaluate("document.getElementById('said').className") == "refused"


def test_a_narrow_screen_needs_no_scrolling_sideways(simulator: RunningSimulator, tmp_path: Path) -> None:
    with ChromiumPage(tmp_path / "profile", width=390) as page:
        page.open(f"{simulator.url}/sim/")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        background = "getComputedStyle(document.documentElement).backgroundColor"
        page.prefer("light")
        light = page.evaluate(background)
        page.prefer("dark")
        assert page.evaluate(background) != light

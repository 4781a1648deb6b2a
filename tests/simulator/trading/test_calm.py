"""Whether stretches of time are walked or skipped makes no difference but in the time it takes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.trading.calm import Calm
from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.exchange import Exchange
from futures_agent.simulator.trading.liquidation import Liquidation
from futures_agent.simulator.trading.records import AlgoRequest, OrderRequest
from trading_orders import algo, limit, market
from trading_worlds import (
    BTC,
    ETH,
    START_MS,
    Bar,
    flat,
    generated_exchange,
    kinds,
    ledger_bytes,
    scripted_exchange,
)

D = Decimal
ACCOUNTS = (
    AccountConfig(key="crossed", balances={"USDT": D(3_000)}, leverage=20),
    AccountConfig(key="isolated", balances={"USDT": D(3_000)}, leverage=50, margin_type="ISOLATED"),
    AccountConfig(key="hedged", balances={"USDT": D(3_000)}, leverage=50, dual_side=True),
    AccountConfig(key="idle"),
)


class Days:
    """A client who looks in now and then, and opens positions with stops, targets and trailing stops."""

    def __init__(self, exchange: Exchange, seed: int) -> None:
        self._exchange = exchange
        self._random = random.Random(seed)
        self._now_ms = START_MS

    def run(self, visits: int) -> None:
        for _ in range(visits):
            self._now_ms += self._random.choice((7 * MINUTE_MS + 1, 5 * HOUR_MS, DAY_MS + 1_234))
            for _ in range(self._random.randint(1, 4)):
                try:
                    self._ask()
                except VenueError:  # such as too little margin
                    continue
        self._exchange.advance(self._now_ms + 3 * DAY_MS)

    def _ask(self) -> None:
        rng, exchange = self._random, self._exchange
        exchange.advance(self._now_ms)
        account = rng.choice(exchange.accounts[:-1])
        terms: dict[str, Any] = {
            "symbol": rng.choice((BTC, ETH)),
            "side": rng.choice(("BUY", "SELL")),
            "position_side": rng.choice(("LONG", "SHORT")) if account.dual_side else "BOTH",
        }
        last = exchange.last_price(terms["symbol"])
        price = (last * D(rng.uniform(0.93, 1.07))).quantize(last)
        terms["quantity"] = round(D(rng.choice((500, 5_000, 30_000))) / last, 2) or D("0.01")
        kind = rng.choice(("MARKET", "MARKET", "LIMIT", "STOP_MARKET", "TAKE_PROFIT", "TRAILING_STOP_MARKET"))
        if kind == "MARKET":
            exchange.place(account, OrderRequest(type=kind, **terms), self._now_ms)
        elif kind == "LIMIT":
            exchange.place(account, OrderRequest(type=kind, price=price, **terms), self._now_ms)
        else:
            terms |= {"price": price, "trigger_price": price, "callback_rate": D(rng.choice((1, 4)))}
            if kind == "TRAILING_STOP_MARKET" and rng.random() < 0.5:
                terms["activate_price"] = price
            request = AlgoRequest(
                type=kind, working_type=rng.choice(("CONTRACT_PRICE", "MARK_PRICE")), **terms
            )
            exchange.place_algo(account, request, self._now_ms)


def played(seed: int, tick_ms: int) -> tuple[Exchange, list[Any]]:
    exchange = generated_exchange((BTC, ETH), seed=seed, accounts=ACCOUNTS, tick_ms=tick_ms)
    exchange.state.prices.mark_offset[ETH] = D("0.002")
    events: list[Any] = []
    exchange.subscribe(lambda account, payload: events.append((account.account_id, payload)), events.append)
    Days(exchange, seed).run(20)
    return exchange, events


@pytest.mark.parametrize(("seed", "tick_ms"), [(0, 60_000), (1, 600_000), (2, 420_000), (3, 3_600_000)])
def test_skipping_changes_nothing(seed: int, tick_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    skipped, told = played(seed, tick_ms)
    monkeypatch.setattr(Calm, "holds", lambda *_: False)
    walked, told_walking = played(seed, tick_ms)
    assert ledger_bytes(skipped) == ledger_bytes(walked)
    assert told == told_walking
    for ours, theirs in zip(skipped.accounts, walked.accounts, strict=True):
        assert ours.open_algos == theirs.open_algos  # with where trailing stops have gone


def test_the_runs_meet_what_must_not_be_skipped() -> None:
    """Were the client too tame, skipping would change nothing anyhow."""
    met = set()
    for seed in range(4):
        exchange, events = played(seed, MINUTE_MS)
        met |= {entry["kind"] for entry in exchange.ledger.entries()}
        met |= {event[1]["e"] for event in events if isinstance(event, tuple)}
        met |= {
            one.type for account in exchange.accounts for one in account.algos.values() if one.actual_order_id
        }
    assert met >= {
        "LIQUIDATION",
        "MARGIN_CALL",
        "FUNDING_FEE",
        "STOP_MARKET",
        "TAKE_PROFIT",
        "TRAILING_STOP_MARKET",
    }


def test_calm_days_are_looked_at_hour_by_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(Liquidation, "check", lambda self: looks.append(exchange.now_ms))
    exchange = generated_exchange((BTC, ETH))
    price = exchange.last_price(BTC)
    market(exchange, "BUY", "0.01")
    for share in ("0.5", "0.6"):
        limit(exchange, "BUY", "0.01", str((price * D(share)).quantize(price)))
    algo(exchange, "STOP_MARKET", "SELL", str((price * D("0.4")).quantize(price)), "0.01")
    exchange.advance(START_MS + 3 * DAY_MS)
    assert 72 <= len(looks) < 100  # there are 4,320 minutes


NEAR: Sequence[Bar] = [(100, 100, 90.02, 95), *flat(95, 2)]


@pytest.mark.parametrize("kind", ["limit", "stop"])
def test_what_is_nearly_reached_does_not_happen(kind: str) -> None:
    exchange, _ = scripted_exchange({BTC: NEAR})
    order: Any
    if kind == "limit":
        order = limit(exchange, "BUY", "1", "90.02")  # touched only
    else:
        order = algo(exchange, "STOP_MARKET", "SELL", "90.01", "1")
    exchange.advance(START_MS + 2 * HOUR_MS)
    assert order.status == "NEW"


def test_a_margin_that_is_mended_in_calm_is_warned_of_again() -> None:
    """Of 10 at 100 with 100, and 1 % of the notional to maintain: thin below 91.1; with 150 below 86.1."""
    account = AccountConfig(key="k", balances={"USDT": D(100)}, leverage=10)
    bars = [*flat(100, 1), *flat(91, 1), *flat(86, 2)]
    exchange, events = scripted_exchange({BTC: bars}, accounts=(account,), taker_fee=D(0))
    market(exchange, "BUY", "10")
    exchange.advance(START_MS + 118 * MINUTE_MS)
    assert kinds(events).count("MARGIN_CALL") == 1
    exchange.transfer(exchange.accounts[0], "USDT", D(50), exchange.now_ms)
    exchange.advance(START_MS + 3 * HOUR_MS)
    assert kinds(events).count("MARGIN_CALL") == 2
    assert len(exchange.accounts[0].held()) == 1


def test_an_isolated_position_is_not_slept_through() -> None:
    account = AccountConfig(key="k", balances={"USDT": D(1000)}, leverage=10, margin_type="ISOLATED")
    exchange, _ = scripted_exchange(
        {BTC: [*flat(100, 2), (100, 100, 90.9, 100), *flat(100, 2)]}, accounts=(account,)
    )
    market(exchange, "BUY", "10")
    exchange.advance(START_MS + 4 * HOUR_MS)
    assert exchange.accounts[0].held() == []


@pytest.mark.parametrize("left", ["nothing", "another position"])
def test_once_a_called_isolated_position_is_closed_days_are_calm_again(
    left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 10 at 100 with 100 set aside, 10 are left at 91, and 9.1 to maintain: that is warned of."""
    account = AccountConfig(key="k", balances={"USDT": D(1000)}, leverage=10, margin_type="ISOLATED")
    bars = [*flat(100, 1), *flat(91, 49)]
    exchange, events = scripted_exchange({BTC: bars, ETH: flat(10, 50)}, accounts=(account,))
    market(exchange, "BUY", "10")
    if left == "another position":
        market(exchange, "BUY", "1", symbol=ETH)
    exchange.advance(START_MS + 90 * MINUTE_MS)
    assert kinds(events).count("MARGIN_CALL") == 1
    market(exchange, "SELL", "10")
    if left == "nothing":
        exchange.advance(START_MS + 91 * MINUTE_MS)
        market(exchange, "BUY", "1", symbol=ETH)
    looks: list[int] = []
    check = Liquidation.check
    monkeypatch.setattr(Liquidation, "check", lambda self: (looks.append(exchange.now_ms), check(self)))
    exchange.advance(START_MS + 48 * HOUR_MS)
    assert 46 <= len(looks) < 70  # there are 2,790 minutes

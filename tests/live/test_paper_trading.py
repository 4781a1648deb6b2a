"""The paper trader put together: funding from the stream, and what it missed while it was down or deaf."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from futures_agent.clock import MINUTE_MS
from futures_agent.exchange.orders import FillSeen
from paper_replay import BEGIN_MS, SYMBOLS, PaperReplay, paper_trading


@pytest.fixture
def replay(tmp_path: Path) -> Any:
    with paper_trading(tmp_path) as running:
        yield running


def asked(replay: PaperReplay, path: str, **params: Any) -> Any:
    answer = requests.get(f"{replay.simulator.url}{path}", params=params, timeout=60)
    assert answer.status_code == 200
    return answer.json()


def fills(replay: PaperReplay) -> list[FillSeen]:
    found = [each for symbol in SYMBOLS for each in replay.paper.fills_since(symbol, 0)]
    return sorted(found, key=lambda each: each.trade_id)


def expected_funding(replay: PaperReplay) -> dict[tuple[str, int], Decimal]:
    """Return what the market's own record of rates makes of the fills, by (symbol, instant)."""
    due: dict[tuple[str, int], Decimal] = {}
    for symbol in SYMBOLS:
        rows = asked(replay, "/fapi/v1/fundingRate", symbol=symbol, startTime=BEGIN_MS, endTime=replay.now_ms)
        for row in rows:
            instant_ms = int(row["fundingTime"]) // MINUTE_MS * MINUTE_MS
            held = sum(
                (
                    each.side * each.quantity
                    for each in fills(replay)
                    if each.symbol == symbol and each.time_ms < instant_ms
                ),
                Decimal(0),
            )
            if held:
                amount = -held * Decimal(row["markPrice"]) * Decimal(row["fundingRate"])
                due[symbol, instant_ms] = amount
    return due


def paid_funding(replay: PaperReplay) -> dict[tuple[str, int], Decimal]:
    payments = replay.paper.funding_since(0)
    paid = {(each.symbol, each.time_ms): each.amount for each in payments}
    assert len(paid) == len(payments)  # none twice
    return paid


def require_paid(replay: PaperReplay) -> None:
    due, paid = expected_funding(replay), paid_funding(replay)
    deadline = time.monotonic() + 20
    while paid.keys() != due.keys() and time.monotonic() < deadline:
        time.sleep(0.05)  # the price that is past the instant may be on its way
        paid = paid_funding(replay)
    assert paid.keys() == due.keys()
    for key, amount in due.items():
        assert float(paid[key]) == pytest.approx(float(amount), rel=1e-3, abs=1e-6)


def test_funding_is_paid_by_who_held_and_money_adds_up(replay: PaperReplay) -> None:
    replay.step(4 * 24)
    assert len(fills(replay)) >= 10
    assert len(paid_funding(replay)) >= 3
    require_paid(replay)
    made = sum((each.realized_pnl - each.fee for each in fills(replay)), Decimal(0))
    funding = sum((each.amount for each in replay.paper.funding_since(0)), Decimal(0))
    assert (
        replay.paper.snapshot().wallet.balance
        == Decimal(repr(replay.settings.live.paper_equity)) + made + funding
    )


def test_the_books_of_the_trader_say_what_the_account_says(replay: PaperReplay) -> None:
    replay.step(4 * 24)
    assert replay.trader is not None
    desk = replay.trader.assembly.desk
    assert float(sum(trade.funding for trade in desk.trades)) == pytest.approx(
        float(sum(each.amount for each in replay.paper.funding_since(0)))
    )
    assert {each.symbol for each in desk.holdings} == set(replay.held)


def hit(candle: list[Any], side: int, stop: Decimal, target: Decimal | None) -> bool:
    high, low = Decimal(candle[2]), Decimal(candle[3])
    stopped = low <= stop if side > 0 else high >= stop
    taken = target is not None and (high > target if side > 0 else low < target)
    return stopped or taken


def leave(replay: PaperReplay) -> dict[str, tuple[int, Decimal, Decimal | None]]:
    """Stop the trader; return of each open position side, stop and target."""
    snapshot = replay.paper.snapshot()
    left = {}
    for position in snapshot.positions:
        stop = next(each.trigger_price for each in snapshot.stops if each.symbol == position.symbol)
        target = next((each.price for each in snapshot.orders if each.symbol == position.symbol), None)
        left[position.symbol] = (1 if position.amount > 0 else -1, stop, target)
    replay.stop()
    return left


def test_what_was_missed_happens_at_the_start_in_its_order(replay: PaperReplay) -> None:
    closed = kept = funded = 0
    for _ in range(4):
        replay.step_until_held()
        left, left_ms = leave(replay), replay.now_ms
        replay.leave_alone(30)
        now_ms = replay.now_ms
        replay.start()
        due = set()
        for symbol, (side, stop, target) in left.items():
            candles = asked(
                replay, "/fapi/v1/klines", symbol=symbol, interval="1h", startTime=left_ms, endTime=now_ms - 1
            )
            assert len(candles) == 30
            exits = [each for each in fills(replay) if each.symbol == symbol and each.time_ms > left_ms]
            ends = [each for each in candles if hit(each, side, stop, target)]
            ended_ms = int(ends[0][6]) if ends else now_ms
            rows = asked(replay, "/fapi/v1/fundingRate", symbol=symbol, startTime=left_ms + 1, endTime=now_ms)
            instants = [int(row["fundingTime"]) // MINUTE_MS * MINUTE_MS for row in rows]
            due |= {(symbol, each) for each in instants if each <= ended_ms}
            if ends:
                assert [each.side for each in exits[:1]] == [-side]
                prices = [Decimal(each[2 if side < 0 else 3]) for each in candles]
                assert exits[0].price <= max(max(prices), stop, target or stop)
                assert symbol not in replay.held
                closed += 1
            else:
                assert not exits
                assert symbol in replay.held
                kept += 1
        paid = {key for key in paid_funding(replay) if left_ms < key[1] <= now_ms}
        assert paid == due
        funded += len(due)
    assert closed
    assert funded
    assert closed + kept >= 4


def test_a_restart_within_a_bar_changes_nothing(replay: PaperReplay) -> None:
    replay.step_until_held()
    before = msgspec.json.encode(replay.paper.snapshot().positions)
    seen = len(fills(replay))
    leave(replay)
    replay.start()
    assert msgspec.json.encode(replay.paper.snapshot().positions) == before
    assert len(fills(replay)) == seen

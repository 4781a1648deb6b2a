"""Audits: one at a time, again with growing pauses, never one that began too early."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import Any

import pytest

from futures_agent.errors import Retry
from futures_agent.exchange.orders import PositionSeen, Snapshot, WalletSeen
from futures_agent.live.audit import Audit
from futures_agent.live.inbox import AuditTaken, Inbox, WorkFailed

TAKEN_MS = 1_000_000
SNAPSHOT = Snapshot(
    taken_ms=TAKEN_MS,
    positions=(PositionSeen(symbol="B", amount=Decimal(1), entry_price=Decimal(2), updated_ms=1),),
    orders=(),
    stops=(),
    wallet=WalletSeen(asset="USDT", balance=Decimal(5), time_ms=1),
)


class Broker:
    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.fault: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def snapshot(self) -> Snapshot:
        assert self.gate.wait(30)
        if self.fault is not None:
            raise self.fault
        return SNAPSHOT

    def fills_since(self, symbol: str, since_ms: int) -> list[Any]:
        self.asked.append((symbol, since_ms))
        return [symbol]

    def funding_since(self, since_ms: int) -> list[Any]:
        self.asked.append(("funding", since_ms))
        return []


class World:
    def __init__(self, every_s: float = 1_000.0) -> None:
        self.broker, self.inbox = Broker(), Inbox()
        self.audit = Audit(self.broker, self.inbox, every_s)  # type: ignore[arg-type]

    def turn(self) -> None:
        self.audit.turn(lambda: {"A": 500_000}, lambda: 400_000)

    def next(self) -> Any:
        deadline = time.monotonic() + 30
        while (message := self.inbox.take(0.01)) is None:
            assert time.monotonic() < deadline
            self.turn()
        return message


@pytest.fixture
def world():
    world = World()
    yield world
    world.broker.gate.set()
    world.audit.close()


def test_the_first_is_taken_at_once_with_what_may_be_unknown(world: World) -> None:
    assert world.audit.is_pending
    taken = world.next()
    assert taken == AuditTaken(SNAPSHOT, ("A", "B"), ())
    assert world.broker.asked == [("A", 440_000), ("B", TAKEN_MS - 120_000), ("funding", 340_000)]
    world.audit.succeeded()
    world.turn()
    assert not world.audit.is_pending
    assert world.inbox.take(0.2) is None  # the next one is not due


def test_one_that_is_asked_for_while_another_runs_is_taken_afterwards(world: World) -> None:
    world.broker.gate.clear()
    world.turn()
    world.audit.ask()
    world.broker.gate.set()
    assert isinstance(world.next(), AuditTaken)
    assert world.audit.is_pending
    world.audit.succeeded()
    assert isinstance(world.next(), AuditTaken)


@pytest.mark.parametrize("fault", [Retry("no answer"), ZeroDivisionError()])
def test_a_failure_is_told_and_tried_again_later(world: World, fault: Exception, monkeypatch) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr("futures_agent.live.audit.time.monotonic", lambda: now[0])
    world.broker.fault = fault
    for pause_s in (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 30.0):
        world.turn()
        message = None
        while message is None:
            message = world.inbox.take(0.01)
        assert message == WorkFailed("audit", fault)
        world.audit.failed()
        world.audit.ask()  # asking does not shorten the pause
        world.turn()
        assert world.inbox.take(0.05) is None
        now[0] += pause_s

"""Rounds: what is waited for, what is asked for, and in which order things are wanted."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from futures_agent.clock import HOUR_MS
from futures_agent.live.inbox import CandlesFetched
from futures_agent.live.records import EntryWanted, ExitWanted
from futures_agent.live.rounds import Holding, Rounds
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import LiveSettings

CLOSE_MS = 1_800_000_000_000 // HOUR_MS * HOUR_MS
H1 = Timeframe.H1


class Clock:
    def __init__(self) -> None:
        self.at_ms = CLOSE_MS - 1

    def now_ms(self) -> int:
        return self.at_ms

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits")


class Decider:
    """Says what it was told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.next_close_ms = CLOSE_MS
        self.absent = {"A", "B"}
        self.entries: list[str] = []
        self.exits: set[str] = set()
        self.quantity = True
        self.said: list[Any] = []
        self.ranges: dict[str, tuple[float, float]] = {}

    def range_at(self, symbol: str, close_ms: int) -> tuple[float, float] | None:
        return self.ranges.get(symbol)

    def on_candle(self, symbol: str, timeframe: Timeframe, candle: Any) -> None:
        self.absent.discard(symbol)

    def on_candles(self, symbol: str, timeframe: Timeframe, candles: Any) -> None:
        self.absent.discard(symbol)

    def missing(self, close_ms: int) -> list[tuple[str, Timeframe]]:
        return [(symbol, H1) for symbol in sorted(self.absent)]

    def has_any(self, close_ms: int) -> bool:
        return len(self.absent) < 2

    def close(self, close_ms: int, account: Any, *, late: bool) -> None:
        self.said.append(("close", close_ms, late))

    def leaves(self, symbol: str, side: int) -> bool:
        return symbol in self.exits

    def candidates(self) -> list[str]:
        return list(self.entries)

    def judge(self, symbol: str, account: Any, now_ms: int) -> EntryWanted | None:
        self.said.append(("judge", symbol, sorted(each.symbol for each in account.holdings())))
        if not self.quantity:
            return None
        return EntryWanted(
            at_ms=now_ms,
            trade_id=f"{symbol}-1",
            symbol=symbol,
            side=1,
            quantity=Decimal(1),
            stop_distance=1.0,
            target_distance=0.0,
            decided_ms=CLOSE_MS,
            reasons=0,
        )

    def refuse(self, symbol: str, why: str) -> None:
        self.said.append(("refuse", symbol, why))

    def finish(self) -> None:
        self.said.append("finish")
        self.next_close_ms += HOUR_MS
        self.absent = {"A", "B"}

    def rearm(self) -> str:
        return "re-armed"


class Account:
    def __init__(self) -> None:
        self.sides: dict[str, int] = {}
        self.leaving: set[str] = set()
        self.entering: set[str] = set()
        self.closed: dict[str, str] = {}
        self.stops: dict[str, float] = {}

    def awaits(self, symbol: str, high: float, low: float) -> bool:
        return low <= self.stops.get(symbol, 0.0)

    @property
    def held_symbols(self) -> list[str]:
        return list(self.sides)

    def side_of(self, symbol: str) -> int:
        return self.sides.get(symbol, 0)

    def holdings(self) -> list[Holding]:
        return [Holding(symbol, side, 1.0, 100.0) for symbol, side in self.sides.items()]

    def is_leaving(self, symbol: str) -> bool:
        return symbol in self.leaving

    def is_entering(self, symbol: str) -> bool:
        return symbol in self.entering

    def why_not_open(self, symbol: str) -> str:
        return self.closed.get(symbol, "")

    def equity_at(self, close_ms: int, prices: Callable[[str], float]) -> float:
        return 1_000.0


class World:
    def __init__(self) -> None:
        self.clock, self.decider, self.account = Clock(), Decider(), Account()
        self.fetched: list[tuple[int, list[tuple[str, Timeframe]]]] = []
        self.rounds = Rounds(self.clock, LiveSettings(), lambda *asked: self.fetched.append(asked))
        self.rounds.begin(self.decider)

    def candles(self, *symbols: str) -> None:
        for symbol in symbols:
            self.rounds.on_candle(symbol, H1, None)

    def turn(self, opens_nothing: str = "") -> list[EntryWanted | ExitWanted]:
        """Take a turn; what is wanted happens at once, but entries take their time."""
        wanted = []
        for each in self.rounds.turn(self.account, opens_nothing):
            wanted.append(each)
            if isinstance(each, EntryWanted):
                self.account.entering.add(each.symbol)
            else:
                self.account.leaving.add(each.symbol)
        return wanted

    def filled(self, symbol: str) -> None:
        self.account.entering.discard(symbol)
        self.account.sides[symbol] = 1


@pytest.fixture
def world() -> World:
    return World()


def test_nothing_happens_before_the_close(world: World) -> None:
    assert world.turn() == []
    assert not world.rounds.is_busy
    assert world.rounds.next_due_ms == CLOSE_MS


def test_a_delivered_candle_opens_the_round_whatever_our_clock_says(world: World) -> None:
    world.candles("A")
    assert world.turn() == []
    assert world.rounds.is_busy
    world.candles("B")
    world.turn()
    assert world.decider.said == [("close", CLOSE_MS, False), "finish"]
    assert world.rounds.last_close_ms == CLOSE_MS
    assert not world.rounds.is_busy


def test_candles_that_no_stream_delivered_are_asked_for_after_the_backstop(world: World) -> None:
    world.candles("A")
    world.clock.at_ms = CLOSE_MS + 4_999
    world.turn()
    assert world.fetched == []
    assert world.rounds.next_due_ms == CLOSE_MS + 5_000
    world.clock.at_ms = CLOSE_MS + 5_000
    world.turn()
    assert world.fetched == [(CLOSE_MS, [("B", H1)])]
    world.turn()
    assert len(world.fetched) == 1  # one at a time
    world.rounds.on_fetched(CandlesFetched(CLOSE_MS, [("B", H1, None)], []))
    world.turn()
    assert world.decider.said[0] == ("close", CLOSE_MS, False)


def test_after_three_requests_it_is_decided_without_the_missing(world: World) -> None:
    world.candles("A")
    for attempt in range(1, 4):
        world.clock.at_ms += 5_001
        world.turn()
        assert len(world.fetched) == attempt
        world.rounds.on_fetched(CandlesFetched(CLOSE_MS, [], ["B: no answer"]))
        assert world.decider.said == []
    world.clock.at_ms += 5_001
    world.turn()
    assert world.decider.said[0] == ("close", CLOSE_MS, False)


def test_a_close_that_is_decided_late_says_so(world: World) -> None:
    world.clock.at_ms = CLOSE_MS + 120_001
    world.candles("A", "B")
    world.turn()
    assert world.decider.said[0] == ("close", CLOSE_MS, True)


def test_closes_are_worked_through_one_after_the_other(world: World) -> None:
    world.clock.at_ms = CLOSE_MS + HOUR_MS
    world.candles("A", "B")
    world.turn()
    assert world.decider.said == [("close", CLOSE_MS, True), "finish"]
    assert world.rounds.is_busy  # with the next
    world.candles("A", "B")
    world.turn()
    assert world.decider.said[2:] == [("close", CLOSE_MS + HOUR_MS, False), "finish"]


def test_exits_come_first_and_each_entry_is_judged_once_the_one_before_has_filled(world: World) -> None:
    world.account.sides = {"X": 1, "Y": -1}
    world.decider.exits = {"Y"}
    world.decider.entries = ["A", "B"]
    world.candles("A", "B")
    wanted = world.turn()
    assert [(type(each), each.symbol) for each in wanted] == [(ExitWanted, "Y"), (EntryWanted, "A")]
    assert world.turn() == []
    world.filled("A")
    assert [each.symbol for each in world.turn()] == ["B"]
    assert ("judge", "B", ["A", "X", "Y"]) in world.decider.said
    assert "finish" not in world.decider.said
    world.filled("B")
    world.turn()
    assert world.decider.said[-1] == "finish"


def test_an_entry_that_does_not_fill_in_time_holds_up_no_other(world: World) -> None:
    world.decider.entries = ["A", "B"]
    world.candles("A", "B")
    assert [each.symbol for each in world.turn()] == ["A"]
    assert world.rounds.next_due_ms == world.clock.at_ms + 5_000
    world.clock.at_ms += 5_000
    assert [each.symbol for each in world.turn()] == ["B"]


def test_a_turn_goes_out_before_it_goes_in(world: World) -> None:
    world.account.sides = {"A": -1}
    world.decider.exits, world.decider.entries = {"A"}, ["A", "B"]
    world.candles("A", "B")
    assert [type(each) for each in world.turn()] == [ExitWanted]
    world.account.sides.clear()
    world.account.leaving.clear()
    assert [each.symbol for each in world.turn()] == ["A"]


def test_a_turn_whose_exit_hangs_is_given_up(world: World) -> None:
    world.account.sides = {"A": -1}
    world.decider.exits, world.decider.entries = {"A"}, ["A", "B"]
    world.candles("A", "B")
    world.turn()
    world.clock.at_ms += 120_000
    assert [each.symbol for each in world.turn()] == ["B"]


def test_an_exit_under_way_is_not_wanted_again(world: World) -> None:
    world.account.sides, world.account.leaving = {"X": 1}, {"X"}
    world.decider.exits = {"X"}
    world.candles("A", "B")
    assert world.turn() == []


@pytest.mark.parametrize("everywhere", [True, False])
def test_what_may_not_be_opened_is_refused_with_the_reason(world: World, everywhere: bool) -> None:
    world.decider.entries = ["A"]
    if not everywhere:
        world.account.closed = {"A": "UNEXPLAINED"}
    world.candles("A", "B")
    assert world.turn("paused" if everywhere else "") == []
    assert ("refuse", "A", "paused" if everywhere else "UNEXPLAINED") in world.decider.said


def test_what_the_gate_refuses_holds_up_nothing(world: World) -> None:
    world.decider.entries, world.decider.quantity = ["A", "B"], False
    world.candles("A", "B")
    assert world.turn() == []
    assert world.decider.said[-1] == "finish"


def test_entries_are_forgotten_when_told_to_stop(world: World) -> None:
    world.decider.entries = ["A", "B"]
    world.candles("A", "B")
    world.turn()
    world.rounds.forget_entries()
    world.filled("A")
    assert world.turn() == []
    assert ("refuse", "B", "STOPPED") in world.decider.said


def test_the_fill_of_a_stop_that_the_candle_reached_is_waited_for(world: World, monkeypatch) -> None:
    now = [5.0]
    monkeypatch.setattr("futures_agent.live.rounds.time.monotonic", lambda: now[0])
    world.account.sides, world.account.stops = {"A": 1}, {"A": 90.0}
    world.decider.ranges = {"A": (101.0, 89.0)}
    world.candles("A", "B")
    world.turn()
    assert world.decider.said == []
    world.account.sides.clear()  # the fill has come
    world.turn()
    assert world.decider.said == [("close", CLOSE_MS, False), "finish"]


def test_a_fill_that_does_not_come_is_not_waited_for_longer_than_a_second(world: World, monkeypatch) -> None:
    now = [5.0]
    monkeypatch.setattr("futures_agent.live.rounds.time.monotonic", lambda: now[0])
    world.account.sides, world.account.stops = {"A": 1}, {"A": 90.0}
    world.decider.ranges = {"A": (101.0, 89.0)}
    world.candles("A", "B")
    world.turn()
    now[0] += 0.999
    world.turn()
    assert world.decider.said == []
    now[0] += 0.001
    world.turn()
    assert world.decider.said[0] == ("close", CLOSE_MS, False)

"""Rounds: what is waited for, what is asked for, and in which order things are wanted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from futures_agent.clock import HOUR_MS
from futures_agent.errors import Retry
from futures_agent.live.inbox import CandlesFetched
from futures_agent.live.records import EntryWanted, ExitWanted
from futures_agent.live.rounds import Rounds
from futures_agent.live.tracker import Missing
from futures_agent.market.candle import CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.risk.rejection import Rejection
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


class Risk:
    def rearm(self) -> str:
        return "re-armed"

    def save(self) -> None:
        pass


class Decided:
    def __init__(self, exits: list[ExitWanted], entries: list[EntryWanted]) -> None:
        self.exits, self.entries, self.failures = tuple(exits), tuple(entries), ()


class Decider:
    """Says what it was told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.absent = {"A", "B"}
        self.entries: list[str] = []
        self.exits: list[str] = []
        self.risk = Risk()
        self.rejections: dict[str, int] = {}
        self.said: list[Any] = []

    def on_candle(self, symbol: str, timeframe: Timeframe, candle: Any) -> None:
        self.absent.discard(symbol)

    def missing(self, close_ms: int) -> list[Missing]:
        return [Missing(symbol, H1, close_ms - HOUR_MS, close_ms - HOUR_MS) for symbol in sorted(self.absent)]

    def have_none(self, missing: Missing) -> None:
        self.said.append(("none", missing.symbol))
        self.absent.discard(missing.symbol)

    def decide(self, close_ms: int, account: Any, now_ms: int, refusal: Any) -> Decided:
        accepted = [each for each in self.entries if refusal(each) is Rejection.ACCEPTED]
        refused = {each: refusal(each).name for each in self.entries if each not in accepted}
        self.said.append(("decide", close_ms, *([refused] if refused else [])))
        self.absent = {"A", "B"}
        exits = [ExitWanted(at_ms=now_ms, symbol=each, why="SIGNAL") for each in self.exits]
        return Decided(exits, [entry(each, now_ms) for each in accepted])


def entry(symbol: str, now_ms: int) -> EntryWanted:
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


class Account:
    def __init__(self) -> None:
        self.held: set[str] = set()
        self.leaving: set[str] = set()
        self.unsure: set[str] = set()
        self.stops: dict[str, float] = {}

    def account_at(self, close_ms: int) -> Any:
        return None

    def is_leaving(self, symbol: str) -> bool:
        return symbol in self.leaving

    def may_open(self, symbol: str) -> bool:
        return symbol not in self.held | self.leaving | self.unsure

    def awaits(self, symbol: str, high: float, low: float) -> bool:
        return symbol in self.held and low <= self.stops.get(symbol, 0.0)


def candle(open_ms: int = CLOSE_MS - HOUR_MS, low: float = 99.0) -> Any:
    record = np.zeros(1, CANDLE)
    record["timestamp"], record["high"], record["low"] = open_ms, 101.0, low
    return record[0]


class World:
    def __init__(self) -> None:
        self.clock, self.decider, self.account = Clock(), Decider(), Account()
        self.fetched: list[tuple[int, list[Missing]]] = []
        self.finished: list[Any] = []
        self.rounds = Rounds(
            self.clock,
            LiveSettings(),
            H1,
            lambda *asked: self.fetched.append(asked),
            lambda decider, decided: self.finished.append(decided),
        )
        self.rounds.begin(self.decider, CLOSE_MS)  # type: ignore[arg-type]

    def candles(self, *symbols: str, **terms: Any) -> None:
        for symbol in symbols:
            self.rounds.on_candle(symbol, H1, candle(**terms))

    def turn(self, opens_nothing: str = "") -> list[EntryWanted | ExitWanted]:
        """Take a turn; what is wanted is under way at once, and takes its time."""
        wanted = []
        for each in self.rounds.turn(self.account, opens_nothing):
            wanted.append(each)
            (self.account.held if isinstance(each, EntryWanted) else self.account.leaving).add(each.symbol)
        return wanted

    @property
    def decided(self) -> list[Any]:
        return [each for each in self.decider.said if each[0] == "decide"]


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
    assert world.decided == [("decide", CLOSE_MS)]
    assert world.rounds.last_close_ms == CLOSE_MS
    assert len(world.finished) == 1
    assert not world.rounds.is_busy


def test_candles_that_came_before_the_strategy_was_ready_count(world: World) -> None:
    decider = Decider()
    rounds = Rounds(world.clock, LiveSettings(), H1, lambda *asked: None, lambda *done: None)
    rounds.on_candle("A", H1, candle())
    rounds.on_candle("B", H1, candle())
    assert list(rounds.turn(world.account, "")) == []
    rounds.begin(decider, CLOSE_MS)  # type: ignore[arg-type]
    assert list(rounds.turn(world.account, "")) == []
    assert decider.said == [("decide", CLOSE_MS)]


def test_candles_that_no_stream_delivered_are_asked_for_after_the_backstop(world: World) -> None:
    world.candles("A")
    world.clock.at_ms = CLOSE_MS + 4_999
    world.turn()
    assert world.fetched == []
    assert world.rounds.next_due_ms == CLOSE_MS + 5_000
    world.clock.at_ms = CLOSE_MS + 5_000
    world.turn()
    assert [(close, [each.symbol for each in missing]) for close, missing in world.fetched] == [
        (CLOSE_MS, ["B"])
    ]
    world.turn()
    assert len(world.fetched) == 1  # one at a time
    world.rounds.on_fetched(CandlesFetched(CLOSE_MS, [("B", H1, np.array([candle()]))], [], []))
    world.turn()
    assert world.decided == [("decide", CLOSE_MS)]


def test_after_three_requests_it_is_decided_without_what_nobody_answered(world: World) -> None:
    world.candles("A")
    for attempt in range(1, 4):
        world.clock.at_ms += 5_001
        world.turn()
        assert len(world.fetched) == attempt
        world.rounds.on_fetched(CandlesFetched(CLOSE_MS, [], [], ["B: no answer"]))
        assert world.decider.said == []
    world.clock.at_ms += 5_001
    world.turn()
    assert world.decider.said == [("decide", CLOSE_MS)]


def test_what_the_exchange_has_not_after_three_requests_does_not_exist(world: World) -> None:
    world.candles("A")
    for _ in range(3):
        world.clock.at_ms += 5_001
        world.turn()
        close_ms, missing = world.fetched[-1]
        world.rounds.on_fetched(CandlesFetched(close_ms, [], missing, []))
    world.turn()
    assert world.decider.said == [("none", "B"), ("decide", CLOSE_MS)]


def test_closes_are_worked_through_one_after_the_other(world: World) -> None:
    world.clock.at_ms = CLOSE_MS + HOUR_MS
    world.candles("A", "B")
    world.turn()
    assert world.decided == [("decide", CLOSE_MS)]
    assert world.rounds.is_busy  # with the next
    world.candles("A", "B", open_ms=CLOSE_MS)
    world.turn()
    assert world.decided == [("decide", CLOSE_MS), ("decide", CLOSE_MS + HOUR_MS)]


def test_exits_come_first_then_the_entries(world: World) -> None:
    world.account.held = {"X", "Y"}
    world.decider.exits, world.decider.entries = ["Y"], ["A", "B"]
    world.candles("A", "B")
    wanted = world.turn()
    assert [(type(each), each.symbol) for each in wanted] == [
        (ExitWanted, "Y"),
        (EntryWanted, "A"),
        (EntryWanted, "B"),
    ]
    assert not world.rounds.is_busy


def test_a_turn_goes_out_before_it_goes_in(world: World) -> None:
    world.account.held = {"A"}
    world.decider.exits, world.decider.entries = ["A"], ["A", "B"]
    world.candles("A", "B")
    assert [(type(each), each.symbol) for each in world.turn()] == [(ExitWanted, "A"), (EntryWanted, "B")]
    assert world.rounds.is_busy
    world.account.held.discard("A")
    world.account.leaving.discard("A")
    assert [each.symbol for each in world.turn()] == ["A"]
    assert not world.rounds.is_busy


def test_a_turn_whose_exit_hangs_is_given_up(world: World) -> None:
    world.account.held, world.account.leaving = {"A"}, {"A"}
    world.decider.exits, world.decider.entries = ["A"], ["A"]
    world.candles("A", "B")
    assert world.turn() == []  # it is under way already
    assert world.rounds.next_due_ms == CLOSE_MS + 120_000
    world.clock.at_ms = CLOSE_MS + 120_000
    assert world.turn() == []
    assert world.decider.rejections == {"UNSETTLED": 1}
    assert not world.rounds.is_busy


def test_where_nothing_is_opened_entries_are_refused(world: World) -> None:
    world.decider.entries = ["A"]
    world.candles("A", "B")
    assert world.turn("paused") == []
    assert world.decided == [("decide", CLOSE_MS, {"A": "ENTRIES_STOPPED"})]


def test_an_entry_waits_until_its_symbol_is_beyond_doubt(world: World) -> None:
    world.decider.entries = ["A"]
    world.account.unsure = {"A"}
    world.candles("A", "B")
    assert world.turn() == []
    assert world.rounds.is_busy
    world.account.unsure.clear()
    assert [each.symbol for each in world.turn()] == ["A"]


def test_entries_are_forgotten_when_told_to_stop(world: World) -> None:
    world.account.held, world.account.leaving = {"A"}, {"A"}
    world.decider.exits, world.decider.entries = ["A"], ["A"]
    world.candles("A", "B")
    world.turn()
    world.rounds.forget_entries()
    world.account.held.clear()
    world.account.leaving.clear()
    assert world.turn() == []
    assert not world.rounds.is_busy


def test_the_fill_of_a_stop_that_the_candle_reached_is_waited_for(world: World) -> None:
    world.account.held, world.account.stops = {"A"}, {"A": 90.0}
    world.candles("A", low=89.0)
    world.candles("B")
    world.turn()
    assert world.decider.said == []
    world.account.held.clear()  # the fill has come
    world.turn()
    assert world.decided == [("decide", CLOSE_MS)]


def test_a_fill_that_does_not_come_is_not_waited_for_longer_than_a_second(world: World, monkeypatch) -> None:
    now = [5.0]
    monkeypatch.setattr("futures_agent.live.rounds.time.monotonic", lambda: now[0])
    world.account.held, world.account.stops = {"A"}, {"A": 90.0}
    world.candles("A", low=89.0)
    world.candles("B")
    world.turn()
    now[0] += 0.999
    world.turn()
    assert world.decider.said == []
    now[0] += 0.001
    world.turn()
    assert world.decided == [("decide", CLOSE_MS)]


def test_rearming_needs_a_strategy_that_is_ready(world: World) -> None:
    assert world.rounds.rearm() == "re-armed"
    cold = Rounds(world.clock, LiveSettings(), H1, lambda *asked: None, lambda *done: None)
    with pytest.raises(Retry, match="warming up"):
        cold.rearm()


def test_a_log_that_cannot_be_written_ends_no_round(world: World) -> None:
    def fail(*done: Any) -> None:
        raise Retry("disk full")

    rounds = Rounds(world.clock, LiveSettings(), H1, lambda *asked: None, fail)
    rounds.begin(world.decider, CLOSE_MS)  # type: ignore[arg-type]
    for symbol in ("A", "B"):
        rounds.on_candle(symbol, H1, candle())
    assert list(rounds.turn(world.account, "")) == []
    assert rounds.last_close_ms == CLOSE_MS

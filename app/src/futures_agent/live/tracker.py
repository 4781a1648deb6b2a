"""One symbol of the live trader: the strategy's memory of it, and the candles it has yet to see."""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from futures_agent.clock import utc_text
from futures_agent.market.candle import CANDLE, Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.plain import PlainRecord, as_tuple, plain_type
from futures_agent.policy.policy import Policy
from futures_agent.strategy.bars import bars_in_order, require_sound
from futures_agent.strategy.strategy import SIGNAL, Strategy

Published = Mapping[str, NDArray[np.void]]  # PUBLISHED by name of the strategy's input

_NO_SIGNAL = np.zeros(1, SIGNAL)[0].item()


class Arrival(Enum):
    """What became of a candle."""

    TAKEN = "taken"
    AHEAD = "ahead"  # candles before it are missing; it waits for them
    DUPLICATE = "duplicate"  # it was there already; nothing changes
    UNKNOWN = "unknown"  # of a symbol or timeframe that nothing is decided on


class Missing(NamedTuple):
    """Candles of one series that have closed and not come: first and last open time, ms UTC."""

    symbol: str
    timeframe: Timeframe
    first_ms: int
    last_ms: int


class Close(NamedTuple):
    """What the correlation cap reads of a candle."""

    timestamp: int
    close: float


class Rules(NamedTuple):
    """What all symbols have in common."""

    strategy: Strategy
    params: PlainRecord
    timeframe: Timeframe  # the one that decides
    policy: Policy | None
    correlation_bars: int

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        return (self.timeframe, *self.strategy.timeframes)


class Stepped(NamedTuple):
    """What the strategy saw and said, oldest first."""

    bars: NDArray[np.void]  # `strategy.bar`, of all timeframes
    signals: NDArray[np.void]  # SIGNAL, one per bar
    observations: dict[int, tuple[float, ...]]  # by row: what the policy judged an entry by
    seen_before: int  # bars, and their CRC-32
    history_before: int


class Tracker:
    """Follows one symbol from the anchor on.

    Parameters
    ----------
    symbol : str
    rules : Rules

    Attributes
    ----------
    last : dict of Timeframe to int
        Open time of the newest candle the strategy has seen, or that is known not to exist, ms UTC; a
        timeframe that has not begun is absent.
    asked_ms : dict of int to int
        By side: close of the last deciding bar on which a position of that side was to be left, ms UTC.
    closes : deque of Close
        Deciding candles, as many as the correlation cap can look at; the newest marks the position.
    history : int
        CRC-32 over all bars seen, in their order: equal ones have seen the same.
    bars_seen : int
    failure : str
        Why nothing is decided on this symbol any more; empty where it is.
    """

    def __init__(self, symbol: str, rules: Rules) -> None:
        self.symbol = symbol
        self._rules = rules
        self._bar_type = plain_type(rules.strategy.bar)
        self._signal_type = plain_type(SIGNAL)
        self._state = plain_type(rules.strategy.state)(np.zeros(1, rules.strategy.state)[0].item())
        self._observation = np.zeros(len(rules.strategy.observation))
        self._waiting: dict[Timeframe, dict[int, NDArray[np.void]]] = {each: {} for each in rules.timeframes}
        self._absent: dict[Timeframe, set[int]] = {each: set() for each in rules.timeframes}
        self.last: dict[Timeframe, int] = {}
        self.asked_ms = {1: 0, -1: 0}
        self.closes: deque[Close] = deque()
        self.history = 0
        self.bars_seen = 0
        self.failure = ""

    @property
    def state(self) -> NDArray[np.void]:
        """The strategy's record as an array of one; setting it is how a saved memory comes back."""
        record = np.zeros(1, self._rules.strategy.state)
        record[0] = as_tuple(self._state)
        return record

    @state.setter
    def state(self, record: NDArray[np.void]) -> None:
        self._state = plain_type(self._rules.strategy.state)(record[0].item())

    def take(self, timeframe: Timeframe, candle: np.void) -> Arrival:
        """Keep a closed candle until the close is decided; it may come in any order, and twice."""
        waiting = self._waiting.get(timeframe)
        if waiting is None:
            return Arrival.UNKNOWN
        opened = int(candle["timestamp"])
        if opened <= self.last.get(timeframe, -1) or opened in waiting:
            return Arrival.DUPLICATE
        waiting[opened] = _plain_candle(candle)
        self._absent[timeframe].discard(opened)
        return Arrival.AHEAD if self._missing(timeframe, opened) else Arrival.TAKEN

    def have_none(self, timeframe: Timeframe, first_ms: int, last_ms: int) -> None:
        """Believe that the exchange has no candles with these open times, and wait for them no longer."""
        waiting = self._waiting[timeframe]
        times = range(first_ms, last_ms + 1, timeframe.ms)
        self._absent[timeframe] |= {each for each in times if each not in waiting}

    def missing(self, close_ms: int) -> list[Missing]:
        """Return what has closed by `close_ms` (ms UTC) and has not come."""
        found = []
        for timeframe in self._rules.timeframes:
            times = self._missing(timeframe, timeframe.last_closed_open(close_ms))
            found += [Missing(self.symbol, timeframe, *run) for run in _runs(times, timeframe.ms)]
        return found

    def _missing(self, timeframe: Timeframe, until: int) -> list[int]:
        if timeframe not in self.last:
            return []  # nobody knows when a new series begins
        here, absent = self._waiting[timeframe], self._absent[timeframe]
        expected = range(self.last[timeframe] + timeframe.ms, until + 1, timeframe.ms)
        return [each for each in expected if each not in here and each not in absent]

    def advance(self, close_ms: int, published: Published) -> Stepped:
        """Let the strategy see all that waits and has closed by `close_ms`; nothing must be missing."""
        series = {}
        for timeframe, waiting in self._waiting.items():
            until = timeframe.last_closed_open(close_ms)
            due = sorted(each for each in waiting if each <= until)
            series[timeframe] = _joined([waiting.pop(each) for each in due])
        stepped = self.see(series, published)
        for timeframe in self.last:  # what does not exist has been seen too
            until = timeframe.last_closed_open(close_ms)
            self.last[timeframe] = max(self.last[timeframe], until)
            self._absent[timeframe] = {each for each in self._absent[timeframe] if each > until}
        return stepped

    def see(self, series: Mapping[Timeframe, Candles], published: Published) -> Stepped:
        """Step the strategy over candles that follow those seen; where it fails, the symbol is given up.

        Parameters
        ----------
        series : mapping of Timeframe to ndarray with the fields of CANDLE
            Ascending in time each, all closed.
        """
        for timeframe, candles in series.items():
            if len(candles):
                self.last[timeframe] = int(candles["timestamp"][-1])
        bars = bars_in_order(self._rules.strategy, series, published)
        stepped = Stepped(bars, np.zeros(len(bars), SIGNAL), {}, self.bars_seen, self.history)
        self.history = zlib.crc32(bars.tobytes(), self.history)
        self.bars_seen += len(bars)
        self._remember_closes(series[self._rules.timeframe])
        if self.failure:
            return stepped
        try:
            self._step(stepped)
        except (Exception, SystemExit) as error:  # a user's code may raise anything; the other symbols go on
            self.give_up(" ".join(f"{type(error).__name__}: {error}".split()))
        else:
            self._note_exits(stepped)
        return stepped

    def give_up(self, reason: str) -> None:
        """Decide nothing on this symbol until the program starts again."""
        self.failure = reason

    def _step(self, stepped: Stepped) -> None:
        strategy, params, policy, deciding_ms = (
            self._rules.strategy,
            self._rules.params,
            self._rules.policy,
            self._rules.timeframe.ms,
        )
        state, step, make_bar, make_signal = self._state, strategy.step, self._bar_type, self._signal_type
        signals = stepped.signals
        for row, values in enumerate(stepped.bars.tolist()):
            bar, signal = make_bar(values), make_signal(_NO_SIGNAL)
            step(state, bar, params, signal)
            if policy is not None and signal.entry != 0 and bar.timeframe_ms == deciding_ms:  # type: ignore[attr-defined]
                stepped.observations[row] = self._observe(bar)
                signal.declined = not policy.accepts(policy.weights, self._observation)  # type: ignore[attr-defined]
            signals[row] = as_tuple(signal)
        deciding = stepped.bars["timeframe_ms"] == deciding_ms
        require_sound(signals[deciding], stepped.bars["timestamp"][deciding])

    def _observe(self, bar: Any) -> tuple[float, ...]:
        """Return the numbers of an entry; a number that is none is a failure of the strategy."""
        strategy, observation = self._rules.strategy, self._observation
        assert strategy.observe is not None  # a policy is made for some number
        observation[:] = math.nan  # what `observe` leaves out must not be the last entry's
        strategy.observe(self._state, bar, self._rules.params, observation)
        for name, number in zip(strategy.observation, observation, strict=True):
            if not math.isfinite(number):
                when = utc_text(bar.timestamp)
                raise ValueError(f"impossible observation {name} = {number} on the bar of {when}")
        return tuple(observation.tolist())

    def _note_exits(self, stepped: Stepped) -> None:
        signals, step_ms = stepped.signals, self._rules.timeframe.ms
        deciding = stepped.bars["timeframe_ms"] == step_ms
        for side, asked in ((1, signals["exit_long"]), (-1, signals["exit_short"])):
            rows = np.flatnonzero(deciding & (asked | (signals["entry"] == -side)))
            if len(rows):
                self.asked_ms[side] = int(stepped.bars["timestamp"][rows[-1]]) + step_ms

    def _remember_closes(self, candles: Candles) -> None:
        """Keep the closes of the window, and one before it: what is older, no correlation looks at."""
        window_ms = self._rules.correlation_bars * self._rules.timeframe.ms
        for row in candles[-self._rules.correlation_bars - 1 :][["timestamp", "close"]].tolist():
            self.closes.append(Close(*row))
        if self.closes:
            oldest = self.closes[-1].timestamp - window_ms
            while len(self.closes) > 2 and self.closes[1].timestamp <= oldest:
                self.closes.popleft()


def _plain_candle(candle: np.void) -> NDArray[np.void]:
    """Return the candle as an array of one CANDLE, whatever else the exchange told of it."""
    plain = np.zeros(1, CANDLE)
    for name in CANDLE.names or ():
        plain[name] = candle[name]
    return plain


def _joined(parts: list[NDArray[np.void]]) -> Candles:
    return np.concatenate(parts) if parts else np.zeros(0, CANDLE)


def _runs(times: list[int], step_ms: int) -> list[tuple[int, int]]:
    """Return the runs of consecutive open times, first and last each."""
    runs: list[tuple[int, int]] = []
    for time in times:
        if runs and time == runs[-1][1] + step_ms:
            runs[-1] = (runs[-1][0], time)
        else:
            runs.append((time, time))
    return runs

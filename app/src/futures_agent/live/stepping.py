"""One symbol's strategy state, stepped bar by bar with the source that the backtest compiles.

Candles may come late, twice, or in any order within a close: a step is taken once per candle, in the order
of the closes, the higher timeframe first where bars close together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from futures_agent.market.candle import CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.plain import PlainRecord, as_tuple, plain_type
from futures_agent.policy.policy import Policy
from futures_agent.strategy.strategy import SIGNAL, Strategy

_FIELDS = CANDLE.names or ()
Known = tuple[float, bool]  # the value of an input, and whether anything is known
Inputs = Callable[[str, int], dict[str, Known]]  # of a symbol at a close, by name of the input


class Brain:
    """What all symbols share: the strategy, its parameters, its inputs, the policy."""

    def __init__(
        self,
        strategy: Strategy,
        params: NDArray[np.void],
        timeframe: Timeframe,
        inputs: Inputs,
        policy: Policy | None = None,
    ) -> None:
        self.strategy = strategy
        self.timeframe = timeframe
        self.frames: tuple[Timeframe, ...] = tuple(
            sorted({timeframe, *strategy.timeframes}, key=lambda frame: -frame.ms)
        )
        self.params = plain_type(params.dtype)(params[0].item())
        self.policy = policy
        self._inputs = inputs
        self._bar_type = plain_type(strategy.bar)
        self._state_type = plain_type(strategy.state)
        self._signal_type = plain_type(SIGNAL)
        self._no_signal = np.zeros(1, SIGNAL)[0].item()

    def new_state(self, record: NDArray[np.void] | None = None) -> PlainRecord:
        """Return a state that has seen nothing, or what `record` has seen."""
        seen = np.zeros(1, self.strategy.state) if record is None else record
        return self._state_type(seen[0].item())

    def no_signal(self) -> Any:
        return self._signal_type(self._no_signal)

    def bar(self, symbol: str, timeframe: Timeframe, candle: Any) -> PlainRecord:
        """Return the bar that a step sees."""
        known = self._inputs(symbol, int(candle["timestamp"]) + timeframe.ms)
        values = [candle[name].item() for name in _FIELDS]
        for wanted in self.strategy.inputs:
            values += known.get(wanted.name, (0.0, False))
        return self._bar_type((*values[: len(_FIELDS)], timeframe.ms, *values[len(_FIELDS) :]))

    def observe(self, state: PlainRecord, bar: PlainRecord) -> list[float]:
        """Return the numbers by which a policy judges an entry; none where the strategy observes nothing.

        Raises
        ------
        ValueError
            One of them is not finite.
        """
        strategy = self.strategy
        if strategy.observe is None:
            return []
        observation = np.full(len(strategy.observation), math.nan)
        strategy.observe(state, bar, self.params, observation)
        for name, number in zip(strategy.observation, observation, strict=True):
            if not math.isfinite(number):
                raise ValueError(f"impossible observation {name} = {number}")
        return [float(number) for number in observation]


class SymbolMemory:
    """One symbol: the strategy's state, what it has stepped, and candles that wait for their turn.

    Attributes
    ----------
    newest : dict of Timeframe to int
        Open time of the last candle stepped; −1 before the first.
    signal
        Record of SIGNAL from the last deciding bar; None where the strategy has none of this close.
    fault : str
        Why the strategy no longer decides on this symbol; empty while it does.
    """

    def __init__(self, brain: Brain, symbol: str, state: NDArray[np.void] | None = None) -> None:
        self._brain = brain
        self.symbol = symbol
        self.state = brain.new_state(state)
        self.newest: dict[Timeframe, int] = dict.fromkeys(brain.frames, -1)
        self.signal: Any = None
        self.observation: list[float] = []
        self.fault = ""
        self._waiting: dict[tuple[Timeframe, int], Any] = {}

    def offer(self, timeframe: Timeframe, candle: Any) -> None:
        """Keep a closed candle for its turn; one that was stepped already is ignored."""
        open_ms = int(candle["timestamp"])
        if timeframe in self.newest and open_ms > self.newest[timeframe]:
            self._waiting[timeframe, open_ms] = candle

    def has(self, timeframe: Timeframe, open_ms: int) -> bool:
        return open_ms <= self.newest[timeframe] or (timeframe, open_ms) in self._waiting

    def range_at(self, close_ms: int) -> tuple[float, float] | None:
        """Return high and low of the deciding candle that closes then and waits; None where there is none."""
        frame = self._brain.timeframe
        candle = self._waiting.get((frame, close_ms - frame.ms))
        return None if candle is None else (float(candle["high"]), float(candle["low"]))

    def gaps(self, timeframe: Timeframe, first_ms: int, close_ms: int) -> list[int]:
        """Return the open times from `first_ms` on of candles closed by `close_ms` that have not come."""
        known = self.newest[timeframe]
        start_ms = known + timeframe.ms if known >= 0 else timeframe.open_of(first_ms + timeframe.ms - 1)
        return [
            open_ms
            for open_ms in range(start_ms, close_ms - timeframe.ms + 1, timeframe.ms)
            if (timeframe, open_ms) not in self._waiting
        ]

    def advance(self, close_ms: int) -> list[Any]:
        """Step every candle that has closed by `close_ms`; return those of the deciding timeframe.

        `signal` is then what the bar that closes at `close_ms` says, None where there is none.
        """
        self.signal, self.observation = None, []
        due = [(open_ms + frame.ms, -frame.ms, frame, open_ms) for frame, open_ms in self._waiting]
        due = sorted((each for each in due if each[0] <= close_ms), key=lambda each: each[:2])
        stepped = []
        for close, _, frame, open_ms in due:
            candle = self._waiting.pop((frame, open_ms))
            if open_ms <= self.newest[frame]:
                continue
            self.newest[frame] = open_ms
            if frame is self._brain.timeframe:
                stepped.append(candle)
            if not self.fault:
                self._step(frame, candle, deciding=frame is self._brain.timeframe and close == close_ms)
        return stepped

    def state_record(self) -> NDArray[np.void]:
        """Return the strategy's state as an array of one record."""
        record = np.zeros(1, self._brain.strategy.state)
        record[0] = as_tuple(self.state)
        return record

    def _step(self, timeframe: Timeframe, candle: Any, *, deciding: bool) -> None:
        brain, signal = self._brain, self._brain.no_signal()
        try:
            bar = brain.bar(self.symbol, timeframe, candle)
            brain.strategy.step(self.state, bar, brain.params, signal)
            if deciding:
                _require_sound(signal)
                if signal.entry:
                    self.observation = brain.observe(self.state, bar)
                if signal.entry and brain.policy is not None:
                    observed = np.array(self.observation)
                    signal.declined = not brain.policy.accepts(brain.policy.weights, observed)
        except Exception as error:  # a user's code may raise anything; the other symbols go on
            self.fault = " ".join(f"{type(error).__name__}: {error}".split())
            return
        if deciding:
            self.signal = signal


def _require_sound(signal: Any) -> None:
    """Refuse to trade on distances that are negative or no numbers, and on sides other than +1, 0, −1."""
    distances: Sequence[float] = (signal.stop_distance, signal.target_distance)
    if abs(signal.entry) > 1 or not all(math.isfinite(each) and each >= 0 for each in distances):
        raise ValueError(f"impossible signal entry {signal.entry}, distances {distances}")

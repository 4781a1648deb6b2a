"""What a strategy's `observe` says of the entries of one run, and what it does to the state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from futures_agent.backtest.audit.differing import Difference, first_difference
from futures_agent.backtest.deciding import strategy_observe
from futures_agent.compiled import bind, is_kernel, kernel, runner
from futures_agent.strategy.strategy import Strategy


class Observations(Struct, frozen=True):
    """The numbers that a policy would have judged the entries of a run by.

    Parameters
    ----------
    rows : ndarray of int64, shape (entries,)
        Of the run's bars: entries of the deciding timeframe of which the state was kept.
    numbers : ndarray of records, shape (entries,)
        One float64 per name; NaN where `observe` filled nothing in.
    changed : Difference, optional
        The first number of the state that `observe` changed; its row counts entries.
    """

    rows: NDArray[np.int64]
    numbers: NDArray[np.void]
    changed: Difference | None = None

    def not_finite(self) -> Difference | None:
        """Return the first number that no policy can judge by; its row counts entries."""
        for row, numbers in enumerate(self.numbers.tolist()):
            for name, number in zip(self.numbers.dtype.names or (), numbers, strict=True):
                if not np.isfinite(number):
                    return Difference(row, name, str(number), "must be finite")
        return None


NOTHING_OBSERVED = Observations(np.zeros(0, np.int64), np.zeros(0, np.dtype([])))


@kernel
def observe_each(states: Any, bars: Any, params: Any, numbers: Any) -> None:
    """Call the strategy's observe once per entry; `numbers` has one row per entry."""
    for row in range(len(bars)):
        strategy_observe(states[row], bars[row], params[0], numbers[row])


class Observer:
    """Calls the `observe` of one strategy on the entries of its runs, compiled where there is a cache."""

    def __init__(self, strategy: Strategy, params: NDArray[np.void], compile_cache: Path | None) -> None:
        self._params = params
        self._names = strategy.observation
        self._run = None
        if strategy.observe is not None:
            bound = bind(observe_each, strategy_observe=strategy.observe)
            self._run = runner(bound, compile_cache if is_kernel(strategy.observe) else None)

    def __call__(
        self, bars: NDArray[np.void], signals: NDArray[np.void], states: NDArray[np.void], every: int
    ) -> Observations:
        """Observe the entries of a run of which the states after every `every`-th bar were kept."""
        deciding = bars["timeframe_ms"] == np.min(bars["timeframe_ms"], initial=2**62)
        rows = np.flatnonzero((signals["entry"] != 0) & deciding & (np.arange(len(bars)) % every == 0))
        if self._run is None or not len(rows):
            return NOTHING_OBSERVED
        before = states[rows // every]
        after = before.copy()
        numbers = np.full((len(rows), len(self._names)), np.nan)
        self._run(after, bars[rows], self._params, numbers)
        records = numbers.view(np.dtype([(name, np.float64) for name in self._names]))[:, 0]
        return Observations(rows, records, first_difference(before, after))

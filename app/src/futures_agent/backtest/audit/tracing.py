"""A strategy's run over one symbol with everything kept: what it was shown, remembered and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from futures_agent.backtest.audit.observing import NOTHING_OBSERVED, Observations, Observer
from futures_agent.backtest.deciding import stepping
from futures_agent.strategy.strategy import SIGNAL, Strategy

_MOST_BYTES = 24 << 20  # of states kept per run; a larger state is kept at every second, third … bar


class Trace(Struct, frozen=True):
    """One run of a strategy over the bars of one symbol.

    Parameters
    ----------
    bars : ndarray of the strategy's `bar`, shape (n,)
        What the step was shown, in that order.
    signals : ndarray of SIGNAL, shape (n,)
        As they stood when the run was over, so that a signal rewritten later is seen as it was rewritten.
    states : ndarray of the strategy's `state`, shape (ceil(n / every),)
        The state after the bars 0, `every`, 2 × `every` …
    every : int
        1, unless the state is too large to be kept at each bar.
    observed : Observations
        Of the entries, where the strategy observes.
    """

    bars: NDArray[np.void]
    signals: NDArray[np.void]
    states: NDArray[np.void]
    every: int
    observed: Observations = NOTHING_OBSERVED

    def without_states(self) -> Trace:
        """Return the same run without its states, which are what takes memory, and what was observed."""
        return replace(self, states=self.states[:0].copy(), observed=NOTHING_OBSERVED)


class Tracer:
    """Runs one strategy again and again; compiled code is loaded once.

    Parameters
    ----------
    params : ndarray of one record
        From `strategy.read_params`.
    compile_cache : Path, optional
        Without it, or where the step is no kernel, the step runs as plain Python.
    """

    def __init__(self, strategy: Strategy, params: NDArray[np.void], compile_cache: Path | None) -> None:
        self._state = strategy.state
        self._params = params
        self._run = stepping(strategy, compile_cache)
        self._observe = Observer(strategy, params, compile_cache)

    def __call__(self, bars: NDArray[np.void], *, every: int | None = None) -> Trace:
        """Run over `bars` from an empty state; what the strategy raises is passed on.

        The state is kept after every `every`-th bar; where that is not given, as often as memory allows.
        """
        every = every or self.every(len(bars))
        signals = np.zeros(len(bars), SIGNAL)
        states = np.zeros(-(-len(bars) // every), self._state)
        self._run(bars, np.zeros(1, self._state), self._params, signals, states, every)
        return Trace(bars, signals, states, every, self._observe(bars, signals, states, every))

    def every(self, bars: int) -> int:
        """Return after which bars a run over `bars` bars keeps the state: each, every second …"""
        return max(1, -(-bars * self._state.itemsize // _MOST_BYTES))

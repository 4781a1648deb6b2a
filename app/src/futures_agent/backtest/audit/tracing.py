"""A strategy's run over one symbol with everything kept: what it was shown, remembered and said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from futures_agent.backtest.deciding import stepping
from futures_agent.strategy.strategy import SIGNAL, Strategy

_MOST_BYTES = 24 << 20  # of states kept per run; a larger state is kept at every second, third … bar
_ROWS_AT_ONCE = 512


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
    """

    bars: NDArray[np.void]
    signals: NDArray[np.void]
    states: NDArray[np.void]
    every: int

    def without_states(self) -> Trace:
        """Return the same run without its states, which are what takes memory."""
        return replace(self, states=self.states[:0].copy())


class Difference(Struct, frozen=True):
    """The first row at which two record arrays differ, and the first field that does."""

    row: int
    field: str
    first: bool | int | float | str
    second: bool | int | float | str


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

    def __call__(self, bars: NDArray[np.void], *, every: int | None = None) -> Trace:
        """Run over `bars` from an empty state; what the strategy raises is passed on.

        The state is kept after every `every`-th bar; where that is not given, as often as memory allows.
        """
        every = every or self.every(len(bars))
        signals = np.zeros(len(bars), SIGNAL)
        states = np.zeros(-(-len(bars) // every), self._state)
        self._run(bars, np.zeros(1, self._state), self._params, signals, states, every)
        return Trace(bars, signals, states, every)

    def every(self, bars: int) -> int:
        """Return after which bars a run over `bars` bars keeps the state: each, every second …"""
        return max(1, -(-bars * self._state.itemsize // _MOST_BYTES))


def first_difference(first: NDArray[np.void], second: NDArray[np.void]) -> Difference | None:
    """Return where two record arrays of one dtype differ first, in any bit; None where they do not.

    Rows that only one of them has are not compared.
    """
    common = min(len(first), len(second))
    for start in range(0, common, _ROWS_AT_ONCE):
        one, other = (each[start : min(start + _ROWS_AT_ONCE, common)] for each in (first, second))
        if not np.array_equal(_bytes(one), _bytes(other)):
            found = _first_difference(one, other)
            if found is not None:  # otherwise it was the padding between fields
                return Difference(start + found.row, found.field, found.first, found.second)
    return None


def count_numbers(dtype: np.dtype[Any]) -> int:
    """Return how many numbers a record holds."""
    return sum(1 for _ in _columns(np.zeros(1, dtype)))


def _first_difference(first: NDArray[np.void], second: NDArray[np.void]) -> Difference | None:
    found: Difference | None = None
    for (name, one), (_, other) in zip(_columns(first), _columns(second), strict=True):
        differs = _bits(one) != _bits(other)
        if differs.any():
            row = int(np.argmax(differs))
            if found is None or row < found.row:
                found = Difference(row, name, one[row].item(), other[row].item())
    return found


def _columns(records: NDArray[np.void], path: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield (path, column) for every number in a record: nested fields with dots, arrays by index."""
    for name in records.dtype.names or ():
        column, where = records[name], f"{path}{name}"
        if column.dtype.names:
            yield from _columns(column, f"{where}.")
        elif column.ndim > 1:
            yield from ((f"{where}[{place}]", column[:, place]) for place in range(column.shape[1]))
        else:
            yield where, column


def _bytes(records: NDArray[np.void]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(records).view(np.uint8)


def _bits(column: NDArray[Any]) -> NDArray[Any]:
    """Return `column` so that `!=` compares bits: a NaN equals itself, and 0.0 is not −0.0."""
    return column.copy().view(np.int64) if column.dtype == np.float64 else column

"""Tracing a strategy, and finding the first place at which two records differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from futures_agent.backtest.audit.differing import Difference, count_numbers, first_difference
from futures_agent.backtest.audit.tracing import Tracer
from futures_agent.compiled import kernel
from futures_agent.strategy.strategy import Strategy
from sample_markets import NoParams, random_candles

DEEP = np.dtype([("price", np.float64), ("window", np.float64, (2,)), ("inner", [("seen", np.bool_)])])


@kernel
def count(state: Any, bar: Any, params: Any, signal: Any) -> None:
    state.price = bar.close
    state.window[1] = state.window[0]
    state.window[0] = bar.close
    state.inner.seen = True
    signal.reasons = bar.timestamp


STRATEGY = Strategy(name="count", params=NoParams, state=DEEP, step=count)


def bars(length: int) -> np.ndarray:
    candles = random_candles(1, length)
    shown = np.zeros(length, STRATEGY.bar)
    for name in candles.dtype.names:
        shown[name] = candles[name]
    return shown


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("every", "rows"), [(1, range(10)), (3, (0, 3, 6, 9)), (20, (0,))])
def test_states_are_kept_as_they_were_then(
    compiled: bool, every: int, rows: Any, compile_cache: Path
) -> None:
    shown = bars(10)
    run = Tracer(STRATEGY, STRATEGY.read_params({}), compile_cache if compiled else None)
    trace = run(shown, every=every)
    assert trace.states["price"].tolist() == [shown["close"][row] for row in rows]
    assert trace.signals["reasons"].tolist() == shown["timestamp"].tolist()
    assert trace.without_states().states.tolist() == []


def records(count: int) -> np.ndarray:
    return np.zeros(count, DEEP)


@pytest.mark.parametrize("row", [0, 511, 512, 1_299])
@pytest.mark.parametrize(
    ("path", "value"), [("price", 2.0), ("window[1]", 3.5), ("inner.seen", True), ("price", -0.0)]
)
def test_the_first_difference_is_named(row: int, path: str, value: float) -> None:
    other = records(1_300)
    field, _, inner = path.partition(".")
    if inner:
        other[field][inner][row] = value
    elif "[" in path:
        other["window"][row, 1] = value
    else:
        other[field][row] = value
    assert first_difference(records(1_300), other) == Difference(row, path, 0.0, value)


def test_of_fields_that_differ_the_first_of_the_earliest_row_counts() -> None:
    other = records(4)
    other["price"][2], other["window"][1], other["inner"]["seen"][1] = 1.0, (5.0, 6.0), True
    found = first_difference(records(4), other)
    assert found is not None
    assert (found.row, found.field) == (1, "window[0]")


def test_bits_count_and_padding_does_not() -> None:
    padded = np.dtype([("flag", np.bool_), ("value", np.float64)], align=True)
    first, second = np.zeros(2, padded), np.zeros(2, padded)
    first.view(np.uint8)[3] = 7  # between the fields
    first["value"] = second["value"] = np.nan
    assert first_difference(first, second) is None


def test_rows_that_only_one_has_are_not_compared() -> None:
    assert first_difference(records(3), records(5)) is None
    assert count_numbers(DEEP) == 4

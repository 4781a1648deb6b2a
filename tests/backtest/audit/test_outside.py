"""What a step can reach besides its arguments is named, and constants are not."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from futures_agent.backtest.audit.outside import outside_data
from futures_agent.market.timeframe import Timeframe
from futures_agent.strategy.ema_cross import STRATEGY as EMA_CROSS
from futures_agent.strategy.smc import STRATEGY as SMC

FRAME = pd.DataFrame({"close": [1.0, 2.0, 3.0]})
ROWS = [1.0, 2.0]
WEIGHTS = (0.5, 0.25)
TABLE = tuple(range(65))
LIMIT = 3
DTYPE = np.dtype(np.float64)


class Feed:
    """An object that knows things."""

    def latest(self) -> float:
        return 1.0


FEED = Feed()


def helper(bar: Any) -> float:
    return ROWS[0]


@functools.cache
def remembered(key: int) -> int:
    return key


def reads_a_frame(state: Any, bar: Any, params: Any, signal: Any) -> None:
    signal.entry = FRAME.close.iloc[0]


def through_a_helper(state: Any, bar: Any, params: Any, signal: Any) -> None:
    signal.entry = helper(bar)


def in_a_comprehension(state: Any, bar: Any, params: Any, signal: Any) -> None:
    signal.entry = sum([ROWS[place] for place in range(2)])


def asks_an_object(state: Any, bar: Any, params: Any, signal: Any) -> None:
    signal.entry = FEED.latest()


def asks_a_cache(state: Any, bar: Any, params: Any, signal: Any) -> None:
    signal.entry = remembered(bar.timestamp)


def with_a_default(state: Any, bar: Any, params: Any, signal: Any, memo: list[float] = []) -> None:  # noqa: B006
    memo.append(bar.close)


def with_a_long_tuple(state: Any, bar: Any, params: Any, signal: Any) -> None:
    signal.entry = TABLE[0]


def closing_over(rows: dict[int, float]) -> Callable[..., None]:
    def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
        signal.entry = rows[bar.timestamp]

    return step


def with_constants(state: Any, bar: Any, params: Any, signal: Any) -> None:
    signal.entry = LIMIT + WEIGHTS[0] + Timeframe.H1.ms + math.sqrt(2) + np.abs(-1) + DTYPE.itemsize


class CallableStep:
    """A step that is an object, whose attributes nobody sees."""

    def __call__(self, *arguments: Any) -> None: ...


@pytest.mark.parametrize(
    ("step", "named"),
    [
        (reads_a_frame, ["FRAME (DataFrame, 3 items)"]),
        (through_a_helper, ["ROWS (list, 2 items)"]),
        (in_a_comprehension, ["ROWS (list, 2 items)"]),
        (asks_an_object, ["FEED (Feed)"]),
        (asks_a_cache, ["remembered (_lru_cache_wrapper)"]),
        (with_a_default, ["a default of with_a_default (list, 0 items)"]),
        (with_a_long_tuple, ["TABLE (tuple, 65 items)"]),
        (closing_over({1: 2.0}), ["rows (dict, 1 items)"]),
        (with_constants, []),
        (CallableStep(), ["step (CallableStep)"]),
        (EMA_CROSS.step, []),
        (SMC.step, []),
    ],
)
def test_what_is_named(step: Callable[..., Any], named: list[str]) -> None:
    assert list(outside_data(step)) == named


def test_a_module_of_data_is_looked_into_for_the_names_used(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ModuleType("my_data")
    data.__file__ = "/home/trader/my_data.py"
    data.closes, data.opens = {1: 1.0}, [1.0]
    monkeypatch.setitem(sys.modules, "my_data", data)
    names: dict[str, Any] = {"my_data": data}
    exec("def step(state, bar, params, signal):\n    signal.entry = my_data.closes[1]\n", names)
    assert list(outside_data(names["step"])) == ["my_data.closes (dict, 1 items)"]

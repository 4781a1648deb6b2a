"""A higher bar counts from its close on and not an hour before: prices chosen so that a peek would show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.compiled import kernel
from futures_agent.market.timeframe import Timeframe
from futures_agent.strategy.strategy import Strategy
from sample_markets import START_MS, NoParams, bars, run

HOURS = 72
STATE = np.dtype([("h4", np.float64), ("d1", np.float64)])


@kernel
def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """Say at every hour, as stop and target, what the newest H4 and D1 bars closed at."""
    if bar.timeframe_ms == 4 * HOUR_MS:
        state.h4 = bar.close
    elif bar.timeframe_ms == DAY_MS:
        state.d1 = bar.close
    else:
        signal.entry = 1
        signal.exit_long = True  # so that every hour opens a position of its own
        signal.stop_distance = state.h4
        signal.target_distance = state.d1


FOLLOWER = Strategy(
    name="follower", params=NoParams, state=STATE, step=step, timeframes=(Timeframe.H4, Timeframe.D1)
)


def flat(count: int, length_ms: int, numbered: int) -> np.ndarray:
    """Return bars that close at 1 × `numbered`, 2 × `numbered` …, so that each is known by its close."""
    rows = [(1.0, numbered * (n + 1), 1.0, numbered * (n + 1)) for n in range(count)]
    return bars(rows, step_ms=length_ms)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("lacking", [(), (5, 6)])
def test_each_hour_sees_the_last_closed_bars(
    compiled: bool, lacking: tuple[int, ...], compile_cache: Path
) -> None:
    hours = bars([(100.0, 100.0, 100.0, 100.0)] * HOURS)
    four_hours = np.delete(flat(HOURS // 4, 4 * HOUR_MS, 1), lacking)
    result = run(
        {"BTCUSDT": hours},
        FOLLOWER,
        higher={
            Timeframe.H4: {"BTCUSDT": four_hours},
            Timeframe.D1: {"BTCUSDT": flat(HOURS // 24, DAY_MS, 100)},
        },
        compile_cache=compile_cache if compiled else None,
    )
    trades = result.trades
    entered = ((trades["entry_time"] - START_MS) // HOUR_MS).tolist()
    assert entered == list(range(1, HOURS))
    seen = dict(zip(entered, (100.0 - trades["stop_price"]).round(6).tolist(), strict=True))
    present = [n for n in range(HOURS // 4) if n not in lacking]
    for hour in entered:
        # The decision fell when the hour before closed: H4 bar n is known then if 4 (n + 1) hours had passed.
        closed = [n for n in present if 4 * (n + 1) <= hour]
        expected = float(closed[-1] + 1) if closed else 100.0  # a stop of 0 stands for none
        assert seen[hour] == expected, hour
    targets = dict(zip(entered, (trades["target_price"] - 100.0).round(6).tolist(), strict=True))
    assert [targets[hour] for hour in (23, 24, 47, 48, 71)] == [-100.0, 100.0, 100.0, 200.0, 200.0]

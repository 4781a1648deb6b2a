"""Correlation against NumPy's, matched by time, and what cannot be told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from futures_agent.clock import HOUR_MS
from futures_agent.market.candle import CANDLE
from futures_agent.plain import run_plain
from futures_agent.risk.correlation import Closes, correlation, too_correlated


def walk(seed: int, count: int, common: float = 0.0) -> np.ndarray:
    """Return closes of a random walk of which a share `common` of the returns is the same for all seeds."""
    candles = np.zeros(count, CANDLE)
    candles["timestamp"] = HOUR_MS * np.arange(count)
    shared = np.random.default_rng(0).normal(0, 0.01, count)
    own = np.random.default_rng(seed + 1).normal(0, 0.01, count)
    candles["close"] = 50 * np.cumprod(1 + common * shared + (1 - common) * own)
    return candles


def closes_of(*parts: np.ndarray) -> Closes:
    edges = np.cumsum([0, *map(len, parts)])
    return Closes(np.concatenate(parts), edges[:-1], edges[1:], HOUR_MS)


def correlated(closes: Closes, one: int, other: int, bars: int) -> Any:
    return run_plain(correlation, closes, one, other, bars)


def by_numpy(one: np.ndarray, other: np.ndarray, bars: int) -> tuple[float, int]:
    """Return the correlation and the number of returns, from dictionaries by time."""
    returns = []
    for part in (one, other):
        close = dict(zip(part["timestamp"].tolist(), part["close"].tolist(), strict=True))
        returns.append({t: close[t] / close[t - HOUR_MS] - 1 for t in close if t - HOUR_MS in close})
    newest = max(one["timestamp"][-1], other["timestamp"][-1])
    times = [t for t in returns[0] if t in returns[1] and t > newest - bars * HOUR_MS]
    if len(times) < 2:
        return 0.0, len(times)
    return float(np.corrcoef([[r[t] for t in times] for r in returns])[0, 1]), len(times)


@given(seed=st.integers(0, 1_000), common=st.floats(0, 0.95), bars=st.integers(10, 150))
def test_it_is_pearsons_over_the_times_both_have(seed: int, common: float, bars: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = (walk(seed + k, 200, common)[rng.random(200) > 0.1] for k in range(2))
    expected, common_bars = by_numpy(one, other, bars)
    value, known = correlated(closes_of(one, other), 0, 1, bars)
    assert known == (2 * common_bars >= bars)
    if known:
        assert value == pytest.approx(expected, abs=1e-9)


def test_it_is_the_same_either_way_round() -> None:
    closes = closes_of(walk(1, 100, 0.5), walk(2, 80, 0.5))
    assert correlated(closes, 0, 1, 50) == correlated(closes, 1, 0, 50)


def test_only_what_has_closed_counts() -> None:
    one, other = walk(1, 100, 0.5), walk(2, 100, 0.5)
    whole = closes_of(one, other)
    before = whole._replace(end=whole.end - 30)
    other["close"][70:] *= 7
    assert correlated(before, 0, 1, 40) == correlated(closes_of(one[:70], other[:70]), 0, 1, 40)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (walk(1, 100), walk(2, 20)),  # listed a day ago
        (walk(1, 100), walk(2, 1)),
        (walk(1, 100), walk(2, 0)),
        (walk(1, 100), walk(2, 60)),  # no candle for the last 40 hours
        (walk(1, 100)[::2], walk(2, 100)),  # never two in a row
    ],
)
def test_too_little_history_cannot_be_told(one: np.ndarray, other: np.ndarray) -> None:
    assert correlated(closes_of(one, other), 0, 1, 50) == (0.0, False)


def test_a_price_that_never_moved_cannot_be_told() -> None:
    still = walk(2, 100)
    still["close"] = 3.0
    assert correlated(closes_of(walk(1, 100), still), 0, 1, 50) == (0.0, False)


def capped(sides: list[int], closes: Closes, side: int = 1, **limits: Any) -> bool:
    chosen = {"max_correlated": 0, "correlation_limit": 0.8, "correlation_bars": 50, **limits}
    held = [SimpleNamespace(side=each) for each in sides]
    return run_plain(too_correlated, 0, side, held, closes, SimpleNamespace(**chosen))


ALIKE = closes_of(*(walk(seed, 100, 0.9) for seed in range(4)))


def test_more_than_allowed_that_move_together_are_too_many() -> None:
    assert capped([0, 1, 1, 1], ALIKE, max_correlated=2)
    assert not capped([0, 1, 1, 0], ALIKE, max_correlated=2)
    assert not capped([0, 1, 1, 1], ALIKE, correlation_limit=0.999)


def test_the_sides_decide_what_moves_together() -> None:
    assert not capped([0, -1, -1, -1], ALIKE)
    assert capped([0, -1, 0, 0], ALIKE, side=-1)
    mirrored = ALIKE.candles.copy()
    mirrored["close"][100:200] = 1 / mirrored["close"][100:200]
    opposite = ALIKE._replace(candles=mirrored)
    assert capped([0, -1, 0, 0], opposite)
    assert not capped([0, 1, 0, 0], opposite)


def test_what_cannot_be_told_counts_whichever_the_side() -> None:
    unknown = closes_of(walk(0, 100), walk(1, 10))
    assert capped([0, 1], unknown)
    assert capped([0, -1], unknown)


def test_its_own_symbol_does_not_count() -> None:
    assert not capped([1, 0, 0, 0], ALIKE)

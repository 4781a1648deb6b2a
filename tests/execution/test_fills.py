"""Fill rules: every way in which one bar can end a position."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from futures_agent.execution.fills import (
    AMBIGUOUS,
    LIQUIDATION,
    NONE,
    STOP,
    TARGET,
    bar_exit,
    finer_exit,
    market_fill,
)


def long(stop: float = 95.0, target: float = 110.0, liquidation: float = 0.0, bankruptcy: float = 0.0) -> Any:
    return SimpleNamespace(
        side=1,
        stop_price=stop,
        target_price=target,
        liquidation_price=liquidation,
        bankruptcy_price=bankruptcy,
    )


def mirrored(bracket: Any) -> Any:
    """Return the short position that sees the same market upside down (prices mirrored around 100)."""
    prices = {name: 200 - value if value else 0.0 for name, value in vars(bracket).items()}
    return SimpleNamespace(**{**prices, "side": -1})


def bar(opened: float, high: float, low: float) -> Any:
    return SimpleNamespace(open=opened, high=high, low=low)


CASES = {
    "untouched": (long(), bar(100, 109, 96), (NONE, None)),
    "stop touched exactly": (long(), bar(100, 109, 95), (STOP, 95)),
    "stop pierced": (long(), bar(100, 109, 90), (STOP, 95)),
    "target touched exactly": (long(), bar(100, 110, 96), (NONE, None)),
    "target traded through": (long(), bar(100, 110.01, 96), (TARGET, 110)),
    "opens beyond stop": (long(), bar(94, 99, 90), (STOP, 94)),
    "opens beyond stop, then reaches the target": (long(), bar(94, 111, 94), (STOP, 94)),
    "opens beyond target": (long(), bar(112, 113, 111), (TARGET, 110)),
    "opens beyond target, then falls to the stop": (long(), bar(112, 113, 90), (TARGET, 110)),
    "opens on the stop, then reaches the target": (long(), bar(95, 111, 94), (STOP, 95)),
    "opens on the target, then trades through": (long(), bar(110, 113, 96), (TARGET, 110)),
    "opens on the target and goes no further": (long(), bar(110, 110, 96), (NONE, None)),
    "opens on the target, then falls to the stop": (long(), bar(110, 110, 90), (STOP, 95)),
    "opens on the target, then goes both ways": (long(), bar(110, 113, 90), (AMBIGUOUS, 95)),
    "both reached": (long(), bar(100, 110.01, 95), (AMBIGUOUS, 95)),
    "target touched, stop reached": (long(), bar(100, 110, 95), (STOP, 95)),
    "no stop": (long(stop=0.0), bar(100, 105, 10), (NONE, None)),
    "no target": (long(target=0.0), bar(100, 500, 96), (NONE, None)),
    "liquidated before a stop beyond": (long(stop=60, liquidation=70), bar(100, 101, 55), (LIQUIDATION, 70)),
    "stopped before liquidation": (long(stop=80, liquidation=70), bar(100, 101, 55), (STOP, 80)),
    "liquidated without a stop": (long(stop=0, liquidation=70), bar(100, 101, 69), (LIQUIDATION, 70)),
    "gap beyond liquidation": (
        long(stop=0, liquidation=70, bankruptcy=66),
        bar(68, 69, 60),
        (LIQUIDATION, 68),
    ),
    "gap beyond bankruptcy": (
        long(stop=0, liquidation=70, bankruptcy=66),
        bar(50, 60, 40),
        (LIQUIDATION, 66),
    ),
    "liquidation and target": (long(stop=60, liquidation=70), bar(100, 111, 65), (AMBIGUOUS, 70)),
}


@pytest.mark.parametrize(("bracket", "candle", "expected"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("side", [1, -1])
def test_bar_exit(side: int, bracket: Any, candle: Any, expected: tuple[int, float | None]) -> None:
    reason, price = expected
    if side < 0:
        bracket = mirrored(bracket)
        candle = bar(200 - candle.open, 200 - candle.low, 200 - candle.high)
        price = None if price is None else 200 - price
    found = bar_exit(bracket, candle)
    assert found[0] == reason
    if price is not None:
        assert found[1] == price


OPEN_MS = 1_000


def dated(bars: list[Any]) -> list[Any]:
    """Return `bars` one after the other from OPEN_MS on, 10 ms long each."""
    return [SimpleNamespace(timestamp=OPEN_MS + 10 * row, **vars(each)) for row, each in enumerate(bars)]


@pytest.mark.parametrize(
    ("bars", "expected"),
    [
        ([bar(100, 111, 99), bar(105, 106, 90)], (TARGET, 110)),
        ([bar(100, 110, 99), bar(105, 106, 90)], (STOP, 95)),  # touched first, but not traded through
        ([bar(110, 110, 99), bar(109, 111, 99)], (TARGET, 110)),  # opened on it, later traded through
        ([bar(100, 101, 94), bar(95, 111, 95)], (STOP, 95)),
        ([bar(100, 101, 99), bar(94, 96, 93)], (STOP, 94)),  # gapped through within the coarse bar
        ([bar(100, 111, 94), bar(100, 101, 99)], (STOP, 95)),  # undecided here too: the worse outcome
        ([bar(100, 101, 99)], (STOP, 95)),  # the finer bars saw neither
        ([], (STOP, 95)),
    ],
)
def test_finer_bars_decide_an_ambiguous_one(bars: list[Any], expected: tuple[int, float]) -> None:
    assert finer_exit(long(), dated(bars), 0, len(bars), OPEN_MS, 10) == expected


def test_only_the_finer_bars_of_the_range_decide() -> None:
    bars = dated([bar(100, 101, 94), bar(100, 111, 99), bar(100, 101, 94)])
    assert finer_exit(long(), bars, 1, 2, OPEN_MS + 10, 10) == (TARGET, 110)


@pytest.mark.parametrize(("missing", "expected"), [(0, STOP), (1, STOP), (2, STOP), (3, TARGET)])
def test_a_finer_bar_missing_before_the_deciding_one_means_the_worse_outcome(
    missing: int, expected: int
) -> None:
    bars = dated([bar(100, 101, 99), bar(100, 101, 99), bar(100, 111, 99), bar(100, 101, 94)])
    del bars[missing]
    assert finer_exit(long(), bars, 0, 3, OPEN_MS, 10)[0] == expected


def test_the_last_finer_bar_alone_never_decides_in_favour() -> None:
    last = dated([bar(100, 101, 99)] * 3 + [bar(103, 106, 103)])[3:]
    assert finer_exit(long(target=105), last, 0, 1, OPEN_MS, 10) == (STOP, 95)


def test_slippage_is_always_against_the_trader() -> None:
    assert market_fill(1, 100.0, 0.001) == pytest.approx(100.1)
    assert market_fill(-1, 100.0, 0.001) == pytest.approx(99.9)
    assert market_fill(1, 100.0, 0.0) == 100.0

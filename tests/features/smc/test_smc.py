"""All concepts together: what the definitions say at every bar, upside down, cut off, compiled, for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_agent.compiled import Compiled, kernel
from futures_agent.features.smc.smc import SMC, smc_ready, smc_step
from futures_agent.market.candle import CANDLE
from futures_agent.plain import narrow_fields, plain_type, run_plain
from sample_markets import bars, random_candles, real_candles, with_holes
from smc_oracle import Known, Lengths, mirrored, online, oracle

DEFAULT = Lengths()

# Prices on a grid of a few units: equal highs, equal lows and closes at a level are the rule.
prices = st.tuples(*[st.integers(1, 9)] * 4)
small_markets = st.lists(prices, min_size=1, max_size=60).map(
    lambda rows: bars((o, max(o, c, *edges), min(o, c, *edges), c) for o, c, *edges in rows)
)
some_lengths = st.builds(
    Lengths,
    left=st.integers(1, 4),
    right=st.integers(1, 4),
    atr_length=st.integers(1, 5),
    smallest_gap=st.sampled_from([0.0, 0.25, 1.0]),
    longest_gap_age=st.integers(1, 12),
    equal_within=st.sampled_from([0.0, 0.25, 0.5]),
)


@kernel
def step_all(market: Any, states: Any, lengths: Any, positions: Any) -> None:
    left, right, atr_length, smallest_gap, longest_gap_age, equal_within = lengths
    for row in range(len(market)):
        smc_step(states[0], market[row], left, right, atr_length, smallest_gap, longest_gap_age, equal_within)
        if smc_ready(states[0], left, right, atr_length):
            positions[row] = states[0].dealing_range.position


def assert_as_defined(market: np.ndarray, lengths: Lengths) -> None:
    for bar, (found, expected) in enumerate(
        zip(online(market, lengths), oracle(market, lengths), strict=True)
    ):
        assert found == expected, f"bar {bar}"


@given(market=small_markets, lengths=some_lengths)
@settings(max_examples=150, deadline=None)
def test_every_bar_is_as_defined_where_prices_are_few(market: np.ndarray, lengths: Lengths) -> None:
    assert_as_defined(market, lengths)


@pytest.mark.parametrize("seed", range(4))
def test_every_bar_is_as_defined_on_a_random_market(seed: int) -> None:
    lengths = Lengths(left=1 + seed, right=4 - seed, smallest_gap=0.1 * seed, longest_gap_age=20 * (seed + 1))
    assert_as_defined(with_holes(random_candles(seed, 800), seed), lengths)


@pytest.mark.parametrize("file_name", ["klines_1h.parquet", "klines_4h.parquet", "klines_1d.parquet"])
def test_every_bar_is_as_defined_on_real_candles(file_name: str) -> None:
    for market in list(real_candles(file_name, 500).values())[::12]:
        assert_as_defined(market, DEFAULT)


# Which reading of the market upside down says the same, and what its prices and signs become.
OPPOSITE = {"high": "low", "bull": "bear", "low": "high", "bear": "bull"}


def upside_down(known: Known) -> Known:
    """Return the readings that the market with negated prices must give."""
    turned: Known = {}
    for name, value in known.items():
        first, _, rest = name.partition(" ")
        turned[f"{OPPOSITE[first]} {rest}".strip() if first in OPPOSITE else name] = _negated(name, value)
    if "range" in turned:
        now = turned["range"]
        now["top"], now["bottom"] = now["bottom"], now["top"]
        now["premium"], now["discount"] = now["discount"], now["premium"]
        now["position"] = pytest.approx(1 - known["range"]["position"])
    return turned


def _negated(name: str, value: Any) -> Any:
    if name in ("trend", "bos", "choch", "top", "bottom", "equilibrium", "previous", "swept_price"):
        return -value
    if name in ("broken", "swing"):
        return (-value[0], *value[1:])
    if name.endswith(("gaps", "blocks")):
        rows = [(start, at, -low, -top, -rest, met) for start, at, top, low, rest, met in value["rows"]]
        return {**value, "rows": rows}
    if name.endswith("pools"):
        rows = [(start, -price, -limit, touches) for start, price, limit, touches in value["rows"]]
        value = {**value, "rows": rows}
    return {key: _negated(key, each) for key, each in value.items()} if isinstance(value, dict) else value


def assert_mirrored(market: np.ndarray, lengths: Lengths) -> None:
    turned = online(mirrored(market), lengths)
    for bar, (found, known) in enumerate(zip(turned, online(market, lengths), strict=True)):
        assert found == upside_down(known), f"bar {bar}"


@given(market=small_markets, lengths=some_lengths)
@settings(max_examples=100, deadline=None)
def test_upside_down_everything_is_mirrored(market: np.ndarray, lengths: Lengths) -> None:
    assert_mirrored(market, lengths)


def test_a_random_market_upside_down_is_mirrored() -> None:
    assert_mirrored(random_candles(11, 3_000), DEFAULT)


@given(market=small_markets, lengths=some_lengths, scale=st.sampled_from([0.125, 1024.0]))
@settings(max_examples=50, deadline=None)
def test_the_unit_of_price_does_not_matter(market: np.ndarray, lengths: Lengths, scale: float) -> None:
    scaled = market.copy()
    for name in ("open", "high", "low", "close"):
        scaled[name] *= scale
    for found, known in zip(online(scaled, lengths), online(market, lengths), strict=True):
        assert [found[name] for name in ("trend", "bos", "choch")] == [
            known[name] for name in ("trend", "bos", "choch")
        ]
        for name in ("high", "low"):
            assert found[f"{name} pools"]["swept"] == known[f"{name} pools"]["swept"]
        for name in ("bull gaps", "bear gaps", "bull blocks", "bear blocks"):
            assert [row[:2] for row in found[name]["rows"]] == [row[:2] for row in known[name]["rows"]]


@given(market=small_markets, other=small_markets, lengths=some_lengths)
@settings(max_examples=50, deadline=None)
def test_the_future_changes_nothing(market: np.ndarray, other: np.ndarray, lengths: Lengths) -> None:
    other["timestamp"] += market["timestamp"][-1] + 3_600_000 - other["timestamp"][0]
    with_future = np.concatenate([market, other])
    assert online(with_future, lengths)[: len(market)] == online(market, lengths)


def test_compiled_leaves_the_same_bits_in_the_record(compile_cache: Path) -> None:
    series = [random_candles(5, 4_000), with_holes(random_candles(6, 2_000), 6), random_candles(1, 1)]
    for market in series:
        states, positions = np.zeros((2, 1), SMC), np.zeros((2, len(market)))
        run_plain(step_all, market, states[0], DEFAULT, positions[0])
        Compiled(step_all, compile_cache)(market, states[1], DEFAULT, positions[1])
        assert states[0].tobytes() == states[1].tobytes()
        assert positions[0].tobytes() == positions[1].tobytes()


def test_state_is_of_one_size_for_ever() -> None:
    state: Any = plain_type(SMC)(np.zeros(1, SMC)[0].item())
    market = random_candles(9, 3_000)
    for row in market.tolist():
        smc_step(state, plain_type(CANDLE)(row), *DEFAULT)
        for lists in (state.gaps.bull, state.gaps.bear, state.order_blocks.bull, state.order_blocks.bear):
            assert lists.count <= len(lists.top) == 16
        for lists in (state.liquidity.high, state.liquidity.low):
            assert lists.count <= len(lists.price) == 16
    assert list(narrow_fields(SMC)) == []
    assert SMC.itemsize < 8_192


def test_ready_once_the_range_has_warmed_up_and_a_swing_could_be_seen() -> None:
    def first_ready(left: int, right: int, atr_length: int) -> int:
        state: Any = plain_type(SMC)(np.zeros(1, SMC)[0].item())
        for count, row in enumerate(random_candles(2, 60).tolist(), start=1):
            smc_step(state, plain_type(CANDLE)(row), left, right, atr_length, 0.0, 10, 0.0)
            if smc_ready(state, left, right, atr_length):
                return count
        raise AssertionError("never ready")

    assert first_ready(3, 3, 14) == 15
    assert first_ready(10, 20, 14) == 31


def test_each_concept_speaks_on_a_random_market() -> None:
    found = online(random_candles(5, 4_000), DEFAULT)
    for name in ("bos", "choch"):
        assert {known[name] for known in found} == {-1, 0, 1}
    for name in ("bull gaps", "bear gaps", "bull blocks", "bear blocks"):
        for event in ("made", "retested", "ended"):
            assert 10 < sum(known[name][event] for known in found) < 1_000, (name, event)
    for name in ("high pools", "low pools"):
        for event in ("equal", "swept", "taken"):
            assert 10 < sum(known[name][event] for known in found) < 1_000, (name, event)

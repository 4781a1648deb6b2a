"""Deciding: in which order bars are seen, what a policy changes, and what is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from futures_agent.backtest.deciding import bars_of, decide, zone_drawer
from futures_agent.backtest.panel import Panel, build_panel
from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.compiled import kernel
from futures_agent.errors import Refuse
from futures_agent.market.timeframe import Timeframe
from futures_agent.policy.policy import Policy
from futures_agent.strategy.strategy import Strategy
from sample_markets import START_MS, NoParams, instrument, random_candles

STATE = np.dtype([("previous", np.float64), ("change", np.float64)])
THRESHOLDS = np.array([0.5, 0.0])
FIRST_ENDS_MS = START_MS + 240 * HOUR_MS


@kernel
def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """Enter on every bar of any timeframe, in the direction of the last change."""
    state.change = bar.close - state.previous
    state.previous = bar.close
    signal.entry = 1 if state.change > 0 else -1
    signal.stop_distance = 1.0


@kernel
def observe(state: Any, bar: Any, params: Any, observation: Any) -> None:
    """Say how large the change was, and of which timeframe."""
    observation[0] = abs(state.change)
    observation[1] = bar.timeframe_ms


@kernel
def forgetful(state: Any, bar: Any, params: Any, observation: Any) -> None:
    """Leave the second number out once the first symbol has ended."""
    observation[0] = abs(state.change)
    if bar.timestamp < FIRST_ENDS_MS:
        observation[1] = bar.timeframe_ms


@kernel
def draw(state: Any, bar: Any, params: Any, zones: Any, drawn: int) -> int:
    """Draw every change of more than 1, ended by the next one."""
    if abs(state.change) > 1.0 and drawn < len(zones):
        if drawn > 0:
            zones[drawn - 1].end = bar.timestamp
        zone = zones[drawn]
        zone.kind = 1
        zone.timeframe_ms = bar.timeframe_ms
        zone.start = bar.timestamp
        zone.top = bar.high
        zone.bottom = bar.low
        return drawn + 1
    return drawn


@kernel
def accepts(weights: Any, observation: Any) -> bool:
    """Accept what is above the first weight."""
    return bool(observation[0] > weights[0])


NAMES = ("change", "timeframe_ms")
STRATEGY = Strategy(
    name="eager",
    params=NoParams,
    state=STATE,
    step=step,
    timeframes=(Timeframe.H4, Timeframe.D1),
    observation=NAMES,
    observe=observe,
    zone_kinds=("never", "change"),
    draw=draw,
)
POLICY = Policy(name="bold", digest="1", observation=NAMES, weights=THRESHOLDS, accepts=accepts)
ON_PLAIN_PYTHON = Policy(
    name="bold", digest="1", observation=NAMES, weights=THRESHOLDS, accepts=lambda w, o: o[0] > w[0]
)


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Return two symbols of H1, H4 and D1 candles, the second listed late and with a hole."""
    candles, higher = {}, {Timeframe.H4: {}, Timeframe.D1: {}}
    for seed, (symbol, late_ms) in enumerate((("AUSDT", 0), ("BUSDT", 3 * DAY_MS + 5 * HOUR_MS))):
        start_ms = START_MS + late_ms
        candles[symbol] = random_candles(seed, 240, start_ms=start_ms)
        for timeframe, series in higher.items():
            series[symbol] = random_candles(
                seed + 10,
                240 * HOUR_MS // timeframe.ms,
                start_ms=-(-start_ms // timeframe.ms) * timeframe.ms,
                step_ms=timeframe.ms,
            )
    candles["BUSDT"] = np.delete(candles["BUSDT"], slice(40, 60))
    instruments = {symbol: instrument(symbol) for symbol in candles}
    return build_panel(candles, instruments, Timeframe.H1, higher=higher)


def test_bars_come_in_order_of_their_close_and_the_higher_one_first(panel: Panel) -> None:
    for index in range(2):
        bars = bars_of(panel, STRATEGY, index)
        seen = [(int(bar["timestamp"] + bar["timeframe_ms"]), -int(bar["timeframe_ms"])) for bar in bars]
        assert seen == sorted(seen)
        assert len(set(seen)) == len(seen)
        for timeframe, series in {Timeframe.H1: panel.candles, **panel.higher}.items():
            of_it = bars[bars["timeframe_ms"] == timeframe.ms]
            for name in panel.candles.records.dtype.names:
                np.testing.assert_array_equal(of_it[name], series.of(index)[name])


def test_a_higher_bar_is_seen_at_its_close_and_not_before(panel: Panel) -> None:
    bars = bars_of(panel, STRATEGY, 0)
    for row in np.flatnonzero(bars["timeframe_ms"] > HOUR_MS):
        close = bars[row]["timestamp"] + bars[row]["timeframe_ms"]
        hours = bars[:row][bars[:row]["timeframe_ms"] == HOUR_MS]
        assert (hours["timestamp"] + HOUR_MS < close).all()


def test_without_a_policy_nothing_is_declined(panel: Panel) -> None:
    signals, _ = decide(panel, STRATEGY, STRATEGY.read_params({}), None)
    assert signals["entry"].all()
    assert not signals["declined"].any()


@pytest.mark.parametrize("policy", [POLICY, ON_PLAIN_PYTHON])
def test_a_policy_declines_entries_and_changes_nothing_else(
    panel: Panel, compile_cache: Path, policy: Policy
) -> None:
    params = STRATEGY.read_params({})
    free, _ = decide(panel, STRATEGY, params, None)
    for cache in (None, compile_cache):
        judged, _ = decide(panel, STRATEGY, params, cache, policy=policy)
        for index in range(2):
            bars = bars_of(panel, STRATEGY, index)
            change = np.diff(bars["close"], prepend=0.0)
            small = np.abs(change[bars["timeframe_ms"] == HOUR_MS]) <= THRESHOLDS[0]
            rows = slice(panel.candles.offsets[index], panel.candles.offsets[index + 1])
            np.testing.assert_array_equal(judged[rows]["declined"], small)
            assert 10 < small.sum() < len(small) - 10
        judged["declined"] = False
        assert judged.tobytes() == free.tobytes()


def test_a_policy_made_for_another_strategy_is_refused(panel: Panel) -> None:
    other = Policy(name="bold", digest="1", observation=("x",), weights=THRESHOLDS, accepts=accepts)
    with pytest.raises(Refuse, match="policy bold: made for 1 numbers"):
        decide(panel, STRATEGY, STRATEGY.read_params({}), None, policy=other)


def test_a_symbol_with_an_observation_that_is_no_number_is_left_out(
    panel: Panel, compile_cache: Path
) -> None:
    lame = replace(STRATEGY, observe=forgetful)
    for cache in (None, compile_cache):
        signals, warnings = decide(panel, lame, lame.read_params({}), cache, policy=POLICY)
        (warning,) = warnings
        assert warning == (
            "left out, strategy eager failed on BUSDT: ValueError: impossible observation timeframe_ms = nan "
            "on the bar of 2026-01-15T00:00:00Z"
        )
        assert signals["entry"][: panel.candles.offsets[1]].all()
        assert not signals["entry"][panel.candles.offsets[1] :].any()


def test_zones_are_drawn_the_same_compiled_and_plain(panel: Panel, compile_cache: Path) -> None:
    params = STRATEGY.read_params({})
    plain, compiled = (zone_drawer(panel, STRATEGY, params, cache)(1) for cache in (None, compile_cache))
    assert plain.tobytes() == compiled.tobytes()
    bars = bars_of(panel, STRATEGY, 1)
    large = bars[np.abs(np.diff(bars["close"], prepend=0.0)) > 1.0]
    assert 10 < len(large) == len(plain)
    np.testing.assert_array_equal(plain["start"], large["timestamp"])
    np.testing.assert_array_equal(plain["end"][:-1], large["timestamp"][1:])
    assert plain["end"][-1] == 0
    assert set(plain["kind"].tolist()) == {1}


def test_a_strategy_that_draws_nothing_has_no_zones(panel: Panel) -> None:
    silent = Strategy(name="silent", params=NoParams, state=STATE, step=step)
    assert len(zone_drawer(panel, silent, silent.read_params({}), None)(0)) == 0

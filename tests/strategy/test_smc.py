"""The default rules: each on its own, their mirror image, and what holds for every entry they propose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from futures_agent.backtest.deciding import bars_of, decide, stepping, zone_drawer
from futures_agent.backtest.panel import Panel, build_panel
from futures_agent.clock import HOUR_MS
from futures_agent.errors import Refuse
from futures_agent.market.timeframe import Timeframe
from futures_agent.plain import plain_type
from futures_agent.policy.policy import Policy
from futures_agent.strategy import smc, smc_reasons
from futures_agent.strategy.registry import load_strategy
from futures_agent.strategy.smc import STATE, STRATEGY
from futures_agent.strategy.smc_reasons import (
    D1_AVERAGE,
    D1_STRUCTURE,
    H1_BOS,
    H1_CHOCH,
    H1_SWEEP,
    H4_GAP,
    H4_ORDER_BLOCK,
    H4_RANGE,
    H4_STRUCTURE,
    REASONS,
    TARGET_AT_LIQUIDITY,
)
from futures_agent.strategy.smc_view import OBSERVATION, ZONE_KINDS, observe
from futures_agent.strategy.strategy import SIGNAL, ZONE
from market_panels import generated_panel
from sample_markets import instrument
from tick_markets import tick_markets

SIDES = (1, -1)
DEFAULTS = STRATEGY.read_params({})
EAGER = {"d1_average": 5, "d1_swing_bars": 1, "swing_bars": 2, "setup_bars": 48}


def record(dtype: Any, **values: Any) -> Any:
    """Return a plain record of zeros and `values`."""
    found = plain_type(np.dtype(dtype))(np.zeros((), dtype).item())
    for name, value in values.items():
        setattr(found, name, value)
    return found


def params(**values: Any) -> Any:
    chosen = STRATEGY.read_params(values)
    return plain_type(chosen.dtype)(chosen[0].item())


def bar(**values: Any) -> Any:
    return record(STRATEGY.bar, **{"timeframe_ms": HOUR_MS, "close": 100.0, **values})


def mirrored(price: float, side: int) -> float:
    """Return `price` for a long, its mirror image at 100 for a short."""
    return 100.0 + side * (price - 100.0)


def span(side: int, low: float, high: float, close: float = 100.0) -> Any:
    """Return a bar whose prices are mirrored for a short."""
    ends = sorted(mirrored(price, side) for price in (low, high))
    return bar(low=ends[0], high=ends[1], close=mirrored(close, side))


def biased_state(side: int) -> Any:
    """Return a state in which D1 and H4 point to `side`, an H4 ATR of 2 and H4 swings at 94 and 110."""
    state = record(STATE, d1_close=mirrored(101.0, side))
    state.average.value = 100.0
    state.h4.structure.trend = side
    state.h4.atr.value = 2.0
    state.h4.swings.low.price = mirrored(94.0, side) if side > 0 else 110.0
    state.h4.swings.high.price = mirrored(94.0, side) if side < 0 else 110.0
    state.h4.dealing_range.position = 0.5 - side * 0.3
    return state


def of_side(pair: Any, side: int, names: tuple[str, str]) -> Any:
    return getattr(pair, names[0] if side > 0 else names[1])


def proposal(state: Any, this: Any, side: int, **chosen: Any) -> Any:
    """Return the signal of one bar for one side."""
    signal = record(SIGNAL)
    setup = of_side(state, side, ("long", "short"))
    smc.consider(state, setup, this, params(**chosen), signal, side)
    return signal


def swept_state(side: int) -> Any:
    """Return a biased state on whose bar liquidity was swept and structure broken."""
    state = biased_state(side)
    of_side(state.h1.liquidity, side, ("low", "high")).swept = True
    state.h1.structure.choch = side
    return state


@pytest.mark.parametrize("side", SIDES)
def test_an_entry_says_what_spoke_for_it_and_how_far_stop_and_target_are(side: int) -> None:
    state = swept_state(side)
    signal = proposal(state, span(side, 97.0, 101.0), side)
    assert signal.entry == side
    assert signal.stop_distance == 100.0 - 94.0 + 2 * 2.0  # below the H4 swing, which is below the bar's low
    assert signal.target_distance == 5 * 10.0
    assert signal.reasons == D1_AVERAGE | H4_STRUCTURE | H1_SWEEP | H1_CHOCH | H4_RANGE
    assert (state.side, state.proposal.reasons) == (side, signal.reasons)
    assert (state.proposal.stop, state.proposal.target) == (10.0, 50.0)


@pytest.mark.parametrize("side", SIDES)
def test_against_either_bias_there_is_no_entry_and_no_setup(side: int) -> None:
    for wrong in ("d1_close", "trend"):
        state = swept_state(side)
        setup = of_side(state, side, ("long", "short"))
        setup.bars_left = 9
        if wrong == "trend":
            state.h4.structure.trend = -side
        else:
            state.d1_close = 100.0  # at the average is not beyond it
        assert proposal(state, span(side, 97.0, 101.0), side).entry == 0
        assert setup.bars_left == 0


@pytest.mark.parametrize("side", SIDES)
def test_a_setup_waits_for_its_trigger_and_remembers_the_extreme(side: int) -> None:
    state = swept_state(side)
    state.h1.structure.choch = 0
    setup = of_side(state, side, ("long", "short"))
    assert proposal(state, span(side, 93.0, 101.0), side, setup_bars=3).entry == 0
    of_side(state.h1.liquidity, side, ("low", "high")).swept = False
    assert (setup.bars_left, setup.extreme) == (3, mirrored(93.0, side))
    assert proposal(state, span(side, 92.0, 101.0), side, setup_bars=3).entry == 0
    assert (setup.bars_left, setup.extreme) == (2, mirrored(92.0, side))
    state.h1.structure.bos = side
    signal = proposal(state, span(side, 97.0, 101.0), side, setup_bars=3)
    assert signal.entry == side
    assert signal.stop_distance == 100.0 - 92.0 + 4.0
    assert signal.reasons & (H1_SWEEP | H1_CHOCH | H1_BOS) == H1_SWEEP | H1_BOS
    assert setup.bars_left == 0
    assert proposal(state, span(side, 97.0, 101.0), side, setup_bars=3).entry == 0  # one entry a setup


@pytest.mark.parametrize("side", SIDES)
def test_a_setup_that_waited_in_vain_is_over(side: int) -> None:
    state = swept_state(side)
    state.h1.structure.choch = 0
    proposal(state, span(side, 97.0, 101.0), side, setup_bars=1)
    of_side(state.h1.liquidity, side, ("low", "high")).swept = False
    proposal(state, span(side, 97.0, 101.0), side, setup_bars=1)
    state.h1.structure.bos = side
    assert proposal(state, span(side, 97.0, 101.0), side, setup_bars=1).entry == 0


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("concept", "bit"), [("order_blocks", H4_ORDER_BLOCK), ("gaps", H4_GAP)])
def test_a_waiting_h4_zone_is_a_location_where_the_bar_touches_it(side: int, concept: str, bit: int) -> None:
    state = biased_state(side)
    zones = of_side(getattr(state.h4, concept), side, ("bull", "bear"))
    zones.count = 1
    near, far = mirrored(96.0, side), mirrored(95.0, side)
    zones.top[0], zones.bottom[0], zones.rest[0] = max(near, far), min(near, far), near
    assert smc.locations_at(state, span(side, 96.5, 101.0), side) == 0
    assert smc.locations_at(state, span(side, 96.0, 101.0), side) == bit
    assert smc.locations_at(state, span(side, 96.0, 101.0), -side) == 0


@pytest.mark.parametrize("side", SIDES)
def test_only_the_cheap_share_of_the_range_counts_where_that_is_asked(side: int) -> None:
    assert proposal(swept_state(side), span(side, 97.0, 101.0), side, range_share=0.25).entry == side
    assert proposal(swept_state(side), span(side, 97.0, 101.0), side, range_share=0.15).entry == 0


@pytest.mark.parametrize("side", SIDES)
def test_the_dear_half_of_the_range_and_d1_structure_are_told_apart(side: int) -> None:
    state = swept_state(side)
    state.h4.dealing_range.position = 0.5 + side * 0.3
    state.d1.structure.trend = side
    reasons = proposal(state, span(side, 97.0, 101.0), side).reasons
    assert reasons & (H4_RANGE | D1_STRUCTURE) == D1_STRUCTURE


@pytest.mark.parametrize("side", SIDES)
def test_a_stop_is_not_too_close_and_an_entry_whose_stop_is_too_far_is_left_out(side: int) -> None:
    state = swept_state(side)
    of_side(state.h4.swings, side, ("low", "high")).price = mirrored(99.0, side)
    close_by = span(side, 99.0, 101.0)
    assert proposal(state, close_by, side, stop_buffer_atr=0.0).stop_distance == 1.0 * 2.0
    far = proposal(swept_state(side), span(side, 84.0, 101.0), side)  # 16 + 4 > 8 × 2
    assert far.entry == 0
    assert proposal(swept_state(side), span(side, 88.0, 101.0), side).stop_distance == 16.0


def test_a_market_that_never_moved_has_no_stop() -> None:
    state = swept_state(1)
    state.h4.atr.value = 0.0
    state.h4.swings.low.price = 100.0
    assert proposal(state, bar(low=100.0, high=100.0), 1).entry == 0


@pytest.mark.parametrize("side", SIDES)
def test_the_target_is_the_nearest_liquidity_that_pays_enough(side: int) -> None:
    state = swept_state(side)
    pools = of_side(state.h4.liquidity, side, ("high", "low"))
    pools.count = 3
    for place, price in enumerate((145.0, 129.9, 135.0)):
        pools.price[place] = mirrored(price, side)
    signal = proposal(state, span(side, 97.0, 101.0), side)
    assert signal.target_distance == pytest.approx(35.0)
    assert signal.reasons & TARGET_AT_LIQUIDITY
    assert proposal(swept_state(side), span(side, 97.0, 101.0), side).reasons & TARGET_AT_LIQUIDITY == 0


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [("funding", 0.0006, {"funding_limit_bps": 5.0}), ("fear_greed", 50 + 36, {"fear_greed_limit": 85.0})],
)
def test_what_the_crowd_pays_for_is_not_entered(side: int, name: str, value: float, limit: Any) -> None:
    crowded = side * value if name == "funding" else 50 + side * (value - 50)
    calm = 0.8 * crowded if name == "funding" else 50 + side * 35
    for told, known, entry in ((crowded, True, 0), (crowded, False, side), (calm, True, side)):
        this = span(side, 97.0, 101.0)
        setattr(this, name, told)
        setattr(this, f"{name}_known", known)
        assert proposal(swept_state(side), this, side, **limit).entry == entry
        assert proposal(swept_state(side), this, side).entry == side  # off unless it is set


@pytest.mark.parametrize("side", SIDES)
def test_above_its_limit_the_vix_keeps_out_of_the_market(side: int) -> None:
    for vix, known, entry in ((30.1, True, 0), (30.0, True, side), (99.0, False, side)):
        this = span(side, 97.0, 101.0)
        this.vix, this.vix_known = vix, known
        assert proposal(swept_state(side), this, side, vix_limit=30.0).entry == entry


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_stop_atr": 8.0}, r"min_stop_atr \(8\) must be below max_stop_atr \(8\) \(strategy smc\)"),
        ({"min_reward": 6.0}, r"min_reward \(6\) must not be above reward \(5\)"),
        ({"swing_bars": 32}, "strategy.params.swing_bars: Expected `int` <= 31"),
        ({"range_share": 0.0}, "strategy.params.range_share: Expected `float` > 0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(values: Any, message: str) -> None:
    with pytest.raises(Refuse, match=message):
        STRATEGY.read_params(values)


def test_inputs_are_read_only_where_a_limit_is_set() -> None:
    assert STRATEGY.inputs_used(DEFAULTS) == ()
    used = STRATEGY.inputs_used(STRATEGY.read_params({"vix_limit": 30.0, "funding_limit_bps": 5.0}))
    assert [wanted.name for wanted in used] == ["funding", "vix"]


def test_every_bit_has_its_name_and_every_name_its_bit() -> None:
    bits = [value for name, value in vars(smc_reasons).items() if isinstance(value, int)]
    assert sorted(bits) == [1 << place for place in range(len(REASONS))]
    assert STRATEGY.reasons_of(H4_GAP | TARGET_AT_LIQUIDITY) == ("H4 gap", "target at H4 liquidity")


def test_it_is_found_by_its_name() -> None:
    assert load_strategy("smc") is STRATEGY


@pytest.fixture(scope="module")
def panel() -> Panel:
    return generated_panel(4, 60)


def test_every_entry_keeps_the_rules(panel: Panel, compile_cache: Path) -> None:
    signals, _ = decide(panel, STRATEGY, STRATEGY.read_params(EAGER), compile_cache)
    entries = signals[signals["entry"] != 0]
    reasons = entries["reasons"]
    assert len(entries) > 20
    assert set(entries["entry"].tolist()) == {1, -1}
    assert ((reasons & (D1_AVERAGE | H4_STRUCTURE)) == D1_AVERAGE | H4_STRUCTURE).all()
    assert ((reasons & (H4_ORDER_BLOCK | H4_GAP | H1_SWEEP)) != 0).all()
    assert (((reasons & H1_CHOCH) != 0) != ((reasons & H1_BOS) != 0)).all()
    assert (entries["stop_distance"] > 0).all()
    reward = entries["target_distance"] / entries["stop_distance"]
    at_liquidity = (reasons & TARGET_AT_LIQUIDITY) != 0
    np.testing.assert_allclose(reward[~at_liquidity], 5.0)
    assert (reward[at_liquidity] >= 3.0 - 1e-9).all()
    against = (signals["exit_long"] & (signals["entry"] > 0)) | (
        signals["exit_short"] & (signals["entry"] < 0)
    )
    assert not against.any()


def test_nothing_is_said_before_all_has_warmed_up(panel: Panel, compile_cache: Path) -> None:
    signals, _ = decide(panel, STRATEGY, DEFAULTS, compile_cache)
    for index in range(len(panel.symbols)):
        days = panel.higher[Timeframe.D1].of(index)["timestamp"]
        early = panel.candles.of(index)["timestamp"] < days[19] + 23 * HOUR_MS  # 20 days have not closed
        said = signals[panel.candles.offsets[index] : panel.candles.offsets[index + 1]]
        assert not said[early].view(np.uint8).any()


def upside_down(panel_of: dict[Timeframe, dict[str, np.ndarray]], at: float) -> Panel:
    """Return H1, H4 and D1 candles mirrored at the price `at` / 2; 0: as they are."""
    series = {}
    for frame in (Timeframe.H1, Timeframe.H4, Timeframe.D1):
        series[frame] = {symbol: candles.copy() for symbol, candles in panel_of[frame].items()}
        for candles in series[frame].values() if at else ():
            candles["open"], candles["close"] = at - candles["open"], at - candles["close"]
            candles["high"], candles["low"] = at - candles["low"], at - candles["high"]
    candles = series.pop(Timeframe.H1)
    return build_panel(candles, {name: instrument(name) for name in candles}, Timeframe.H1, higher=series)


def test_a_market_upside_down_is_traded_upside_down(compile_cache: Path) -> None:
    frames = tick_markets(2, 60)
    highest = max(candles["high"].max() for candles in frames[Timeframe.D1].values())
    eager = STRATEGY.read_params(EAGER)
    plain, mirror = (
        decide(upside_down(frames, at), STRATEGY, eager, compile_cache)[0] for at in (0.0, 2.0 * highest)
    )
    assert np.count_nonzero(plain["entry"]) > 10
    np.testing.assert_array_equal(plain["entry"], -mirror["entry"])
    np.testing.assert_array_equal(plain["exit_long"], mirror["exit_short"])
    np.testing.assert_array_equal(plain["reasons"], mirror["reasons"])
    for name in ("stop_distance", "target_distance"):
        np.testing.assert_allclose(plain[name], mirror[name], rtol=1e-9)


def test_what_is_observed_is_finite_and_within_bounds(panel: Panel) -> None:
    seen: list[np.ndarray] = []

    def accepts(weights: Any, observation: np.ndarray) -> bool:
        seen.append(observation.copy())
        return True

    policy = Policy(name="p", digest="d", observation=OBSERVATION, weights=np.zeros(1), accepts=accepts)
    chosen = STRATEGY.read_params({**EAGER, "funding_limit_bps": 100.0})
    signals, _ = decide(panel, STRATEGY, chosen, None, policy=policy)
    table = np.array(seen)
    assert table.shape == (np.count_nonzero(signals["entry"]), len(OBSERVATION))
    assert np.isfinite(table).all()
    assert (np.abs(table) <= 1.0).all()
    varying = np.ptp(table, axis=0) > 0
    assert varying.sum() >= len(OBSERVATION) - 2


def test_an_observation_of_nothing_is_finite() -> None:
    observation = np.full(len(OBSERVATION), np.nan)
    observe(record(STATE, side=1), bar(), params(), observation)
    assert np.isfinite(observation).all()


def test_zones_are_what_the_features_say(panel: Panel, compile_cache: Path) -> None:
    zones = zone_drawer(panel, STRATEGY, DEFAULTS, compile_cache)(0)
    bars = bars_of(panel, STRATEGY, 0)
    assert set(zones["kind"].tolist()) == set(range(len(ZONE_KINDS)))
    assert (zones["top"] >= zones["bottom"]).all()
    assert ((zones["end"] == 0) | (zones["end"] >= zones["start"])).all()
    waiting = zones["kind"] < 4
    assert (zones["timeframe_ms"][waiting] == Timeframe.H4.ms).all()
    assert 0 < np.count_nonzero(zones["end"] == 0) <= 4 * 16
    for gap in zones[zones["kind"] == 0]:
        four_hours = bars[bars["timeframe_ms"] == Timeframe.H4.ms]
        at = int(np.searchsorted(four_hours["timestamp"], gap["start"]))
        assert (gap["top"], gap["bottom"]) == (four_hours["low"][at + 1], four_hours["high"][at - 1])


def test_with_room_for_no_more_zones_nothing_is_overwritten() -> None:
    panel = generated_panel(1, 30)
    bars = bars_of(panel, STRATEGY, 0)
    run = stepping(STRATEGY, None)

    def drawn(room: int) -> np.ndarray:
        zones = np.zeros(room, ZONE)
        count = run(bars, np.zeros(1, STATE), DEFAULTS, np.zeros(len(bars), SIGNAL), zones=zones)
        return zones[:count]

    everything, some = drawn(1_000), drawn(10)
    assert len(some) == 10 < len(everything)
    np.testing.assert_array_equal(some["start"], everything["start"][:10])

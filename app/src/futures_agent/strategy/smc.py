"""The default strategy: smart money concepts on three timeframes, entered with the trend.

A long needs all of these, a short their mirror image:

1. bias: the last D1 bar closed above its average (`biased`);
2. structure: the last break of H4 structure was upwards (`biased`);
3. location: price came to an H4 order block or an open H4 gap, or swept liquidity on H1; that begins a
   setup, which lasts `setup_bars` (`seek_setup`);
4. trigger: within the setup an H1 bar closes beyond the newest swing high (`triggered`).

The stop lies beyond the lowest price of the setup and the newest H4 swing low, by a multiple of the H4 ATR
(`stop_distance`); the target is the nearest H4 liquidity that pays enough, else a multiple of the risk
(`target_distance`). Whatever is open is closed when H4 structure turns against it: most positions end so,
the stop is there for what comes faster than an H4 bar closes.

"H1" is the timeframe that decides, `strategy.timeframe`; M15 works as well.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from futures_agent.compiled import kernel
from futures_agent.features.adx import ADX, adx_ready, adx_step
from futures_agent.features.ema import EMA, ema_ready, ema_step
from futures_agent.features.rsi import RSI, rsi_ready, rsi_step
from futures_agent.features.smc.smc import SMC, smc_ready, smc_step
from futures_agent.features.smc.swings import MOST_BARS
from futures_agent.features.smc.zones import zone_at
from futures_agent.features.volume import volume, volume_ready, volume_step
from futures_agent.market.timeframe import Timeframe
from futures_agent.strategy.inputs import Input
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
from futures_agent.strategy.smc_view import OBSERVATION, ZONE_KINDS, draw, observe
from futures_agent.strategy.strategy import Strategy

SwingBars = Annotated[int, Meta(ge=1, le=MOST_BARS)]
Length = Annotated[int, Meta(ge=1, le=1_000)]
Bars = Annotated[int, Meta(ge=1, le=10_000)]
Multiple = Annotated[float, Meta(ge=0, le=100)]
PositiveMultiple = Annotated[float, Meta(gt=0, le=100)]
Share = Annotated[float, Meta(gt=0, le=1)]


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """What `[strategy.params]` may set; lengths in bars of their timeframe."""

    d1_average: Length = 20  # exponential; its side is the bias
    d1_swing_bars: SwingBars = 3  # on either side of a swing
    swing_bars: SwingBars = 5  # of H4 and H1
    atr: Length = 14
    smallest_gap_atr: Multiple = 0.25
    gap_bars: Bars = 180  # a gap that is still open is forgotten after so many
    equal_atr: Multiple = 0.1  # swings closer than this are one pool of liquidity
    setup_bars: Bars = 24  # H1 bars for which a location waits for its trigger
    range_share: Share = 1.0  # a setup begins in this share of the H4 range only, longs in the lowest
    stop_buffer_atr: Multiple = 2.0  # H4 ATR beyond the structure
    min_stop_atr: PositiveMultiple = 1.0  # H4 ATR; a closer stop is moved out to it
    max_stop_atr: PositiveMultiple = 8.0  # H4 ATR; no entry where the structure lies further away
    min_reward: PositiveMultiple = 3.0  # of the risk; what liquidity must pay to be the target
    reward: PositiveMultiple = 5.0  # of the risk, where no liquidity does
    funding_limit_bps: Multiple = 0.0  # no entry that pays more than this per settlement; 0 = off
    fear_greed_limit: Multiple = 0.0  # no longs in greed above it, no shorts in fear below 100 − it; 0 = off
    vix_limit: Multiple = 0.0  # no entries above it; 0 = off

    def __post_init__(self) -> None:
        if self.min_stop_atr >= self.max_stop_atr:
            raise ValueError(
                f"min_stop_atr ({self.min_stop_atr:g}) must be below max_stop_atr ({self.max_stop_atr:g})"
            )
        if self.min_reward > self.reward:
            raise ValueError(f"min_reward ({self.min_reward:g}) must not be above reward ({self.reward:g})")


INPUTS = (
    Input("funding", "sentiment", "funding_rate", max_age_h=12, switch="funding_limit_bps"),
    Input("fear_greed", "macro", "FEAR_GREED", max_age_h=72, switch="fear_greed_limit"),
    Input("vix", "macro", "VIXCLS", max_age_h=240, switch="vix_limit"),
)

_D1_MS = Timeframe.D1.ms
_H4_MS = Timeframe.H4.ms
_OSCILLATOR_BARS = 14  # of RSI and ADX, which only the observation looks at

# Price has come to a place from which the trend may go on.
SETUP = np.dtype(
    [
        ("bars_left", np.int64),  # H1 bars for which it still waits; 0 = there is none
        ("extreme", np.float64),  # lowest low (highest high) since it began
        ("reasons", np.int64),  # the locations that were seen
    ]
)

STATE = np.dtype(
    [
        ("d1", SMC),
        ("h4", SMC),
        ("h1", SMC),
        ("average", EMA),  # of D1 closes
        ("d1_close", np.float64),
        ("adx", ADX),  # H4
        ("rsi", RSI),  # H1
        ("volume", volume(20)),  # H1
        ("long", SETUP),
        ("short", SETUP),
        ("side", np.int64),  # of the entry proposed last
        ("proposal", [("reasons", np.int64), ("stop", np.float64), ("target", np.float64)]),  # what it was
    ]
)


@kernel
def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """See one closed bar; on H1 say what to do."""
    follow(state, bar, params)
    if bar.timeframe_ms >= _H4_MS or not ready(state, params):
        return
    signal.exit_long = state.h4.structure.trend < 0
    signal.exit_short = state.h4.structure.trend > 0
    consider(state, state.long, bar, params, signal, 1)
    consider(state, state.short, bar, params, signal, -1)


@kernel
def follow(state: Any, bar: Any, params: Any) -> None:
    """Let the features of the bar's timeframe see it."""
    if bar.timeframe_ms == _D1_MS:
        concepts_step(state.d1, bar, params, params.d1_swing_bars)
        ema_step(state.average, bar.close, params.d1_average)
        state.d1_close = bar.close
    elif bar.timeframe_ms == _H4_MS:
        concepts_step(state.h4, bar, params, params.swing_bars)
        adx_step(state.adx, bar, _OSCILLATOR_BARS)
    else:
        concepts_step(state.h1, bar, params, params.swing_bars)
        rsi_step(state.rsi, bar.close, _OSCILLATOR_BARS)
        volume_step(state.volume, bar)


@kernel
def concepts_step(concepts: Any, bar: Any, params: Any, swing_bars: int) -> None:
    """Let the smart money concepts of one timeframe see its bar."""
    smc_step(
        concepts,
        bar,
        swing_bars,
        swing_bars,
        params.atr,
        params.smallest_gap_atr,
        params.gap_bars,
        params.equal_atr,
    )


@kernel
def ready(state: Any, params: Any) -> bool:
    """Say whether every feature has warmed up, those of the observation included."""
    return (
        smc_ready(state.d1, params.d1_swing_bars, params.d1_swing_bars, params.atr)
        and smc_ready(state.h4, params.swing_bars, params.swing_bars, params.atr)
        and smc_ready(state.h1, params.swing_bars, params.swing_bars, params.atr)
        and state.d1.dealing_range.known
        and state.h4.dealing_range.known
        and state.h1.dealing_range.known
        and ema_ready(state.average, params.d1_average)
        and adx_ready(state.adx, _OSCILLATOR_BARS)
        and rsi_ready(state.rsi, _OSCILLATOR_BARS)
        and volume_ready(state.volume)
    )


@kernel
def consider(state: Any, setup: Any, bar: Any, params: Any, signal: Any, side: int) -> None:
    """Go through the rules for longs (`side` +1) or shorts (−1); propose an entry where all are met."""
    if not biased(state, side):
        setup.bars_left = 0
        return
    seek_setup(state, setup, bar, params, side)
    trigger = triggered(state, side)
    if setup.bars_left == 0 or trigger == 0 or vetoed(bar, params, side):
        return
    risk = stop_distance(state, setup, bar, params, side)
    if risk == 0.0:
        return
    liquidity = liquidity_distance(state, bar, side, params.min_reward * risk)
    reasons = setup.reasons | trigger | D1_AVERAGE | H4_STRUCTURE
    if state.d1.structure.trend == side:
        reasons |= D1_STRUCTURE
    if in_better_half(state, side):
        reasons |= H4_RANGE
    if liquidity > 0.0:
        reasons |= TARGET_AT_LIQUIDITY
    signal.entry = side
    signal.stop_distance = risk
    signal.target_distance = liquidity if liquidity > 0.0 else params.reward * risk
    signal.reasons = reasons
    setup.bars_left = 0
    state.side = side
    state.proposal.reasons = reasons
    state.proposal.stop = signal.stop_distance
    state.proposal.target = signal.target_distance


@kernel
def biased(state: Any, side: int) -> bool:
    """Say whether D1 and H4 point to `side`."""
    beyond = side * (state.d1_close - state.average.value) > 0.0
    return beyond and state.h4.structure.trend == side  # type: ignore[no-any-return]


@kernel
def seek_setup(state: Any, setup: Any, bar: Any, params: Any, side: int) -> None:
    """Let the setup wait on, and begin it, or begin it anew, where price has come to a location."""
    reached = bar.low if side > 0 else bar.high
    if setup.bars_left > 0:
        setup.bars_left -= 1
        if side * reached < side * setup.extreme:
            setup.extreme = reached
    locations = locations_at(state, bar, side)
    if locations == 0 or share_of_range(state, side) > params.range_share:
        return
    if setup.bars_left == 0:
        setup.extreme = reached
        setup.reasons = 0
    setup.bars_left = params.setup_bars
    setup.reasons |= locations


@kernel
def locations_at(state: Any, bar: Any, side: int) -> int:
    """Return the locations that this H1 bar came to, as bits of REASONS."""
    blocks = state.h4.order_blocks.bull if side > 0 else state.h4.order_blocks.bear
    gaps = state.h4.gaps.bull if side > 0 else state.h4.gaps.bear
    pools = state.h1.liquidity.low if side > 0 else state.h1.liquidity.high
    found = 0
    if zone_at(blocks, bar.low, bar.high, side) < blocks.count:
        found |= H4_ORDER_BLOCK
    if zone_at(gaps, bar.low, bar.high, side) < gaps.count:
        found |= H4_GAP
    if pools.swept:
        found |= H1_SWEEP
    return found


@kernel
def share_of_range(state: Any, side: int) -> float:
    """Return how much of the H4 dealing range lies behind an entry at the last H4 close, 0 to 1."""
    position = state.h4.dealing_range.position
    return position if side > 0 else 1.0 - position  # type: ignore[no-any-return]


@kernel
def in_better_half(state: Any, side: int) -> bool:
    """Say whether the last H4 bar closed in discount (longs) or premium (shorts)."""
    return share_of_range(state, side) < 0.5


@kernel
def triggered(state: Any, side: int) -> int:
    """Return how this H1 bar broke structure towards `side`, as a bit of REASONS; 0 where it did not."""
    if state.h1.structure.choch == side:
        return H1_CHOCH
    if state.h1.structure.bos == side:
        return H1_BOS
    return 0


@kernel
def vetoed(bar: Any, params: Any, side: int) -> bool:
    """Say whether sentiment or macro values speak against entering; what is not known does not."""
    to_pay = side * bar.funding * 10_000.0
    if params.funding_limit_bps > 0.0 and bar.funding_known and to_pay > params.funding_limit_bps:
        return True
    crowd = bar.fear_greed if side > 0 else 100.0 - bar.fear_greed
    if params.fear_greed_limit > 0.0 and bar.fear_greed_known and crowd > params.fear_greed_limit:
        return True
    return params.vix_limit > 0.0 and bar.vix_known and bar.vix > params.vix_limit  # type: ignore[no-any-return]


@kernel
def stop_distance(state: Any, setup: Any, bar: Any, params: Any, side: int) -> float:
    """Return the price units from this close to a stop beyond the structure; 0 where that is too far."""
    atr = state.h4.atr.value
    swing = state.h4.swings.low.price if side > 0 else state.h4.swings.high.price
    depth = max(side * (bar.close - setup.extreme), side * (bar.close - swing))
    distance = max(depth + params.stop_buffer_atr * atr, params.min_stop_atr * atr)
    return distance if distance <= params.max_stop_atr * atr else 0.0


@kernel
def liquidity_distance(state: Any, bar: Any, side: int, least: float) -> float:
    """Return the price units to the nearest opposing H4 liquidity at least `least` away; 0: there is none."""
    pools = state.h4.liquidity.high if side > 0 else state.h4.liquidity.low
    nearest = 0.0
    for i in range(pools.count):
        distance = side * (pools.price[i] - bar.close)
        if distance >= least and (nearest == 0.0 or distance < nearest):
            nearest = distance
    return nearest


STRATEGY = Strategy(
    name="smc",
    params=Params,
    state=STATE,
    step=step,
    timeframes=(Timeframe.D1, Timeframe.H4),
    reasons=REASONS,
    inputs=INPUTS,
    observation=OBSERVATION,
    observe=observe,
    zone_kinds=ZONE_KINDS,
    draw=draw,
)

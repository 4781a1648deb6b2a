"""What `smc` shows of itself: the numbers a policy judges an entry by, and the zones of a chart."""

from __future__ import annotations

from typing import Any

from futures_agent.compiled import kernel
from futures_agent.features.smc.zones import zone_lives
from futures_agent.market.timeframe import Timeframe
from futures_agent.strategy.smc_reasons import (
    H1_CHOCH,
    H1_SWEEP,
    H4_GAP,
    H4_ORDER_BLOCK,
    TARGET_AT_LIQUIDITY,
)

# Where a number has a direction, + favours the entry that is judged. All lie within −1 … 1.
OBSERVATION = (
    "D1 distance from average",  # 5 ATR = 1
    "D1 structure",
    "D1 range",  # −1 at the end of the dealing range behind the entry, 1 at the one before it
    "H4 range",
    "H1 range",
    "H4 age of structure",  # bars since the swing that was broken last, 60 = 1
    "H4 directional index",  # 0 = −1, 50 = 0
    "H1 strength",  # RSI 50 = 0
    "H1 volume",  # none = −1, the usual = −0.5, four times that = 1
    "H1 body",  # of this bar, as a share of its length
    "H1 volatility",  # ATR, as a share of H4's
    "H4 volatility",  # ATR, as a share of D1's
    "D1 volatility",  # ATR, 10 % of the price = 1
    "stop distance",  # `max_stop_atr` = 1
    "reward",  # 10 times the risk = 1
    "order block",
    "gap",
    "sweep",
    "change of character",
    "target at liquidity",
    "funding to receive",  # 10 bps = 1; 0 where it is not known
)

ZONE_KINDS = (
    "bull gap",
    "bear gap",
    "bull order block",
    "bear order block",
    "swept highs",
    "swept lows",
    "break of structure",
    "change of character",
)
_SWEPT_HIGHS, _SWEPT_LOWS, _BOS, _CHOCH = 4, 5, 6, 7

_H4_MS = Timeframe.H4.ms


@kernel
def observe(state: Any, bar: Any, params: Any, observation: Any) -> None:
    """Fill `observation` with the numbers of OBSERVATION, for the entry proposed on this bar."""
    side, proposal = state.side, state.proposal
    length = bar.high - bar.low
    observation[0] = _clipped(_ratio(side * (state.d1_close - state.average.value), 5.0 * state.d1.atr.value))
    observation[1] = float(side * state.d1.structure.trend)
    observation[2] = side * (2.0 * state.d1.dealing_range.position - 1.0)
    observation[3] = side * (2.0 * state.h4.dealing_range.position - 1.0)
    observation[4] = side * (2.0 * state.h1.dealing_range.position - 1.0)
    observation[5] = _clipped((state.h4.recent.count - 1 - state.h4.structure.level_bar) / 60.0)
    observation[6] = state.adx.value / 50.0 - 1.0
    observation[7] = side * (state.rsi.value / 50.0 - 1.0)
    observation[8] = _clipped(state.volume.relative / 2.0 - 1.0)
    observation[9] = _ratio(side * (bar.close - bar.open), length)
    observation[10] = _clipped(_ratio(state.h1.atr.value, state.h4.atr.value))
    observation[11] = _clipped(_ratio(state.h4.atr.value, state.d1.atr.value))
    observation[12] = _clipped(10.0 * state.d1.atr.value / bar.close)
    observation[13] = _clipped(_ratio(proposal.stop, params.max_stop_atr * state.h4.atr.value))
    observation[14] = _clipped(_ratio(proposal.target, 10.0 * proposal.stop))
    observation[15] = _is_set(proposal.reasons, H4_ORDER_BLOCK)
    observation[16] = _is_set(proposal.reasons, H4_GAP)
    observation[17] = _is_set(proposal.reasons, H1_SWEEP)
    observation[18] = _is_set(proposal.reasons, H1_CHOCH)
    observation[19] = _is_set(proposal.reasons, TARGET_AT_LIQUIDITY)
    observation[20] = _clipped(-side * bar.funding * 1_000.0) if bar.funding_known else 0.0


@kernel
def _clipped(value: float) -> float:
    return min(max(value, -1.0), 1.0)


@kernel
def _ratio(value: float, unit: float) -> float:
    return value / unit if unit > 0.0 else 0.0


@kernel
def _is_set(reasons: int, bit: int) -> float:
    return 1.0 if reasons & bit else 0.0


@kernel
def draw(state: Any, bar: Any, params: Any, zones: Any, drawn: int) -> int:
    """Draw what the rules look at: H4 gaps and order blocks, H1 sweeps, the structure breaks of both."""
    if bar.timeframe_ms > _H4_MS:
        return drawn
    concepts = state.h4 if bar.timeframe_ms == _H4_MS else state.h1
    if bar.timeframe_ms == _H4_MS:
        drawn = _draw_waiting(concepts.gaps.bull, bar, zones, drawn, 0)
        drawn = _draw_waiting(concepts.gaps.bear, bar, zones, drawn, 1)
        drawn = _draw_waiting(concepts.order_blocks.bull, bar, zones, drawn, 2)
        drawn = _draw_waiting(concepts.order_blocks.bear, bar, zones, drawn, 3)
    else:
        highs, lows = concepts.liquidity.high, concepts.liquidity.low
        now = bar.timestamp
        if highs.swept:
            drawn = _append(zones, drawn, _SWEPT_HIGHS, bar, now, now, bar.high, highs.swept_price)
        if lows.swept:
            drawn = _append(zones, drawn, _SWEPT_LOWS, bar, now, now, lows.swept_price, bar.low)
    broken = concepts.structure
    if broken.bos != 0 or broken.choch != 0:
        kind, since = _BOS if broken.bos != 0 else _CHOCH, broken.level_timestamp
        drawn = _append(zones, drawn, kind, bar, since, bar.timestamp, broken.level, broken.level)
    return drawn


@kernel
def _draw_waiting(waiting: Any, bar: Any, zones: Any, drawn: int, kind: int) -> int:
    """Draw the zone that this bar made, if any, and end those that are no longer waiting for price."""
    if waiting.ended or waiting.dropped:
        for i in range(drawn):
            zone = zones[i]
            if zone.kind == kind and zone.end == 0 and not zone_lives(waiting, zone.start):
                zone.end = bar.timestamp
    if waiting.made:
        newest = waiting.count - 1
        top, bottom = waiting.top[newest], waiting.bottom[newest]
        drawn = _append(zones, drawn, kind, bar, waiting.start[newest], 0, top, bottom)
    return drawn


@kernel
def _append(
    zones: Any, drawn: int, kind: int, bar: Any, start: int, end: int, top: float, bottom: float
) -> int:
    """Append a zone of the bar's timeframe, if there is room."""
    if drawn == len(zones):
        return drawn
    zone = zones[drawn]
    zone.kind = kind
    zone.timeframe_ms = bar.timeframe_ms
    zone.start = start
    zone.end = end
    zone.top = top
    zone.bottom = bottom
    return drawn + 1

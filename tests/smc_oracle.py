"""Smart money concepts from their definitions, over whole arrays: what the online steps are judged by.

Nothing here is causal in how it is written: swings come from windows of the whole series, breaks, fills and
sweeps are looked up ahead, and only then it is told what was known at each bar.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.lib.stride_tricks import sliding_window_view

from futures_agent.features.atr import ATR, atr_step
from futures_agent.features.smc.liquidity import CAPACITY as MOST_POOLS
from futures_agent.features.smc.recent import SPAN
from futures_agent.features.smc.smc import SMC, smc_step
from futures_agent.features.smc.zones import CAPACITY as MOST_ZONES
from futures_agent.market.candle import CANDLE
from futures_agent.plain import PlainRecord, plain_type

Known = dict[str, Any]  # what is known after one bar


class Lengths(NamedTuple):
    """The arguments of `smc_step` after state and bar, in its order."""

    left: int = 3
    right: int = 3
    atr_length: int = 14
    smallest_gap: float = 0.25
    longest_gap_age: int = 40
    equal_within: float = 0.1


def mirrored(bars: np.ndarray) -> np.ndarray:
    """Return the market upside down: every price negated."""
    turned = bars.copy()
    for name, other in {"open": "open", "close": "close", "high": "low", "low": "high"}.items():
        turned[name] = -bars[other]
    return turned


# --- what the online steps know ---------------------------------------------------------------------------


def online(bars: np.ndarray, lengths: Lengths) -> list[Known]:
    """Return what `smc_step` knows after each bar."""
    state: Any = plain_type(SMC)(np.zeros(1, SMC)[0].item())
    known = []
    for bar in map(plain_type(CANDLE), bars.tolist()):
        smc_step(state, bar, *lengths)
        known.append(readings(state))
    return known


def readings(state: Any) -> Known:
    """Return every field of `state` that holds something, arrays cut to what is in use."""
    swings, structure, dealing = state.swings, state.structure, state.dealing_range
    found: Known = {"trend": structure.trend, "bos": structure.bos, "choch": structure.choch}
    if structure.breaks:
        found["broken"] = (structure.level, structure.level_bar, structure.level_timestamp)
    for name, swing in (("high", swings.high), ("low", swings.low)):
        found[name] = {"count": swing.count, "confirmed": swing.confirmed}
        if swing.count:
            found[name] |= {"swing": (swing.price, swing.bar, swing.timestamp)}
        if swing.count > 1:
            found[name] |= {"previous": swing.previous}
    for name, zones in (
        ("bull gaps", state.gaps.bull),
        ("bear gaps", state.gaps.bear),
        ("bull blocks", state.order_blocks.bull),
        ("bear blocks", state.order_blocks.bear),
    ):
        columns = ("start", "known", "top", "bottom", "rest", "mitigated")
        found[name] = {**_rows(zones, columns), **_flags(zones, "made", "retested", "ended", "dropped")}
    for name, pools in (("high pools", state.liquidity.high), ("low pools", state.liquidity.low)):
        columns = ("start", "price", "limit", "touches")
        found[name] = {**_rows(pools, columns), **_flags(pools, "equal", "swept", "taken", "sweeps")}
        if pools.sweeps:
            found[name] |= _flags(pools, "swept_price", "swept_touches")
    if dealing.known:
        names = ("top", "bottom", "equilibrium", "position", "premium", "discount")
        found["range"] = {field: getattr(dealing, field) for field in names}
    return found


def _rows(lists: PlainRecord, columns: tuple[str, ...]) -> Known:
    used = lists.count  # type: ignore[attr-defined]
    return {"rows": list(zip(*(getattr(lists, column)[:used] for column in columns), strict=True))}


def _flags(record: PlainRecord, *names: str) -> Known:
    return {name: getattr(record, name) for name in names}


# --- what the definitions say -----------------------------------------------------------------------------


def oracle(bars: np.ndarray, lengths: Lengths) -> list[Known]:
    """Return what was to be known after each bar, by the definitions in docs/smc.md."""
    market = {1: _Side(bars, 1, lengths), -1: _Side(bars, -1, lengths)}
    known: list[Known] = [{"trend": 0, "bos": 0, "choch": 0} for _ in bars]
    atr = _atr(bars, lengths.atr_length)
    breaks = _breaks(market, known)
    for name, side in (("high", market[1]), ("low", market[-1])):
        _swings(known, name, side)
        _pools(known, f"{name} pools", side, lengths.equal_within * atr)
    for name, side in (("bull", market[1]), ("bear", market[-1])):
        _zones(known, f"{name} gaps", side, _gaps(side, lengths, atr))
        _zones(known, f"{name} blocks", side, _blocks(side, breaks))
    _ranges(known, market[1], market[-1])
    return known


class _Side:
    """The market with prices times `sign`, so that upwards is the direction of interest."""

    def __init__(self, bars: np.ndarray, sign: int, lengths: Lengths) -> None:
        turned = bars if sign > 0 else mirrored(bars)
        self.sign = sign
        self.times = bars["timestamp"].tolist()
        self.opened, self.high = turned["open"], turned["high"]
        self.low, self.close = turned["low"], turned["close"]
        left, right = lengths.left, lengths.right
        self.swings: list[int] = []  # bars that are swing highs
        if len(bars) > left + right:
            windows = sliding_window_view(self.high, left + 1 + right)
            middle = windows[:, left]
            tops = (middle >= windows[:, :left].max(axis=1)) & (middle > windows[:, left + 1 :].max(axis=1))
            self.swings = (np.flatnonzero(tops) + left).tolist()
        self.confirmed = [bar + right for bar in self.swings]

    def first(self, where: np.ndarray, after: int) -> int:
        """Return the first bar after `after` at which `where` holds; the end of time if there is none."""
        found = np.flatnonzero(where[after + 1 :])
        return int(found[0]) + after + 1 if len(found) else len(where) + SPAN

    def price(self, value: float) -> float:
        return float(self.sign * value)


def _atr(bars: np.ndarray, length: int) -> np.ndarray:
    """Return the average true range by its own step, which has TA-Lib for an oracle elsewhere."""
    state = plain_type(ATR)(np.zeros(1, ATR)[0].item())
    return np.array([atr_step(state, bar, length) for bar in map(plain_type(CANDLE), bars.tolist())])


def _swings(known: list[Known], name: str, side: _Side) -> None:
    for now in range(len(known)):
        seen = [bar for bar, confirmed in zip(side.swings, side.confirmed, strict=True) if confirmed <= now]
        found: Known = {"count": len(seen), "confirmed": now in side.confirmed}
        if seen:
            found["swing"] = (side.price(side.high[seen[-1]]), seen[-1], side.times[seen[-1]])
        if len(seen) > 1:
            found["previous"] = side.price(side.high[seen[-2]])
        known[now][name] = found


def _breaks(market: dict[int, _Side], known: list[Known]) -> list[tuple[int, int, int]]:
    """Return (bar, direction, broken swing's bar) of each BOS and CHoCH; tell the trend to `known`."""
    found = []
    for sign, side in market.items():
        until = [*side.confirmed, len(side.close)][1:]
        for swing, confirmed, next_one in zip(side.swings, side.confirmed, until, strict=True):
            broken = side.first(side.close > side.high[swing], confirmed - 1)
            if broken < next_one:
                found.append((broken, sign, swing))
    found.sort()
    assert len({bar for bar, _, _ in found}) == len(found), "one bar broke both ways"
    trend, judged = 0, []
    for index, (bar, sign, swing) in enumerate(found):
        if trend:
            known[bar]["bos" if sign == trend else "choch"] = sign
            judged.append((bar, sign, swing))
        trend = sign
        side = market[sign]
        level = (side.price(side.high[swing]), swing, side.times[swing])
        for now in range(bar, found[index + 1][0] if index + 1 < len(found) else len(known)):
            known[now] |= {"trend": trend, "broken": level}
    return judged


class _Zone(Struct):
    """A zone of a bull side; mirrored ones are turned back when they are told."""

    known: int
    start: int
    top: float
    bottom: float
    retested: int
    ended: int
    last: int  # the last bar that it met; it may still be there after it, or not
    gone: int  # the first bar after which it was not there


def _gaps(side: _Side, lengths: Lengths, atr: np.ndarray) -> list[_Zone]:
    found = []
    for now in range(2, len(side.high)):
        top, bottom = side.low[now], side.high[now - 2]
        if top > bottom and top - bottom >= lengths.smallest_gap * atr[now]:
            filled = side.first(side.low <= bottom, now)
            oldest = now + lengths.longest_gap_age
            retested = side.first(side.low <= top, now)
            last, gone = min(filled, oldest), min(filled, oldest + 1)
            found.append(_Zone(now, now - 1, top, bottom, retested, filled, last, gone))
    return found


def _blocks(side: _Side, breaks: list[tuple[int, int, int]]) -> list[_Zone]:
    found: list[_Zone] = []
    for now, sign, swing in breaks:
        if sign != side.sign:
            continue
        searched = np.arange(max(swing + 1, now - SPAN + 1), now + 1)
        lows = side.low[searched]
        origin = searched[np.flatnonzero(lows == lows.min())[-1]]
        candles = [bar for bar in searched if bar <= origin and side.close[bar] < side.opened[bar]]
        if candles and not any(zone.start == candles[-1] and zone.gone > now for zone in found):
            top, bottom = side.high[candles[-1]], side.low[candles[-1]]
            gone = side.first(side.close < bottom, now)
            retested = side.first(side.low <= top, now)
            found.append(_Zone(now, candles[-1], top, bottom, retested, gone, gone, gone))
    return found


def _zones(known: list[Known], name: str, side: _Side, zones: list[_Zone]) -> None:
    for index, zone in enumerate(zones):  # those for which there was no room
        others = [each for each in zones[:index] if each.gone > zone.known]
        if len(others) == MOST_ZONES:
            others[0].last = others[0].gone = zone.known
    for now in range(len(known)):
        live = [zone for zone in zones if zone.known <= now < zone.gone]
        known[now][name] = {
            "rows": [_zone_row(side, zone, now) for zone in live],
            "made": any(zone.known == now for zone in zones),
            "retested": any(zone.retested == now <= zone.last for zone in zones),
            "ended": any(zone.ended == now <= zone.last for zone in zones),
            "dropped": any(zone.gone == now and zone.last < zone.ended for zone in zones),
        }


def _zone_row(side: _Side, zone: _Zone, now: int) -> tuple[Any, ...]:
    lowest = side.low[zone.known + 1 : now + 1].min(initial=np.inf)
    near, far, rest = (
        side.price(value) for value in (zone.top, zone.bottom, min(zone.top, max(zone.bottom, float(lowest))))
    )
    top, bottom = (near, far) if side.sign > 0 else (far, near)
    return side.times[zone.start], zone.known, top, bottom, rest, int(zone.retested <= now)


class _Pool(Struct):
    start: int
    price: float
    limit: float
    touches: int
    since: int  # the bar at which it got this limit


def _pools(known: list[Known], name: str, side: _Side, tolerances: np.ndarray) -> None:
    pools: list[_Pool] = []
    told: list[Known] = [{"equal": False, "taken": False, "swept": []} for _ in known]
    until = [*side.confirmed, len(known)]
    _tell(told[: until[0]], [], side)
    for swing, confirmed, next_one in zip(side.swings, side.confirmed, until[1:], strict=True):
        price, tolerance = float(side.high[swing]), float(tolerances[confirmed])
        near = [pool for pool in pools if abs(pool.price - price) <= tolerance]
        if near:
            told[confirmed]["equal"] = True
            pool = min(near, key=lambda pool: abs(pool.price - price))
            pool.price = max(pool.price, price)
            pool.touches += 1
        else:
            pool = _Pool(side.times[swing], price, 0.0, 1, 0)
            pools = [*pools[-(MOST_POOLS - 1) :], pool]
        pool.limit, pool.since = pool.price + tolerance, confirmed
        for now in range(confirmed, next_one + 1 if next_one < len(known) else next_one):
            gone = [each for each in pools if now > confirmed and side.high[now] > each.limit]
            pools = [each for each in pools if each not in gone]
            for each in gone:
                if side.close[now] > each.limit:
                    told[now]["taken"] = True
                else:
                    told[now]["swept"].append((each.price, each.touches))
            if now < next_one:
                _tell(told[now : now + 1], pools, side)
    sweeps, last = 0, {}
    for now, found in enumerate(told):
        swept = found.pop("swept")
        if swept:
            sweeps += 1
            prices, touches = zip(*swept, strict=True)
            last = {"swept_price": side.price(max(prices)), "swept_touches": max(touches)}
        known[now][name] = {**found, "swept": bool(swept), "sweeps": sweeps, **last}


def _tell(told: list[Known], pools: list[_Pool], side: _Side) -> None:
    for each in told:
        each["rows"] = [
            (pool.start, side.price(pool.price), side.price(pool.limit), pool.touches) for pool in pools
        ]


def _ranges(known: list[Known], up: _Side, down: _Side) -> None:
    for now, found in enumerate(known):
        highs = [bar for bar, at in zip(up.swings, up.confirmed, strict=True) if at <= now]
        lows = [bar for bar, at in zip(down.swings, down.confirmed, strict=True) if at <= now]
        if highs and lows:
            top, bottom = float(up.high[highs[-1] : now + 1].max()), float(up.low[lows[-1] : now + 1].min())
            close, equilibrium = float(up.close[now]), (top + bottom) / 2
            found["range"] = {
                "top": top,
                "bottom": bottom,
                "equilibrium": equilibrium,
                "position": (close - bottom) / (top - bottom),
                "premium": close > equilibrium,
                "discount": close < equilibrium,
            }

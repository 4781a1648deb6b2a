"""Recomputing one trade from docs/assumptions.md (numbers in brackets are its): prices, costs, and that what
ended it happened then, and nothing did before."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from decimal import Decimal
from statistics import median
from typing import NamedTuple

from independent.world import Bar, Trade, World, row_at

HOUR = 3_600_000
MAINTENANCE = 0.025
TOLERANCE = 1e-9  # relative: how far apart two ways of computing the same number may be


class Money(NamedTuple):
    """What a trade should have been worth."""

    entry_price: float
    exit_price: float
    gross_pnl: float
    fees: float
    liquidation_fee: float
    funding: float
    net_pnl: float
    slippage: float


class Recomputed(NamedTuple):
    """A trade as it should have been: its money, and the funding it paid at each bar."""

    money: Money
    entry_row: int
    exit_row: int
    funding_at: dict[int, float]  # open time of the bar → received (+) or paid (−)
    entry_fee: float


def same(found: float, expected: float, scale: float = 0.0) -> bool:
    """Say whether two numbers agree but for rounding; `scale` is what they were subtracted from."""
    return math.isclose(found, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE * max(scale, 1e-12))


def check_trade(world: World, trade: Trade) -> tuple[Recomputed | None, list[str]]:
    """Return the trade as it should be, and every difference from what the result says.

    Nothing is returned for a trade that stands on no bars: it cannot be recomputed.
    """
    where = f"{trade.symbol} {trade.side} of {trade.entry_time}"
    bars = world.bars[trade.symbol]
    first, last = row_at(bars, trade.entry_time), row_at(bars, trade.exit_time)
    if not _opens(bars, first, trade.entry_time) or not _opens(bars, last, trade.exit_time) or last < first:
        return None, [f"{where}: entry or exit on no bar"]
    if first == 0 or bars[first].time - bars[first - 1].time != world.bar_ms:
        return None, [f"{where}: no bar decided the entry"]
    recomputed = _recompute(world, trade, first, last)
    found = [f"{where}: {each}" for each in _bracket_faults(world, trade)]
    found += [f"{where}: {each}" for each in _path_faults(world, trade, first, last)]
    scale = trade.quantity * trade.entry_price
    for name, expected in recomputed.money._asdict().items():
        told = getattr(trade, name)
        if not same(told, expected, 0.0 if name.endswith("price") else scale):
            found.append(f"{where}: {name} {told!r}, should be {expected!r}")
    return recomputed, found


def _opens(bars: list[Bar], row: int, time: int) -> bool:
    return row < len(bars) and bars[row].time == time


def _recompute(world: World, trade: Trade, first: int, last: int) -> Recomputed:
    bars, side, quantity = world.bars[trade.symbol], trade.sign, trade.quantity
    taker, maker = world.costs["taker_fee_bps"] / 1e4, world.costs["maker_fee_bps"] / 1e4
    entry = bars[first].open * (1 + side * slip(world, quantity, bars[first - 1].volume))
    level = _exit_level(world, trade, bars[last])
    volume = bars[last].volume if trade.exit_reason in ("END", "DATA_ENDED") else bars[last - 1].volume
    at_market = trade.exit_reason not in ("TARGET", "LIQUIDATION")
    price = level * (1 - side * slip(world, quantity, volume)) if at_market else level
    liquidation_fee = 0.0
    if trade.exit_reason == "LIQUIDATION":
        liquidation_fee = quantity * price * world.contracts[trade.symbol].liquidation_fee
    entry_fee = quantity * entry * taker
    exit_fee = quantity * price * (maker if trade.exit_reason == "TARGET" else taker)
    payments = dict(_funding(world, trade, first, last))
    gross = quantity * (price - entry) * side
    fees, funding = entry_fee + exit_fee + liquidation_fee, sum(payments.values())
    slippage = quantity * (abs(entry - bars[first].open) + abs(price - level))
    money = Money(entry, price, gross, fees, liquidation_fee, funding, gross - fees + funding, slippage)
    return Recomputed(money, first, last, payments, entry_fee)


def slip(world: World, quantity: float, volume: float) -> float:
    """Slippage as a share of the price [28]."""
    per_hour = volume / (world.bar_ms / HOUR)
    share = quantity / per_hour if per_hour > 0 else 1.0
    return min(0.5, (world.costs["slippage_bps"] + world.costs["impact_bps"] * share**0.5) / 1e4)


def _exit_level(world: World, trade: Trade, bar: Bar) -> float:
    """Return the price, before slippage, at which what ended the trade happened [13, 14, 18, 34]."""
    match trade.exit_reason:
        case "SIGNAL":
            return bar.open
        case "TARGET":
            return trade.target_price
        case "END" | "DATA_ENDED":
            return bar.close
        case reason:
            happened, level = touched(world, trade, bar)
            untold = trade.stop_price if reason == "STOP" else margin_levels(world, trade)[0]
            return level if happened == reason else untold


def margin_levels(world: World, trade: Trade) -> tuple[float, float]:
    """Return the prices of liquidation and of bankruptcy [32, 33]."""
    entry, side = trade.entry_price, trade.sign
    margin = entry / world.risk["max_leverage"]
    return (entry - side * margin) / (1 - side * MAINTENANCE), entry - side * margin


def touched(world: World, trade: Trade, bar: Bar) -> tuple[str | None, float]:
    """Return what one bar does to the position, and at what price [13 to 17, 33, 34]."""
    reason, level, sure = _touched_by(world, trade, bar)
    if sure:
        return reason, level
    worse = reason, level
    finer = world.finer.get(trade.symbol, [])
    row = row_at(finer, bar.time)
    for place in range(world.bar_ms // world.finer_ms if world.finer_ms else 0):
        if not _opens(finer, row + place, bar.time + place * world.finer_ms):
            return worse
        reason, level, sure = _touched_by(world, trade, finer[row + place])
        if not sure:
            return worse
        if reason:
            return reason, level
    return worse


def _touched_by(world: World, trade: Trade, bar: Bar) -> tuple[str | None, float, bool]:
    """Return what this bar alone tells, the worse of two outcomes, and whether it can be told."""
    side, target = trade.sign, trade.target_price
    liquidated, bankrupt = margin_levels(world, trade)
    candidates = [("STOP", trade.stop_price), ("LIQUIDATION", liquidated)]
    nearest = sorted((-side * price, name) for name, price in candidates if price > 0)
    worst, best = (bar.low, bar.high) if side > 0 else (bar.high, bar.low)
    wins = target > 0 and side * (best - target) > 0  # traded through, not only touched
    if not nearest or side * (worst - -side * nearest[0][0]) > 0:
        return ("TARGET", target, True) if wins else (None, 0.0, True)
    reason, level = nearest[0][1], -side * nearest[0][0]
    if side * (bar.open - level) <= 0:
        worst_fill = bar.open if reason == "STOP" else side * max(side * bar.open, side * bankrupt)
        return reason, worst_fill, True
    if wins and side * (bar.open - target) > 0:
        return "TARGET", target, True
    return reason, level, not wins


def _path_faults(world: World, trade: Trade, first: int, last: int) -> Iterator[str]:
    """Yield what happened before the exit, or did not happen at it."""
    bars = world.bars[trade.symbol]
    on_signal = trade.exit_reason == "SIGNAL"
    for row in range(first, last if on_signal else last + 1):
        bar = bars[row]
        reason, _ = touched(world, trade, bar)
        if reason is None and row == len(bars) - 1:
            run_ends = max(each[-1].time for each in world.bars.values() if each)
            reason = "END" if bar.time == run_ends else "DATA_ENDED"
        if row < last or on_signal:
            if reason is not None:
                yield f"{reason} at {bar.time} was missed"
        elif reason != trade.exit_reason:
            yield f"{trade.exit_reason} at {bar.time}, should be {reason}"
    if on_signal and last == first:
        yield "left by a signal at the open it entered"


def _bracket_faults(world: World, trade: Trade) -> Iterator[str]:
    """Yield what is wrong with stop and target as placed [12]."""
    tick = world.contracts[trade.symbol].tick
    for name, price, direction in (("stop", trade.stop_price, -1), ("target", trade.target_price, 1)):
        if price == 0:
            continue
        if tick > 0 and Decimal(repr(price)) % Decimal(repr(tick)) != 0:
            yield f"{name} {price} is off the tick of {tick}"
        if direction * trade.sign * (price - trade.entry_price) < tick / 2 * (1 - 1e-6):
            yield f"{name} {price} is on the wrong side of the entry, or on it"


def _funding(world: World, trade: Trade, first: int, last: int) -> Iterator[tuple[int, float]]:
    """Yield the open time of each bar at which funding was due, and what it brought [30, 31]."""
    if not world.costs["funding"]:
        return
    bars = world.bars[trade.symbol]
    recorded = world.funding.get(trade.symbol, [])
    instants = [(time, rate, False) for time, rate in recorded if time > trade.entry_time]
    fallback = world.costs["funding_fallback_bps"] / 1e4
    hours = [round(time / HOUR) for time, _ in recorded]
    for hour in range(trade.entry_time // HOUR + 1, trade.exit_time // HOUR + 1):
        if interval := missing_interval(hours, hour):
            instants.append((hour * HOUR, fallback * interval / 8, True))
    due: dict[int, float] = {}
    for time, rate, assumed in sorted(instants):
        row = row_at(bars, time)
        if first < row <= last:
            amount = trade.quantity * bars[row].open * rate
            received = -abs(amount) if assumed else -trade.sign * amount
            due[bars[row].time] = due.get(bars[row].time, 0.0) + received
    yield from due.items()


def missing_interval(hours: list[int], hour: int) -> int:
    """Return how long an interval ends at `hour` without being among those recorded; 0: none does [31]."""
    after = bisect_left(hours, hour)
    interval = due_interval(hours, min(max(after - 1, 0), len(hours) - 2)) if len(hours) > 1 else 8
    if hour % interval:
        return 0
    if 0 < after < len(hours) and hours[after] - hours[after - 1] <= interval:
        return 0
    nearest = hours[max(after - 1, 0) : after + 1]
    return interval if all(abs(each - hour) * 2 >= interval for each in nearest) else 0


def due_interval(hours: list[int], place: int) -> int:
    """Return the interval, in hours, that was due between the records `place` and `place` + 1."""
    count = len(hours) - 1  # of gaps
    around = []
    for side in (-1, 1):
        nearest = [mirrored_place(place + side * distance, count) for distance in (1, 2, 3)]
        around.append(median(hours[each + 1] - hours[each] for each in nearest))
    return max(each for each in (1, 2, 4, 8) if each <= max(*around, 1))


def mirrored_place(place: int, count: int) -> int:
    """Return where a place beyond the first or last of `count` is seen in a mirror that stands on it."""
    if count == 1:
        return 0
    turn = place % (2 * (count - 1))
    return min(turn, 2 * (count - 1) - turn)

"""Recomputing the account from its trades: what it held and was worth at every bar, and whether each entry
was allowed and rightly sized. Numbers in brackets are those of docs/assumptions.md."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from independent.trade_check import Recomputed, check_trade, margin_levels, same
from independent.world import Bar, Point, Trade, World, row_at

DAY = 86_400_000
LEAVES_AT_OPEN = "SIGNAL"


class Held(NamedTuple):
    """A trade while it is open."""

    trade: Trade
    right: Recomputed
    place: int  # of its symbol


def differences(world: World) -> list[str]:
    """Return every difference between a result and what it should be, in words; none where it is right."""
    found: list[str] = []
    places = {symbol: place for place, symbol in enumerate(world.bars)}
    held = []
    for trade in world.trades:
        right, faults = check_trade(world, trade)
        found += faults
        if right is not None:
            held.append(Held(trade, right, places[trade.symbol]))
    found += _overlaps(held)
    found += _disorder(world)
    found += Account(world, held).walk()
    return found


def _overlaps(held: list[Held]) -> Iterator[str]:
    by_symbol: dict[str, list[Trade]] = defaultdict(list)
    for each in sorted(held, key=lambda each: (each.trade.entry_time, each.trade.exit_time)):
        by_symbol[each.trade.symbol].append(each.trade)
    for symbol, trades in by_symbol.items():
        for before, after in pairwise(trades):
            reversed_at_open = before.exit_reason == LEAVES_AT_OPEN and before.exit_time == after.entry_time
            if after.entry_time <= before.exit_time and not reversed_at_open:
                yield f"{symbol}: entered at {after.entry_time} while the one before was open"


def _disorder(world: World) -> Iterator[str]:
    for before, after in pairwise(world.trades):
        if after.exit_time < before.exit_time:
            yield f"{after.symbol} of {after.entry_time}: not in order of exit"


class Account:
    """The account walked bar time by bar time."""

    def __init__(self, world: World, held: list[Held]) -> None:
        self._world = world
        self._cash = self._equity = self._peak = self._day_start = world.initial_equity
        self._day: int | None = None
        self._lost_today = self._killed = False
        self._open: list[Held] = []
        self._entries: dict[int, list[Held]] = defaultdict(list)
        self._closes: dict[str, dict[int, float]] = {}
        for each in sorted(held, key=lambda each: each.place):
            self._entries[each.trade.entry_time].append(each)

    def walk(self) -> Iterator[str]:
        """Yield every difference in the equity curve, and every entry that should not have been."""
        times = sorted({bar.time for bars in self._world.bars.values() for bar in bars})
        told = {point.time: point for point in self._world.equity}
        if set(told) - {time + self._world.bar_ms for time in times}:
            yield "the equity curve has points at times without a bar"
        for time in times:
            self._at_open(time)
            for candidate in self._entries.get(time, []):
                yield from self._judge(candidate)
                self._open.append(candidate)
                self._cash -= candidate.right.entry_fee
            self._leave(time)
            yield from self._mark(time, told)

    def _at_open(self, time: int) -> None:
        if self._day is None:
            self._day = time // DAY
        for each in self._open:
            self._cash += each.right.funding_at.get(time, 0.0)
        self._close([each for each in self._open if _left(each, time, at_open=True)])

    def _leave(self, time: int) -> None:
        self._close([each for each in self._open if _left(each, time, at_open=False)])

    def _close(self, leaving: list[Held]) -> None:
        for each in leaving:
            money = each.right.money
            self._cash += money.gross_pnl - (money.fees - each.right.entry_fee)
            self._open.remove(each)

    def _mark(self, time: int, told: dict[int, Point]) -> Iterator[str]:
        """Compare the account at the close of the bar that opened at `time` [10]; feed the limits [24]."""
        close_time = time + self._world.bar_ms
        worth = [(each, self._last_close(each.trade.symbol, close_time)) for each in self._open]
        notional = sum(each.trade.quantity * price for each, price in worth)
        before, self._equity = (
            self._equity,
            self._cash
            + sum(
                each.trade.sign * each.trade.quantity * (price - each.right.money.entry_price)
                for each, price in worth
            ),
        )
        self._feed_limits(close_time, before)
        point = told.get(close_time)
        if point is None:
            return
        scale = self._world.initial_equity
        for name, expected in (("equity", self._equity), ("notional", notional), ("positions", len(worth))):
            if not same(getattr(point, name), expected, scale):
                yield f"{name} at {close_time}: {getattr(point, name)!r}, should be {expected!r}"

    def _feed_limits(self, close_time: int, before: float) -> None:
        risk, equity = self._world.risk, self._equity
        if close_time // DAY != self._day:
            self._day, self._lost_today = close_time // DAY, False
            self._day_start = before if close_time % DAY else equity
        self._peak = max(self._peak, equity)
        self._lost_today |= equity <= self._day_start * (1 - risk["max_daily_loss"])
        self._killed |= equity <= self._peak * (1 - risk["max_drawdown"])

    def _last_close(self, symbol: str, close_time: int) -> float:
        """Return the last close known at `close_time`."""
        bars = self._world.bars[symbol]
        return bars[row_at(bars, close_time) - 1].close

    def _judge(self, candidate: Held) -> Iterator[str]:
        """Yield why an entry should not have been made, or not as large as it was [20 to 27]."""
        trade, risk = candidate.trade, self._world.risk
        where = f"{trade.symbol} {trade.side} of {trade.entry_time}"
        if self._killed:
            yield f"{where}: opened after the kill switch"
        if self._lost_today:
            yield f"{where}: opened after the day's loss limit"
        if len(self._open) >= risk["max_positions"]:
            yield f"{where}: position {len(self._open) + 1} of {risk['max_positions']:g}"
        yield from (f"{where}: {each}" for each in self._stop_faults(trade))
        yield from (f"{where}: {each}" for each in self._size_faults(candidate))
        together = sum(self._moves_with(trade, each.trade) for each in self._open)
        if together > risk["max_correlated"]:
            yield f"{where}: correlates with {together} open positions"

    def _stop_faults(self, trade: Trade) -> Iterator[str]:
        risk = self._world.risk
        buffer, tick = risk["liquidation_buffer"], self._world.contracts[trade.symbol].tick
        if trade.stop_price == 0:
            if buffer > 0 or risk["fixed_notional"] == 0:
                yield "has no stop"
            return
        way = abs(trade.entry_price - margin_levels(self._world, trade)[0])
        # The gate judged from the close, the stop was placed from the fill: a hair, and half a tick, apart.
        if buffer > 0 and abs(trade.entry_price - trade.stop_price) - tick / 2 > (1 - buffer) * way * 1.05:
            yield "stop too near to the liquidation price"

    def _size_faults(self, candidate: Held) -> Iterator[str]:
        trade = candidate.trade
        contract = self._world.contracts[trade.symbol]
        decided = self._world.bars[trade.symbol][candidate.right.entry_row - 1]
        steps = round(trade.quantity / contract.step)
        if Decimal(repr(trade.quantity)) % Decimal(repr(contract.step)) != 0:
            yield f"quantity {trade.quantity} is off the step of {contract.step}"
        if not contract.min_quantity <= trade.quantity <= contract.max_quantity:
            yield f"quantity {trade.quantity} is outside the exchange's limits"
        if trade.quantity * decided.close < contract.min_notional:
            yield f"notional below {contract.min_notional}"
        room = min(self._rooms(trade)) / decided.close
        for wanted, relation in zip(self._wanted(trade, decided), (1, -1), strict=True):
            allowed = min(wanted, room, contract.max_quantity)
            limit = math.floor(allowed / contract.step * (1 + relation * 1e-9) + relation * 1e-6)
            if relation * (steps - limit) > 0:
                yield f"quantity {trade.quantity}, should be {limit * contract.step:g}"

    def _wanted(self, trade: Trade, decided: Bar) -> tuple[float, float]:
        """Return the largest and the smallest quantity that risk per trade can have asked for [20].

        The stop's distance is known to half a tick: it was rounded after it was measured.
        """
        risk = self._world.risk
        if risk["fixed_notional"] > 0:
            return (risk["fixed_notional"] / decided.close,) * 2
        tick = self._world.contracts[trade.symbol].tick
        money = self._equity * risk["risk_per_trade"]
        distance = abs(trade.entry_price - trade.stop_price)
        closest = distance - tick / 2 * (1 + 1e-6)
        return money / closest if closest > 0 else math.inf, money / (distance + tick / 2 * (1 + 1e-6))

    def _rooms(self, trade: Trade) -> Iterator[float]:
        """Yield what gross exposure, net exposure and the cap of one position leave [21]."""
        risk, gross, net = self._world.risk, 0.0, 0.0
        for each in self._open:
            price = self._last_close(each.trade.symbol, trade.entry_time)
            gross += each.trade.quantity * price
            net += each.trade.sign * each.trade.quantity * price
        yield self._equity * risk["max_leverage"] - gross
        yield self._equity * risk["max_net_leverage"] - trade.sign * net
        yield self._equity * risk["max_position_leverage"]

    def _moves_with(self, trade: Trade, other: Trade) -> bool:
        """Say whether two positions count as correlated [27]; not where rounding could decide it."""
        bars, step = int(self._world.risk["correlation_bars"]), self._world.bar_ms
        newest = trade.entry_time - step
        pairs = []
        one, two = self._close_at(trade.symbol), self._close_at(other.symbol)
        for time in range(newest - (bars - 1) * step, newest + 1, step):
            if all(time in each and time - step in each for each in (one, two)):
                pairs.append([each[time] / each[time - step] - 1 for each in (one, two)])
        if 2 * len(pairs) < bars or not np.std(pairs, axis=0).all():
            return True
        value = float(np.corrcoef(np.transpose(pairs))[0, 1]) * trade.sign * other.sign
        return value > self._world.risk["correlation_limit"] + 1e-9

    def _close_at(self, symbol: str) -> dict[int, float]:
        if symbol not in self._closes:
            self._closes[symbol] = {bar.time: bar.close for bar in self._world.bars[symbol]}
        return self._closes[symbol]


def _left(each: Held, time: int, *, at_open: bool) -> bool:
    return each.trade.exit_time == time and (each.trade.exit_reason == LEAVES_AT_OPEN) is at_open

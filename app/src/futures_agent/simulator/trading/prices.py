"""What a contract costs at a time, and the way its price takes between two times.

The path is the one that the forming candle shows (`series.path_of`), through the finest candles there are:
what a client sees in a kline is what its orders meet. A symbol's path stands still where there is no candle.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from futures_agent.market.candle import Candles
from futures_agent.simulator.market import Market
from futures_agent.simulator.series import PATH_TIMES, on_grid, path_of
from futures_agent.simulator.trading.config import TradingConfig
from futures_agent.simulator.trading.records import ZERO


class Leg(NamedTuple):
    """A stretch of the path on which the price runs straight from `start` to `end`, and a part of it.

    Between its ends the price is on no grid, so that it does not matter how a path is cut into parts.
    """

    start_ms: int
    end_ms: int
    start: Decimal
    end: Decimal
    from_ms: int  # the part is [from_ms, to_ms)
    to_ms: int

    def at(self, at_ms: int) -> Decimal:
        """Return the price at `at_ms`, start_ms ≤ at_ms ≤ end_ms."""
        share = Decimal(at_ms - self.start_ms) / (self.end_ms - self.start_ms)
        return self.start + (self.end - self.start) * share


class Tile(NamedTuple):
    """One of the finest candles: its corners (see `series.path_of`) and when it opens and closes."""

    open_ms: int
    close_ms: int
    corners: tuple[float, float, float, float]


class Prices:
    """The prices of every contract of one market.

    Attributes
    ----------
    mark_offset : dict of symbol to Decimal
        How far (a share) the mark price lies above the last price; without an entry it is the last price.
    """

    def __init__(self, market: Market, config: TradingConfig) -> None:
        self._market = market
        self._timeframe = config.timeframe
        self._window_ms = config.open_window_ms if config.path == "bar" else 0
        self._tiles: dict[str, tuple[int, list[Tile]]] = {}
        self._newest: dict[str, tuple[int, Decimal]] = {}
        self.mark_offset: dict[str, Decimal] = {}

    def last(self, symbol: str, at_ms: int) -> Decimal:
        """Return the last price at `at_ms`; 0 before the first candle."""
        newest = self._newest.get(symbol)
        if newest is None or newest[0] != at_ms:
            newest = self._newest[symbol] = (at_ms, self._last(symbol, at_ms))
        return newest[1]

    def _last(self, symbol: str, at_ms: int) -> Decimal:
        open_ms = self._timeframe.open_of(at_ms)
        if at_ms - open_ms <= self._window_ms and (bar := self.bar(symbol, open_ms)) is not None:
            return self._decimal(symbol, bar["open"])
        tile = next((tile for tile in self._tiles_of(symbol, open_ms) if at_ms < tile.close_ms), None)
        if tile is not None and tile.open_ms <= at_ms:
            return self._at(symbol, tile, at_ms)
        candles = self._market.final(symbol, self._timeframe, at_ms)
        past = int(np.searchsorted(candles["timestamp"], open_ms))
        return self._decimal(symbol, candles["close"][past - 1]) if past else ZERO

    def mark(self, symbol: str, at_ms: int) -> Decimal:
        """Return the mark price at `at_ms`; 0 before the first candle."""
        last = self.last(symbol, at_ms)
        return last * self.mark_scale(symbol) if symbol in self.mark_offset else last

    def mark_scale(self, symbol: str) -> Decimal:
        """Return what the last price is multiplied by to give the mark price."""
        return 1 + self.mark_offset.get(symbol, ZERO)

    def bar(self, symbol: str, open_ms: int) -> np.void | None:
        """Return the final candle of the base timeframe opened at `open_ms`, None where there is none."""
        candles = self._market.final(symbol, self._timeframe, open_ms)
        at = int(np.searchsorted(candles["timestamp"], open_ms))
        found = at < len(candles) and candles["timestamp"][at] == open_ms
        return candles[at] if found else None

    def finer(self, symbol: str, open_ms: int) -> tuple[Candles, int]:
        """Return the candles inside that bar, and the length of one in ms; none where none are finer."""
        finer, parts = self._market.inside(symbol, self._timeframe, open_ms)
        return (parts[:0] if finer is self._timeframe else parts), finer.ms

    def volume(self, symbol: str, at_ms: int) -> float:
        """Return the volume of the last candle of the base timeframe closed at `at_ms`, base units."""
        candles = self._market.final(symbol, self._timeframe, at_ms)
        past = int(np.searchsorted(candles["timestamp"], self._timeframe.open_of(at_ms)))
        return float(candles["volume"][past - 1]) if past else 0.0

    def legs(self, symbol: str, from_ms: int, to_ms: int) -> Iterator[Leg]:
        """Return the path from `from_ms` up to, not including, `to_ms`, in order of time."""
        open_ms = self._timeframe.open_of(from_ms)
        while open_ms < to_ms:
            for tile in self._tiles_of(symbol, open_ms):
                if tile.close_ms > from_ms and tile.open_ms < to_ms:
                    yield from self._tile_legs(symbol, tile, from_ms, to_ms)
            open_ms += self._timeframe.ms

    def extremes(self, symbol: str, from_ms: int, to_ms: int) -> tuple[Decimal, Decimal]:
        """Return the lowest and the highest that the last price comes to from `from_ms` up to `to_ms`."""
        seen = {self.last(symbol, from_ms)}
        open_ms = self._timeframe.open_of(from_ms)
        while open_ms < to_ms:
            close_ms = open_ms + self._timeframe.ms
            for tile in self._tiles_of(symbol, open_ms):
                if from_ms <= tile.open_ms and tile.close_ms <= to_ms:
                    seen.update(self._decimal(symbol, price) for price in tile.corners)
                elif tile.close_ms > from_ms and tile.open_ms < to_ms:
                    for leg in self._tile_legs(symbol, tile, from_ms, to_ms):
                        seen.update((leg.at(leg.from_ms), leg.at(leg.to_ms)))
            # Recorded timeframes can disagree: after the bar the price stands at the bar's own close.
            if close_ms < to_ms and (bar := self.bar(symbol, open_ms)) is not None:
                seen.add(self._decimal(symbol, bar["close"]))
            open_ms = close_ms
        return min(seen), max(seen)

    def _tile_legs(self, symbol: str, tile: Tile, from_ms: int, to_ms: int) -> Iterator[Leg]:
        length = tile.close_ms - tile.open_ms
        times = [tile.open_ms + round(length * share) for share in PATH_TIMES]
        corners = [self._decimal(symbol, corner) for corner in tile.corners]
        for number in range(3):
            start_ms, end_ms = times[number], times[number + 1]
            if start_ms < to_ms and from_ms < end_ms:
                part = max(start_ms, from_ms), min(end_ms, to_ms)
                yield Leg(start_ms, end_ms, corners[number], corners[number + 1], *part)

    def _at(self, symbol: str, tile: Tile, at_ms: int) -> Decimal:
        share = (at_ms - tile.open_ms) / (tile.close_ms - tile.open_ms)
        price = np.interp(share, PATH_TIMES, tile.corners)
        return self._decimal(symbol, on_grid(price, self._market.listings[symbol].grid.price))

    def _tiles_of(self, symbol: str, open_ms: int) -> list[Tile]:
        """Return the tiles of the base bar opened at `open_ms`; the bar asked for last is kept."""
        kept = self._tiles.get(symbol)
        if kept is None or kept[0] != open_ms:
            tiles: list[Tile] = []
            if self.bar(symbol, open_ms) is not None:
                finer, parts = self._market.inside(symbol, self._timeframe, open_ms)
                opens = [int(part["timestamp"]) for part in parts]
                tiles = [
                    Tile(opened, opened + finer.ms, path_of(part))
                    for opened, part in zip(opens, parts, strict=True)
                ]
            kept = self._tiles[symbol] = (open_ms, tiles)
        return kept[1]

    def _decimal(self, symbol: str, price: float) -> Decimal:
        return Decimal(f"{price:.{self._market.listings[symbol].grid.price}f}")

"""Candles whose prices jump at a time: a gap between one close and the next open, and all that follows."""

from __future__ import annotations

from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.listing import Listing
from futures_agent.simulator.market import CandleSource
from futures_agent.simulator.series import Grid, aggregate, on_grid

_PRICES = ("open", "high", "low", "close")
_TURNOVERS = ("quote_volume", "taker_buy_quote_volume")


class JumpedCandles:
    """The candles of `source`; one contract is `factor` times as dear from the open at `from_ms` on.

    A longer candle in the midst of which the jump lies is made up of the shorter ones inside it.
    """

    def __init__(self, source: CandleSource, symbol: str, from_ms: int, factor: float, grid: Grid) -> None:
        self._source = source
        self._symbol = symbol
        self._from_ms = from_ms
        self._factor = factor
        self._grid = grid
        self._jumped: dict[Timeframe, tuple[Candles, Candles]] = {}

    def listings(self) -> list[Listing]:
        return self._source.listings()

    def series(self, symbol: str, timeframe: Timeframe, until_ms: int) -> Candles:
        final = self._source.series(symbol, timeframe, until_ms)
        if symbol != self._symbol:
            return final
        known = self._jumped.get(timeframe)
        if known is None or known[0] is not final:
            self._jumped[timeframe] = known = (final, self._with_jump(final, timeframe))
        return known[1]

    def inside(self, symbol: str, timeframe: Timeframe, open_ms: int) -> tuple[Timeframe, Candles]:
        finer, parts = self._source.inside(symbol, timeframe, open_ms)
        return finer, (self._scaled(parts) if symbol == self._symbol else parts)

    def _with_jump(self, final: Candles, timeframe: Timeframe) -> Candles:
        jumped = self._scaled(final)
        open_ms = timeframe.open_of(self._from_ms)
        if open_ms < self._from_ms and open_ms in (opens := jumped["timestamp"]):
            finer, parts = self.inside(self._symbol, timeframe, open_ms)
            if finer is not timeframe:
                jumped[opens == open_ms] = aggregate(parts, timeframe, self._grid)
        return jumped

    def _scaled(self, candles: Candles) -> Candles:
        scaled, later = candles.copy(), candles["timestamp"] >= self._from_ms
        for names, decimals in ((_PRICES, self._grid.price), (_TURNOVERS, self._grid.quote)):
            for name in names:
                scaled[name][later] = on_grid(candles[name][later] * self._factor, decimals)
        return scaled

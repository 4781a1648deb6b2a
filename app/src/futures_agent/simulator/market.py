"""What the venue shows of its candles at a given time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.listing import Listing
from futures_agent.simulator.series import aggregate, forming


class CandleSource(Protocol):
    """Where final candles come from: a generator or a data set."""

    def listings(self) -> list[Listing]:
        """Return every contract, in the order of exchangeInfo."""
        ...

    def series(self, symbol: str, timeframe: Timeframe, until_ms: int) -> Candles:
        """Return the final candles opened at or before `until_ms`, sorted; later ones may follow."""
        ...

    def inside(self, symbol: str, timeframe: Timeframe, open_ms: int) -> tuple[Timeframe, Candles]:
        """Return the finest final candles that tile the bar opened at `open_ms` (in doubt the bar itself)."""
        ...


class Market:
    """Every contract's candles, as far as they can be known at a time.

    A candle is closed from its close time on: opened at t, it is at t + length. Before that it is
    shown as it is then, and never with what is still to come.
    """

    def __init__(self, source: CandleSource) -> None:
        self._source = source
        self.listings = {listing.symbol: listing for listing in source.listings()}

    def change_source(self, change: Callable[[CandleSource], CandleSource]) -> None:
        """Show from now on what `change` makes of the source of candles; their past must stay as it is."""
        self._source = change(self._source)

    def closed(self, symbol: str, timeframe: Timeframe, now_ms: int) -> Candles:
        """Return all closed candles at `now_ms` (FULL_CANDLE, oldest first)."""
        final = self._source.series(symbol, timeframe, now_ms)
        return final[: np.searchsorted(final["timestamp"], now_ms - timeframe.ms, side="right")]

    def final(self, symbol: str, timeframe: Timeframe, until_ms: int) -> Candles:
        """Return the candles opened at or before `until_ms` as they will be at their close.

        They know the future: only the venue itself, which lets it happen, may look at them.
        """
        return self._source.series(symbol, timeframe, until_ms)

    def inside(self, symbol: str, timeframe: Timeframe, open_ms: int) -> tuple[Timeframe, Candles]:
        """Return the finest final candles that tile the bar opened at `open_ms`, which must exist."""
        return self._source.inside(symbol, timeframe, open_ms)

    def forming(self, symbol: str, timeframe: Timeframe, now_ms: int) -> Candles:
        """Return the candle that is open at `now_ms`, as an array of one, or of none."""
        open_ms = timeframe.open_of(now_ms)
        final = self._source.series(symbol, timeframe, now_ms)
        at = int(np.searchsorted(final["timestamp"], open_ms))
        if at == len(final) or final["timestamp"][at] != open_ms:
            return final[:0]
        grid = self.listings[symbol].grid
        finer, parts = self._source.inside(symbol, timeframe, open_ms)
        done = (now_ms - open_ms) // finer.ms
        current = forming(parts[done], finer.ms, now_ms - int(parts["timestamp"][done]), grid)
        if finer is timeframe:
            return current
        candle = aggregate(np.concatenate((parts[:done], current)), timeframe, grid)
        # Recorded timeframes can disagree in their first trade; the bar's own open counts.
        candle["open"] = final["open"][at]
        candle["high"] = np.maximum(candle["high"], candle["open"])
        candle["low"] = np.minimum(candle["low"], candle["open"])
        return candle

    def page(
        self,
        symbol: str,
        timeframe: Timeframe,
        now_ms: int,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 500,
    ) -> Candles:
        """Return up to `limit` candles whose open time lies in [start_ms, end_ms], oldest first.

        With `start_ms` they are the first ones from there on, without it the last ones; the forming
        candle belongs to them.
        """
        closed = self.closed(symbol, timeframe, now_ms)
        opens = closed["timestamp"]
        first = 0 if start_ms is None else int(np.searchsorted(opens, start_ms))
        last = len(opens) if end_ms is None else int(np.searchsorted(opens, end_ms, side="right"))
        open_ms = timeframe.open_of(now_ms)
        show_forming = (start_ms is None or start_ms <= open_ms) and (end_ms is None or open_ms <= end_ms)
        tail = self.forming(symbol, timeframe, now_ms) if show_forming else closed[:0]
        if start_ms is None:
            kept = closed[max(first, last - limit + len(tail)) : last]
        else:
            kept = closed[first : max(first, min(last, first + limit))]
            tail = tail[: limit - len(kept)]
        return np.concatenate((kept, tail)) if len(tail) else kept

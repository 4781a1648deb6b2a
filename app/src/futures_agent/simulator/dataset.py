"""Recorded candles: a folder or a file of Parquet or CSV becomes a market.

`interchange.layout` says which files and columns are understood.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS, utc_text
from futures_agent.errors import Refuse
from futures_agent.market.candle import FULL_CANDLE, Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.candle_files import read_candle_files
from futures_agent.simulator.listing import Listing, untradable
from futures_agent.simulator.series import Grid, decimals_of, on_grid, whole_bars

# Middle of a day, of a four-hour bar and of an hour: every timeframe has a candle forming.
_BEFORE_END_MS = 11 * HOUR_MS + 30 * MINUTE_MS
_FINEST_FIRST = sorted(Timeframe, key=lambda timeframe: timeframe.ms)

Series = dict[str, dict[Timeframe, Candles]]  # by symbol


class RecordedCandles:
    """A `CandleSource` of what once was traded; `load` makes one from files.

    A timeframe that a symbol's files lack is aggregated from the finest complete one; those they have
    are served as they are. Contracts without current candles at the start are listed, not tradable.
    """

    def __init__(self, series: Series, *, start_ms: int | None, with_untradable: bool) -> None:
        listings = {symbol: _listing(symbol, frames) for symbol, frames in series.items()}
        self._series = {
            symbol: _completed(frames, listings[symbol].grid) for symbol, frames in series.items()
        }
        self.start_ms = self._common_end_ms() - _BEFORE_END_MS if start_ms is None else start_ms
        self._listings = self._with_status(listings)
        if with_untradable:
            extras = untradable(max(listings.values(), key=lambda one: one.price), self.start_ms)
            self._listings += [extra for extra in extras if extra.symbol not in listings]

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        symbols: Sequence[str] = (),
        first_ms: int | None = None,
        last_ms: int | None = None,
        start_ms: int | None = None,
        with_untradable: bool = True,
    ) -> RecordedCandles:
        """Read a data set.

        Parameters
        ----------
        path : Path
            Folder or file.
        symbols : sequence of str
            Only these; all when empty.
        first_ms, last_ms : int, optional
            Only candles opened in this range (ms UTC, both included).
        start_ms : int, optional
            Where the clock will start; by default about half a day before the end of most symbols.

        Raises
        ------
        Refuse
            One line that names the file and what is wrong with it.
        """
        series = read_candle_files(path, symbols=symbols, first_ms=first_ms, last_ms=last_ms)
        return cls(series, start_ms=start_ms, with_untradable=with_untradable)

    def listings(self) -> list[Listing]:
        return list(self._listings)

    def series(self, symbol: str, timeframe: Timeframe, until_ms: int) -> Candles:
        return self._series.get(symbol, {}).get(timeframe, _NONE)

    def inside(self, symbol: str, timeframe: Timeframe, open_ms: int) -> tuple[Timeframe, Candles]:
        for finer in _FINEST_FIRST:
            candles = self._series[symbol].get(finer, _NONE)
            first, last = np.searchsorted(candles["timestamp"], (open_ms, open_ms + timeframe.ms))
            if last - first == timeframe.ms // finer.ms:
                return finer, candles[first:last]
        raise AssertionError(f"{symbol}: no candle at {open_ms}")

    def _common_end_ms(self) -> int:
        """Return the close time at which most symbols end; of several the latest."""
        ends = Counter(
            max(_end(frame, candles) for frame, candles in frames.items()) for frames in self._frames()
        )
        return max(ends, key=lambda end: (ends[end], end))

    def _frames(self) -> list[dict[Timeframe, Candles]]:
        return list(self._series.values())

    def _with_status(self, listings: dict[str, Listing]) -> list[Listing]:
        """Return the listings with the state they are in when the clock starts.

        A contract trades if it has current candles in every timeframe that most contracts have.
        """
        usual = [
            timeframe
            for timeframe in Timeframe
            if sum(timeframe in frames for frames in self._frames()) * 2 > len(self._series)
        ]
        found = [replace(listing, status=self._status(symbol, usual)) for symbol, listing in listings.items()]
        if not any(listing.status == "TRADING" for listing in found):
            first = min(listing.onboard_ms for listing in found)
            raise Refuse(
                f"simulator start {utc_text(self.start_ms)}: no symbol of the data set has current candles "
                f"there; they begin {utc_text(first)}, most end {utc_text(self._common_end_ms())}"
            )
        return found

    def _status(self, symbol: str, timeframes: Sequence[Timeframe]) -> str:
        for timeframe in timeframes:
            candles = self._series[symbol].get(timeframe, _NONE)
            if len(candles) == 0 or self.start_ms < int(candles["timestamp"][0]) + timeframe.ms:
                return "PENDING_TRADING"
            if self.start_ms >= _end(timeframe, candles) + timeframe.ms:
                return "SETTLING"
        return "TRADING"


_NONE = np.zeros(0, dtype=FULL_CANDLE)


def _end(timeframe: Timeframe, candles: Candles) -> int:
    return int(candles["timestamp"][-1]) + timeframe.ms


def _listing(symbol: str, frames: dict[Timeframe, Candles]) -> Listing:
    """Return the contract with tick and step as fine as its recorded numbers."""
    prices = [candles[name] for candles in frames.values() for name in ("open", "high", "low", "close")]
    price_decimals = max(decimals_of(column) for column in prices)
    volume_decimals = max(decimals_of(candles["volume"]) for candles in frames.values())
    turnover = np.concatenate([candles["quote_volume"] for candles in frames.values()])
    quote_decimals = decimals_of(turnover[np.isfinite(turnover)])
    newest = max(frames.items(), key=lambda item: _end(*item))[1]
    first = min(int(candles["timestamp"][0]) for candles in frames.values())
    return Listing(
        symbol=symbol,
        price=float(newest["close"][-1]),
        grid=Grid(
            price_decimals, volume_decimals, min(max(price_decimals + volume_decimals, quote_decimals), 8)
        ),
        price_precision=price_decimals,
        onboard_ms=first - first % DAY_MS,
    )


def _completed(frames: dict[Timeframe, Candles], grid: Grid) -> dict[Timeframe, Candles]:
    """Return the frames rid of float noise, estimates filled in, and longer timeframes added."""
    known = {timeframe: _estimated(candles, grid) for timeframe, candles in frames.items()}
    complete = dict(known)
    for timeframe in Timeframe:
        finer = [one for one in known if one.ms < timeframe.ms]
        if timeframe in known or not finer:
            continue
        # The finest of those that reach as far as the longest.
        longest = max(_span(one, known[one]) for one in finer)
        source = min((one for one in finer if _span(one, known[one]) == longest), key=lambda one: one.ms)
        bars = whole_bars(known[source], source, timeframe, grid)
        if len(bars):
            complete[timeframe] = bars
    return complete


def _span(timeframe: Timeframe, candles: Candles) -> int:
    return _end(timeframe, candles) - int(candles["timestamp"][0])


def _estimated(candles: Candles, grid: Grid) -> Candles:
    """Return candles on the grid; turnover, trades and taker volumes are estimated where unknown."""
    filled = candles.copy()
    for name in ("open", "high", "low", "close"):
        filled[name] = on_grid(candles[name], grid.price)
    volume = filled["volume"] = on_grid(candles["volume"], grid.volume)
    typical = (filled["open"] + filled["high"] + filled["low"] + filled["close"]) / 4
    quote = candles["quote_volume"]
    quote = np.where(np.isnan(quote), volume * typical, quote)
    filled["quote_volume"] = on_grid(quote, grid.quote)
    guessed = np.where(volume > 0, np.maximum(quote / 1500.0, 1.0), 0.0).astype(np.int64)
    filled["trades"] = np.where(candles["trades"] < 0, guessed, candles["trades"])
    span = np.maximum(filled["high"] - filled["low"], 10.0**-grid.price)
    share = 0.5 + 0.12 * (filled["close"] - filled["open"]) / span
    for name, total, decimals in (
        ("taker_buy_volume", volume, grid.volume),
        ("taker_buy_quote_volume", quote, grid.quote),
    ):
        taken = np.where(np.isnan(candles[name]), total * share, candles[name])
        filled[name] = on_grid(taken, decimals)
    return filled

"""What a good series of candles is: fresh, without holes, on its grid.

Pure: measured on open times and numbers that are handed over. The sync, the validation, the backtest
and the status screen all judge with the same rules.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe

Hole = tuple[int, int]  # first and last missing open time


class SeriesQuality(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol in one timeframe."""

    symbol: str
    timeframe: str
    candles: int
    first_ms: int | None
    newest_ms: int | None  # open time of the newest candle
    age_ms: int | None  # exchange time since that candle closed
    stale: bool
    missing: int  # candles absent between first and newest, confirmed holes not counted
    largest_gap: int  # longest run of absent candles, confirmed holes not counted
    confirmed_missing: int  # absent at the exchange as well
    off_grid: int  # open times that are no multiple of the timeframe
    bad_prices: int  # candles whose high, low, open, close contradict each other


class FrameQuality(msgspec.Struct, frozen=True, kw_only=True):
    """All symbols in one timeframe."""

    timeframe: str
    symbols: int
    covered: int  # symbols whose series is there and fresh
    oldest_age_ms: int | None  # of the newest candles
    newest_age_ms: int | None
    missing: int
    confirmed_missing: int
    candles: int

    @property
    def coverage(self) -> float:
        return self.covered / self.symbols if self.symbols else 0.0


def judge_series(
    symbol: str,
    timeframe: Timeframe,
    timestamps: NDArray[np.int64],
    *,
    now_ms: int,
    stale_after_ms: int,
    confirmed: list[Hole] | None = None,
    bad_prices: int = 0,
) -> SeriesQuality:
    """Judge one series.

    Parameters
    ----------
    timestamps : (n,) int64
        Open times, ms UTC, ascending.
    now_ms : int
        Exchange time.
    stale_after_ms : int
        Age of the newest closed candle past which the series is stale.
    confirmed : list of (first, last), optional
        Holes, as open times, which the exchange confirmed to have no candles for.
    bad_prices : int
        Candles of the series whose prices contradict each other, counted by the caller.
    """
    if timestamps.size == 0:
        return SeriesQuality(
            symbol=symbol,
            timeframe=timeframe.name,
            candles=0,
            first_ms=None,
            newest_ms=None,
            age_ms=None,
            stale=True,
            missing=0,
            largest_gap=0,
            confirmed_missing=0,
            off_grid=0,
            bad_prices=bad_prices,
        )
    holes = holes_in(timestamps, timeframe)
    gaps = [candles_in(hole, timeframe) for hole in holes if not is_confirmed(hole, confirmed or [])]
    all_missing = sum(candles_in(hole, timeframe) for hole in holes)
    age_ms = now_ms - (int(timestamps[-1]) + timeframe.ms)
    return SeriesQuality(
        symbol=symbol,
        timeframe=timeframe.name,
        candles=int(timestamps.size),
        first_ms=int(timestamps[0]),
        newest_ms=int(timestamps[-1]),
        age_ms=age_ms,
        stale=age_ms > stale_after_ms,
        missing=sum(gaps),
        largest_gap=max(gaps, default=0),
        confirmed_missing=all_missing - sum(gaps),
        off_grid=int(np.count_nonzero(timestamps % timeframe.ms)),
        bad_prices=bad_prices,
    )


def candles_in(hole: Hole, timeframe: Timeframe) -> int:
    """Return how many candles are missing in `hole`."""
    return (hole[1] - hole[0]) // timeframe.ms + 1


def is_confirmed(hole: Hole, confirmed: list[Hole]) -> bool:
    """Return whether `hole` lies inside one that the exchange confirmed to have no candles for."""
    return any(first <= hole[0] and hole[1] <= last for first, last in confirmed)


def contradicting_prices(candles: Candles) -> int:
    """Return how many candles have prices that cannot all be true (or are not positive)."""
    low, high = candles["low"], candles["high"]
    body_low = np.minimum(candles["open"], candles["close"])
    body_high = np.maximum(candles["open"], candles["close"])
    sane = (low > 0) & (low <= body_low) & (body_high <= high) & (candles["volume"] >= 0)
    return int(np.count_nonzero(~sane))


def holes_in(timestamps: NDArray[np.int64], timeframe: Timeframe) -> list[Hole]:
    """Return (first, last) missing open time of each hole between neighbours of `timestamps`."""
    steps = np.diff(timestamps)
    return [
        (int(timestamps[i]) + timeframe.ms, int(timestamps[i + 1]) - timeframe.ms)
        for i in np.flatnonzero(steps > timeframe.ms)
    ]


def summarise(timeframe: Timeframe, series: list[SeriesQuality]) -> FrameQuality:
    """Summarise the series of one timeframe."""
    ages = [one.age_ms for one in series if one.age_ms is not None]
    return FrameQuality(
        timeframe=timeframe.name,
        symbols=len(series),
        covered=sum(not one.stale for one in series),
        oldest_age_ms=max(ages, default=None),
        newest_age_ms=min(ages, default=None),
        missing=sum(one.missing for one in series),
        confirmed_missing=sum(one.confirmed_missing for one in series),
        candles=sum(one.candles for one in series),
    )


def faults(
    series: list[SeriesQuality], frames: list[FrameQuality], *, coverage_min: float, max_gap_candles: int
) -> list[str]:
    """Return, as sentences, why these data must not be traded or backtested on; empty when they may."""
    found = [
        f"{frame.timeframe}: coverage {frame.coverage:.1%} of {frame.symbols} symbols, "
        f"at least {coverage_min:.0%} needed (fresh and present)"
        for frame in frames
        if frame.coverage < coverage_min
    ]
    for one in series:
        place = f"{one.symbol} {one.timeframe}"
        if one.largest_gap > max_gap_candles:
            found.append(f"{place}: gap of {one.largest_gap} candles, at most {max_gap_candles} allowed")
        if one.off_grid:
            found.append(f"{place}: {one.off_grid} candles off the {one.timeframe} grid")
        if one.bad_prices:
            found.append(f"{place}: {one.bad_prices} candles with contradicting prices")
    return found

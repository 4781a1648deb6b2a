"""What a good series of candles is: fresh, without holes, on its grid, in agreement with itself.

Pure: measured on candles that are handed over. The sync, the validation, the backtest and the status
screen all judge with the same rules. A fault means that nobody must trade or backtest on the data; a
warning, that a person should know.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from futures_agent.market.anomalies import jumps, longest_untraded_run, repeated_candles
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe

Hole = tuple[int, int]  # first and last missing open time
Oddity = tuple[str, str, int]  # symbol, timeframe, open time of a candle that contradicts others


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
    duplicates: int  # candles with the open time of the one before
    forming: int  # candles that have not closed yet
    bad_prices: int  # candles whose high, low, open, close contradict each other
    untraded_run: int  # longest run of candles without volume
    jumps: int  # returns far beyond the usual
    repeated: tuple[int, ...]  # open times of candles that copy the one before
    disagreeing: tuple[int, ...] = ()  # open times of candles that contradict their finer ones


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
    candles: Candles,
    *,
    now_ms: int,
    stale_after_ms: int,
    confirmed: Sequence[Hole] = (),
    jump_sigmas: float = 25.0,
    disagreeing: Sequence[int] = (),
) -> SeriesQuality:
    """Judge one series.

    Parameters
    ----------
    candles : ndarray of CANDLE, shape (n,)
        Ascending in time.
    now_ms : int
        Exchange time.
    stale_after_ms : int
        Age of the newest closed candle past which the series is stale.
    confirmed : sequence of (first, last)
        Holes, as open times, which the exchange confirmed to have no candles for.
    jump_sigmas : float
        See `anomalies.jumps`.
    disagreeing : sequence of int
        What `agreement.disagreements` found, for the report.
    """
    timestamps = candles["timestamp"]
    holes = holes_in(timestamps, timeframe)
    gaps = [candles_in(hole, timeframe) for hole in holes if not is_confirmed(hole, confirmed)]
    all_missing = sum(candles_in(hole, timeframe) for hole in holes)
    closed = timestamps[timestamps <= timeframe.last_closed_open(now_ms)]
    age_ms = now_ms - (int(closed[-1]) + timeframe.ms) if len(closed) else None
    return SeriesQuality(
        symbol=symbol,
        timeframe=timeframe.name,
        candles=len(candles),
        first_ms=int(timestamps[0]) if len(candles) else None,
        newest_ms=int(timestamps[-1]) if len(candles) else None,
        age_ms=age_ms,
        stale=age_ms is None or age_ms > stale_after_ms,
        missing=sum(gaps),
        largest_gap=max(gaps, default=0),
        confirmed_missing=all_missing - sum(gaps),
        off_grid=int(np.count_nonzero(timestamps % timeframe.ms)),
        duplicates=int(np.count_nonzero(np.diff(timestamps) == 0)),
        forming=len(timestamps) - len(closed),
        bad_prices=contradicting_prices(candles),
        untraded_run=longest_untraded_run(candles),
        jumps=jumps(candles, timeframe, jump_sigmas),
        repeated=tuple(repeated_candles(candles).tolist()),
        disagreeing=tuple(disagreeing),
    )


def candles_in(hole: Hole, timeframe: Timeframe) -> int:
    """Return how many candles are missing in `hole`."""
    return (hole[1] - hole[0]) // timeframe.ms + 1


def is_confirmed(hole: Hole, confirmed: Sequence[Hole]) -> bool:
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
    series: list[SeriesQuality],
    frames: list[FrameQuality],
    *,
    coverage_min: float,
    max_gap_candles: int,
    max_disagreements: int,
    exchanges_own: Collection[Oddity] = (),
) -> list[str]:
    """Return, as sentences, why these data must not be traded or backtested on; empty when they may.

    What the exchange itself contradicts (`exchanges_own`, fetched again and still the same) is no fault:
    nothing could ever mend it.
    """
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
        if one.duplicates:
            found.append(f"{place}: {one.duplicates} candles stored twice")
        if one.forming:
            found.append(f"{place}: {one.forming} candles that have not closed yet")
        if one.bad_prices:
            found.append(f"{place}: {one.bad_prices} candles with contradicting prices")
        doubtful = sum((one.symbol, one.timeframe, at) not in exchanges_own for at in one.disagreeing)
        if doubtful > max_disagreements:
            found.append(
                f"{place}: {doubtful} candles contradict the finer timeframe, "
                f"at most {max_disagreements} tolerated"
            )
    return found


def warnings(series: list[SeriesQuality], *, untraded_candles: int) -> list[str]:
    """Return what a person should know and nothing has to wait for: one sentence per timeframe and kind."""
    found = []
    for timeframe in dict.fromkeys(one.timeframe for one in series):
        of_frame = [one for one in series if one.timeframe == timeframe]
        kinds = (
            ("candles contradict the finer timeframe", [(one, len(one.disagreeing)) for one in of_frame]),
            ("candles copy the one before", [(one, len(one.repeated)) for one in of_frame]),
            ("returns far beyond the usual", [(one, one.jumps) for one in of_frame]),
            (
                "candles in a row without a trade",
                [(one, one.untraded_run) for one in of_frame if one.untraded_run >= untraded_candles],
            ),
        )
        for what, counted in kinds:
            hit = sorted(((count, one.symbol) for one, count in counted if count), reverse=True)
            if hit:
                named = ", ".join(f"{symbol} {count}" for count, symbol in hit[:3])
                more = f", … {len(hit)} series" if len(hit) > 3 else ""
                found.append(f"{timeframe}: {what}: {named}{more}")
    return found

"""Judging the stored candles: what data-validation reports, the backtest insists on and status shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import apsw
import msgspec

from futures_agent.clock import DAY_MS
from futures_agent.market.agreement import disagreements
from futures_agent.market.candle import Candles
from futures_agent.market.quality import (
    FrameQuality,
    Hole,
    Oddity,
    SeriesQuality,
    faults,
    judge_series,
    summarise,
    warnings,
)
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import DataSettings
from futures_agent.store.candles import read_candles
from futures_agent.store.holes import read_holes
from futures_agent.store.instruments import read_instruments
from futures_agent.store.universe import read_excluded

ReadSeries = Callable[[Timeframe, str], Candles]  # timeframe, symbol → what is to be judged

REPORT_SCHEMA = 2
REPORT = "report.json"  # data-validation's last verdict, in its directory


class DataReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the stored candles at one moment of exchange time."""

    schema_version: int = REPORT_SCHEMA
    checked_at_ms: int  # exchange time
    frames: list[FrameQuality]
    series: list[SeriesQuality]
    excluded: dict[str, str]  # symbol -> what it is, since when, and why
    faults: list[str]
    warnings: list[str]
    repair: str = ""  # what was done about faults before this judgement
    exchanges_own: list[Oddity] = []  # oddities that were the same when they were fetched again

    @property
    def passed(self) -> bool:
        return not self.faults

    @property
    def oddities(self) -> set[Oddity]:
        """Candles that contradict others, and may be wrong."""
        return {
            (one.symbol, one.timeframe, at) for one in self.series for at in (*one.disagreeing, *one.repeated)
        }


def read_exchanges_own(directory: Path) -> set[Oddity]:
    """Return what the last report in `directory` knows as the exchange's own; without one, nothing."""
    try:
        last = msgspec.json.decode((directory / REPORT).read_bytes(), type=DataReport)
    except (OSError, msgspec.DecodeError):
        return set()
    return set(last.exchanges_own)


def assess(
    db: apsw.Connection,
    settings: DataSettings,
    *,
    now_ms: int,
    symbols: Sequence[str] | None = None,
    timeframes: Sequence[Timeframe] | None = None,
    exchanges_own: AbstractSet[Oddity] = frozenset(),
    read: ReadSeries | None = None,
) -> DataReport:
    """Judge the candles of the chosen symbols and timeframes.

    Parameters
    ----------
    db : apsw.Connection
        A reader.
    now_ms : int
        Exchange time, ms UTC.
    symbols, timeframes : optional
        Default: those of the settings. Symbols that the agent does not follow at the moment (delisted,
        halted, …) are excluded, with the reason; one too young for a candle is not expected to have any.
    exchanges_own : set of Oddity
        Contradictions that are the exchange's own, from `read_exchanges_own`: warned of, but no fault.
    read : callable, optional
        How to read a series, for who goes on with the candles. Default: the last `history_days`, and
        whatever lies ahead of the exchange's time, which must not be there.
    """
    instruments = read_instruments(db)
    wanted = list(dict.fromkeys(symbols or settings.followed(instruments)))
    excluded = read_excluded(db, wanted, instruments)
    frames = sorted(timeframes or settings.frames, key=lambda frame: frame.ms)
    holes = {frame: read_holes(db, frame) for frame in frames}
    read = read or _stored_history(db, settings, now_ms)
    series: dict[Timeframe, list[SeriesQuality]] = {frame: [] for frame in frames}
    for symbol in wanted:
        if symbol not in excluded:
            onboard_ms = instruments[symbol].onboard_ms if symbol in instruments else 0
            judged = judge_symbol(
                settings,
                symbol,
                {frame: read(frame, symbol) for frame in frames},
                confirmed={frame: holes[frame].get(symbol, ()) for frame in frames},
                onboard_ms=onboard_ms,
                now_ms=now_ms,
            )
            for frame, quality in judged.items():
                series[frame].append(quality)
    ordered = list(timeframes or settings.frames)
    summaries = [summarise(frame, series[frame]) for frame in ordered]
    every = [quality for frame in ordered for quality in series[frame]]
    found = faults(
        every,
        summaries,
        coverage_min=settings.coverage_min,
        max_gap_candles=settings.max_gap_candles,
        max_disagreements=settings.max_disagreements,
        exchanges_own=exchanges_own,
    )
    if len(excluded) > settings.excluded_max * len(wanted):
        found.insert(
            0,
            f"{len(excluded)} of {len(wanted)} symbols are excluded, at most "
            f"{settings.excluded_max:.0%} may be; correct data.symbols",
        )
    report = DataReport(
        checked_at_ms=now_ms,
        frames=summaries,
        series=every,
        excluded=excluded,
        faults=found,
        warnings=warnings(every, untraded_candles=settings.zero_volume_candles),
    )
    return msgspec.structs.replace(report, exchanges_own=sorted(exchanges_own & report.oddities))


def _stored_history(db: apsw.Connection, settings: DataSettings, now_ms: int) -> ReadSeries:
    def read(frame: Timeframe, symbol: str) -> Candles:
        start_ms = frame.open_of(now_ms - settings.history_days * DAY_MS)
        return read_candles(db, frame, [symbol], start_ms, 2**62)[symbol]

    return read


def judge_symbol(
    settings: DataSettings,
    symbol: str,
    candles: Mapping[Timeframe, Candles],
    *,
    confirmed: Mapping[Timeframe, Sequence[Hole]],
    onboard_ms: int,
    now_ms: int,
) -> dict[Timeframe, SeriesQuality]:
    """Judge every series of one symbol, each against the finer one.

    Parameters
    ----------
    candles : mapping of Timeframe to ndarray of CANDLE
        In order, finest first.
    confirmed : mapping of Timeframe to holes
        Those that the exchange has no candles for.
    onboard_ms : int
        First day of trading, ms UTC: a series too young for a candle is not judged.
    now_ms : int
        The moment by which candles must have closed, and against which they are stale, ms UTC.
    """
    judged = {}
    finer: tuple[Timeframe, Candles] | None = None
    for frame, series in candles.items():
        disagreeing: Sequence[int] = ()
        if finer is not None:
            disagreeing = disagreements(
                series, frame, finer[1], finer[0], volume_tolerance=settings.volume_tolerance
            ).tolist()
        finer = (frame, series)
        if len(series) or frame.open_of(onboard_ms) <= frame.last_closed_open(now_ms):
            judged[frame] = judge_series(
                symbol,
                frame,
                series,
                now_ms=now_ms,
                stale_after_ms=settings.stale_after_ms(frame),
                confirmed=confirmed[frame],
                jump_sigmas=settings.jump_sigmas,
                disagreeing=disagreeing,
            )
    return judged

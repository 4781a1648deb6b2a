"""Judging the stored candles: what data-validation reports, the backtest insists on and status shows."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgspec

from futures_agent.clock import DAY_MS
from futures_agent.market.quality import (
    FrameQuality,
    SeriesQuality,
    contradicting_prices,
    faults,
    judge_series,
    summarise,
)
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import DataSettings
from futures_agent.store.candles import read_candles
from futures_agent.store.holes import read_holes
from futures_agent.store.instruments import read_instruments

REPORT_SCHEMA = 1


class DataReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the stored candles at one moment of exchange time."""

    schema_version: int = REPORT_SCHEMA
    checked_at_ms: int  # exchange time
    frames: list[FrameQuality]
    series: list[SeriesQuality]
    excluded: dict[str, str]  # symbol -> reason
    faults: list[str]

    @property
    def passed(self) -> bool:
        return not self.faults


def assess(
    db: apsw.Connection,
    settings: DataSettings,
    *,
    now_ms: int,
    symbols: Sequence[str] | None = None,
    timeframes: Sequence[Timeframe] | None = None,
) -> DataReport:
    """Judge the last `history_days` of candles of the chosen symbols and timeframes.

    Parameters
    ----------
    db : apsw.Connection
        A reader.
    now_ms : int
        Exchange time, ms UTC.
    symbols, timeframes : optional
        Default: those of the settings. Symbols that the exchange does not trade are excluded, with the
        reason.
    """
    wanted = list(symbols or settings.symbols)
    instruments = read_instruments(db)
    excluded = {
        symbol: instruments[symbol].why_untradable
        for symbol in wanted
        if symbol in instruments and not instruments[symbol].tradable
    }
    judged = [symbol for symbol in wanted if symbol not in excluded]
    frames, series = [], []
    for timeframe in timeframes or settings.frames:
        start = timeframe.open_of(now_ms - settings.history_days * DAY_MS)
        candles = read_candles(db, timeframe, judged, start, now_ms + timeframe.ms)
        holes = read_holes(db, timeframe)
        of_frame = [
            judge_series(
                symbol,
                timeframe,
                candles[symbol]["timestamp"],
                now_ms=now_ms,
                stale_after_ms=settings.stale_after_ms(timeframe),
                confirmed=holes.get(symbol),
                bad_prices=contradicting_prices(candles[symbol]),
            )
            for symbol in judged
        ]
        frames.append(summarise(timeframe, of_frame))
        series.extend(of_frame)
    return DataReport(
        checked_at_ms=now_ms,
        frames=frames,
        series=series,
        excluded=excluded,
        faults=faults(
            series,
            frames,
            coverage_min=settings.coverage_min,
            max_gap_candles=settings.max_gap_candles,
        ),
    )

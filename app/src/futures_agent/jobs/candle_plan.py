"""What data-sync asks the exchange for: the open ends, the holes, and what is worth comparing again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apsw
import msgspec

from futures_agent.clock import DAY_MS, utc_text
from futures_agent.errors import Refuse
from futures_agent.market.instrument import Instrument
from futures_agent.market.quality import Hole, holes_in, is_confirmed
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import Settings
from futures_agent.store.candles import read_timestamps, remove_impossible, survey_series
from futures_agent.store.holes import read_holes

Suspects = Mapping[tuple[str, Timeframe], Sequence[Hole]]
# Stored candles this far ahead of the exchange are no mishap to clear away (the exchange gives two days
# back): the time it tells is wrong.
_AHEAD_MS = 2 * DAY_MS
_MOST_AHEAD = 5  # candles beyond that: a few are damage, to be removed like any other


class SyncScope(msgspec.Struct, frozen=True, kw_only=True):
    """How much one pass looks at."""

    symbols: Sequence[str] | None = None  # None: those of the settings
    timeframes: Sequence[Timeframe] | None = None  # None: those of the settings
    full: bool = False  # compare the newest stored candles of every series, also where nothing has closed
    repair_days: float = 0.0  # fetch the last days again, whatever is stored
    suspects: Suspects = {}  # open times that look wrong, fetched again

    @property
    def narrowed(self) -> bool:
        """Whether it leaves out part of what the settings name."""
        return self.symbols is not None or self.timeframes is not None


class SeriesPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask the exchange for, for one symbol in one timeframe."""

    symbol: str
    timeframe: Timeframe
    ranges: tuple[Hole, ...]  # first and last open times, apart from each other, oldest first
    last: int  # open time of the newest closed candle


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one pass asks for, and what it removed because it cannot be."""

    series: list[SeriesPlan]
    removed: dict[str, int]  # "BTCUSDT H1" → candles that were off the grid, not closed, or contradicting


def make_plan(
    db: apsw.Connection,
    settings: Settings,
    instruments: Mapping[str, Instrument],
    symbols: Sequence[str],
    scope: SyncScope,
    *,
    now_ms: int,
) -> Plan:
    """Remove from the history what cannot be, and return what is missing or worth comparing.

    Parameters
    ----------
    db : apsw.Connection
        A writer.
    now_ms : int
        Exchange time, ms UTC.

    Raises
    ------
    Refuse
        So many candles lie ahead of `now_ms` that it must be wrong; nothing was removed of any series.
    """
    frames = scope.timeframes or settings.data.frames
    last_closed = {
        frame: frame.last_closed_open(now_ms - settings.exchange.close_grace_ms) for frame in frames
    }
    _refuse_wrong_time(db, symbols, last_closed)
    plans, removed = [], {}
    settled_ms = now_ms - int(settings.sync.hole_settled_days * DAY_MS)
    thorough = scope.full or scope.repair_days > 0
    for timeframe, last in last_closed.items():
        confirmed = read_holes(db, timeframe, confirmed_before_ms=settled_ms if thorough else None)
        for symbol in symbols:
            start = timeframe.open_of(now_ms - settings.data.history_days * DAY_MS)
            start = max(start, timeframe.open_of(instruments[symbol].onboard_ms))
            survey = survey_series(db, timeframe, symbol, start, last_closed_ms=last)
            if survey.impossible:
                gone = remove_impossible(db, timeframe, symbol, start, last_closed_ms=last)
                removed[f"{symbol} {timeframe.name}"] = gone
                survey = survey_series(db, timeframe, symbol, start, last_closed_ms=last)
            wanted = [*scope.suspects.get((symbol, timeframe), ())]
            if survey.first is None or survey.last is None:
                wanted.append((start, last))
            else:
                wanted += _again(settings, scope, timeframe, survey.last, last, now_ms)
                if survey.candles < (survey.last - start) // timeframe.ms + 1:
                    holes = _holes(db, timeframe, symbol, start, last)
                    wanted += [hole for hole in holes if not is_confirmed(hole, confirmed.get(symbol, []))]
            ranges = _joined(wanted, start, last, timeframe)
            if ranges:
                plans.append(SeriesPlan(symbol=symbol, timeframe=timeframe, ranges=ranges, last=last))
    return Plan(series=plans, removed=removed)


def _refuse_wrong_time(
    db: apsw.Connection, symbols: Sequence[str], last_closed: Mapping[Timeframe, int]
) -> None:
    """Raise Refuse where a series goes so far on that the exchange's clock, not the series, is wrong."""
    for timeframe, last in last_closed.items():
        for symbol in symbols:
            ahead = read_timestamps(db, timeframe, symbol, last + _AHEAD_MS + 1, 2**62)
            if ahead.size > _MOST_AHEAD:
                raise Refuse(
                    f"{symbol} {timeframe.name}: stored candles reach to {utc_text(int(ahead[-1]))}, days "
                    "ahead of the exchange's clock; nothing removed; check exchange.rest_url and its time"
                )


def _again(
    settings: Settings, scope: SyncScope, timeframe: Timeframe, newest: int, last: int, now_ms: int
) -> list[Hole]:
    """Return the range at the end of a series: what has newly closed, and what is compared besides."""
    if scope.repair_days > 0:
        return [(min(newest, timeframe.open_of(now_ms - int(scope.repair_days * DAY_MS))), last)]
    again = settings.sync.full_refetch_candles if scope.full else settings.sync.refetch_candles
    if newest == last and not scope.full:
        return []
    return [(newest - (again - 1) * timeframe.ms, last)]


def _holes(db: apsw.Connection, timeframe: Timeframe, symbol: str, start: int, last: int) -> list[Hole]:
    """Return the holes inside a series, and the one before its first candle."""
    stored = read_timestamps(db, timeframe, symbol, start, last + timeframe.ms)
    holes = holes_in(stored, timeframe)
    if stored[0] > start:
        holes.insert(0, (start, int(stored[0]) - timeframe.ms))
    return holes


def _joined(wanted: Sequence[Hole], start: int, last: int, timeframe: Timeframe) -> tuple[Hole, ...]:
    """Return `wanted` cut to [start, last], those that touch or overlap made one, oldest first."""
    joined: list[Hole] = []
    for first, end in sorted((max(first, start), min(end, last)) for first, end in wanted):
        if first > end:
            continue
        if joined and first <= joined[-1][1] + timeframe.ms:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((first, end))
    return tuple(joined)

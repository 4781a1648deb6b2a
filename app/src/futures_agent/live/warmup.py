"""Warming up: the strategy sees every candle since the anchor before it decides anything.

Candles come from the database where it has them and can be read, and from the exchange where not: what is
newer, what a hole lacks, or all of it. Nothing that is wrong with the database keeps the trader from it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import apsw
import numpy as np

from futures_agent.errors import AgentError
from futures_agent.live.deciding import Decider
from futures_agent.live.memory import Memory, recall
from futures_agent.live.tracker import Tracker
from futures_agent.market.candle import CANDLE, Candles
from futures_agent.market.quality import Hole
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import DatabaseSettings
from futures_agent.store.candles import read_candles
from futures_agent.store.database import LOCKED_FLAG, database_errors, open_reader
from futures_agent.store.holes import read_holes

_log = logging.getLogger(__name__)
PAGE = 499  # candles of one request: the cheapest by weight
_MOST_RUNS = 20  # holes of one series asked for one by one; more are asked for as one

# (symbol, timeframe, first and last open time wanted) → closed candles, ascending; at most PAGE of them.
Fetch = Callable[[str, Timeframe, int, int], Candles]


class Warmed(NamedTuple):
    """One symbol is done."""

    symbol: str
    bars: int  # that the strategy stepped over
    fetched: int  # candles that came from the exchange
    fault: str  # why it cannot be decided on yet; empty where it can


def warm_up(
    decider: Decider,
    memory: Memory | None,
    *,
    close_ms: int,
    fetch: Fetch,
    database: Path | None,
    settings: DatabaseSettings,
) -> Iterator[Warmed]:
    """Bring each symbol of `decider` up to date, one after the other; yield after each.

    Bars that closed before `close_ms` are stepped over: nobody acts on them any more, but a position that
    the strategy asked to leave there is left at the next decision. Those that close at `close_ms` wait to be
    decided.

    Parameters
    ----------
    decider : Decider
        With the anchor of `memory`, where there is one.
    memory : Memory, optional
        From `load_memory`: only what is newer is stepped over.
    close_ms : int
        The newest close of the deciding timeframe, ms UTC.
    fetch : callable
        Asks the exchange; what it raises costs that symbol, which may be warmed up again later.
    database : Path, optional
        Read-only; None: all from the exchange.

    Yields
    ------
    Warmed
        In the order of the symbols. A symbol whose tracker is there already is passed over.
    """
    with closing(_Stored(database, settings)) as stored:
        for symbol in decider.symbols:
            if symbol in decider.trackers:
                continue
            tracker = decider.track(symbol)
            if memory is not None and symbol in memory.symbols:
                recall(tracker, memory.symbols[symbol], decider.rules.strategy.state)
            before = tracker.bars_seen
            series, fetched, fault = {}, 0, ""
            for timeframe in decider.rules.timeframes:
                try:
                    asked = _Series(symbol, timeframe, _start(tracker, timeframe, decider.anchor_ms))
                    series[timeframe], new = asked.read(close_ms, stored, fetch)
                    fetched += new
                except AgentError as error:
                    fault = str(error)
                    break
            if not fault:
                _see(decider, tracker, series, close_ms)
                decider.trackers[symbol] = tracker
            yield Warmed(symbol, tracker.bars_seen - before, fetched, fault or tracker.failure)


def _start(tracker: Tracker, timeframe: Timeframe, anchor_ms: int) -> int:
    last = tracker.last.get(timeframe)
    return anchor_ms if last is None else last + timeframe.ms


def _see(decider: Decider, tracker: Tracker, series: dict[Timeframe, Candles], close_ms: int) -> None:
    """Step over what is past, and let wait what is to be decided."""
    past, now = {}, []
    for timeframe, candles in series.items():
        is_past = candles["timestamp"] + timeframe.ms < close_ms
        past[timeframe] = candles[is_past]
        now += [(timeframe, candle) for candle in candles[~is_past]]
    decider.warm(tracker, past)
    for timeframe in series:  # what is still missing by now does not exist; what comes next is waited for
        before = max(decider.anchor_ms - timeframe.ms, timeframe.last_closed_open(close_ms - 1))
        tracker.last[timeframe] = max(tracker.last.get(timeframe, before), before)
    for timeframe, candle in now:
        tracker.take(timeframe, candle)


class _Series(NamedTuple):
    """The candles of one symbol and timeframe from an open time on."""

    symbol: str
    timeframe: Timeframe
    start_ms: int

    def read(self, close_ms: int, stored: _Stored, fetch: Fetch) -> tuple[Candles, int]:
        """Return all that have closed by `close_ms`, and how many of them had to be fetched."""
        last = self.timeframe.last_closed_open(close_ms)
        if self.start_ms > last:
            return np.zeros(0, CANDLE), 0
        candles, confirmed = stored.read(self, last + self.timeframe.ms)
        missing = _missing(candles, self, last, confirmed)
        found = [each for run in missing for each in self._fetched(run, fetch)]
        fetched = sum(map(len, found))
        if fetched:
            candles = np.concatenate([candles, *map(_plain, found)])
            _, rows = np.unique(candles["timestamp"], return_index=True)
            candles = candles[rows]
        return candles, fetched

    def _fetched(self, run: Hole, fetch: Fetch) -> Iterator[Candles]:
        step_ms, (first, last) = self.timeframe.ms, run
        while first <= last:
            until = min(last, first + (PAGE - 1) * step_ms)
            yield fetch(self.symbol, self.timeframe, first, until)
            first = until + step_ms


def _missing(candles: Candles, series: _Series, last: int, confirmed: Sequence[Hole]) -> list[Hole]:
    """Return the runs of open times that are not stored, and not known to be nowhere."""
    step_ms = series.timeframe.ms
    expected = np.arange(series.start_ms, last + 1, step_ms)
    absent = ~np.isin(expected, candles["timestamp"])
    for first, end in confirmed:
        absent &= (expected < first) | (expected > end)
    times = expected[absent]
    if not len(times):
        return []
    breaks = np.flatnonzero(np.diff(times) != step_ms)
    firsts = times[np.concatenate(([0], breaks + 1))].tolist()
    lasts = times[np.concatenate((breaks, [len(times) - 1]))].tolist()
    runs = list(zip(firsts, lasts, strict=True))
    return runs if len(runs) <= _MOST_RUNS else [(runs[0][0], runs[-1][1])]


def _plain(candles: Candles) -> Candles:
    plain = np.zeros(len(candles), CANDLE)
    for name in CANDLE.names or ():
        plain[name] = candles[name]
    return plain


class _Stored:
    """The database as far as it can be read; once it cannot, it is not asked again."""

    def __init__(self, database: Path | None, settings: DatabaseSettings) -> None:
        self._db: apsw.Connection | None = None
        self._path = database
        self._confirmed: dict[Timeframe, dict[str, list[Hole]]] = {}
        if database is None:
            return
        if database.with_name(LOCKED_FLAG).exists():
            self._give_up(f"{database}: recovery holds it")
            return
        try:
            self._db = open_reader(database, settings)
        except AgentError as error:
            self._give_up(str(error))

    def read(self, series: _Series, end_ms: int) -> tuple[Candles, list[Hole]]:
        """Return the candles of `series` that open before `end_ms`, and its confirmed holes."""
        if self._db is None or self._path is None:
            return np.zeros(0, CANDLE), []
        symbol, timeframe, start_ms = series
        try:
            with database_errors(self._path):
                candles = read_candles(self._db, timeframe, [symbol], start_ms, end_ms)[symbol]
                if timeframe not in self._confirmed:
                    self._confirmed[timeframe] = read_holes(self._db, timeframe)
        except AgentError as error:
            self._give_up(str(error))
            return np.zeros(0, CANDLE), []
        return candles, self._confirmed[timeframe].get(symbol, [])

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _give_up(self, why: str) -> None:
        _log.warning("warm-up without the database: %s; candles come from the exchange", why)
        self.close()

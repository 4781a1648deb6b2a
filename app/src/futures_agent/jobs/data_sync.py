"""data-sync: bring every candle series up to the newest closed candle, and fill its holes.

For each symbol and timeframe the plan is a list of ranges: from where the series ends (or one year
back), and the holes inside it. Worker threads fetch pages, the main thread writes them, one transaction
a page in ascending order, so that a kill at any moment leaves a consistent series to go on from.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing

import apsw

from futures_agent.clock import DAY_MS
from futures_agent.errors import ExitCode, Refuse, SkipSymbol
from futures_agent.exchange.client import ExchangeInfo, MarketDataClient
from futures_agent.jobs.candle_fetch import Attempts, Fetched, SeriesPlan, fetch_all
from futures_agent.market.quality import holes_in, is_confirmed
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.job import Job, Outcome, run_job, took
from futures_agent.settings import Settings
from futures_agent.store.candles import read_timestamps, upsert_candles
from futures_agent.store.database import database_errors, open_writer
from futures_agent.store.holes import confirm_hole, read_holes
from futures_agent.store.instruments import upsert_instruments

NAME = "data-sync"
_log = logging.getLogger(__name__)


def run(
    settings: Settings, symbols: Sequence[str] | None = None, timeframes: Sequence[Timeframe] | None = None
) -> ExitCode:
    """Run the job; `symbols` and `timeframes` narrow what the settings say."""
    return run_job(NAME, settings, lambda job: _sync(job, symbols, timeframes))


def _sync(job: Job, symbols: Sequence[str] | None, timeframes: Sequence[Timeframe] | None) -> Outcome:
    settings = job.settings
    attempts = Attempts(settings.sync, job.stopping, settings.exchange.time_scale)
    frames = tuple(timeframes or settings.data.frames)

    def waiting(until_ms: int) -> None:  # exchange time
        left_s = (until_ms - client.clock.now_ms()) / 1000 / settings.exchange.time_scale
        attempts.waiting_until(time.monotonic() + left_s + 1.0)

    client = MarketDataClient(settings.exchange, settings.paths.exchange_state, on_wait=waiting)
    with closing(client):
        job.reporter.status(f"asking {settings.exchange.rest_url} for its symbols")
        info = attempts.call(client.exchange_info, "exchangeInfo", on_idle=job.reporter.alive)
        wanted = tuple(dict.fromkeys(symbols or settings.data.symbols))
        excluded = _excluded(wanted, info)
        if len(excluded) == len(wanted):
            symbol, reason = next(iter(excluded.items()))
            raise Refuse(f"no symbol to fetch: {symbol}: {reason}; correct --symbols or data.symbols")
        for symbol, reason in excluded.items():
            _log.warning("%s: %s; skipped", symbol, reason)
        chosen = [symbol for symbol in wanted if symbol not in excluded]
        database = settings.paths.database
        with (
            job.database_turn(),
            database_errors(database),
            closing(open_writer(database, settings.database)) as db,
        ):
            upsert_instruments(db, info.instruments.values(), client.clock.now_ms())
            plans = plan(db, settings, info, chosen, frames, now_ms=client.clock.now_ms())
            tally = _Tally(db, client, job, total=sum(len(one.ranges) for one in plans))
            fetch_all(client, plans, settings, attempts, job, tally.take)
        return _outcome(job, tally, wanted, frames, excluded, client)


def _excluded(wanted: Sequence[str], info: ExchangeInfo) -> dict[str, str]:
    """Return the symbols that cannot be fetched, with the reason."""
    found = {}
    for symbol in wanted:
        instrument = info.instruments.get(symbol)
        if instrument is None:
            found[symbol] = "unknown to the exchange"
        elif not instrument.tradable:
            found[symbol] = instrument.why_untradable
    return found


def plan(
    db: apsw.Connection,
    settings: Settings,
    info: ExchangeInfo,
    symbols: Sequence[str],
    timeframes: Sequence[Timeframe],
    *,
    now_ms: int,
) -> list[SeriesPlan]:
    """Return what is missing: one plan per series that needs anything.

    Parameters
    ----------
    now_ms : int
        Exchange time, ms UTC.
    """
    plans = []
    for timeframe in timeframes:
        confirmed = read_holes(db, timeframe)
        last = timeframe.last_closed_open(now_ms - settings.exchange.close_grace_ms)
        for symbol in symbols:
            start = timeframe.open_of(now_ms - settings.data.history_days * DAY_MS)
            start = max(start, timeframe.open_of(info.instruments[symbol].onboard_ms))
            stored = read_timestamps(db, timeframe, symbol, start, last + timeframe.ms)
            if stored.size == 0:
                tail = (start, last) if start <= last else None
                series = SeriesPlan(symbol=symbol, timeframe=timeframe, tail=tail)
            else:
                holes = holes_in(stored, timeframe)
                if stored[0] > start:
                    holes.insert(0, (start, int(stored[0]) - timeframe.ms))
                newest = int(stored[-1])
                again = newest - (settings.sync.refetch_candles - 1) * timeframe.ms
                series = SeriesPlan(
                    symbol=symbol,
                    timeframe=timeframe,
                    tail=(max(start, again), last) if newest < last else None,
                    holes=tuple(hole for hole in holes if not is_confirmed(hole, confirmed.get(symbol, []))),
                )
            if series.ranges:
                plans.append(series)
    return plans


class _Tally:
    """Writes what was fetched and counts it. Used by the main thread only."""

    def __init__(self, db: apsw.Connection, client: MarketDataClient, job: Job, total: int) -> None:
        self._db, self._client, self._job, self._total = db, client, job, total
        self._ranges_done = 0
        self.written = 0
        self.holes = 0
        self.failed: dict[str, str] = {}

    def take(self, fetched: Fetched) -> None:
        """Store one page, or note a finished range, a confirmed hole or a failed series."""
        series = fetched.series
        if fetched.fault is not None:
            self._fail(series, fetched.fault)
        if fetched.candles is not None:
            try:
                self.written += upsert_candles(self._db, series.timeframe, series.symbol, fetched.candles)
            except SkipSymbol as error:  # the table refuses them; nothing of this page is stored
                self._fail(series, error.reason)
        for hole in fetched.absent:
            self.holes += 1
            confirm_hole(self._db, series.timeframe, series.symbol, hole, self._client.clock.now_ms())
        self._ranges_done += fetched.range_done
        self._report(series)

    def _fail(self, series: SeriesPlan, fault: str) -> None:
        self.failed[series.symbol] = fault
        _log.warning("%s %s: %s", series.symbol, series.timeframe.name, fault)

    def _report(self, series: SeriesPlan) -> None:
        self._job.reporter.advance(
            self._ranges_done, self._total, f"{series.symbol} {series.timeframe.name}, {self.written} candles"
        )


def _outcome(
    job: Job,
    tally: _Tally,
    wanted: Sequence[str],
    frames: Sequence[Timeframe],
    excluded: dict[str, str],
    client: MarketDataClient,
) -> Outcome:
    good = len(wanted) - len(excluded) - len(tally.failed)
    parts = [
        f"{good}/{len(wanted)} symbols × {' '.join(frame.name for frame in frames)}",
        f"{tally.written} candles new or corrected",
        *([f"{tally.holes} holes confirmed by the exchange"] if tally.holes else []),
        *([f"skipped {_listed(excluded)}"] if excluded else []),
        *([f"failed {_listed(tally.failed)}"] if tally.failed else []),
        took(job),
    ]
    enough = good >= job.settings.data.coverage_min * (len(wanted) - len(excluded))
    return Outcome(
        line="; ".join(parts),
        code=ExitCode.OK if enough else ExitCode.FAILED,
        counts={
            "symbols": len(wanted),
            "symbols_ok": good,
            "symbols_skipped": len(excluded),
            "symbols_failed": len(tally.failed),
            "candles": tally.written,
            "holes_confirmed": tally.holes,
            "weight": client.weight_used,
            "requests": client.requests,
        },
    )


def _listed(reasons: dict[str, str], most: int = 3) -> str:
    shown = ", ".join(f"{symbol} ({reason})" for symbol, reason in list(reasons.items())[:most])
    return shown + (f" and {len(reasons) - most} more" if len(reasons) > most else "")

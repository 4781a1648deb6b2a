"""data-sync: bring every candle series up to the newest closed candle, and fill its holes.

For each symbol and timeframe the plan is a list of ranges: from where the series ends (or one year
back), the holes inside it, and in the day's full pass the newest stored candles, to be compared. Worker
threads fetch pages, the main thread writes them, one transaction a page in ascending order, so that a kill
at any moment leaves a consistent series to go on from.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing

import apsw
import msgspec

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.errors import ExitCode, Refuse, SkipSymbol
from futures_agent.exchange.client import ExchangeInfo, MarketDataClient
from futures_agent.jobs.candle_fetch import Attempts, Fetched, fetch_all
from futures_agent.jobs.candle_plan import Plan, SeriesPlan, SyncScope, make_plan
from futures_agent.jobs.indicators import IndicatorUpdate
from futures_agent.market.timeframe import Timeframe
from futures_agent.market.universe import Member, Standing, standing_of
from futures_agent.program.job import Job, Outcome, run_job, took
from futures_agent.program.records import RunLog
from futures_agent.settings import Settings
from futures_agent.store.candles import untraded_since, upsert_candles
from futures_agent.store.database import database_errors, open_writer
from futures_agent.store.holes import settle_holes
from futures_agent.store.instruments import read_instruments, upsert_instruments
from futures_agent.store.universe import read_universe, update_universe

NAME = "data-sync"
_log = logging.getLogger(__name__)


def run(settings: Settings, scope: SyncScope | None = None) -> ExitCode:
    """Run the job; the first complete run after `sync.full_time_utc` is the day's full pass."""
    return run_job(NAME, settings, lambda job: _sync(job, scope or SyncScope()))


def _sync(job: Job, scope: SyncScope) -> Outcome:
    full = scope.full or (not scope.narrowed and _full_pass_is_due(job))
    scope = msgspec.structs.replace(scope, full=full)
    settings = job.settings
    attempts = Attempts(settings.sync, job.stopping, settings.exchange.time_scale)
    return synchronise(job, scope, attempts)


def _full_pass_is_due(job: Job) -> bool:
    hour, minute = map(int, job.settings.sync.full_time_utc.split(":"))
    offset_ms = hour * HOUR_MS + minute * MINUTE_MS
    since_ms = job.started_ms - (job.started_ms - offset_ms) % DAY_MS
    runs = RunLog(job.settings.paths.job(NAME)).recent()
    return not any(
        run.counts.get("full") and run.exit_code == ExitCode.OK and run.started_ms >= since_ms for run in runs
    )


def synchronise(
    job: Job, scope: SyncScope, attempts: Attempts, *, turn_wait_s: float | None = None
) -> Outcome:
    """Make one pass within a running job.

    Parameters
    ----------
    turn_wait_s : float, optional
        How long to wait for the database's turn; by default what the settings say.

    Raises
    ------
    Retry
        The exchange does not answer, another job kept the database, or the limit of `attempts` is past.
    Refuse
        Nothing that could be fetched was asked for, or the settings are wrong.
    Interrupted, Corrupt, Blocked
        As their names say.
    """
    settings = job.settings

    def waiting(until_ms: int) -> None:  # exchange time
        job.still_waiting()
        attempts.check_time()
        left_s = (until_ms - client.clock.now_ms()) / 1000 / settings.exchange.time_scale
        attempts.waiting_until(time.monotonic() + left_s + 1.0)

    client = MarketDataClient(settings.exchange, settings.paths.exchange_state, on_wait=waiting)
    with closing(client):
        job.reporter.status(f"asking {settings.exchange.rest_url} for its symbols")
        info = attempts.call(client.exchange_info, "exchangeInfo", on_idle=job.reporter.alive)
        wanted = tuple(dict.fromkeys(scope.symbols or settings.data.followed(info.instruments)))
        _refuse_strangers(wanted, info, settings)
        database = settings.paths.database
        with (
            job.database_turn(turn_wait_s),
            database_errors(database),
            closing(open_writer(database, settings.database)) as db,
        ):
            universe = _Universe(db, settings, info, wanted, client.clock.now_ms())
            now_ms = client.clock.now_ms()
            plan = make_plan(db, settings, info.instruments, universe.chosen, scope, now_ms=now_ms)
            indicators = IndicatorUpdate(db, job, now_ms)
            tally = _Tally(db, client, job, plan, indicators)
            fetch_all(client, plan.series, settings, attempts, job, tally.take)
            universe.settle()
            indicators.finish()
        return _outcome(job, scope, tally, universe, client)


def _standing(symbol: str, info: ExchangeInfo, settings: Settings, known: Sequence[str]) -> Member:
    return standing_of(symbol, info.instruments, info.untradable, known=known, renames=settings.data.renames)


def _refuse_strangers(wanted: Sequence[str], info: ExchangeInfo, settings: Settings) -> None:
    """Raise Refuse if nothing that is wanted could ever be fetched."""
    hopeless = (Standing.UNKNOWN, Standing.UNSUITABLE)
    found = [_standing(symbol, info, settings, known=()) for symbol in wanted]
    if all(member.standing in hopeless for member in found):
        raise Refuse(
            f"no symbol to fetch: {found[0].symbol}: {found[0].reason}; correct --symbols or data.symbols"
        )


class _Universe:
    """What the wanted symbols are, before and after their candles were fetched."""

    def __init__(
        self,
        db: apsw.Connection,
        settings: Settings,
        info: ExchangeInfo,
        wanted: Sequence[str],
        now_ms: int,
    ) -> None:
        self._db, self._settings, self._now_ms = db, settings, now_ms
        before = read_universe(db)
        known = [*read_instruments(db)]
        upsert_instruments(db, info.instruments.values(), now_ms)
        self._first_look = not before
        self.members = {symbol: _standing(symbol, info, settings, known) for symbol in wanted}
        self.chosen = [symbol for symbol, member in self.members.items() if not member.excluded]
        self.changed: list[Member] = []

    def settle(self) -> None:
        """Look for symbols that nobody trades any more, and store what each symbol is."""
        frames = self._settings.data.frames
        timeframe = Timeframe.H1 if Timeframe.H1 in frames else min(frames, key=lambda frame: frame.ms)
        count = self._settings.data.zombie_candles
        for symbol in self.chosen:
            since_ms = untraded_since(self._db, timeframe, symbol, count)
            if since_ms is not None:
                self.members[symbol] = Member(
                    symbol=symbol,
                    standing=Standing.DORMANT,
                    reason="listed, but nothing is traded",
                    since_ms=since_ms,
                )
        changed = update_universe(self._db, self.members.values(), self._now_ms)
        self.changed = [member for member in changed if member.excluded or not self._first_look]
        for member in self.changed:
            _log.warning("%s is %s", member.symbol, member.why if member.excluded else "trading (new)")

    @property
    def excluded(self) -> dict[str, str]:
        """Symbols that are left out, with the reason."""
        return {member.symbol: member.reason for member in self.members.values() if member.excluded}


class _Tally:
    """Writes what was fetched and counts it. Used by the main thread only."""

    def __init__(
        self,
        db: apsw.Connection,
        client: MarketDataClient,
        job: Job,
        plan: Plan,
        indicators: IndicatorUpdate,
    ) -> None:
        self._db, self._client, self._job, self._indicators = db, client, job, indicators
        self._total = sum(len(series.ranges) for series in plan.series)
        self._ranges_done = 0
        self.removed = plan.removed
        self.written = 0
        self.holes = 0
        self.failed: dict[str, str] = {}
        for place, count in plan.removed.items():
            _log.warning("%s: removed %d candles that cannot be closed candles of it", place, count)

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
        if fetched.asked is not None:
            self.holes += len(fetched.absent)
            now_ms = self._client.clock.now_ms()
            settle_holes(self._db, series.timeframe, series.symbol, fetched.asked, fetched.absent, now_ms)
            self._ranges_done += 1
            if fetched.asked == series.ranges[-1]:  # now, while the others wait for the exchange
                self._indicators.take(series.timeframe, series.symbol)
        self._report(series)

    def _fail(self, series: SeriesPlan, fault: str) -> None:
        self.failed[series.symbol] = fault
        _log.warning("%s %s: %s", series.symbol, series.timeframe.name, fault)

    def _report(self, series: SeriesPlan) -> None:
        self._job.reporter.advance(
            self._ranges_done, self._total, f"{series.symbol} {series.timeframe.name}, {self.written} candles"
        )


def _outcome(
    job: Job, scope: SyncScope, tally: _Tally, universe: _Universe, client: MarketDataClient
) -> Outcome:
    wanted, excluded, removed = len(universe.members), universe.excluded, sum(tally.removed.values())
    good = wanted - len(excluded.keys() | tally.failed.keys())
    frames = " ".join(frame.name for frame in scope.timeframes or job.settings.data.frames)
    changed = {member.symbol: member.standing.value for member in universe.changed}
    parts = [
        f"{good}/{wanted} symbols × {frames}",
        f"{tally.written} candles new or corrected",
        *([f"{removed} impossible candles removed"] if removed else []),
        *([f"{tally.holes} holes confirmed by the exchange"] if tally.holes else []),
        *([f"changed {_listed(changed)}"] if changed else []),
        *([f"skipped {_listed(excluded)}"] if excluded else []),
        *([f"failed {_listed(tally.failed)}"] if tally.failed else []),
        took(job),
    ]
    enough = good >= job.settings.data.coverage_min * (wanted - len(excluded))
    return Outcome(
        line="; ".join(parts),
        code=ExitCode.OK if enough else ExitCode.FAILED,
        counts={
            "symbols": wanted,
            "symbols_ok": good,
            "symbols_skipped": len(excluded),
            "symbols_failed": len(tally.failed),
            "candles": tally.written,
            "candles_removed": removed,
            "holes_confirmed": tally.holes,
            "weight": client.weight_used,
            "requests": client.requests,
            "full": int(scope.full and not scope.narrowed),
        },
    )


def _listed(reasons: dict[str, str], most: int = 3) -> str:
    shown = ", ".join(f"{symbol} ({reason})" for symbol, reason in list(reasons.items())[:most])
    return shown + (f" and {len(reasons) - most} more" if len(reasons) > most else "")

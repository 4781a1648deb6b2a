"""Import: candles from files into the database, after everything about them was judged.

All files are read and judged before the first row is written. Then series by series, in ascending order of
time and in transactions of bounded size: a kill at any moment leaves whole candles, and the next import of
the same files goes on from there.
"""

from __future__ import annotations

from contextlib import closing, nullcontext
from pathlib import Path

import apsw
import msgspec
import numpy as np
from numpy.typing import NDArray

from futures_agent.errors import ExitCode, Refuse
from futures_agent.exchange.clock import CLOCK_FILE, ExchangeClock
from futures_agent.files import make_directory
from futures_agent.interchange.findings import EXAMPLES_EACH, Findings
from futures_agent.interchange.judging import candles_of, settle
from futures_agent.interchange.layout import (
    INTERVALS,
    OPTIONAL,
    CandleFile,
    Series,
    find_candle_files,
    in_order,
    is_symbol,
)
from futures_agent.interchange.spool import Spool, spool_files
from futures_agent.interchange.verdict import SeriesVerdict, Verdict, print_verdict
from futures_agent.market.candle import FULL_CANDLE, Candles
from futures_agent.market.quality import candles_in, holes_in
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.job import Job, Outcome, run_job, took
from futures_agent.settings import Settings
from futures_agent.store.candles import read_candles, upsert_candles
from futures_agent.store.database import database_errors, open_reader, open_writer
from futures_agent.store.instruments import read_instruments

NAME = "import"
ROWS_PER_TRANSACTION = 50_000


class ImportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for."""

    paths: tuple[Path, ...]
    symbol: str | None = None  # of files that do not tell; of others only this one is taken
    timeframe: Timeframe | None = None  # likewise
    accept_repairs: bool = False  # leave bad rows out instead of refusing their series
    overwrite: bool = False  # differing stored candles take the files' values


def run(settings: Settings, request: ImportRequest) -> ExitCode:
    """Import; prints the verdict and leaves a run record."""
    return run_job(NAME, settings, lambda job: _import(job, request))


def dry_run(settings: Settings, request: ImportRequest) -> ExitCode:
    """Print the verdict of an import that is not made; touches nothing."""
    verdict = _Import(settings, request, None).judge_and_store()
    print_verdict(verdict)
    print(f"{NAME} --dry-run: {verdict.line()}")
    return ExitCode.OK if verdict.clean else ExitCode.CONFIG


def _import(job: Job, request: ImportRequest) -> Outcome:
    verdict = _Import(job.settings, request, job).judge_and_store()
    print_verdict(verdict)
    return Outcome(
        line=f"{verdict.line()}; {took(job)}",
        code=ExitCode.OK if verdict.clean else ExitCode.CONFIG,
        counts={
            **{name: verdict.total(name) for name in ("rows", "new", "same", "different")},
            "series": len(verdict.series),
            "refused": len(verdict.refused),
            "peak_mb": _peak_mb(),
        },
    )


def _peak_mb() -> int:
    """Return this program's own peak; getrusage would count what its parent used before."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 // 10**6


class _Import:
    """One import; without a job it is a dry run."""

    def __init__(self, settings: Settings, request: ImportRequest, job: Job | None) -> None:
        if request.symbol is not None and not is_symbol(request.symbol):
            raise Refuse(f"--symbol {request.symbol}: not written as the exchange does, such as BTCUSDT")
        self._settings, self._request, self._job = settings, request, job
        self._files = [_told(file, request) for file in find_candle_files(request.paths)]
        self._names = [file.path.name for file in self._files]
        self._findings = Findings()

    def judge_and_store(self) -> Verdict:
        """Read and judge everything, then store what may be stored."""
        now_ms = ExchangeClock.load(self._settings.paths.exchange_state / CLOCK_FILE).now_ms()
        now_ms -= self._settings.exchange.close_grace_ms
        with Spool() as spool:
            spool_files(
                self._files,
                spool,
                self._findings,
                now_ms=now_ms,
                wanted=self._wanted,
                progress=self._read,
            )
            found = in_order(filter(self._wanted, (*spool.series(), *self._findings.series())))
            if not found and not self._findings.count_of(None):
                raise Refuse(f"{self._request.paths[0]}: holds no candles that were asked for")
            turn = self._job.database_turn() if self._job else nullcontext()
            with turn, database_errors(self._settings.paths.database):
                return self._stored(spool, found)

    def _stored(self, spool: Spool, found: list[Series]) -> Verdict:
        db = self._open()
        with closing(db) if db else nullcontext():
            verdicts = []
            for done, series in enumerate(found):
                verdicts.append(self._series(db, series, spool))
                self._tick(done, len(found), f"{series[0]} {series[1].name}")
            known = read_instruments(db) if db else {}
        symbols = dict.fromkeys(one.symbol for one in verdicts if one.refused is None)
        return Verdict(
            series=tuple(verdicts),
            overwrite=self._request.overwrite,
            dry_run=self._job is None,
            accept_repairs=self._request.accept_repairs,
            findings=self._findings,
            without_instrument=tuple(symbol for symbol in symbols if symbol not in known),
        )

    def _open(self) -> apsw.Connection | None:
        paths, database = self._settings.paths, self._settings.database
        if self._job is not None:
            make_directory(paths.database.parent)
            return open_writer(paths.database, database)
        return open_reader(paths.database, database) if paths.database.exists() else None

    def _wanted(self, series: Series) -> bool:
        symbol, timeframe = self._request.symbol, self._request.timeframe
        return series[0] == (symbol or series[0]) and series[1] is (timeframe or series[1])

    def _read(self, files_done: int) -> None:
        self._tick(files_done, len(self._files), f"reading {self._files[files_done].path.name}")

    def _tick(self, done: int, total: int, text: str) -> None:
        if self._job is not None:
            self._job.check_stop()
            self._job.reporter.advance(done, total, text)

    def _series(self, db: apsw.Connection | None, series: Series, spool: Spool) -> SeriesVerdict:
        """Judge one series as a whole and store it, unless it is refused."""
        symbol, timeframe = series
        candles = candles_of(settle(series, spool.rows(series), self._names, self._findings))
        refused = None if self._request.accept_repairs else self._findings.why_refused(series)
        verdict = SeriesVerdict(
            symbol=symbol,
            timeframe=timeframe.name,
            rows=len(candles),
            missing=sum(candles_in(hole, timeframe) for hole in holes_in(candles["timestamp"], timeframe)),
            refused=refused,
        )
        if refused is not None:
            return verdict
        for first in range(0, len(candles), ROWS_PER_TRANSACTION):
            part = _compare(db, series, candles[first : first + ROWS_PER_TRANSACTION])
            verdict = _added(verdict, part)
            chosen = part.new | part.different if self._request.overwrite else part.new
            if db is not None and self._job is not None and chosen.any():
                self._job.check_stop()
                upsert_candles(db, timeframe, symbol, part.candles[chosen])
                self._job.reporter.alive()
        return verdict


def _told(file: CandleFile, request: ImportRequest) -> CandleFile:
    """Return the file with what its name does not tell taken from the request."""
    interval = file.interval
    if interval not in INTERVALS and request.timeframe is not None:
        interval = request.timeframe.value
    return CandleFile(file.path, file.symbol or request.symbol, interval)


class _Comparison(msgspec.Struct, frozen=True):
    """Candles next to what is stored at their times; the masks are of shape (n,)."""

    candles: Candles  # what the files do not tell is as stored, or 0
    new: NDArray[np.bool_]
    different: NDArray[np.bool_]
    unknown: dict[str, int]
    examples: list[str]


def _compare(db: apsw.Connection | None, series: Series, candles: Candles) -> _Comparison:
    """Compare candles (sorted) with the stored ones; values the files do not tell are not compared."""
    stored = _stored_at(db, series, candles["timestamp"])
    new = stored["timestamp"] == 0
    merged, unknown = candles.copy(), {}
    for name in OPTIONAL:
        untold = candles[name] < 0 if name == "trades" else np.isnan(candles[name])
        merged[name][untold] = stored[name][untold]
        if count := int(np.count_nonzero(untold & new)):
            unknown[name] = count
    differs = np.zeros(len(candles), dtype=bool)
    for name in FULL_CANDLE.names or ():
        differs |= merged[name] != stored[name]
    different = differs & ~new
    examples = [
        f"{_values(merged[i])}, stored {_values(stored[i])}"
        for i in np.flatnonzero(different)[:EXAMPLES_EACH]
    ]
    return _Comparison(merged, new, different, unknown, examples)


def _stored_at(db: apsw.Connection | None, series: Series, times: NDArray[np.int64]) -> Candles:
    """Return the stored candle of each time, all zero where there is none."""
    found = np.zeros(len(times), dtype=FULL_CANDLE)
    if db is None or len(times) == 0:
        return found
    symbol, timeframe = series
    span = int(times[0]), int(times[-1]) + 1
    stored = read_candles(db, timeframe, [symbol], *span, dtype=FULL_CANDLE)[symbol]
    at = np.searchsorted(times, stored["timestamp"])
    hit = times[at] == stored["timestamp"]
    found[at[hit]] = stored[hit]
    return found


def _added(verdict: SeriesVerdict, part: _Comparison) -> SeriesVerdict:
    new, different = int(part.new.sum()), int(part.different.sum())
    unknown = {
        name: count
        for name in OPTIONAL
        if (count := verdict.unknown.get(name, 0) + part.unknown.get(name, 0))
    }
    return msgspec.structs.replace(
        verdict,
        new=verdict.new + new,
        different=verdict.different + different,
        same=verdict.same + len(part.candles) - new - different,
        unknown=unknown,
        examples=(*verdict.examples, *part.examples)[:EXAMPLES_EACH],
    )


def _values(candle: np.void) -> str:
    return ",".join(str(value) for value in candle.item())

"""The part of data-sync that keeps `indicadores_tecnico`: every series stepped up to its newest candle.

A series starts at its anchor, the first stored candle of the last calendar year or later, and its state
after the newest candle is stored. The next run goes on from there only if the state's seal fits: same
code, same candles from the anchor on, same bytes. Otherwise (a corrected or back-filled candle, a new
release, a new year) it steps the series again from the anchor. Either way gives the same bits.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

import apsw
import numpy as np

from futures_agent.clock import DAY_MS
from futures_agent.compiled import source_digest
from futures_agent.features.indicator_set import INDICATORS, indicators_step, readings
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.plain import as_tuple, plain_type
from futures_agent.program.job import Job
from futures_agent.store.candles import newest, read_candles
from futures_agent.store.indicators import (
    IndicatorRow,
    IndicatorState,
    drop_indicators,
    read_state,
    write_indicators,
)

TIMEFRAMES = (Timeframe.D1, Timeframe.H4, Timeframe.H1)  # none are kept for M15
_END_OF_TIME_MS = 2**62
_log = logging.getLogger(__name__)


class Bar(NamedTuple):
    """One closed candle, as a step sees it; the fields of CANDLE."""

    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class IndicatorUpdate:
    """Brings the indicators of every stored series up to its newest candle, each in one transaction.

    A run that is stopped leaves finished series behind it, and the next one does the rest.

    Parameters
    ----------
    db : apsw.Connection
        From `open_writer`.
    job : Job
    now_ms : int
        Exchange time, ms UTC: it decides which year anchors, and which rows are too old to keep.
    """

    def __init__(self, db: apsw.Connection, job: Job, now_ms: int) -> None:
        self._db, self._job, self._now_ms = db, job, now_ms
        self._done: set[tuple[Timeframe, str]] = set()
        self.written = 0  # rows

    def take(self, timeframe: Timeframe, symbol: str) -> None:
        """Do one series, of which no more candles will come in this run; nothing for M15.

        Raises
        ------
        Retry, Corrupt, Refuse
            As `database_errors` says.
        """
        if timeframe in TIMEFRAMES:
            keep_days = self._job.settings.data.indicator_days
            self.written += update_series(
                self._db, timeframe, symbol, now_ms=self._now_ms, keep_days=keep_days
            )
            self._done.add((timeframe, symbol))

    def finish(self) -> None:
        """Do every stored series that was not taken yet.

        Raises
        ------
        Interrupted
            Told to stop.
        Retry, Corrupt, Refuse
            As `database_errors` says.
        """
        for timeframe in TIMEFRAMES:
            for symbol in newest(self._db, timeframe):
                if (timeframe, symbol) not in self._done:
                    self._job.check_stop()
                    self._job.reporter.status(f"indicators of {symbol} {timeframe.name}")
                    self.take(timeframe, symbol)
        _log.info("%d rows of indicators written", self.written)


def update_series(
    db: apsw.Connection, timeframe: Timeframe, symbol: str, *, now_ms: int, keep_days: int
) -> int:
    """Bring the indicators of one series up to its newest candle; return the number of rows written."""
    keep_from_ms = now_ms - keep_days * DAY_MS
    candles = read_candles(db, timeframe, [symbol], anchor_from_ms(now_ms), _END_OF_TIME_MS)[symbol]
    memory, done = _resume(candles, read_state(db, timeframe, symbol), keep_days)
    if done == len(candles):
        drop_indicators(db, timeframe, symbol, keep_from_ms)
        return 0
    memory, rows = _step(memory, candles[done:], keep_from_ms)
    state = IndicatorState(
        anchor=int(candles["timestamp"][0]),
        through=int(candles["timestamp"][-1]),
        state=memory,
        seal=_seal(candles, memory, keep_days),
    )
    write_indicators(db, timeframe, symbol, rows, state, keep_from_ms=keep_from_ms, replace=done == 0)
    return len(rows)


def anchor_from_ms(now_ms: int) -> int:
    """Return the start of last calendar year, ms UTC: no candle before it enters an indicator.

    At least a year back, so that every row kept has long warmed up, and it moves once a year.
    """
    year = datetime.fromtimestamp(now_ms / 1000, tz=UTC).year - 1
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1000


def _resume(candles: Candles, stored: IndicatorState | None, keep_days: int) -> tuple[bytes, int]:
    """Return the state to go on from, as bytes, and how many of `candles` it has seen."""
    if stored is not None:
        done = int(np.searchsorted(candles["timestamp"], stored.through, side="right"))
        if _seal(candles[:done], stored.state, keep_days) == stored.seal:
            return stored.state, done
    return bytes(INDICATORS.itemsize), 0


def _step(memory: bytes, candles: Candles, keep_from_ms: int) -> tuple[bytes, list[IndicatorRow]]:
    """Step over `candles`; return the state after them, as bytes, and the rows worth keeping."""
    record = np.frombuffer(bytearray(memory), INDICATORS)
    state = plain_type(INDICATORS)(record[0].item())
    rows: list[IndicatorRow] = []
    for bar in map(Bar._make, candles.tolist()):
        indicators_step(state, bar)
        if bar.timestamp >= keep_from_ms:
            rows.append((bar.timestamp, *readings(state)))
    record[0] = as_tuple(state)
    return record.tobytes(), rows


def _seal(candles: Candles, state: bytes, keep_days: int) -> bytes:
    """Return what proves that `state` is what this code makes of `candles`, and the rows are all there."""
    seal = blake2b(f"{_code()} {keep_days} ".encode(), digest_size=16)
    seal.update(candles.tobytes())
    seal.update(state)
    return seal.digest()


@cache
def _code() -> str:
    return source_digest(indicators_step)

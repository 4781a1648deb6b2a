"""Signal validation: does the backtest decide as the live trader did, on the candles that are stored now?

The strategy steps from the anchor that the live trader logged, with the parameters that it logged, over the
stored candles. A decision is reproduced where the signals have the same bits. Where they have not, the log
tells why: it holds the candles and inputs as they were seen, and a digest of all that came before.
"""

from __future__ import annotations

import logging
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec
import numpy as np
from numpy.typing import NDArray

from futures_agent.backtest.deciding import stepping
from futures_agent.backtest.inputs import input_readers
from futures_agent.backtest.verdicts_again import judge_again, verdict_of
from futures_agent.clock import DAY_MS, utc_text
from futures_agent.compiled import code_digest
from futures_agent.errors import AgentError, Refuse
from futures_agent.market.candle import CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.decision_log import CloseLine, DecisionLine, read_decisions
from futures_agent.settings.tree import Settings
from futures_agent.store.candles import read_candles
from futures_agent.store.database import database_errors, open_reader
from futures_agent.store.instruments import read_instruments
from futures_agent.strategy.bars import bars_in_order
from futures_agent.strategy.registry import load_strategy
from futures_agent.strategy.strategy import SIGNAL, Strategy

_log = logging.getLogger(__name__)
_WINDOW_MS = DAY_MS
_MOST_LISTED = 50
_NAMES = {timeframe.ms: timeframe.name for timeframe in Timeframe}


class Why(StrEnum):
    """Why a decision is not reproduced."""

    CANDLE_MISSING = "CANDLE_MISSING"  # seen live and not stored, or stored and not seen live
    CANDLE = "CANDLE"  # stored otherwise than it was seen
    INPUT = "INPUT"  # a sentiment or macro value was known to one and not to the other
    HISTORY = "HISTORY"  # what was seen before the day that is compared is stored otherwise
    CODE = "CODE"  # the strategy's code has changed since
    GATE = "GATE"  # the same signal, but the risk gate says otherwise to the account that was logged
    NOT_DECIDED = "NOT_DECIDED"  # the backtest wants an entry at a close that nobody decided live
    FAILED = "FAILED"  # the strategy fails on the stored candles
    UNEXPLAINED = "UNEXPLAINED"  # the same candles, inputs, parameters and code, and yet another signal


class DifferingDecision(msgspec.Struct, frozen=True):
    """One decision that is not reproduced."""

    symbol: str
    close: str  # of the deciding bar, 2026-11-20T10:00:00Z
    why: str  # a name of `Why`
    detail: str
    live: str  # the signal, in words
    backtest: str


class SignalValidation(msgspec.Struct, frozen=True):
    """Which live decisions of the last day the backtest reproduces.

    Attributes
    ----------
    status : str
        VALIDATED: all that were compared are reproduced; DIFFERENT: not all; NOT VALIDATED: there were none.
    reason : str
        The same in a sentence.
    compared, reproduced : int
        Decisions: one per symbol and closed bar.
    late : int
        Entries that were not opened because their close was decided too late.
    by_reason : dict of str to int
        Name of `Why` → decisions that differ.
    differing : list
        At most 50 of them, oldest first.
    """

    status: str
    reason: str
    since: str | None = None  # closes after it, up to `until`
    until: str | None = None
    mode: str | None = None  # of the live trader: paper, testnet, live
    compared: int = 0
    reproduced: int = 0
    late: int = 0
    by_reason: dict[str, int] = {}
    differing: list[DifferingDecision] = []


def not_validated(reason: str) -> SignalValidation:
    """Return what a run says that compared nothing, and why."""
    return SignalValidation("NOT VALIDATED", reason)


def validate_signals(settings: Settings, now_ms: int, compile_cache: Path | None) -> SignalValidation:
    """Compare the live decisions of the last 24 hours with what the strategy says to the stored candles.

    Parameters
    ----------
    now_ms : int
        Exchange time, ms UTC.
    compile_cache : Path, optional
        As `deciding.decide` takes it.

    Returns
    -------
    SignalValidation
        NOT VALIDATED, with the reason, also where log or database cannot be read: it never costs the run.
    """
    since_ms = now_ms - _WINDOW_MS
    strategy = load_strategy(settings.strategy.name)
    timeframe = Timeframe[settings.strategy.timeframe]
    try:
        moments = list(read_decisions(settings.paths.decisions, since_ms, now_ms))
        if not moments:
            return not_validated("no live decisions in the last 24 h")
        fitting = [each for each in moments if _fits(each[0], strategy, timeframe)]
        if not fitting:
            other = moments[-1][0]
            return not_validated(
                f"the live trader decides by {other.strategy} {other.timeframe}, "
                f"this run by {strategy.name} {timeframe.name}"
            )
        database = settings.paths.database
        with database_errors(database), closing(open_reader(database, settings.database)) as db:
            found = _compare(fitting, _Replay(db, strategy, timeframe, compile_cache))
    except AgentError as error:
        return not_validated(str(error))
    except Exception as error:  # a log of another version: a night's result is worth more than the comparison
        _log.exception("comparing with the live decisions failed")
        return not_validated(
            f"comparing failed, the journal has the traceback: {type(error).__name__}: {error}"
        )
    return _summary(found, fitting, (since_ms, now_ms))


def _fits(close: CloseLine, strategy: Strategy, timeframe: Timeframe) -> bool:
    return (close.strategy, close.timeframe) == (strategy.name, timeframe.name)


class _Found(NamedTuple):
    """What comparing gave."""

    compared: int
    differing: list[tuple[int, DifferingDecision]]  # with the close, ms UTC


class _Told(NamedTuple):
    """A decision and what was said of its moment."""

    close: CloseLine
    line: DecisionLine


def _compare(moments: Sequence[tuple[CloseLine, list[DecisionLine]]], replay: _Replay) -> _Found:
    """Compare every decision; those of one symbol, anchor and set of parameters in one replay.

    A signal that is reproduced is a decision that is, where the gate says the same again.
    """
    groups: defaultdict[tuple[str, int, str], list[_Told]] = defaultdict(list)
    for close, lines in moments:
        for line in lines:
            key = (line.symbol, close.anchor_ms, repr(sorted(close.params.items())))
            groups[key].append(_Told(close, line))
    compared, differing = 0, []
    for told in groups.values():
        told.sort(key=lambda each: each.line.bar_close_ms)
        compared += len(told)
        differing += replay.differences(told)
    known = {(each.symbol, close_ms) for close_ms, each in differing}
    differing += [each for each in replay.other_verdicts(moments) if (each[1].symbol, each[0]) not in known]
    return _Found(compared, sorted(differing, key=lambda each: (each[0], each[1].symbol)))


class _Replay:
    """Steps the strategy over stored candles, as the backtest does."""

    def __init__(
        self, db: apsw.Connection, strategy: Strategy, timeframe: Timeframe, compile_cache: Path | None
    ) -> None:
        self._db = db
        self._strategy = strategy
        self._timeframe = timeframe
        self._run: Callable[..., Any] = stepping(strategy, compile_cache)
        self._code = code_digest(strategy.step)

    def differences(self, told: list[_Told]) -> list[tuple[int, DifferingDecision]]:
        """Return the decisions of one symbol, in order of time, that are not reproduced."""
        symbol = told[0].line.symbol
        try:
            bars, signals = self._stepped(told)
        except AgentError as error:
            if isinstance(error, Refuse):  # parameters that this version does not have
                return [self._all_differ(each, Why.CODE, str(error)) for each in told]
            raise
        except (Exception, SystemExit) as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())
            return [self._all_differ(each, Why.FAILED, why) for each in told]
        compared = _Compared(bars, signals, self._strategy, self._timeframe, self._code)
        found = [differing for each in told if (differing := compared.look_at(each)) is not None]
        return found + compared.not_decided(symbol, told)

    def other_verdicts(
        self, moments: Sequence[tuple[CloseLine, list[DecisionLine]]]
    ) -> Iterator[tuple[int, DifferingDecision]]:
        """Yield the entries of which the risk gate now says something else."""
        instruments = read_instruments(self._db)
        for close, lines in moments:
            for line, again in judge_again(self._db, close, lines, instruments, self._timeframe):
                live = verdict_of(line)
                if live != again:
                    detail = "the account of the log, the stored candles and today's filters"
                    where = line.symbol, line.bar_close_ms
                    yield _differing(*where, Why.GATE, detail, str(live), str(again))

    def _stepped(self, told: list[_Told]) -> tuple[NDArray[np.void], NDArray[np.void]]:
        symbol, anchor_ms = told[0].line.symbol, told[0].close.anchor_ms
        end_ms = told[-1].line.bar_close_ms
        series = {}
        for timeframe in (self._timeframe, *self._strategy.timeframes):
            last = timeframe.last_closed_open(end_ms)
            series[timeframe] = read_candles(self._db, timeframe, [symbol], anchor_ms, last + 1)[symbol]
        params = self._strategy.read_params(told[0].close.params)
        readers = input_readers(self._db, self._strategy, params, (anchor_ms, end_ms))
        published = {name: read(symbol) for name, read in readers.items()}
        bars = bars_in_order(self._strategy, series, published)
        signals = np.zeros(len(bars), SIGNAL)
        self._run(bars, np.zeros(1, self._strategy.state), params, signals)
        return bars, signals

    def _all_differ(self, told: _Told, why: Why, detail: str) -> tuple[int, DifferingDecision]:
        return _differing(
            told.line.symbol, told.line.bar_close_ms, why, detail, _words_of_line(told.line), ""
        )


class _Compared:
    """One symbol's replay beside what was decided live."""

    def __init__(
        self,
        bars: NDArray[np.void],
        signals: NDArray[np.void],
        strategy: Strategy,
        timeframe: Timeframe,
        code: str | None,
    ) -> None:
        self._bars = bars
        self._signals = signals
        self._strategy = strategy
        self._step_ms = timeframe.ms
        self._code = code
        deciding = np.flatnonzero(bars["timeframe_ms"] == timeframe.ms).tolist()
        closes = (bars["timestamp"][deciding] + timeframe.ms).tolist()
        self._rows = dict(zip(closes, deciding, strict=True))
        self._first = dict(zip(closes, [0, *(row + 1 for row in deciding[:-1])], strict=True))
        self._seen_to, self._history = 0, 0  # the digest of the bars up to a row
        self._fault: tuple[Why, str] | None = None  # the first candle of the day that is not as it was seen

    def look_at(self, told: _Told) -> tuple[int, DifferingDecision] | None:
        """Compare the next decision in order of time; None where it is reproduced."""
        line = told.line
        row = self._rows.get(line.bar_close_ms)
        own = self._candle_fault(line, row)
        self._fault = self._fault or own
        if row is not None and _same(line, self._signals[row], self._strategy):
            return None
        why, detail = self._explain(told, row, own)
        backtest = "no candle" if row is None else _words(self._signals[row])
        return _differing(line.symbol, line.bar_close_ms, why, detail, _words_of_line(line), backtest)

    def _candle_fault(self, line: DecisionLine, row: int | None) -> tuple[Why, str] | None:
        """Return what is wrong with the candles that this decision saw new, if anything."""
        if row is None:
            when = utc_text(line.bar_close_ms - self._step_ms)
            return Why.CANDLE_MISSING, f"the {_NAMES[self._step_ms]} candle of {when} is not stored"
        stored = {
            (_NAMES[int(bar["timeframe_ms"])], int(bar["timestamp"])): bar
            for bar in self._bars[self._first[line.bar_close_ms] : row + 1]
        }
        for seen in line.bars:
            bar = stored.pop((seen.timeframe, seen.timestamp), None)
            candle = f"the {seen.timeframe} candle of {utc_text(seen.timestamp)}"
            if bar is None:
                return Why.CANDLE_MISSING, f"{candle} is not stored"
            for name in (CANDLE.names or ())[1:]:
                if bar[name] != getattr(seen, name):
                    return Why.CANDLE, f"{candle}: {name} was {getattr(seen, name)}, stored is {bar[name]}"
        for timeframe, timestamp in stored:
            return Why.CANDLE_MISSING, f"the {timeframe} candle of {utc_text(timestamp)} was not seen live"
        return None

    def _explain(self, told: _Told, row: int | None, own: tuple[Why, str] | None) -> tuple[Why, str]:
        if own is not None:
            return own
        assert row is not None  # without its candle the fault is its own
        line = told.line
        if self._history_to(row) == line.history:
            if told.close.code != self._code or self._code is None:
                return Why.CODE, "the strategy's code is another now"
            return Why.UNEXPLAINED, "candles, inputs, parameters and code are the same"
        if self._fault is not None:
            return self._fault
        for name, value in line.inputs.items():
            bar = self._bars[row]
            known = bar[name].item() if bar[f"{name}_known"] else None
            if known != value:
                return Why.INPUT, f"{name} was {value}, known to the backtest is {known}"
        return Why.HISTORY, (
            f"candles or inputs since the anchor differ: {line.bars_seen} bars seen live, {row + 1} stored"
        )

    def _history_to(self, row: int) -> str:
        """Return the digest of all bars up to `row`; rows come in order."""
        self._history = zlib.crc32(self._bars[self._seen_to : row + 1].tobytes(), self._history)
        self._seen_to = row + 1
        return f"{self._history:08x}"

    def not_decided(self, symbol: str, told: list[_Told]) -> list[tuple[int, DifferingDecision]]:
        """Return the entries that the backtest wants between two decisions where live decided nothing."""
        decided = {each.line.bar_close_ms for each in told}
        first, last = min(decided), max(decided)
        return [
            _differing(
                symbol,
                close_ms,
                Why.NOT_DECIDED,
                "nobody decided at this close",
                "",
                _words(self._signals[row]),
            )
            for close_ms, row in self._rows.items()
            if first < close_ms < last and close_ms not in decided and self._signals[row]["entry"] != 0
        ]


def _same(line: DecisionLine, signal: Any, strategy: Strategy) -> bool:
    """Say whether both say the same, to the last bit; the policy's word is not compared."""
    return (
        line.entry,
        line.exit_long,
        line.exit_short,
        line.stop_distance,
        line.target_distance,
        line.reasons,
    ) == (
        *(signal[name].item() for name in SIGNAL.names[:5]),  # type: ignore[index]
        strategy.reasons_of(int(signal["reasons"])),
    )


def _differing(
    symbol: str, close_ms: int, why: Why, detail: str, live: str, backtest: str
) -> tuple[int, DifferingDecision]:
    return close_ms, DifferingDecision(symbol, utc_text(close_ms), why.value, detail, live, backtest)


def _words_of_line(line: DecisionLine) -> str:
    return _words({name: getattr(line, name) for name in SIGNAL.names[:5]})  # type: ignore[index]


def _words(signal: Any) -> str:
    parts = [f"exit {side}" for side in ("long", "short") if signal[f"exit_{side}"]]
    if signal["entry"]:
        side = "long" if signal["entry"] > 0 else "short"
        stop, target = float(signal["stop_distance"]), float(signal["target_distance"])
        parts.insert(0, f"{side}, stop {stop!r} away, target {target!r}")
    return "; ".join(parts) or "nothing"


def _summary(
    found: _Found, moments: list[tuple[CloseLine, list[DecisionLine]]], window: tuple[int, int]
) -> SignalValidation:
    if not found.compared:
        return not_validated("no live decisions in the last 24 h")
    counts = Counter(each.why for _, each in found.differing)
    undecided = counts.get(Why.NOT_DECIDED.value, 0)
    reproduced = found.compared - (len(found.differing) - undecided)
    mode = moments[-1][0].mode
    sentence = f"{reproduced:,} of {found.compared:,} decisions of the last 24 h ({mode}) are reproduced"
    if counts:
        sentence += "; " + ", ".join(f"{why} {count:,}" for why, count in counts.most_common())
    return SignalValidation(
        status="DIFFERENT" if found.differing else "VALIDATED",
        reason=sentence,
        since=utc_text(window[0]),
        until=utc_text(window[1]),
        mode=mode,
        compared=found.compared,
        reproduced=reproduced,
        late=sum(line.rejection == "CLOSE_LATE" for _, lines in moments for line in lines),
        by_reason=dict(counts.most_common()),
        differing=[each for _, each in found.differing[:_MOST_LISTED]],
    )

"""The checks of an audit: a strategy is run again on bars that should make no difference, and compared.

Compared bit for bit are what it was shown, what it remembered and what it said. docs/audit.md says what
that proves and what it cannot see.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from futures_agent.backtest.audit.account import (
    AccountDifference,
    Resimulate,
    account_differences,
    undisturbed_until,
)
from futures_agent.backtest.audit.cutting import cut_panel, moved_panel, pick_symbols
from futures_agent.backtest.audit.differing import Difference, count_numbers, first_difference
from futures_agent.backtest.audit.foresight import HORIZONS, entries_judged, is_too_good
from futures_agent.backtest.audit.outside import outside_data
from futures_agent.backtest.audit.report import AuditReport, Check, Finding
from futures_agent.backtest.audit.tracing import Trace, Tracer
from futures_agent.backtest.deciding import OnProgress, bars_of
from futures_agent.backtest.panel import Panel
from futures_agent.backtest.records import Simulation
from futures_agent.clock import DAY_MS, utc_text
from futures_agent.compiled import is_kernel
from futures_agent.errors import AgentError, Refuse
from futures_agent.market.timeframe import Timeframe
from futures_agent.strategy.strategy import Strategy

# Whole weeks, close to a year: hours and days of the week stay what they are.
_SHIFT_MS = -364 * DAY_MS
_NAMES = {each.ms: each.name for each in Timeframe}


class Sampling(Struct, frozen=True, kw_only=True):
    """How much an audit tries; the same seed on the same panel tries the same."""

    seed: int
    symbols: int = 8
    truncations: int = 100  # of one symbol's bars each
    account_truncations: int = 10  # of the whole simulation each


def audit(
    panel: Panel,
    strategy: Strategy,
    params: NDArray[np.void],
    resimulate: Resimulate,
    *,
    compile_cache: Path | None,
    sampling: Sampling,
    accept_outside: bool = False,
    on_progress: OnProgress | None = None,
) -> AuditReport:
    """Audit `strategy` on a sample of the symbols of `panel`.

    Parameters
    ----------
    params : ndarray of one record
        From `strategy.read_params`.
    resimulate : callable
        `resimulate(panel, compile_cache) -> Simulation`: the simulation that is to be audited.
    compile_cache : Path, optional
        Where compiled kernels are kept; without it everything runs as plain Python.
    accept_outside : bool
        A person answers for what the step reads besides its arguments.
    on_progress : callable, optional
        Called with ("audit", symbols done, symbols in all).

    Raises
    ------
    Refuse
        The strategy fails on every sampled symbol, or cannot be compiled.
    """
    rng = random.Random(sampling.seed)
    chosen = sorted(rng.sample(range(len(panel.symbols)), min(sampling.symbols, len(panel.symbols))))
    subject = _Subject(pick_symbols(panel, chosen), strategy, Tracer(strategy, params, compile_cache))
    again, observe, first_runs, failures = _first_runs(subject)
    prefix, order, calendar = _later_runs(subject, first_runs, rng, sampling.truncations, on_progress)
    checks = [prefix, again, order, *([observe] if strategy.observe else [])]
    if compile_cache is not None and is_kernel(strategy.step):
        plain = Tracer(strategy, params, None)
        busiest = max(first_runs, key=lambda index: np.count_nonzero(first_runs[index].signals["entry"]))
        checks.append(_compiled(subject, busiest, plain, resimulate, compile_cache))
    sound = pick_symbols(subject.panel, sorted(first_runs))
    account = partial(resimulate, compile_cache=compile_cache)
    checks.append(_account(sound, rng, sampling.account_truncations, account))
    return AuditReport(
        strategy=strategy.name,
        seed=sampling.seed,
        symbols=tuple(subject.panel.symbols[index] for index in first_runs),
        symbols_in_all=len(panel.symbols),
        bars=sum(len(each.bars) for each in first_runs.values()),
        features=count_numbers(strategy.state),
        compared_every=max(each.every for each in first_runs.values()),
        checks=(*checks, calendar, _foresight(subject, first_runs)),
        outside=tuple(outside_data(strategy.step, *([strategy.observe] if strategy.observe else []))),
        failures=tuple(failures),
        outside_accepted=accept_outside,
    )


class _Subject(Struct, frozen=True):
    """What is audited, on the sampled symbols."""

    panel: Panel
    strategy: Strategy
    run: Tracer

    def bars(self, index: int) -> NDArray[np.void]:
        return bars_of(self.panel, self.strategy, index)


def _first_runs(subject: _Subject) -> tuple[Check, Check, dict[int, Trace], list[str]]:
    """Run every symbol twice; return the checks again and observe, the first runs, and where it raised."""
    again, observe, first_runs, failures = Check(name="again"), Check(name="observe"), {}, []
    for index, symbol in enumerate(subject.panel.symbols):
        bars = subject.bars(index)
        try:
            first = subject.run(bars)
        except AgentError:
            raise
        except (Exception, SystemExit) as error:  # a user's code may raise anything; the other symbols go on
            failures.append(f"{symbol}: {_sentence(error)}")
            continue
        _compare(subject, again, index, first, partial(subject.run, bars))
        _judge_observed(observe, symbol, first)
        first_runs[index] = first.without_states()
    if not first_runs:
        raise Refuse(
            f"strategy {subject.strategy.name} failed on every sampled symbol; the first: {failures[0]}"
        )
    return again, observe, first_runs, failures


def _judge_observed(check: Check, symbol: str, run: Trace) -> None:
    """Add to `check` the first number that is not finite, and the first of the state that was changed."""
    observed = run.observed
    check.compared(engaged=len(observed.rows) > 0)
    for what, found in (("observation", observed.not_finite()), ("feature", observed.changed)):
        if found is not None:
            check.add(_finding(symbol, what, found, run.bars[observed.rows[found.row]], None))


def _later_runs(
    subject: _Subject,
    first_runs: dict[int, Trace],
    rng: random.Random,
    truncations: int,
    on_progress: OnProgress | None,
) -> tuple[Check, Check, Check]:
    """Run the symbols in reverse, whole, cut and moved; return the checks prefix, order and calendar."""
    prefix, order, calendar = Check(name="prefix"), Check(name="order"), Check(name="calendar")
    share = -(-truncations // len(first_runs))
    for done, index in enumerate(reversed(first_runs), start=1):
        bars, opens = subject.bars(index), subject.panel.candles.of(index)["timestamp"]
        whole = _compare(subject, order, index, first_runs[index], partial(subject.run, bars))
        if whole is not None:
            for cut in _cuts(rng, opens, subject.panel.timeframe, share):
                _compare_cut(subject, prefix, index, whole, cut)
            _compare_moved(subject, calendar, index, whole)
        if on_progress is not None:
            on_progress("audit", done, len(first_runs))
    return prefix, order, calendar


def _compare(
    subject: _Subject,
    check: Check,
    index: int,
    whole: Trace,
    rerun: Callable[[], Trace],
    cut: int | None = None,
) -> Trace | None:
    """Run again, and add to `check` the first feature and the first decision that are not the same.

    It returns what was run, None where the step raised.
    """
    symbol = subject.panel.symbols[index]
    try:
        other = rerun()
    except AgentError:
        raise
    except (Exception, SystemExit) as error:
        check.compared(engaged=True)
        check.add(_finding(symbol, "step", Difference(0, "raised", "nothing", _sentence(error)), None, cut))
        return None
    check.compared(engaged=_enters(other.signals))
    bars = np.arange(len(whole.bars))
    for what, first, second, rows in (
        ("feature", whole.states, other.states, bars[:: whole.every]),
        ("decision", whole.signals, other.signals, bars),
        ("observation", whole.observed.numbers, other.observed.numbers, whole.observed.rows),
    ):
        found = first_difference(first, second)
        if found is not None:
            check.add(_finding(symbol, what, found, whole.bars[rows[found.row]], cut))
            if what == "decision":  # what was observed is then of other entries
                break
    return other


def _compare_cut(subject: _Subject, check: Check, index: int, whole: Trace, cut: int) -> None:
    """Compare a run over all bars with one over those that had closed at `cut`."""
    part = cut_panel(pick_symbols(subject.panel, [index]), cut)
    bars = bars_of(part, subject.strategy, 0)
    shown = first_difference(whole.bars, bars)
    if shown is not None:
        check.compared(engaged=True)
        bar = whole.bars[shown.row]
        check.add(_finding(subject.panel.symbols[index], "bar", shown, bar, cut))
        return
    _compare(subject, check, index, whole, lambda: subject.run(bars, every=whole.every), cut)


def _compare_moved(subject: _Subject, check: Check, index: int, whole: Trace) -> None:
    """Compare decisions with those on the same bars under other dates; a state may well hold dates."""
    moved = moved_panel(pick_symbols(subject.panel, [index]), _SHIFT_MS)
    bars = bars_of(moved, subject.strategy, 0)
    _compare(subject, check, index, whole.without_states(), lambda: subject.run(bars).without_states())


def _compiled(
    subject: _Subject, index: int, plain: Tracer, resimulate: Resimulate, compile_cache: Path
) -> Check:
    """Compare compiled with plain execution of one symbol: features, decisions and money."""
    check = Check(name="compiled")
    bars = subject.bars(index)
    whole = subject.run(bars)
    _compare(subject, check, index, whole, partial(plain, bars))
    panel = pick_symbols(subject.panel, [index])
    simulations = [resimulate(panel, cache) for cache in (compile_cache, None)]
    last = int(panel.timeline[-1]) + panel.timeframe.ms
    check.compared(engaged=len(simulations[0].trades) > 0)
    for found in account_differences(simulations[0], simulations[1], last):
        check.add(_account_finding(found))
    return check


def _account(panel: Panel, rng: random.Random, cuts: int, resimulate: Callable[[Panel], Simulation]) -> Check:
    """Compare the account's entries, exits and equity with those of simulations that end earlier."""
    check = Check(name="account")
    whole = resimulate(panel)
    for cut in _cuts(rng, panel.timeline, panel.timeframe, cuts):
        part = cut_panel(panel, cut)
        until = undisturbed_until(panel, part)
        check.compared(engaged=bool((whole.trades["entry_time"] <= until).any()))
        try:
            differences = list(account_differences(whole, resimulate(part), until))
        except Refuse as error:  # the step raises on every symbol, though not on all their bars
            check.add(_finding(None, "step", Difference(0, "raised", "nothing", str(error)), None, cut))
            break
        for found in differences:
            check.add(_account_finding(found, cut))
        if check.findings:  # one difference leads to others
            break
    return check


def _foresight(subject: _Subject, runs: dict[int, Trace]) -> Check:
    """Count how often price went the way of the entries, some bars later."""
    check = Check(name="foresight")
    for horizon in HORIZONS:
        right, judged = 0, 0
        for run in runs.values():
            deciding = run.bars["timeframe_ms"] == subject.panel.timeframe.ms
            counts = entries_judged(run.signals["entry"][deciding], run.bars["close"][deciding], horizon)
            right, judged = right + counts[0], judged + counts[1]
        check.compared(engaged=judged > 0)
        if is_too_good(right, judged):
            ahead = Difference(
                0,
                f"{horizon} bar{'s' * (horizon > 1)} ahead",
                f"{right} of {judged} entries right",
                "about half are by chance",
            )
            check.add(_finding(None, "foresight", ahead, None, None))
            break
    return check


def _cuts(rng: random.Random, opens: NDArray[np.int64], timeframe: Timeframe, count: int) -> list[int]:
    """Return up to `count` closes (ms UTC, ascending) that are not the last."""
    closes = range(len(opens) - 1)
    return [int(opens[row]) + timeframe.ms for row in sorted(rng.sample(closes, min(count, len(closes))))]


def _enters(signals: NDArray[np.void]) -> bool:
    return bool((signals["entry"] != 0).any())


def _finding(
    symbol: str | None, what: str, found: Difference, bar: np.void | None, cut: int | None
) -> Finding:
    return Finding(
        symbol=symbol,
        timeframe=None if bar is None else _NAMES[int(bar["timeframe_ms"])],
        bar=None if bar is None else utc_text(int(bar["timestamp"])),
        what=what,
        field=found.field,
        whole=found.first,
        other=found.second,
        cut=None if cut is None else utc_text(cut),
    )


def _account_finding(found: AccountDifference, cut: int | None = None) -> Finding:
    return Finding(
        symbol=found.symbol,
        timeframe=None,
        bar=utc_text(found.time),
        what=found.what,
        field=found.field,
        whole=found.whole,
        other=found.part,
        cut=None if cut is None else utc_text(cut),
    )


def _sentence(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())

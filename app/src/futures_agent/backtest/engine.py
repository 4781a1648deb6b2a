"""The engine: strategy steps over every symbol's candles, then one portfolio over all of them.

Deciding and trading are two passes, because a strategy sees candles and nothing of the account. Both run
the live trader's source; given a compile cache, through numba, with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from futures_agent.backtest.panel import Panel, Series, end_to_end
from futures_agent.backtest.portfolio import ACCOUNT, POSITION, TERMS, Book, Market, run_portfolio
from futures_agent.backtest.records import EQUITY, TRADE, Simulation
from futures_agent.clock import utc_text
from futures_agent.compiled import Compiled, bind, is_kernel, kernel
from futures_agent.errors import AgentError, Refuse
from futures_agent.execution.funding import SETTLEMENT, settlements
from futures_agent.execution.rounding import rules_of
from futures_agent.market.candle import CANDLE
from futures_agent.plain import run_plain
from futures_agent.risk.sizing import Rejection, limits_of
from futures_agent.settings.tree import CostSettings, RiskSettings
from futures_agent.strategy.strategy import BAR, SIGNAL, Strategy

OnProgress = Callable[[str, int, int], None]  # stage, symbols done, symbols in all


def simulate(
    panel: Panel,
    strategy: Strategy,
    params: Mapping[str, Any],
    *,
    risk: RiskSettings,
    costs: CostSettings,
    initial_equity: float,
    compile_cache: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Simulation:
    """Simulate `strategy` over `panel` with one shared account.

    Parameters
    ----------
    params : mapping
        The strategy's parameters, over its defaults.
    initial_equity : float
        Quote units.
    compile_cache : Path, optional
        Where compiled kernels are kept. Without it everything runs as plain Python, some hundred times
        slower. A strategy whose step is not a kernel always does.
    on_progress : callable, optional
        Called with ("signals", symbols done, symbols in all) after each symbol.

    Returns
    -------
    Simulation
        A symbol on which the strategy raised is left out; the warnings say so.

    Raises
    ------
    Refuse
        Bad parameters, or a strategy that fails on every symbol.
    """
    chosen = strategy.read_params(params)
    signals, failures = _decide(panel, strategy, chosen, compile_cache, on_progress)
    funding, assumed = _settlements(panel, costs)
    timeline = panel.timeline
    market = Market(
        timeline=timeline,
        candles=panel.candles.records,
        offsets=panel.candles.offsets,
        signals=signals,
        rules=rules_of(panel.instruments),
        settlements=funding.records,
        settlement_offsets=funding.offsets,
        finer=panel.finer.records,
        finer_offsets=panel.finer.offsets,
    )
    book = _empty_book(market, initial_equity)
    _run(run_portfolio, compile_cache)(market, book, _terms(panel, risk, costs), limits_of(risk))
    trades = book.trades[: int(book.account["trades"][0])].copy()
    rejections = {Rejection(code).name: int(count) for code, count in enumerate(book.rejections) if count}
    warnings = [*panel.warnings, *failures, *assumed]
    if not len(trades):
        warnings.append(_why_no_trades(int(np.count_nonzero(signals["entry"])), rejections))
    return Simulation(
        symbols=panel.symbols,
        timeframe=panel.timeframe.name,
        initial_equity=initial_equity,
        trades=trades,
        equity=book.equity,
        rejections=rejections,
        candles=panel.candle_count,
        warnings=tuple(warnings),
    )


@kernel
def step_through(bars: Any, state: Any, params: Any, signals: Any) -> None:
    """Call the strategy's step once per bar; `state` and `params` are arrays of one record."""
    for row in range(len(bars)):
        strategy_step(state[0], bars[row], params[0], signals[row])


@kernel
def strategy_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """Stand for the step of the strategy under test, which `bind` puts here."""
    raise NotImplementedError


def _decide(
    panel: Panel,
    strategy: Strategy,
    params: NDArray[np.void],
    compile_cache: Path | None,
    on_progress: OnProgress | None,
) -> tuple[NDArray[np.void], list[str]]:
    """Return one SIGNAL per candle of the panel, and a warning per failure."""
    signals = np.zeros(len(panel.candles.records), SIGNAL)
    run = _run(
        bind(step_through, strategy_step=strategy.step),
        compile_cache if is_kernel(strategy.step) else None,
    )
    failures: list[str] = []
    for index, symbol in enumerate(panel.symbols):
        bars = _bars(panel, strategy, index)
        decided = np.zeros(len(bars), SIGNAL)
        try:
            run(bars, np.zeros(1, strategy.state), params, decided)
            decided = decided[bars["timeframe_ms"] == panel.timeframe.ms]
            _require_sound(decided, panel.candles.of(index)["timestamp"])
            signals[panel.candles.offsets[index] : panel.candles.offsets[index + 1]] = decided
        except AgentError:  # refused, or told to stop
            raise
        except Exception as error:  # a user's code may raise anything; the other symbols go on
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            failures.append(f"left out, strategy {strategy.name} failed on {symbol}: {reason}")
        if on_progress is not None:
            on_progress("signals", index + 1, len(panel.symbols))
    if len(failures) == len(panel.symbols):
        raise Refuse(f"strategy {strategy.name} failed on every symbol; the first: {failures[0]}")
    return signals, failures


def _run(function: Callable[..., Any], compile_cache: Path | None) -> Callable[..., Any]:
    return partial(run_plain, function) if compile_cache is None else Compiled(function, compile_cache)


def _bars(panel: Panel, strategy: Strategy, index: int) -> NDArray[np.void]:
    """Return one symbol's bars of all the strategy's timeframes in order of close, higher ones first."""
    wanted = [(panel.timeframe, panel.candles)]
    wanted += [(timeframe, panel.higher[timeframe]) for timeframe in strategy.timeframes]
    parts = []
    for timeframe, series in wanted:
        part = np.zeros(len(series.of(index)), BAR)
        for name in CANDLE.names or ():
            part[name] = series.of(index)[name]
        part["timeframe_ms"] = timeframe.ms
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    bars = np.concatenate(parts)
    return bars[np.lexsort([-bars["timeframe_ms"], bars["timestamp"] + bars["timeframe_ms"]])]


def _require_sound(signals: NDArray[np.void], times: NDArray[np.int64]) -> None:
    """Refuse to trade on distances that are negative or no numbers, and on sides other than +1, 0, −1."""
    sound = np.abs(signals["entry"]) <= 1
    for name in ("stop_distance", "target_distance"):
        sound &= np.isfinite(signals[name]) & (signals[name] >= 0)
    if not sound.all():
        row = int(np.argmin(sound))
        raise ValueError(f"impossible signal {signals[row]} on the bar of {utc_text(int(times[row]))}")


def _settlements(panel: Panel, costs: CostSettings) -> tuple[Series, list[str]]:
    """Return the funding instants of every symbol, and a warning where rates had to be assumed."""
    nothing = np.zeros(0, SETTLEMENT)
    if not costs.funding:
        return end_to_end([nothing] * len(panel.symbols)), []
    parts, counts = [], []
    for index, symbol in enumerate(panel.symbols):
        times = panel.candles.of(index)["timestamp"]
        part, assumed = settlements(
            panel.funding.get(symbol, nothing),
            int(times[0]),
            int(times[-1]) + 1,
            costs.funding_fallback_bps / 10_000,
        )
        parts.append(part)
        counts.append(assumed)
    warnings = []
    if sum(counts):
        warnings.append(
            f"funding rates not recorded at {sum(counts)} of {sum(map(len, parts))} instants "
            f"({np.count_nonzero(counts)} of {len(counts)} symbols): "
            f"{costs.funding_fallback_bps:g} bps per 8 h charged to either side there"
        )
    return end_to_end(parts), warnings


def _terms(panel: Panel, risk: RiskSettings, costs: CostSettings) -> NDArray[np.void]:
    terms = np.zeros(1, TERMS)
    terms["maker_fee"] = costs.maker_fee_bps / 10_000
    terms["taker_fee"] = costs.taker_fee_bps / 10_000
    terms["slippage"] = costs.slippage_bps / 10_000
    terms["leverage"] = risk.max_leverage
    terms["timeframe_ms"] = panel.timeframe.ms
    terms["finer_ms"] = panel.finer_timeframe.ms if panel.finer_timeframe else 0
    return terms


def _empty_book(market: Market, initial_equity: float) -> Book:
    symbols = len(market.rules)
    account = np.zeros(1, ACCOUNT)
    account["cash"] = account["equity"] = initial_equity
    return Book(
        account=account,
        positions=np.zeros(symbols, POSITION),
        rows=np.full(symbols, -1, np.int64),
        next_rows=market.offsets[:-1].copy(),
        trades=np.zeros(int(np.count_nonzero(market.signals["entry"])), TRADE),
        equity=np.zeros(len(market.timeline), EQUITY),
        rejections=np.zeros(len(Rejection), np.int64),
    )


def _why_no_trades(entries: int, rejections: Mapping[str, int]) -> str:
    if not entries:
        return "no trades: the strategy gave no entry signal"
    refused = ", ".join(f"{name} {count}" for name, count in rejections.items()) or "none"
    return f"no trades: {entries} entry signals, refused: {refused}"

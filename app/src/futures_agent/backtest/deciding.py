"""Deciding: the strategy's step over every symbol's candles, to one signal per candle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from futures_agent.backtest.panel import Panel
from futures_agent.clock import utc_text
from futures_agent.compiled import bind, is_kernel, kernel, runner
from futures_agent.errors import AgentError, Refuse
from futures_agent.market.candle import CANDLE
from futures_agent.strategy.strategy import BAR, SIGNAL, Strategy

OnProgress = Callable[[str, int, int], None]  # stage, symbols done, symbols in all


@kernel
def step_through(bars: Any, state: Any, params: Any, signals: Any) -> None:
    """Call the strategy's step once per bar; `state` and `params` are arrays of one record."""
    for row in range(len(bars)):
        strategy_step(state[0], bars[row], params[0], signals[row])


@kernel
def strategy_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """Stand for the step of the strategy under test, which `bind` puts here."""
    raise NotImplementedError


def decide(
    panel: Panel,
    strategy: Strategy,
    params: NDArray[np.void],
    compile_cache: Path | None,
    on_progress: OnProgress | None,
) -> tuple[NDArray[np.void], list[str]]:
    """Run the strategy over every symbol's candles.

    Returns
    -------
    ndarray of SIGNAL, shape (candles,)
        One per candle of the panel.
    list of str
        A warning per symbol on which the strategy raised: it gives no signal there.

    Raises
    ------
    Refuse
        The strategy failed on every symbol.
    """
    signals = np.zeros(len(panel.candles.records), SIGNAL)
    run = runner(
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

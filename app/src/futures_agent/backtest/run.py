"""A backtest as the settings say: candles from the database, through the engine, to a simulated run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import apsw
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from futures_agent.backtest.deciding import OnProgress
from futures_agent.backtest.engine import simulate
from futures_agent.backtest.inputs import input_readers
from futures_agent.backtest.panel import Panel, ReadCandles, build_panel, load_panel
from futures_agent.backtest.records import Simulation
from futures_agent.clock import DAY_MS
from futures_agent.errors import Refuse
from futures_agent.market.candle import CANDLE
from futures_agent.market.instrument import Instrument
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import Settings
from futures_agent.store.candles import read_candles
from futures_agent.store.database import open_reader
from futures_agent.store.instruments import read_instruments
from futures_agent.store.sentiment import read_funding
from futures_agent.strategy.registry import load_strategy
from futures_agent.strategy.strategy import Strategy


class BacktestRun(Struct, frozen=True):
    """A simulated run, and everything it was simulated from.

    Parameters
    ----------
    simulation : Simulation
    panel : Panel
    strategy : Strategy
    params : ndarray of the strategy's `params_dtype`, shape (1,)
        The parameters that were really used.
    """

    simulation: Simulation
    panel: Panel
    strategy: Strategy
    params: NDArray[np.void]


def compile_cache_of(settings: Settings) -> Path:
    """Return where compiled kernels are kept: `$NUMBA_CACHE_DIR`, or below the state directory."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    return Path(named) if named else settings.paths.state / "backtest" / "compiled"


def timeframes_of(settings: Settings) -> tuple[Timeframe, ...]:
    """Return the timeframes a run of `settings` reads: deciding, higher, and the next finer one stored.

    Raises
    ------
    Refuse
        Bad strategy name, or candles it needs are not collected.
    """
    strategy, timeframe = _strategy(settings)
    finer = _finer(settings, timeframe)
    return (timeframe, *strategy.timeframes, *([finer] if finer else []))


def run_backtest(
    settings: Settings,
    *,
    database: Path,
    start_ms: int,
    end_ms: int,
    symbols: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> BacktestRun:
    """Backtest the strategy, risk and costs of `settings` over [start_ms, end_ms), ms UTC.

    Parameters
    ----------
    database : Path
        Opened read-only.
    symbols : sequence of str, optional
        What to trade, in this order; without it all that the settings follow. Whoever judged the candles
        names those that are good.
    notes : sequence of str
        What a reader of the result must know first: they come before the warnings of the run itself.
    on_progress : callable, optional
        Called with (stage, symbols done, symbols in all); stages are "load", then "signals".

    Raises
    ------
    Refuse
        Bad strategy name or parameters, no symbols, no candles, or an unwritable compile cache.
    Retry, Corrupt
        The database cannot be read.
    """
    strategy, timeframe = _strategy(settings)
    params = strategy.read_params(settings.strategy.params)  # a typo is told before anything is loaded
    db = open_reader(database, settings.database)
    try:
        panel = _load(db, settings, symbols, strategy, timeframe, (start_ms, end_ms), on_progress)
    finally:
        db.close()
    simulation = _simulate(panel, strategy, settings, on_progress)
    simulation = replace(simulation, warnings=(*notes, *simulation.warnings))
    return BacktestRun(simulation, panel, strategy, params)


def warm_up(settings: Settings) -> Path:
    """Compile everything a nightly run of `settings` needs, as the user who will run it.

    Returns
    -------
    Path
        The compile cache that is warm now.

    Raises
    ------
    Refuse
        Bad strategy name or parameters, or an unwritable compile cache.
    """
    strategy, timeframe = _strategy(settings)
    candles = np.ones(2, CANDLE)
    candles["timestamp"] = [DAY_MS, DAY_MS + timeframe.ms]
    symbol = settings.data.symbols[0]
    panel = build_panel(
        {symbol: candles},
        {symbol: _ANY_INSTRUMENT},
        timeframe,
        higher={higher: {symbol: candles[:0]} for higher in strategy.timeframes},
    )
    _simulate(panel, strategy, settings, None)
    return compile_cache_of(settings)


_ANY_INSTRUMENT = Instrument(
    symbol="ANY",
    status="TRADING",
    tick_size=0.01,
    step_size=0.01,
    min_quantity=0.01,
    max_quantity=1.0,
    min_notional=1.0,
    price_precision=2,
    quantity_precision=2,
    liquidation_fee=0.0,
    onboard_ms=0,
    tradable=True,
)


def _simulate(
    panel: Panel, strategy: Strategy, settings: Settings, on_progress: OnProgress | None
) -> Simulation:
    return simulate(
        panel,
        strategy,
        settings.strategy.params,
        risk=settings.risk,
        costs=settings.costs,
        initial_equity=settings.backtest.initial_equity,
        compile_cache=compile_cache_of(settings),
        on_progress=on_progress,
    )


def _strategy(settings: Settings) -> tuple[Strategy, Timeframe]:
    strategy, timeframe = load_strategy(settings.strategy.name), Timeframe[settings.strategy.timeframe]
    for needed in (timeframe, *strategy.timeframes):
        if needed not in settings.data.frames:
            raise Refuse(
                f"strategy {strategy.name}: needs {needed.name} candles; add {needed.name} to data.timeframes"
            )
    lower = [needed.name for needed in strategy.timeframes if needed.ms <= timeframe.ms]
    if lower:
        raise Refuse(
            f"strategy.timeframe: {timeframe.name} must be below all that strategy {strategy.name} "
            f"follows besides ({', '.join(lower)})"
        )
    return strategy, timeframe


def _finer(settings: Settings, timeframe: Timeframe) -> Timeframe | None:
    """Return the timeframe that decides what happened first within a bar of `timeframe`."""
    below = (each for each in settings.data.frames if each.ms < timeframe.ms)
    return max(below, key=lambda each: each.ms, default=None)


def _load(
    db: apsw.Connection,
    settings: Settings,
    symbols: Sequence[str] | None,
    strategy: Strategy,
    timeframe: Timeframe,
    period: tuple[int, int],
    on_progress: OnProgress | None,
) -> Panel:
    instruments = read_instruments(db)
    if symbols is None:
        symbols = settings.data.followed(instruments)

    def reader(of: Timeframe) -> ReadCandles:
        return lambda symbol: read_candles(db, of, [symbol], *period)[symbol]

    finer = _finer(settings, timeframe)
    return load_panel(
        symbols,
        instruments,
        timeframe,
        read={each: reader(each) for each in (timeframe, *strategy.timeframes)},
        finer=(finer, reader(finer)) if finer else None,
        funding=read_funding(db, symbols, *period) if settings.costs.funding else {},
        inputs=input_readers(db, strategy, strategy.read_params(settings.strategy.params), period),
        on_symbol=lambda done: on_progress("load", done, len(symbols)) if on_progress else None,
    )

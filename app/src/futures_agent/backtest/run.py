"""A backtest as the settings say: candles from the database, through the engine, to a simulated run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from futures_agent.backtest.deciding import OnProgress, zone_drawer
from futures_agent.backtest.engine import simulate
from futures_agent.backtest.inputs import input_readers
from futures_agent.backtest.loading import Frames, Period, load_candles, require_known
from futures_agent.backtest.panel import Panel, build_panel, load_panel
from futures_agent.backtest.records import Simulation
from futures_agent.clock import DAY_MS, utc_text
from futures_agent.errors import Refuse
from futures_agent.market.candle import CANDLE
from futures_agent.market.instrument import Instrument
from futures_agent.market.quality import Oddity
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import Settings
from futures_agent.store.database import database_errors, open_reader
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


def run_backtest(
    settings: Settings,
    *,
    database: Path,
    period: Period,
    symbols: Sequence[str] | None = None,
    exchanges_own: AbstractSet[Oddity] = frozenset(),
    on_progress: OnProgress | None = None,
) -> BacktestRun:
    """Backtest the strategy, risk and costs of `settings` over `period`.

    Parameters
    ----------
    database : Path
        Opened read-only.
    symbols : sequence of str, optional
        What a person wants traded, in this order; without it all that the settings follow.
    exchanges_own : set of Oddity
        Contradictions in the candles that are no fault, from `health.data.read_exchanges_own`.
    on_progress : callable, optional
        Called with (stage, symbols done, symbols in all); stages are "load", then "signals".

    Returns
    -------
    BacktestRun
        The warnings of its simulation begin with the symbols that were left out or end early.

    Raises
    ------
    Blocked
        The candles of a period that ends now are not good.
    Refuse
        Bad strategy name or parameters, unknown or no symbols, no candles, or an unwritable compile cache.
    Retry, Corrupt
        The database cannot be read.
    """
    strategy, frames = _strategy(settings)
    params = strategy.read_params(settings.strategy.params)  # a typo is told before anything is loaded
    with database_errors(database), closing(open_reader(database, settings.database)) as db:
        instruments = read_instruments(db)
        if symbols is not None:
            require_known(symbols, instruments)
        wanted = settings.data.followed(instruments) if symbols is None else symbols
        loaded = load_candles(
            db,
            settings.data,
            wanted,
            instruments,
            frames,
            period,
            exchanges_own=exchanges_own,
            on_symbol=lambda done: on_progress("load", done, len(wanted)) if on_progress else None,
        )
        span = (period.start_ms, period.end_ms)
        panel = load_panel(
            loaded.symbols,
            instruments,
            frames.deciding,
            # Taken out of `loaded`: the panel is a copy, and there is not memory for two.
            read={each: loaded.candles[each].pop for each in (frames.deciding, *frames.higher)},
            finer=(frames.finer, loaded.candles[frames.finer].pop) if frames.finer else None,
            funding=read_funding(db, loaded.symbols, *span) if settings.costs.funding else {},
            inputs=input_readers(db, strategy, params, span),
        )
    simulation = simulate_panel(panel, strategy, settings, compile_cache_of(settings), on_progress)
    warnings = sorted((*loaded.notes, *simulation.warnings, *_begins_late(panel, period)), key=_rank)
    simulation = replace(simulation, warnings=tuple(warnings))
    return BacktestRun(simulation, panel, strategy, params)


def _begins_late(panel: Panel, period: Period) -> list[str]:
    """Warn of a run that is shorter than it was asked for: a verdict on few days weighs less."""
    first = int(panel.timeline[0])
    if first - period.start_ms < DAY_MS:
        return []
    return [f"candles begin {utc_text(first)}, not {utc_text(period.start_ms)}: the run is that much shorter"]


def _rank(warning: str) -> int:
    """Return the place of a warning: what makes the whole run worthless comes before what costs a symbol."""
    first = ("no trades", "left out, strategy", "the drawdown kill switch", "left out")
    return next((place for place, start in enumerate(first) if warning.startswith(start)), len(first))


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
    strategy, frames = _strategy(settings)
    timeframe = frames.deciding
    candles = np.ones(2, CANDLE)
    candles["timestamp"] = [DAY_MS, DAY_MS + timeframe.ms]
    symbol = settings.data.symbols[0]
    panel = build_panel(
        {symbol: candles},
        {symbol: _ANY_INSTRUMENT},
        timeframe,
        higher={higher: {symbol: candles[:0]} for higher in strategy.timeframes},
    )
    cache = compile_cache_of(settings)
    simulate_panel(panel, strategy, settings, cache)
    zone_drawer(panel, strategy, strategy.read_params(settings.strategy.params), cache)(0)
    return cache


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


def simulate_panel(
    panel: Panel,
    strategy: Strategy,
    settings: Settings,
    compile_cache: Path | None,
    on_progress: OnProgress | None = None,
) -> Simulation:
    """Simulate with the parameters, risk and costs of `settings`; see `engine.simulate`."""
    return simulate(
        panel,
        strategy,
        settings.strategy.params,
        risk=settings.risk,
        costs=settings.costs,
        initial_equity=settings.backtest.initial_equity,
        compile_cache=compile_cache,
        on_progress=on_progress,
    )


def _strategy(settings: Settings) -> tuple[Strategy, Frames]:
    """Return the strategy and the timeframes a run of it reads, all of which are collected."""
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
    below = [each for each in settings.data.frames if each.ms < timeframe.ms]
    finer = max(below, key=lambda each: each.ms, default=None)
    return strategy, Frames(timeframe, strategy.timeframes, finer)

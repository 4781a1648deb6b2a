"""What a report needs to draw any symbol of a run: its candles and zones, packed, and a benchmark.

A year of hourly candles of 60 symbols takes 2.5 MB (3.3 MB as the base64 of a report) and 0.2 s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from futures_agent.backtest.deciding import zone_drawer
from futures_agent.backtest.packing import LARGEST, pack
from futures_agent.backtest.panel import Panel, Series
from futures_agent.backtest.records import Simulation
from futures_agent.backtest.run import BacktestRun
from futures_agent.clock import MINUTE_MS
from futures_agent.errors import AgentError
from futures_agent.market.candle import CANDLE, Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.strategy.strategy import ZONE

Which = Literal["all", "traded", "none"]

MAX_CANDLES = 600_000  # of all symbols together; beyond it the candles of a report are coarser
MAX_ZONES = 2_000  # of one symbol; beyond it the newest of each kind are kept
_VOLUME_STEPS = 254
_MOST_DECIMALS = 10
_DIGITS = 9  # of the lowest price, where no number of decimals gives the prices exactly


class SymbolChart(msgspec.Struct, frozen=True):
    """One symbol, packed as `packing.pack` does it; `assets/unpack.js` reads it.

    Prices are integers in units of 10^−`decimals`: that division gives back the very prices of the
    database (rounded to nine digits where those are no decimal numbers).

    The columns of `candles`, each but the first relative to its own or the previous candle:

    - timeframes since the previous candle (1 where none is missing; 0 at the first)
    - open − previous close (the first: the open itself)
    - close − open
    - high − max(open, close)
    - min(open, close) − low
    - volume: 0, or 1 + its place among 254 equal steps of log(volume) from `volume_log[0]` to `[1]`

    The columns of `zones`, in order of start, times in timeframes of the chart:

    - kind; the zone's timeframe in minutes; start − previous start (the first: from `start`)
    - 1 + end − start, or 0 where nothing has ended it
    - top − previous top (the first: the top itself); top − bottom
    """

    symbol: str
    count: int
    start: int  # open time of the first candle, ms UTC
    decimals: int
    volume_log: tuple[float, float]
    candles: bytes
    zone_count: int
    zones_left_out: int
    zones_failed: str  # why the strategy could not draw here; mostly empty
    zones: bytes


class Charts(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report draws besides its numbers.

    `benchmark` is what `buy_and_hold` returns, at each of `times`, the points of the simulation's curve.
    """

    timeframe: str  # of the candles
    timeframe_ms: int
    zone_kinds: tuple[str, ...]
    symbols: tuple[SymbolChart, ...]
    times: NDArray[np.int64]
    benchmark: NDArray[np.float64]


def charts_of(run: BacktestRun, which: Which = "all", compile_cache: Path | None = None) -> Charts:
    """Return what draws `run`.

    Parameters
    ----------
    which : {"all", "traded", "none"}
        The symbols whose candles and zones are kept.
    compile_cache : Path, optional
        As `engine.simulate` has it, for the zones of the strategy.
    """
    panel, simulation = run.panel, run.simulation
    chosen = _chosen(simulation, which)
    timeframe = _timeframe_that_fits(panel, chosen)
    draw = zone_drawer(panel, run.strategy, run.params, compile_cache)
    symbols = []
    for index in chosen:
        zones, failure = _drawn(draw, index, len(run.strategy.zone_kinds))
        candles = _candles(panel, index, timeframe)
        symbols.append(_symbol_chart(panel.symbols[index], candles, timeframe, zones, failure))
    return Charts(
        timeframe=timeframe.name,
        timeframe_ms=timeframe.ms,
        zone_kinds=run.strategy.zone_kinds,
        symbols=tuple(symbols),
        times=simulation.equity["timestamp"],
        benchmark=buy_and_hold(panel.candles, simulation, panel.timeframe),
    )


def _chosen(simulation: Simulation, which: Which) -> list[int]:
    if which == "none":
        return []
    if which == "traded":
        return [int(index) for index in np.unique(simulation.trades["symbol"])]
    return list(range(len(simulation.symbols)))


def _timeframe_that_fits(panel: Panel, chosen: Sequence[int]) -> Timeframe:
    """Return the finest timeframe, from the panel's own up, of which there are not too many candles."""
    count = sum(len(panel.candles.of(index)) for index in chosen)
    coarser = sorted((each for each in Timeframe if each.ms >= panel.timeframe.ms), key=lambda each: each.ms)
    for timeframe in coarser:
        if count * panel.timeframe.ms <= MAX_CANDLES * timeframe.ms:
            return timeframe
    return coarser[-1]


def _drawn(draw: Callable[[int], NDArray[np.void]], index: int, kinds: int) -> tuple[NDArray[np.void], str]:
    """Return a symbol's zones; none, and why, where the strategy fails: a report is made all the same."""
    try:
        zones = draw(index)
        _require_drawable(zones, kinds)
    except AgentError:
        raise
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        return np.zeros(0, ZONE), " ".join(f"{type(error).__name__}: {error}".split())
    return zones, ""


def _require_drawable(zones: NDArray[np.void], kinds: int) -> None:
    """Refuse zones of no kind, and those whose prices are no numbers or upside down."""
    sound = (zones["kind"] >= 0) & (zones["kind"] < kinds) & (zones["bottom"] <= zones["top"])
    sound &= np.isfinite(zones["top"]) & np.isfinite(zones["bottom"])
    if not sound.all():
        raise ValueError(f"impossible zone {zones[int(np.argmin(sound))]}")


def _candles(panel: Panel, index: int, timeframe: Timeframe) -> Candles:
    """Return a symbol's candles, joined to those of `timeframe`; what lacks a part has the rest."""
    candles = panel.candles.of(index)
    if timeframe is panel.timeframe:
        return candles
    opened = candles["timestamp"] - candles["timestamp"] % timeframe.ms
    first = np.flatnonzero(np.diff(opened, prepend=-1))
    joined = np.empty(len(first), CANDLE)
    joined["timestamp"], joined["open"] = opened[first], candles["open"][first]
    joined["high"] = np.maximum.reduceat(candles["high"], first)
    joined["low"] = np.minimum.reduceat(candles["low"], first)
    joined["close"] = candles["close"][np.append(first[1:], len(candles)) - 1]
    joined["volume"] = np.add.reduceat(candles["volume"], first)
    return joined


def _symbol_chart(
    symbol: str, candles: Candles, timeframe: Timeframe, zones: NDArray[np.void], failure: str
) -> SymbolChart:
    decimals, prices = _as_integers(candles)
    volume_log, volume = _volume_codes(candles["volume"])
    opened, high, low, close = prices
    steps = candles["timestamp"] // timeframe.ms
    columns = [
        np.diff(steps, prepend=steps[0]),
        opened - np.concatenate([[0], close[:-1]]),
        close - opened,
        high - np.maximum(opened, close),
        np.minimum(opened, close) - low,
        volume,
    ]
    kept = newest_zones(zones, MAX_ZONES)
    return SymbolChart(
        symbol=symbol,
        count=len(candles),
        start=int(candles["timestamp"][0]),
        decimals=decimals,
        volume_log=volume_log,
        candles=pack(columns),
        zone_count=len(kept),
        zones_left_out=len(zones) - len(kept),
        zones_failed=failure,
        zones=pack(_zone_columns(kept, int(steps[0]), timeframe, decimals)),
    )


def _as_integers(candles: Candles) -> tuple[int, NDArray[np.int64]]:
    """Return the fewest decimals that give every price exactly, and open, high, low, close in their units."""
    prices = np.stack([candles[name] for name in ("open", "high", "low", "close")])
    highest = float(prices.max())
    for decimals in range(_MOST_DECIMALS + 1):
        if highest * 10.0**decimals > LARGEST:
            break
        # A few prices refuse most of the numbers of decimals at once.
        if _exact(prices[:, :50], decimals) and _exact(prices, decimals):
            return decimals, _scaled(prices, decimals)
    room = math.floor(math.log10(LARGEST / highest))
    decimals = max(0, min(room, _DIGITS - 1 - math.floor(math.log10(float(prices[prices > 0].min())))))
    return decimals, _scaled(prices, decimals)


def _scaled(prices: NDArray[np.float64], decimals: int) -> NDArray[np.int64]:
    return np.rint(prices * 10.0**decimals).astype(np.int64)


def _exact(prices: NDArray[np.float64], decimals: int) -> bool:
    return bool((_scaled(prices, decimals) / 10.0**decimals == prices).all())


def _volume_codes(volume: NDArray[np.float64]) -> tuple[tuple[float, float], NDArray[np.int64]]:
    """Return the range of log(volume), and each volume's code: a bar on a chart needs no more digits."""
    codes = np.zeros(len(volume), np.int64)
    traded = volume > 0
    if not traded.any():
        return (0.0, 0.0), codes
    logs = np.log(volume[traded])
    low, high = float(logs.min()), float(logs.max())
    codes[traded] = 1 + np.rint((logs - low) / ((high - low) or 1.0) * _VOLUME_STEPS).astype(np.int64)
    return (low, high), codes


def newest_zones(zones: NDArray[np.void], limit: int) -> NDArray[np.void]:
    """Return at most `limit` zones in order of start: the same number of each kind, its newest."""
    zones = zones[np.argsort(zones["start"], kind="stable")]
    if len(zones) <= limit:
        return zones
    kinds, places = np.unique(zones["kind"], return_inverse=True)
    kept = np.zeros(len(zones), np.bool_)
    left = limit
    # The rarest kind first: what it does not use is there for the others.
    by_count = sorted(range(len(kinds)), key=lambda kind: int(np.count_nonzero(places == kind)))
    for done, kind in enumerate(by_count):
        rows = np.flatnonzero(places == kind)[-(left // (len(kinds) - done)) :]
        kept[rows] = True
        left -= len(rows)
    return zones[kept]


def _zone_columns(
    zones: NDArray[np.void], first_step: int, timeframe: Timeframe, decimals: int
) -> list[NDArray[np.int64]]:
    start, end = zones["start"] // timeframe.ms, zones["end"] // timeframe.ms
    top, bottom = _scaled(zones["top"], decimals), _scaled(zones["bottom"], decimals)
    return [
        zones["kind"],
        zones["timeframe_ms"] // MINUTE_MS,
        np.diff(start, prepend=first_step),
        np.where(zones["end"] > 0, 1 + end - start, 0),
        np.diff(top, prepend=0),
        top - bottom,
    ]


def buy_and_hold(series: Series, simulation: Simulation, timeframe: Timeframe) -> NDArray[np.float64]:
    """Return the equity of equal shares in all symbols, at each point of the simulation's curve.

    A symbol's share is cash until its first candle, is bought at that candle's open without costs, and
    stays at its last close after its last candle.

    Returns
    -------
    ndarray, shape (bars,)
    """
    times = simulation.equity["timestamp"] - timeframe.ms
    growth = np.zeros(len(times))
    symbols = len(series.offsets) - 1
    for index in range(symbols):
        candles = series.of(index)
        rows = np.searchsorted(candles["timestamp"], times, side="right") - 1
        growth += np.where(rows < 0, 1.0, candles["close"][rows] / candles["open"][0])
    return growth * (simulation.initial_equity / symbols)

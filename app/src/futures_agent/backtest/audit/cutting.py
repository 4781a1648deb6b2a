"""Panels made of a panel: cut at an instant, reduced to a few symbols, moved to another time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from futures_agent.backtest.panel import Panel, Series, end_to_end

Rows = NDArray[np.void]


def cut_panel(panel: Panel, until_ms: int) -> Panel:
    """Return what was known of `panel` at `until_ms` (ms UTC): bars closed, values published by then.

    Symbols without a bar of the deciding timeframe by then are left out.

    Raises
    ------
    ValueError
        No symbol has a bar by then.
    """

    def closed(length_ms: int) -> Callable[[Rows], Rows]:
        return lambda rows: rows[: np.searchsorted(rows["timestamp"], until_ms - length_ms, side="right")]

    finer_ms = panel.finer_timeframe.ms if panel.finer_timeframe else 0
    present = [
        index
        for index in range(len(panel.symbols))
        if len(panel.candles.of(index))
        and panel.candles.of(index)["timestamp"][0] <= until_ms - panel.timeframe.ms
    ]
    if not present:
        raise ValueError(f"no bar of {', '.join(panel.symbols)} had closed at {until_ms}")
    kept = pick_symbols(panel, present)
    return replace(
        kept,
        candles=_each(kept.candles, closed(panel.timeframe.ms)),
        higher={each: _each(series, closed(each.ms)) for each, series in kept.higher.items()},
        finer=_each(kept.finer, closed(finer_ms)),
        funding={name: rows[rows["timestamp"] <= until_ms] for name, rows in kept.funding.items()},
        inputs={
            name: tuple(rows[rows["available_at"] <= until_ms] for rows in each)
            for name, each in kept.inputs.items()
        },
    )


def pick_symbols(panel: Panel, indices: Sequence[int]) -> Panel:
    """Return `panel` with the symbols at `indices` alone, in that order."""

    def picked(series: Series) -> Series:
        return end_to_end([series.of(index) for index in indices])

    symbols = tuple(panel.symbols[index] for index in indices)
    return replace(
        panel,
        symbols=symbols,
        candles=picked(panel.candles),
        instruments=tuple(panel.instruments[index] for index in indices),
        higher={each: picked(series) for each, series in panel.higher.items()},
        finer=picked(panel.finer),
        funding={name: panel.funding[name] for name in symbols if name in panel.funding},
        inputs={name: tuple(each[index] for index in indices) for name, each in panel.inputs.items()},
    )


def moved_panel(panel: Panel, by_ms: int) -> Panel:
    """Return the same market `by_ms` later; whole weeks keep the hours and the days of the week."""

    def moved(rows: Rows) -> Rows:
        later = rows.copy()
        for name in {"timestamp", "available_at"} & set(rows.dtype.names or ()):
            later[name] += by_ms
        return later

    return replace(
        panel,
        candles=_each(panel.candles, moved),
        higher={each: _each(series, moved) for each, series in panel.higher.items()},
        finer=_each(panel.finer, moved),
        funding={name: moved(rows) for name, rows in panel.funding.items()},
        inputs={name: tuple(map(moved, each)) for name, each in panel.inputs.items()},
    )


def _each(series: Series, change: Callable[[Rows], Rows]) -> Series:
    return end_to_end([change(series.of(index)) for index in range(len(series.offsets) - 1)])

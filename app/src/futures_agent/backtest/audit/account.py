"""Whether an account that knows the future trades as one that does not: two simulations compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from futures_agent.backtest.audit.differing import first_difference
from futures_agent.backtest.panel import Panel
from futures_agent.backtest.records import Simulation


class Resimulate(Protocol):
    """How the simulation that is audited is made: compiled into a cache, or plain where there is none."""

    def __call__(self, panel: Panel, compile_cache: Path | None) -> Simulation: ...


_KNOWN_AT_ENTRY = (
    "symbol",
    "side",
    "quantity",
    "entry_time",
    "entry_price",
    "stop_price",
    "target_price",
    "reasons",
)


class AccountDifference(Struct, frozen=True):
    """The first entry, exit or equity value at which two simulations differ."""

    what: str  # entry, exit, equity
    symbol: str | None  # None: equity
    time: int  # of the entry, the exit, or the close that the equity is of; ms UTC
    field: str
    whole: bool | int | float | str
    part: bool | int | float | str


def undisturbed_until(whole: Panel, part: Panel) -> int:
    """Return the open time (ms UTC) of the first bar at whose end the cut itself disturbs the account.

    Where the candles of a symbol end, the engine closes its position: at a cut this is no decision.
    """
    last_opens = []
    for index, symbol in enumerate(part.symbols):
        known = part.candles.of(index)["timestamp"]
        if len(whole.candles.of(whole.symbols.index(symbol))) > len(known):
            last_opens.append(int(known[-1]))
    return min(last_opens, default=int(part.candles.records["timestamp"].max()))


def account_differences(whole: Simulation, part: Simulation, until_ms: int) -> Iterator[AccountDifference]:
    """Yield how entries, exits and equity of `part` differ from those of `whole`, at most one of each.

    Parameters
    ----------
    whole, part : Simulation
        Over all that is known today, and over what was known at a cut.
    until_ms : int
        From `undisturbed_until`: compared are entries up to it, exits and equity before it.
    """
    wholes, parts = whole.trades, _renumbered(part, whole.symbols)
    entries = [
        np.sort(trades[trades["entry_time"] <= until_ms], order=["entry_time", "symbol"])
        for trades in (wholes, parts)
    ]
    yield from _first(
        whole.symbols, "entry", "entry_time", *(each[list(_KNOWN_AT_ENTRY)] for each in entries)
    )
    exits = [trades[trades["exit_time"] < until_ms] for trades in (wholes, parts)]
    yield from _first(whole.symbols, "exit", "exit_time", *exits)
    equity = [curve[curve["timestamp"] <= until_ms] for curve in (whole.equity, part.equity)]
    yield from _first(whole.symbols, "equity", "timestamp", *equity)


def _renumbered(part: Simulation, symbols: tuple[str, ...]) -> NDArray[np.void]:
    """Return the trades of `part` with the places that its symbols have among `symbols`."""
    trades = part.trades.copy()
    if len(trades):
        trades["symbol"] = np.array([symbols.index(name) for name in part.symbols])[trades["symbol"]]
    return trades


def _first(
    symbols: tuple[str, ...], what: str, time: str, whole: NDArray[np.void], part: NDArray[np.void]
) -> Iterator[AccountDifference]:
    found = first_difference(whole, part)
    if found is not None:
        row = min(whole[found.row], part[found.row], key=lambda each: each[time])
        yield AccountDifference(
            what, _symbol(symbols, row), int(row[time]), found.field, found.first, found.second
        )
    elif len(whole) != len(part):
        longer = max(whole, part, key=len)
        row = longer[min(len(whole), len(part))]
        said = ("there", "none") if longer is whole else ("none", "there")
        yield AccountDifference(what, _symbol(symbols, row), int(row[time]), "trade", *said)


def _symbol(symbols: tuple[str, ...], row: np.void) -> str | None:
    return symbols[int(row["symbol"])] if "symbol" in (row.dtype.names or ()) else None

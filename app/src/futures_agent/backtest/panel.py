"""The panel: candles of many symbols side by side, flat in memory, holes and late listings allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from futures_agent.clock import utc_text
from futures_agent.errors import Refuse
from futures_agent.market.candle import Candles
from futures_agent.market.instrument import Instrument
from futures_agent.market.timeframe import Timeframe

# A candle of the finer timeframe, reduced to what decides between stop and target: M15 is four times H1.
# The order of its fields keeps numba from taking a CANDLE for a kind of FINER.
FINER = np.dtype([("open", np.float64), ("high", np.float64), ("low", np.float64), ("timestamp", np.int64)])

ReadCandles = Callable[[str], Candles]  # symbol → its candles of one timeframe
ReadInput = Callable[[str], NDArray[np.void]]  # symbol → what was published of one input, PUBLISHED


class Series(Struct, frozen=True):
    """One record array per symbol, stored end to end: no copy per symbol, no padding for holes.

    Parameters
    ----------
    records : ndarray, shape (rows,)
    offsets : ndarray of int64, shape (symbols + 1,)
        Rows of symbol s are [offsets[s], offsets[s + 1]).
    """

    records: NDArray[np.void]
    offsets: NDArray[np.int64]

    def of(self, index: int) -> NDArray[np.void]:
        """Return a view of the rows of the symbol at `index`."""
        return self.records[self.offsets[index] : self.offsets[index + 1]]


class Panel(Struct, frozen=True, kw_only=True):
    """Everything a simulation needs to know about the past.

    Parameters
    ----------
    symbols : tuple of str
        In the order in which they compete for the shared account.
    timeframe : Timeframe
        The one that decides and fills.
    candles : Series of CANDLE
    instruments : tuple of Instrument
        One per symbol.
    higher : dict of Timeframe to Series of CANDLE
        Further timeframes for the strategy.
    finer : Series of FINER
        Decides which of stop and target came first within a bar; may be empty.
    finer_timeframe : Timeframe, optional
        That of `finer`.
    funding : dict of str to ndarray with fields timestamp, rate
        Recorded funding rates; symbols may be absent.
    inputs : dict of str to tuple of ndarray of PUBLISHED
        By name of the strategy's input, one array per symbol; inputs may be absent.
    warnings : tuple of str
        What a person should know about the data.
    """

    symbols: tuple[str, ...]
    timeframe: Timeframe
    candles: Series
    instruments: tuple[Instrument, ...]
    higher: dict[Timeframe, Series]
    finer: Series
    finer_timeframe: Timeframe | None
    funding: dict[str, NDArray[np.void]]
    inputs: dict[str, tuple[NDArray[np.void], ...]] = {}
    warnings: tuple[str, ...] = ()

    @property
    def timeline(self) -> NDArray[np.int64]:
        """Open times, ms UTC ascending, at which any symbol has a candle."""
        steps = self.candles.records["timestamp"] // self.timeframe.ms
        first = int(steps.min())
        present: NDArray[np.int64] = np.flatnonzero(np.bincount(steps - first)) + first
        return present * self.timeframe.ms

    @property
    def candle_count(self) -> int:
        """Candles of all timeframes a simulation steps through."""
        higher = sum(len(series.records) for series in self.higher.values())
        return len(self.candles.records) + len(self.finer.records) + higher


def build_panel(
    candles: Mapping[str, Candles],
    instruments: Mapping[str, Instrument],
    timeframe: Timeframe,
    *,
    higher: Mapping[Timeframe, Mapping[str, Candles]] | None = None,
    finer: tuple[Timeframe, Mapping[str, Candles]] | None = None,
    funding: Mapping[str, NDArray[np.void]] | None = None,
    inputs: Mapping[str, ReadInput] | None = None,
) -> Panel:
    """Build a panel from candles already in memory; the arguments are those of `load_panel`.

    Raises
    ------
    Refuse
        No candle at all, candles out of order, or open times off the timeframe's grid.
    """
    return load_panel(
        tuple(candles),
        instruments,
        timeframe,
        read={
            timeframe: candles.__getitem__,
            **{each: series.__getitem__ for each, series in (higher or {}).items()},
        },
        finer=(finer[0], finer[1].__getitem__) if finer else None,
        funding=funding or {},
        inputs=inputs,
    )


def load_panel(
    symbols: Sequence[str],
    instruments: Mapping[str, Instrument],
    timeframe: Timeframe,
    *,
    read: Mapping[Timeframe, ReadCandles],
    finer: tuple[Timeframe, ReadCandles] | None = None,
    funding: Mapping[str, NDArray[np.void]],
    inputs: Mapping[str, ReadInput] | None = None,
    on_symbol: Callable[[int], None] | None = None,
) -> Panel:
    """Read the candles of `symbols` one by one into a panel; peak memory is the panel and one symbol.

    Symbols without candles or without a known instrument are left out, with a warning.

    Parameters
    ----------
    read : mapping of Timeframe to callable
        How to read `timeframe` itself and each higher timeframe.
    finer : pair of Timeframe and callable, optional
        What decides within a bar, and how to read it.
    inputs : mapping of str to callable, optional
        How to read each of the strategy's inputs.
    on_symbol : callable, optional
        Called with the number of symbols read so far.

    Raises
    ------
    Refuse
        No symbol, no candle or no instrument at all, candles out of order, or open times off the grid.
    """
    if not symbols:
        raise Refuse("no symbols to simulate; check data.symbols and the last data-validation")
    unknown = [symbol for symbol in symbols if symbol not in instruments]
    if len(unknown) == len(symbols):
        raise Refuse(f"exchange filters unknown for all {len(symbols)} symbols; run data-sync")
    found: dict[str, Candles] = {}
    for count, symbol in enumerate(symbols, start=1):
        if symbol in instruments:
            found[symbol] = _in_order(symbol, timeframe, read[timeframe](symbol))
        if on_symbol is not None:
            on_symbol(count)
    empty = [symbol for symbol, candles in found.items() if not len(candles)]
    kept = tuple(symbol for symbol in found if symbol not in empty)
    if not kept:
        raise Refuse(
            f"no {timeframe.name} candles of any of the {len(symbols)} symbols; run data-sync, "
            "or check data.symbols and the period"
        )
    main = end_to_end([found.pop(symbol) for symbol in kept])
    return Panel(
        symbols=kept,
        timeframe=timeframe,
        candles=main,
        instruments=tuple(instruments[symbol] for symbol in kept),
        higher={
            each: end_to_end([_in_order(symbol, each, reader(symbol)) for symbol in kept])
            for each, reader in read.items()
            if each is not timeframe
        },
        finer=end_to_end([_reduced(symbol, finer) for symbol in kept]),
        finer_timeframe=finer[0] if finer else None,
        funding={symbol: funding[symbol] for symbol in kept if symbol in funding},
        inputs={name: tuple(reader(symbol) for symbol in kept) for name, reader in (inputs or {}).items()},
        warnings=tuple(_left_out(unknown, "exchange filters unknown") + _left_out(empty, "no candles")),
    )


def _reduced(symbol: str, finer: tuple[Timeframe, ReadCandles] | None) -> NDArray[np.void]:
    if finer is None:
        return np.zeros(0, FINER)
    timeframe, read = finer
    candles = _in_order(symbol, timeframe, read(symbol))
    reduced = np.empty(len(candles), FINER)
    for name in FINER.names or ():
        reduced[name] = candles[name]
    return reduced


def _left_out(symbols: Sequence[str], reason: str) -> list[str]:
    return [f"left out, {reason}: {', '.join(symbols)}"] if symbols else []


def _in_order(symbol: str, timeframe: Timeframe, candles: Candles) -> Candles:
    times = candles["timestamp"]
    wrong = times % timeframe.ms != 0
    wrong[1:] |= np.diff(times) <= 0
    if wrong.any():
        at = utc_text(int(times[int(np.argmax(wrong))]))
        raise Refuse(f"{symbol}: {timeframe.name} candle at {at} is off the grid or out of order")
    return candles


def end_to_end(parts: list[NDArray[np.void]]) -> Series:
    """Join `parts`, letting go of each once it is copied, so that two copies never exist at once."""
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    joined = np.empty(int(offsets[-1]), parts[0].dtype)
    for index in range(len(parts)):
        joined[offsets[index] : offsets[index + 1]] = parts[index]
        parts[index] = joined[:0]
    return Series(joined, offsets)

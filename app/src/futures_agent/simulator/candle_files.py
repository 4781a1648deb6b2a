"""Reading files of candles into arrays, with one clear line for each thing that can be wrong."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from futures_agent.clock import parse_utc
from futures_agent.errors import Refuse
from futures_agent.market.candle import FULL_CANDLE, Candles
from futures_agent.market.timeframe import Timeframe

REQUIRED = ("symbol", "open_time", "open", "high", "low", "close", "volume")
OPTIONAL = ("quote_volume", "trades")
INTERVAL_COLUMN = "interval"
_SUFFIXES = (".parquet", ".csv", ".csv.gz")
_INTERVALS = {timeframe.value: timeframe for timeframe in Timeframe}
# Intervals of the exchange that are not served; a folder may hold them, they are passed over.
_OTHER_INTERVALS = frozenset("1m 3m 5m 30m 2h 6h 8h 12h 3d 1w 1M".split())
_EARLIEST_MS, _LATEST_MS = parse_utc("2009-01-01"), parse_utc("2100-01-01")


def read_candle_files(
    path: Path, *, symbols: Sequence[str], first_ms: int | None, last_ms: int | None
) -> dict[str, dict[Timeframe, Candles]]:
    """Return the candles of a data set by symbol and timeframe (FULL_CANDLE, sorted).

    Where the files say nothing, quote_volume is NaN and trades is −1; taker volumes are zero.

    Raises
    ------
    Refuse
        Nothing there, columns missing, unknown interval, unreadable or senseless contents.
    """
    found: dict[str, dict[Timeframe, Candles]] = {}
    for file in _files(path):
        frame = _read(file, symbols, first_ms, last_ms)
        for (symbol, timeframe), rows in _groups(file, frame):
            if timeframe in found.setdefault(symbol, {}):
                raise Refuse(f"{file}: {symbol} {timeframe.value} is also in another file; keep one of them")
            found[symbol][timeframe] = _candles(file, symbol, timeframe, rows)
    absent = [symbol for symbol in symbols if symbol not in found]
    if absent:
        raise Refuse(f"{path}: no candles of {', '.join(absent)}; choose symbols and dates that it holds")
    if not found:
        raise Refuse(f"{path}: holds no candles, at least not in the range of dates asked for")
    return dict(sorted(found.items()))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if not path.name.endswith(_SUFFIXES):
            raise Refuse(f"{path}: not a data set; expected a file {', '.join(_SUFFIXES)}")
        return [path]
    if not path.is_dir():
        raise Refuse(
            f"{path}: no such file or folder; a data set is a file of candles or a folder of klines_*"
        )
    files = [
        file
        for file in sorted(path.iterdir())
        if file.name.startswith("klines") and file.name.endswith(_SUFFIXES)
    ]
    served = [file for file in files if _interval_in(file) not in _OTHER_INTERVALS]
    if not served:
        raise Refuse(
            f"{path}: no candles; expected files such as klines_1h.parquet or klines_4h.csv.gz "
            f"(intervals {', '.join(_INTERVALS)})"
        )
    return served


def _interval_in(file: Path) -> str | None:
    """Return the interval that a file's name tells, as it is written there; one of the exchange's if any."""
    words = re.findall(r"(?:^|[_.-])(\d+[A-Za-z]+)(?=[_.-]|$)", file.name)
    intervals = [word for word in words if word in _INTERVALS or word in _OTHER_INTERVALS]
    return next(iter(intervals or words), None)


def _read(file: Path, symbols: Sequence[str], first_ms: int | None, last_ms: int | None) -> Any:
    """Return a data frame of the needed columns and rows; the file is read once, and no wider than that."""
    parquet = file.name.endswith(".parquet")
    try:
        import pandas as pd

        if parquet:
            import pyarrow.parquet

            present = pyarrow.parquet.read_schema(file).names
        else:
            present = list(pd.read_csv(file, nrows=0).columns)
        _check_columns(file, present)
        wanted = [name for name in (*REQUIRED, *OPTIONAL, INTERVAL_COLUMN) if name in present]
        if parquet:
            filters: list[tuple[str, str, Any]] = [("symbol", "in", list(symbols))] if symbols else []
            filters += [("open_time", ">=", first_ms)] if first_ms is not None else []
            filters += [("open_time", "<=", last_ms)] if last_ms is not None else []
            return pd.read_parquet(file, columns=wanted, filters=filters or None)
        frame = pd.read_csv(file, usecols=wanted, dtype={"symbol": str, INTERVAL_COLUMN: str})
        kept = np.ones(len(frame), dtype=bool)
        if symbols:
            kept &= frame["symbol"].isin(symbols).to_numpy()
        if first_ms is not None:
            kept &= (frame["open_time"] >= first_ms).to_numpy()
        if last_ms is not None:
            kept &= (frame["open_time"] <= last_ms).to_numpy()
        return frame[kept]
    except ImportError as error:
        raise Refuse(
            f"{file}: needs pandas and pyarrow: install the extra `analysis` ({error.name})"
        ) from None
    except (OSError, ValueError, TypeError, NotImplementedError, EOFError, zlib.error) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Refuse(f"{file}: cannot read the candles: {reason}") from None


def _check_columns(file: Path, present: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in present]
    if missing:
        raise Refuse(
            f"{file}: columns missing: {', '.join(missing)}; candles need {', '.join(REQUIRED)} "
            f"(and may have {', '.join(OPTIONAL)})"
        )
    if INTERVAL_COLUMN not in present and _interval_in(file) not in _INTERVALS:
        named = _interval_in(file)
        what = f"unknown interval {named!r}" if named else "no interval in the file's name"
        raise Refuse(
            f"{file}: {what}; name it like klines_1h, or add a column interval: {', '.join(_INTERVALS)}"
        )


def _groups(file: Path, frame: Any) -> list[tuple[tuple[str, Timeframe], Any]]:
    """Split a file's rows by symbol and timeframe."""
    for name in ("symbol", INTERVAL_COLUMN):
        if name in frame.columns and frame[name].isna().any():
            raise Refuse(f"{file}: column {name}: empty in some rows; fill them in")
    if INTERVAL_COLUMN not in frame.columns:
        timeframe = _INTERVALS[str(_interval_in(file))]
        return [((str(symbol), timeframe), rows) for symbol, rows in frame.groupby("symbol")]
    groups = []
    for (symbol, interval), rows in frame.groupby(["symbol", INTERVAL_COLUMN]):
        if interval in _OTHER_INTERVALS:
            continue
        if interval not in _INTERVALS:
            raise Refuse(f"{file}: column interval: unknown {interval!r}; served are {', '.join(_INTERVALS)}")
        groups.append(((str(symbol), _INTERVALS[interval]), rows))
    return groups


def _candles(file: Path, symbol: str, timeframe: Timeframe, rows: Any) -> Candles:
    """Return one series, checked: on the time grid, each time once, prices that can be."""
    where = f"{file}: {symbol} {timeframe.value}"
    columns = {name: _column(where, rows, name) for name in REQUIRED[1:]}
    times = columns.pop("open_time")
    if not np.all((times >= _EARLIEST_MS) & (times < _LATEST_MS) & (times % timeframe.ms == 0)):
        raise Refuse(f"{where}: open_time must be milliseconds UTC on the {timeframe.value} grid")
    candles = np.zeros(len(rows), dtype=FULL_CANDLE)
    candles["timestamp"] = times
    for name, values in columns.items():
        candles[name] = values
    unknown = np.full(len(rows), np.nan)
    quote, trades = (_column(where, rows, name) if name in rows else unknown for name in OPTIONAL)
    candles["quote_volume"], candles["trades"] = quote, np.where(np.isfinite(trades), trades, -1)
    if not _sane(candles) or np.any((quote < 0) | np.isinf(quote) | (trades < 0) | np.isinf(trades)):
        raise Refuse(f"{where}: a price or volume is missing, negative or outside low…high; correct the file")
    candles = candles[np.argsort(times, kind="stable")]
    if np.any(np.diff(candles["timestamp"]) == 0):
        raise Refuse(f"{where}: the same open_time occurs twice; remove the duplicates")
    return candles


def _sane(candles: Candles) -> bool:
    """Say whether every open and close lies in a positive low…high and every volume is a number >= 0."""
    low, high, volume = candles["low"], candles["high"], candles["volume"]
    bodies = [(low <= candles[name]) & (candles[name] <= high) for name in ("open", "close")]
    return bool(
        np.all((low > 0) & np.isfinite(high) & (volume >= 0) & np.isfinite(volume) & bodies[0] & bodies[1])
    )


def _column(where: str, rows: Any, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        values: np.ndarray[Any, np.dtype[np.float64]] = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise Refuse(f"{where}: column {name}: not numbers") from None
    return values

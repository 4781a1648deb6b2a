"""Which files hold candles, and what their names and columns tell.

Two layouts are known. *Named columns*: symbol, open_time (ms UTC), open, high, low, close, volume (base
units), and where known quote_volume, trades, taker_buy_volume, taker_buy_quote_volume; other columns are
ignored; the timeframe stands in the name (klines_1h.parquet) or in a column `interval`. *Archive*: the twelve
columns of the exchange's public downloads, in their order, with or without a header line; symbol and interval
stand in the name (BTCUSDT-1h-2025-01.zip).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from futures_agent.errors import Refuse
from futures_agent.market.timeframe import Timeframe

PRICES = ("open", "high", "low", "close")
REQUIRED = ("open_time", *PRICES, "volume")
OPTIONAL = ("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
SYMBOL, INTERVAL = "symbol", "interval"
WANTED = (SYMBOL, INTERVAL, *REQUIRED, *OPTIONAL)
# https://github.com/binance/binance-public-data; `close_time` and `ignore` say nothing new.
ARCHIVE_COLUMNS = (*REQUIRED, "close_time", *OPTIONAL, "ignore")
SUFFIXES = (".parquet", ".csv", ".csv.gz", ".zip")
INTERVALS = {timeframe.value: timeframe for timeframe in Timeframe}
# Intervals of the exchange that are not kept; folders may hold them, they are passed over.
OTHER_INTERVALS = frozenset("1s 1m 3m 5m 30m 2h 6h 8h 12h 3d 1w 1M 1mo".split())
_ARCHIVE_NAME = re.compile(r"([^\W_]+)-(\d+[a-zA-Z]+)-\d{4}-\d{2}(?:-\d{2})?\.(?:zip|csv|csv\.gz)")
# The exchange's symbols have no lower-case letters and no separators; some are not ASCII.
_SYMBOL = re.compile(r"(?=.*[^\W\d_])[^\W_a-z]{3,40}")

Series = tuple[str, Timeframe]


class CandleFile(msgspec.Struct, frozen=True):
    """A file, and what its name tells about its rows."""

    path: Path
    symbol: str | None = None
    interval: str | None = None


def is_symbol(text: str) -> bool:
    """Say whether `text` is written as the exchange writes a perpetual's symbol."""
    return _SYMBOL.fullmatch(text) is not None


def in_order(series: Iterable[Series]) -> list[Series]:
    """Return each series once, by symbol and then from long timeframes to short ones."""
    return sorted(set(series), key=lambda one: (one[0], -one[1].ms))


def find_candle_files(paths: Sequence[Path]) -> list[CandleFile]:
    """Return the files of candles that `paths` name or contain.

    Of a folder (and those in it) only files named klines… or as in the exchange's archive are taken, and none
    of an interval that is not kept; a file that is named itself is taken whatever its name.

    Raises
    ------
    Refuse
        Nothing there, no permission, an unknown suffix, an interval that is not kept.
    """
    files: dict[Path, CandleFile] = {}
    for path in paths:
        try:
            found = _in_folder(path) if path.is_dir() else [_named(path)]
        except OSError as error:
            raise Refuse(f"{path}: cannot look there: {error.strerror}; run as a user who may") from None
        files.update((file.path.resolve(), file) for file in found)
    return list(files.values())


def _named(path: Path) -> CandleFile:
    if not path.is_file():
        raise Refuse(f"{path}: no such file or folder; name a file of candles or a folder of them")
    if not path.name.endswith(SUFFIXES):
        raise Refuse(f"{path}: not a file of candles; expected {', '.join(SUFFIXES)}")
    file = _described(path)
    if file.interval in OTHER_INTERVALS:
        raise Refuse(f"{path}: candles of {file.interval} are not kept; these are: {', '.join(INTERVALS)}")
    return file


def _in_folder(folder: Path) -> list[CandleFile]:
    found = [
        _described(path)
        for path in sorted(folder.rglob("*"))
        if path.name.endswith(SUFFIXES)
        and (path.name.startswith("klines") or _ARCHIVE_NAME.fullmatch(path.name))
        and path.is_file()
    ]
    kept = [file for file in found if file.interval not in OTHER_INTERVALS]
    if not kept:
        raise Refuse(
            f"{folder}: no candles; expected files such as klines_1h.parquet, klines_4h.csv.gz or "
            f"BTCUSDT-1h-2025-01.zip (intervals {', '.join(INTERVALS)})"
        )
    return kept


def _described(path: Path) -> CandleFile:
    archive = _ARCHIVE_NAME.fullmatch(path.name)
    if archive:
        return CandleFile(path, archive[1], archive[2])
    return CandleFile(path, None, _interval_in(path.name))


def _interval_in(name: str) -> str | None:
    """Return the interval that a file's name tells, as it is written there; one of the exchange's if any."""
    words: list[str] = re.findall(r"(?:^|[_.-])(\d+[A-Za-z]+)(?=[_.-]|$)", name)
    known = [word for word in words if word in INTERVALS or word in OTHER_INTERVALS]
    return next(iter(known or words), None)


def check_columns(file: CandleFile, present: Sequence[str]) -> list[str]:
    """Return which of the file's columns to read.

    Raises
    ------
    Refuse
        A column is missing, or neither name nor columns tell the symbol or the interval.
    """
    missing = [name for name in REQUIRED if name not in present]
    if SYMBOL not in present and file.symbol is None:
        missing.insert(0, SYMBOL)
    if missing:
        raise Refuse(
            f"{file.path}: columns missing: {', '.join(missing)}; candles need "
            f"{', '.join((SYMBOL, *REQUIRED))} (and may have {', '.join(OPTIONAL)})"
        )
    if INTERVAL not in present and file.interval not in INTERVALS:
        what = f"unknown interval {file.interval!r}" if file.interval else "no interval in the file's name"
        raise Refuse(
            f"{file.path}: {what}; name it like klines_1h, or add a column interval: {', '.join(INTERVALS)}"
        )
    wanted = [name for name in WANTED if name in present]
    twice = [name for name in wanted if present.count(name) > 1]
    if twice:
        raise Refuse(f"{file.path}: column {twice[0]} is there {present.count(twice[0])} times; keep one")
    return wanted

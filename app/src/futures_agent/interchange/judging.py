"""Judging rows of candles: which can be believed, and what is wrong with the others.

Each bad row is counted once, under the first kind that applies. What only shows when all rows of a series are
together (order, duplicates) is `settle`'s part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from futures_agent.clock import parse_utc
from futures_agent.errors import Refuse
from futures_agent.interchange.findings import Defect, Findings
from futures_agent.interchange.layout import (
    INTERVAL,
    INTERVALS,
    OPTIONAL,
    OTHER_INTERVALS,
    PRICES,
    REQUIRED,
    SYMBOL,
    CandleFile,
    Series,
    is_symbol,
)
from futures_agent.interchange.reading import Chunk
from futures_agent.market.candle import FULL_CANDLE, Candles
from futures_agent.market.timeframe import Timeframe

# A candle and where it was read. Unknown: trades −1, quote and taker volumes NaN.
ROW = np.dtype([*FULL_CANDLE.descr, ("file", np.int32), ("line", np.int64)])
Rows = NDArray[np.void]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_EARLIEST_MS, _LATEST_MS = parse_utc("2009-01-01"), parse_utc("2100-01-01")
_MICROSECONDS_FROM = 1e14  # larger than any time in ms, smaller than any in µs
_IN_MICROSECONDS = "open_time in microseconds, understood as such"
_NOT_KEPT = f"of an interval that is not kept, passed over (kept: {', '.join(INTERVALS)})"
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_SHOWN_CHARACTERS = 200
_DEFECTS = list(Defect)
_NO_SERIES = -1


class _Names(NamedTuple):
    """A column of few distinct texts: which ones, and which of them each row has (−1: none)."""

    texts: list[str]
    codes: NDArray[np.int64]


def judge(
    file: CandleFile, number: int, chunk: Chunk, findings: Findings, *, now_ms: int | None
) -> dict[Series, Rows]:
    """Return the good rows of a chunk by series (ROW, in the file's order), and count the others.

    Parameters
    ----------
    number : int
        Goes into the rows' field `file`.
    findings : Findings
        Takes the bad rows.
    now_ms : int, optional
        Exchange time, ms UTC: candles that have not closed by then are not good. Without it all have.

    Raises
    ------
    Refuse
        A column holds something that can never be a number.
    """
    symbols = _names(chunk, SYMBOL, file.symbol)
    intervals = _names(chunk, INTERVAL, file.interval)
    values, wrong = _numbers(file, chunk)
    known_symbol = np.array([*map(is_symbol, symbols.texts), False])[symbols.codes]
    known_interval = np.array([*(text in INTERVALS for text in intervals.texts), False])[intervals.codes]
    elsewhere = np.array([*(text in OTHER_INTERVALS for text in intervals.texts), False])[intervals.codes]
    length_ms = np.array([*(_length_ms(text) for text in intervals.texts), 1])[intervals.codes]
    times = values["open_time"]
    microseconds = times >= _MICROSECONDS_FROM
    values["open_time"] = np.where(microseconds, times / 1000, times)

    with np.errstate(invalid="ignore"):  # no number has no remainder
        kinds = _first_defect(values, wrong, length_ms, now_ms)
    kinds[~known_interval] = _DEFECTS.index(Defect.UNKNOWN_INTERVAL)
    kinds[~known_symbol] = _DEFECTS.index(Defect.UNKNOWN_SYMBOL)
    series = [(symbol, INTERVALS.get(text)) for symbol in symbols.texts for text in intervals.texts]
    of_row = np.where(
        known_symbol & known_interval, symbols.codes * len(intervals.texts) + intervals.codes, _NO_SERIES
    )
    kept = ~elsewhere  # rows of an interval that is not kept are neither good nor bad
    good = kept & (kinds == _GOOD)
    rows = _rows(values, chunk, good, number)
    found = {series[code]: rows[at] for code, at in _grouped(of_row[good])}
    _count(file, chunk, findings, series, of_row, np.where(kept, kinds, _GOOD))
    for remark, mask in ((_IN_MICROSECONDS, microseconds), (_NOT_KEPT, elsewhere)):
        if mask.any():
            findings.remarks[remark] += int(np.count_nonzero(mask))
    return found  # type: ignore[return-value]  # good rows have a timeframe


_GOOD = len(_DEFECTS)
_LARGEST_COUNT = 2.0**53  # beyond it a double no longer counts by ones


def _first_defect(
    values: dict[str, Floats], wrong: Mask, length_ms: NDArray[np.int64], now_ms: int | None
) -> NDArray[np.int64]:
    """Return for each row the number of the first kind of defect that it has; _GOOD without any."""
    times, low, high = values["open_time"], values["low"], values["high"]
    required = np.array([values[name] for name in REQUIRED])
    optional = np.array([values[name] for name in OPTIONAL])
    outside = (low > high) | np.any([(values[name] < low) | (values[name] > high) for name in PRICES], axis=0)
    tests: list[tuple[Defect, Any]] = [
        (Defect.NOT_A_NUMBER, wrong | (values["trades"] % 1 > 0) | (values["trades"] > _LARGEST_COUNT)),
        (Defect.MISSING, ~np.isfinite(required).all(axis=0) | np.isinf(optional).any(axis=0)),
        (Defect.NO_TIME, (times < _EARLIEST_MS) | (times >= _LATEST_MS)),
        (Defect.OFF_GRID, times % length_ms != 0),
        (Defect.NOT_POSITIVE, np.any([values[name] <= 0 for name in PRICES], axis=0)),
        (Defect.CONTRADICTION, outside),
        (Defect.NEGATIVE, (values["volume"] < 0) | np.any(optional < 0, axis=0)),
    ]
    if now_ms is not None:
        # A bar ahead of now is a clock's difference, or formed while it was downloaded.
        tests += [
            (Defect.FUTURE, times - length_ms > now_ms),
            (Defect.FORMING, times + length_ms > now_ms),
        ]
    kinds = np.full(len(times), _GOOD)
    for defect, mask in reversed(tests):
        kinds[mask] = _DEFECTS.index(defect)
    return kinds


def _length_ms(interval: str) -> int:
    return INTERVALS[interval].ms if interval in INTERVALS else 1


def _names(chunk: Chunk, name: str, of_file: str | None) -> _Names:
    """Return a column of texts; where there is none, what the file's name tells."""
    import pyarrow as pa
    from pyarrow import compute

    column = chunk.columns.get(name)
    if column is None:
        return _Names([of_file or ""], np.zeros(len(chunk.lines), dtype=np.int64))
    encoded = compute.dictionary_encode(column.cast(pa.string()))
    codes = compute.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return _Names(encoded.dictionary.to_pylist(), codes.astype(np.int64))


def _numbers(file: CandleFile, chunk: Chunk) -> tuple[dict[str, Floats], Mask]:
    """Return the columns of numbers, NaN where there is none, and which rows have something else there."""
    count = len(chunk.lines)
    wrong = np.zeros(count, dtype=bool)
    values = {}
    for name in (*REQUIRED, *OPTIONAL):
        if name in chunk.columns:
            values[name] = _column(f"{file.path}: column {name}", chunk.columns[name], wrong)
        else:
            values[name] = np.full(count, np.nan)
    return values, wrong


def _column(where: str, column: Any, wrong: Mask) -> Floats:
    import pyarrow as pa

    try:
        # Texts are parsed to the nearest double; whole numbers are exact up to 2**53.
        numbers = column.cast(pa.float64(), safe=False)
    except pa.ArrowNotImplementedError:
        raise Refuse(f"{where}: not numbers but {column.type}") from None
    except pa.ArrowInvalid:
        numbers = _parsed_one_by_one(column.to_pylist(), wrong)
    else:
        numbers = numbers.to_numpy(zero_copy_only=False)
    found: Floats = np.where(np.isnan(numbers), np.nan, numbers + 0.0)  # one NaN, one zero
    return found


def _parsed_one_by_one(texts: list[str | None], wrong: Mask) -> Floats:
    numbers = np.full(len(texts), np.nan)
    for i, text in enumerate(texts):
        if text is None:
            continue
        if _NUMBER.fullmatch(text):
            numbers[i] = float(text)
        else:
            wrong[i] = True
    return numbers


def _rows(values: dict[str, Floats], chunk: Chunk, good: Mask, number: int) -> Rows:
    rows = np.zeros(int(np.count_nonzero(good)), dtype=ROW)
    rows["timestamp"] = values["open_time"][good]
    for name in (*PRICES, "volume", *OPTIONAL):
        column = values[name][good]
        rows[name] = np.where(np.isnan(column), -1, column) if name == "trades" else column
    rows["file"], rows["line"] = number, chunk.lines[good]
    return rows


def _grouped(codes: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each code and where it stands, in order."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order])) + 1
    for at in np.split(order, starts):
        if len(at):
            yield int(codes[at[0]]), at


def _count(
    file: CandleFile,
    chunk: Chunk,
    findings: Findings,
    series: list[tuple[str, Timeframe | None]],
    of_row: NDArray[np.int64],
    kinds: NDArray[np.int64],
) -> None:
    """Enter the bad rows of a chunk into `findings`."""
    bad = np.flatnonzero(kinds != _GOOD)
    for code, at in _grouped(of_row[bad] * (_GOOD + 1) + kinds[bad]):
        of_series, kind = divmod(code, _GOOD + 1)
        where = None if of_series == _NO_SERIES else series[of_series]
        findings.add(where, _DEFECTS[kind], len(at), (_shown(file, chunk, bad[i]) for i in at))  # type: ignore[arg-type]
    texts = (f"{file.path.name}:{line}: {text[:_SHOWN_CHARACTERS]}" for line, text in chunk.misshapen)
    findings.add(None, Defect.COLUMN_COUNT, len(chunk.misshapen), texts)


def _shown(file: CandleFile, chunk: Chunk, i: int) -> str:
    """Return place and content of a row."""
    values = (column[i].as_py() for column in chunk.columns.values())
    texts = ("" if value is None else str(value) for value in values)
    return f"{file.path.name}:{chunk.lines[i]}: {','.join(texts)[:_SHOWN_CHARACTERS]}"


def settle(series: Series, rows: Rows, names: list[str], findings: Findings) -> Rows:
    """Return the rows of one whole series in order of time, each time once, and count what was not so.

    The same row twice is kept once. Of rows that contradict each other none is kept.

    Parameters
    ----------
    rows : ndarray of ROW, shape (n,)
        In reading order.
    names : list of str
        Name of each file, for examples.
    """
    times = rows["timestamp"]
    back = np.flatnonzero((np.diff(times) < 0) & (np.diff(rows["file"]) == 0)) + 1
    findings.add(series, Defect.DISORDER, len(back), (_place(rows[i], names) for i in back))
    rows = rows[np.argsort(times, kind="stable")]
    again = np.r_[False, np.diff(rows["timestamp"]) == 0]
    if not again.any():
        return rows
    contents = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), ROW.itemsize)
    contents = contents[:, : FULL_CANDLE.itemsize]
    differs = again & np.r_[False, np.any(contents[1:] != contents[:-1], axis=1)]
    group = np.cumsum(~again) - 1
    disputed = np.isin(group, group[differs])
    for defect, mask in ((Defect.DUPLICATE, again & ~disputed), (Defect.CONFLICT, disputed)):
        at = np.flatnonzero(mask)
        findings.add(series, defect, len(at), (_place(rows[i], names) for i in at))
    kept: Rows = rows[~again & ~disputed]
    return kept


def candles_of(rows: Rows) -> Candles:
    """Return the candles (FULL_CANDLE) of rows, without where they were read; unknown values stay marked."""
    candles: Candles = np.zeros(len(rows), dtype=FULL_CANDLE)
    for name in FULL_CANDLE.names or ():
        candles[name] = rows[name]
    return candles


def _place(row: np.void, names: list[str]) -> str:
    values = ",".join(str(row[name]) for name in FULL_CANDLE.names or ())
    return f"{names[row['file']]}:{row['line']}: {values}"

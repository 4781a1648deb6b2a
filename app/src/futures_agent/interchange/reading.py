"""Reading files of candles piece by piece: memory stays bounded however long a file is.

Nothing is judged here. Texts stay texts, so that a row that makes no sense can be shown as it was written.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from futures_agent.errors import Refuse
from futures_agent.interchange.layout import ARCHIVE_COLUMNS, CandleFile, check_columns

CSV_BLOCK_BYTES = 1024 * 1024  # Arrow needs about forty times this
PARQUET_BATCH_ROWS = 32_768
_MISSHAPEN_TEXTS = 100  # kept of a piece; only the first few are ever shown
_NULL_WORDS = ["", "null", "NULL", "None", "nan", "NaN", "NA", "N/A"]


class Chunk(NamedTuple):
    """Some rows of a file, in its order."""

    columns: dict[str, Any]  # name -> pyarrow array, each of n values
    lines: NDArray[np.int64]  # (n,) line of a CSV or row of a Parquet file, from 1
    misshapen: list[tuple[int, str]]  # line and text of rows with a wrong number of columns


def read_chunks(file: CandleFile) -> Iterator[Chunk]:
    """Yield the rows of a file of candles.

    Raises
    ------
    Refuse
        The file cannot be read, is cut off, or lacks columns.
    """
    with _readable(file):
        yield from _parquet_chunks(file) if file.path.name.endswith(".parquet") else _csv_chunks(file)


@contextmanager
def _readable(file: CandleFile) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise Refuse(f"{file.path}: needs pyarrow: install the extra `analysis` ({error.name})") from None
    except (OSError, ValueError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Refuse(f"{file.path}: cannot read the candles: {reason}") from None


def _parquet_chunks(file: CandleFile) -> Iterator[Chunk]:
    from pyarrow import parquet

    with parquet.ParquetFile(file.path, pre_buffer=False) as source:
        wanted = check_columns(file, source.schema_arrow.names)
        row = 1
        for batch in source.iter_batches(PARQUET_BATCH_ROWS, columns=wanted, use_threads=False):
            yield Chunk(_columns(batch, wanted), np.arange(row, row + batch.num_rows), [])
            row += batch.num_rows


def _csv_chunks(file: CandleFile) -> Iterator[Chunk]:
    import pyarrow as pa
    from pyarrow import csv

    names, header_lines = _csv_columns(file)
    wanted = check_columns(file, names)
    misshapen: list[tuple[int, str]] = []

    def note(row: Any) -> str:
        misshapen.append((row.number, row.text if len(misshapen) < _MISSHAPEN_TEXTS else ""))
        return "skip"

    with _open(file) as stream:
        reader = csv.open_csv(
            stream,
            # With threads there would be no line numbers.
            csv.ReadOptions(
                use_threads=False,
                block_size=CSV_BLOCK_BYTES,
                column_names=names,
                skip_rows=header_lines,
            ),
            csv.ParseOptions(invalid_row_handler=note, ignore_empty_lines=False),
            csv.ConvertOptions(
                column_types={name: pa.string() for name in wanted},
                include_columns=wanted,
                strings_can_be_null=True,
                null_values=_NULL_WORDS,
            ),
        )
        line = header_lines + 1
        for batch in reader:
            lines = _lines(line, batch.num_rows, [number for number, _ in misshapen])
            line = int(lines[-1]) + 1 if len(lines) else line
            before = [row for row in misshapen if row[0] < line]
            misshapen[:] = misshapen[len(before) :]
            yield _without_empty_lines(Chunk(_columns(batch, wanted), lines, before))
        if misshapen:
            nothing = pa.RecordBatch.from_pylist([], schema=reader.schema)
            yield Chunk(_columns(nothing, wanted), np.zeros(0, np.int64), misshapen)


def _columns(batch: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: batch.column(name) for name in names}


def _lines(first: int, count: int, misshapen: list[int]) -> NDArray[np.int64]:
    """Return the lines of `count` rows from line `first` on, those of misshapen rows left out."""
    return np.setdiff1d(np.arange(first, first + count + len(misshapen)), misshapen)[:count]


def _without_empty_lines(chunk: Chunk) -> Chunk:
    empty = np.ones(len(chunk.lines), dtype=bool)
    for column in chunk.columns.values():
        if column.null_count == 0:
            return chunk
        empty &= column.is_null().to_numpy(zero_copy_only=False)
    columns = {name: column.filter(~empty) for name, column in chunk.columns.items()}
    return Chunk(columns, chunk.lines[~empty], chunk.misshapen)


def _csv_columns(file: CandleFile) -> tuple[list[str], int]:
    """Return the names of a CSV's columns, and how many lines its header has."""
    with _open(file) as stream:
        first = stream.readline(65_536).decode("utf-8-sig")
    fields = [field.strip().strip('"') for field in first.split(",")]
    headless = fields[0].lstrip("-").replace(".", "", 1).isdecimal()
    if len(fields) == len(ARCHIVE_COLUMNS) and (headless or fields[0] == "open_time"):
        return list(ARCHIVE_COLUMNS), 0 if headless else 1
    if headless:
        raise Refuse(
            f"{file.path}: no header line, and {len(fields)} columns where the exchange's archive has "
            f"{len(ARCHIVE_COLUMNS)}; add a header line"
        )
    if not first.strip():
        raise Refuse(f"{file.path}: cannot read the candles: the file is empty, or begins with an empty line")
    return fields, 1


@contextmanager
def _open(file: CandleFile) -> Iterator[IO[bytes]]:
    """Open the CSV that a file is, or holds compressed."""
    if file.path.name.endswith(".gz"):
        with gzip.open(file.path) as unzipped:
            yield unzipped  # type: ignore[misc]  # GzipFile is an IO[bytes] in all but name
    elif file.path.name.endswith(".zip"):
        with zipfile.ZipFile(file.path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".csv")]
            if len(members) != 1:
                raise Refuse(f"{file.path}: holds {len(members)} CSV files; expected one")
            with archive.open(members[0]) as member:
                yield member
    else:
        with file.path.open("rb") as plain:
            yield plain

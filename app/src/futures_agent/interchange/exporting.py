"""Export: stored candles into files that import and the simulator read back to the bit."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import apsw
import msgspec
import numpy as np

from futures_agent.clock import utc_text
from futures_agent.errors import Refuse
from futures_agent.files import explain_os_error, sync_directory
from futures_agent.interchange.layout import INTERVAL, OPTIONAL, REQUIRED, SYMBOL
from futures_agent.market.candle import FULL_CANDLE, Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import Settings
from futures_agent.store.candles import read_candles
from futures_agent.store.database import database_errors, open_reader

Format = Literal["csv", "parquet"]
_MODE = 0o644
_NONE = np.zeros(0, dtype=FULL_CANDLE)


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for."""

    output: Path  # a folder, or a file with the format's suffix
    format: Format
    symbols: tuple[str, ...]
    timeframes: tuple[Timeframe, ...]
    first_ms: int  # open times in [first_ms, end_ms), ms UTC
    end_ms: int


class Exported(msgspec.Struct, frozen=True):
    """One file that was written."""

    path: Path
    candles: int


def export_candles(settings: Settings, request: ExportRequest) -> list[Exported]:
    """Write the chosen candles: one file per timeframe into a folder, or all of them into one file.

    A file appears whole or not at all; one of the same name is replaced.

    Raises
    ------
    Refuse
        Nothing stored of what was asked for, no database, pyarrow missing, no permission to write.
    Retry, Corrupt
        As `database_errors` says; the disk is full.
    """
    database = settings.paths.database
    with database_errors(database), closing(open_reader(database, settings.database)) as db:
        # One snapshot: what a job writes meanwhile is in none of the files, or in all.
        db.execute("BEGIN")
        return [
            _write(db, request, path, timeframes, with_interval=with_interval)
            for path, timeframes, with_interval in _files(request)
        ]


def _files(request: ExportRequest) -> list[tuple[Path, tuple[Timeframe, ...], bool]]:
    """Return path, timeframes, and whether a column must tell the timeframes apart, of each file."""
    suffix = f".{request.format}"
    output = request.output
    if output.name.endswith((".csv", ".parquet")) and not output.is_dir():
        if not output.name.endswith(suffix):
            raise Refuse(f"--output {output}: its suffix and --format {request.format} disagree")
        return [(output, request.timeframes, True)]
    return [
        (output / f"klines_{timeframe.value}{suffix}", (timeframe,), False)
        for timeframe in request.timeframes
    ]


def _write(
    db: apsw.Connection,
    request: ExportRequest,
    path: Path,
    timeframes: Sequence[Timeframe],
    *,
    with_interval: bool,
) -> Exported:
    """Write one file beside its place and move it there when it is whole."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            count = _write_rows(db, request, file, timeframes, with_interval=with_interval)
            if count == 0:
                span = f"{utc_text(request.first_ms)} … {utc_text(request.end_ms)}"
                frames = ", ".join(timeframe.name for timeframe in timeframes)
                raise Refuse(f"no {frames} candles stored of the symbols asked for in {span}")
            file.flush()
            os.fchmod(file.fileno(), _MODE)
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
        sync_directory(path.parent)
    except OSError as error:
        raise explain_os_error(error, path) from None
    except ImportError as error:
        raise Refuse(f"export needs pyarrow: install the extra `analysis` ({error.name})") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return Exported(path, count)


def _write_rows(
    db: apsw.Connection,
    request: ExportRequest,
    file: Any,
    timeframes: Sequence[Timeframe],
    *,
    with_interval: bool,
) -> int:
    """Write series by series, one in memory at a time; return the number of candles."""
    count = 0
    with _writer(file, request.format, _table("", timeframes[0], _NONE, with_interval).schema) as writer:
        for timeframe in timeframes:
            for symbol in request.symbols:
                candles = read_candles(
                    db, timeframe, [symbol], request.first_ms, request.end_ms, dtype=FULL_CANDLE
                )[symbol]
                if len(candles):
                    writer.write_table(_table(symbol, timeframe, candles, with_interval))
                count += len(candles)
    return count


def _table(symbol: str, timeframe: Timeframe, candles: Candles, with_interval: bool) -> Any:
    import pyarrow as pa

    columns: dict[str, Any] = {SYMBOL: pa.array([symbol] * len(candles), pa.string())}
    if with_interval:
        columns[INTERVAL] = pa.array([timeframe.value] * len(candles), pa.string())
    for name in (*REQUIRED, *OPTIONAL):
        columns[name] = pa.array(candles["timestamp" if name == "open_time" else name].copy())
    return pa.table(columns)


def _writer(file: Any, kind: Format, schema: Any) -> Any:
    if kind == "parquet":
        from pyarrow import parquet

        return parquet.ParquetWriter(file, schema, compression="zstd")
    from pyarrow import csv

    # Doubles are written with the fewest digits that read back to the same bits.
    return csv.CSVWriter(file, schema, write_options=csv.WriteOptions(quoting_header="none"))

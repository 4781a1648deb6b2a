"""Reading the small tables that a data set may have beside its candles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from futures_agent.errors import Refuse

Kind = Literal["string", "int64", "float64"]
_SUFFIXES = (".parquet", ".csv", ".csv.gz")


def read_rows(folder: Path, stem: str, columns: Mapping[str, Kind]) -> list[tuple[Any, ...]]:
    """Return the rows of `stem`.parquet, .csv or .csv.gz; none where the folder has no such file.

    Parameters
    ----------
    columns : mapping of str to str
        Those wanted, and what they hold; others are ignored. A blank is None.

    Raises
    ------
    Refuse
        The file cannot be read, lacks a column, or a column holds something else.
    """
    files = [folder / f"{stem}{suffix}" for suffix in _SUFFIXES if (folder / f"{stem}{suffix}").is_file()]
    if not files:
        return []
    try:
        table = _table(files[0], columns)
        return list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))
    except ImportError as error:
        raise Refuse(f"{files[0]}: needs pyarrow: install the extra `simulator` ({error.name})") from None
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Refuse(f"{files[0]}: not a table of {', '.join(columns)}: {reason}") from None


def _table(file: Path, columns: Mapping[str, Kind]) -> Any:
    import pyarrow as pa

    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in columns.items()])
    if file.suffix == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(file, columns=list(columns)).select(list(columns)).cast(schema)
    from pyarrow import csv

    options = csv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict(zip(schema.names, schema.types, strict=True)),
        null_values=["", "NaN", "nan"],
    )
    return csv.read_csv(file, convert_options=options)

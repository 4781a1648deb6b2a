"""The first place at which two arrays of records differ, in any bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

_ROWS_AT_ONCE = 512


class Difference(Struct, frozen=True):
    """The first row at which two record arrays differ, and the first field that does."""

    row: int
    field: str
    first: bool | int | float | str
    second: bool | int | float | str


def first_difference(first: NDArray[np.void], second: NDArray[np.void]) -> Difference | None:
    """Return where two record arrays of one dtype differ first, in any bit; None where they do not.

    Rows that only one of them has are not compared.
    """
    common = min(len(first), len(second))
    for start in range(0, common, _ROWS_AT_ONCE):
        one, other = (each[start : min(start + _ROWS_AT_ONCE, common)] for each in (first, second))
        if not np.array_equal(_bytes(one), _bytes(other)):
            found = _first_difference(one, other)
            if found is not None:  # otherwise it was the padding between fields
                return Difference(start + found.row, found.field, found.first, found.second)
    return None


def count_numbers(dtype: np.dtype[Any]) -> int:
    """Return how many numbers a record holds."""
    return sum(1 for _ in _columns(np.zeros(1, dtype)))


def _first_difference(first: NDArray[np.void], second: NDArray[np.void]) -> Difference | None:
    found: Difference | None = None
    for (name, one), (_, other) in zip(_columns(first), _columns(second), strict=True):
        differs = _bits(one) != _bits(other)
        if differs.any():
            row = int(np.argmax(differs))
            if found is None or row < found.row:
                found = Difference(row, name, one[row].item(), other[row].item())
    return found


def _columns(records: NDArray[np.void], path: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield (path, column) for every number in a record: nested fields with dots, arrays by index."""
    for name in records.dtype.names or ():
        column, where = records[name], f"{path}{name}"
        if column.dtype.names:
            yield from _columns(column, f"{where}.")
        elif column.ndim > 1:
            yield from ((f"{where}[{place}]", column[:, place]) for place in range(column.shape[1]))
        else:
            yield where, column


def _bytes(records: NDArray[np.void]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(records).view(np.uint8)


def _bits(column: NDArray[Any]) -> NDArray[Any]:
    """Return `column` so that `!=` compares bits: a NaN equals itself, and 0.0 is not −0.0."""
    return column.copy().view(np.int64) if column.dtype == np.float64 else column

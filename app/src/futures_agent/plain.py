"""Running a kernel as plain Python: records become objects, and are written back when it is done.

Reading a field of a NumPy record from Python costs about a microsecond, a Python attribute a tenth of
that; arrays within records become lists for the same reason. Arithmetic on Python floats gives the same
bits as compiled code, and a division by zero raises in both. That holds for fields as wide as Python's
own numbers: compiled code rounds or wraps what it stores into a narrower one, a plain object does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

_SAME_IN_BOTH = (np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.bool_))


def narrow_fields(dtype: np.dtype[Any]) -> Iterator[str]:
    """Yield "name (type)" for every field, however deep, that plain and compiled code may store differently.

    What is the same in both: float64, int64, bool, records, and arrays of one dimension of float64 or int64
    (numba knows no arrays of bool within a record).
    """
    for name in dtype.names or ():
        field = dtype[name]
        if field.names:
            yield from (f"{name}.{deeper}" for deeper in narrow_fields(field))
        elif field.base not in _SAME_IN_BOTH or field.ndim > 1 or (field.ndim and field.base == np.bool_):
            yield f"{name} ({field})"


class PlainRecord:
    """One record as a Python object: its fields are attributes, nested records are nested objects.

    A one-dimensional array of numbers within a record is a list.
    """

    __slots__: tuple[str, ...] = ()
    _dtypes: tuple[tuple[str, np.dtype[Any]], ...]

    def __init__(self, values: tuple[Any, ...]) -> None:
        for (name, dtype), value in zip(self._dtypes, values, strict=True):
            setattr(self, name, _plain_value(dtype, value))


def as_tuple(record: PlainRecord) -> tuple[Any, ...]:
    """Return the fields of `record` as NumPy wants to assign them."""
    found = (getattr(record, name) for name in record.__slots__)
    return tuple(as_tuple(value) if isinstance(value, PlainRecord) else value for value in found)


def _plain_value(dtype: np.dtype[Any], value: Any) -> Any:
    if dtype.names:
        return plain_type(dtype)(value)
    return value.tolist() if dtype.shape else value


@cache
def plain_type(dtype: np.dtype[Any]) -> type[PlainRecord]:
    """Return the class of plain objects with the fields of `dtype`."""
    names = dtype.names or ()
    return type(
        "Record",
        (PlainRecord,),
        {"__slots__": names, "_dtypes": tuple((name, dtype[name]) for name in names)},
    )


def run_plain(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call `function` with every record array among `arguments` (and in tuples) made of plain objects.

    What it wrote into them is in the arrays afterwards.
    """
    stands: list[_Rows] = []

    def stand_in(argument: Any) -> Any:
        if isinstance(argument, tuple):
            return type(argument)(*(stand_in(each) for each in argument))
        if isinstance(argument, np.ndarray):
            if argument.dtype.names is None:
                return argument
            stands.append(_Rows(argument))
            return stands[-1]
        return argument

    result = function(*(stand_in(argument) for argument in arguments))
    for rows in stands:
        rows.write_back()
    return result


class _Rows:
    """Stands for a one-dimensional record array; rows become objects when they are first asked for."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array
        self._type = plain_type(array.dtype)
        self._seen: dict[int, PlainRecord] = {}

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, row: int) -> PlainRecord:
        found = self._seen.get(row)
        if found is None:
            found = self._seen[row] = self._type(self._array[row].item())
        return found

    def __setitem__(self, row: int, record: PlainRecord) -> None:
        self._seen.pop(row, None)
        self._array[row] = as_tuple(record)

    def __iter__(self) -> Iterator[PlainRecord]:
        return (self[row] for row in range(len(self)))

    def write_back(self) -> None:
        for row, record in self._seen.items():
            self._array[row] = as_tuple(record)

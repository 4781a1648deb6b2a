"""What a step can reach besides its arguments: data in its module, in what it calls, or closed over."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Iterator, Sized
from enum import Enum
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

_CONSTANTS = (bool, int, float, complex, str, bytes, type(None), Enum, np.generic, np.dtype)
_LARGEST_TUPLE = 64  # a longer one is a table
_LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))


def outside_data(*functions: Callable[..., Any]) -> Iterator[str]:
    """Yield "NAME (type, size)" for everything that `functions`, and what they call, read besides constants.

    Followed are Python functions that are not part of an installed library. A module that a function names
    is looked into only for the names that the function uses.
    """
    waiting = [(getattr(function, "__name__", "step"), function) for function in functions]
    seen: set[int] = set()
    while waiting:
        name, value = waiting.pop(0)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, FunctionType):
            waiting += _reached(value)
        elif not _harmless(value):
            yield _described(name, value)


def _reached(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the globals, module attributes, closed-over values and defaults that `function` may read."""
    if _of_library(function.__code__.co_filename):
        return
    used = _names(function.__code__)
    for name in sorted(used & function.__globals__.keys()):
        value = function.__globals__[name]
        if not isinstance(value, ModuleType):
            yield name, value
        elif not _of_library(getattr(value, "__file__", None)):
            yield from (
                (f"{name}.{each}", getattr(value, each)) for each in sorted(used & vars(value).keys())
            )
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield name, cell.cell_contents
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield f"a default of {function.__name__}", value


def _names(code: CodeType) -> set[str]:
    nested = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names, nested))


def _of_library(file_name: str | None) -> bool:
    """Say whether a file is Python's own or an installed library's; what has no file is built in."""
    return file_name is None or any(Path(file_name).is_relative_to(each) for each in _LIBRARIES)


def _harmless(value: Any) -> bool:
    if isinstance(value, tuple | frozenset):
        return len(value) <= _LARGEST_TUPLE and all(map(_harmless, value))
    return isinstance(value, (*_CONSTANTS, type, ModuleType, BuiltinFunctionType, np.ufunc))


def _described(name: str, value: Any) -> str:
    size = f", {len(value):,} items" if isinstance(value, Sized) else ""
    return f"{name} ({type(value).__name__}{size})"

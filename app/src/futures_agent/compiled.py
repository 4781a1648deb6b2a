"""The one place that knows numba: plain Python kernels, compiled where that pays.

A kernel is a plain function over floats and NumPy records, marked with `@kernel`. The live trader calls
it as it is. The backtest asks for a `Compiled` one: the same source, and the kernels it calls, through
numba without fastmath, so that both give the same bits, and with bounds checked, so that an index that
raises in one raises in the other (a twentieth of the time; otherwise it would write over other memory and
the run go on). A compiled kernel is kept in a cache directory
under a digest of every source file it was made from: numba by itself notices a change in the outermost
file only, and would go on running old code when a kernel further down changed.

Kernels call other kernels by their own name (`from … import ema_step`), never through a module.
"""

from __future__ import annotations

import hashlib
import inspect
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TypeVar, cast
from weakref import WeakSet

import numpy as np

from futures_agent.errors import AgentError, Refuse, Retry
from futures_agent.plain import run_plain

KernelT = TypeVar("KernelT", bound=Callable[..., Any])
_KERNELS: WeakSet[Callable[..., Any]] = WeakSet()
_OPTIONS = {"boundscheck": True}  # of numba.njit
_GENERATIONS_KEPT = 3  # older digests of one kernel are deleted when a new one is compiled


def kernel(function: KernelT) -> KernelT:
    """Mark `function` as compilable; it stays the plain function it is."""
    _KERNELS.add(function)
    return function


def is_kernel(function: Callable[..., Any]) -> bool:
    """Say whether `function` was marked with `@kernel`."""
    return function in _KERNELS


def bind(function: KernelT, **names: Callable[..., Any]) -> KernelT:
    """Return a copy of the kernel `function` that sees other functions under some of its global names.

    This is how one loop serves every strategy: numba can cache a global, not a closure.
    """
    return kernel(cast(KernelT, _copy(cast(FunctionType, function), names)))


class Compiled:
    """A kernel compiled by numba and cached on disk; call it like the kernel.

    Parameters
    ----------
    function : callable
        Marked with `@kernel`.
    cache_dir : Path
        Writable; created when absent.

    Raises
    ------
    Refuse
        The cache directory is not writable, numba is not installed, or (at the first call) the kernel
        uses Python that numba cannot compile.
    Retry
        The disk is full (at the first call).
    """

    def __init__(self, function: Callable[..., Any], cache_dir: Path) -> None:
        self._function = cast(FunctionType, function)
        self._directory = cache_dir / f"{_title(self._function)}-{_digest(self._function)}"
        _require_writable(cache_dir)
        self._dispatcher: Any = None

    def __call__(self, *arguments: Any) -> Any:
        if self._dispatcher is None:
            self._dispatcher = self._ready(arguments)
        return self._dispatcher(*arguments)

    def _ready(self, arguments: tuple[Any, ...]) -> Any:
        import numba

        signature = tuple(numba.typeof(argument) for argument in arguments)
        if not self._directory.exists():
            self._drop_old_generations()
        try:
            return self._load(signature)
        except AgentError:
            raise
        except Exception:
            # Perhaps a cache torn by a power cut: compile afresh rather than fail every night from now on.
            shutil.rmtree(self._directory, ignore_errors=True)
        try:
            return self._load(signature)
        except AgentError:
            raise
        except OSError as error:
            raise Retry(
                f"compile cache {self._directory}: {error.strerror or error}; free space there"
            ) from None
        except Exception as error:  # numba raises many kinds, not only its own
            raise Refuse(
                f"kernel {self._function.__name__}: numba cannot compile it: {_one_line(error)}; "
                "mend it or remove @kernel"
            ) from None

    def _load(self, signature: tuple[Any, ...]) -> Any:
        import numba

        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(self._directory)
        try:
            dispatcher = numba.njit(_with_compiled_callees(self._function, {}), cache=True, **_OPTIONS)
        finally:
            numba.config.CACHE_DIR = before
        dispatcher.compile(signature)
        return dispatcher

    def _drop_old_generations(self) -> None:
        name = self._directory.name.rpartition("-")[0]
        others = sorted(self._directory.parent.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime)
        for path in others[: -(_GENERATIONS_KEPT - 1)]:
            shutil.rmtree(path, ignore_errors=True)


def runner(function: KernelT, cache_dir: Path | None) -> Callable[..., Any]:
    """Return how to run a kernel over record arrays: compiled, or plain where there is no cache."""
    return partial(run_plain, function) if cache_dir is None else Compiled(function, cache_dir)


def _copy(function: FunctionType, names: dict[str, Any]) -> FunctionType:
    copy = FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = function.__qualname__
    copy.__module__ = function.__module__
    return copy


def _global_names(code: CodeType) -> list[str]:
    """Return the names that `code`, and comprehensions within it, may look up in the globals."""
    nested = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return sorted({*code.co_names}.union(*map(_global_names, nested)))


def _callees(function: FunctionType) -> Iterator[tuple[str, FunctionType]]:
    for name in _global_names(function.__code__):
        value = function.__globals__.get(name)
        if isinstance(value, FunctionType) and value in _KERNELS:
            yield name, value


def _with_compiled_callees(function: FunctionType, done: dict[FunctionType, Any]) -> FunctionType:
    """Return a copy of `function` in which every kernel it calls, however deep, is numba's."""
    import numba

    names = {}
    for name, callee in _callees(function):
        if callee not in done:
            done[callee] = numba.njit(_with_compiled_callees(callee, done), **_OPTIONS)
        names[name] = done[callee]
    return _copy(function, names)


def source_digest(function: Callable[..., Any]) -> str:
    """Return a digest of the source and the constants of the kernel `function` and all it calls.

    Equal digests mean equal results: whoever keeps what a kernel worked out keeps this beside it.
    """
    reached = {cast(FunctionType, function)}
    waiting = list(reached)
    while waiting:
        new = {callee for _, callee in _callees(waiting.pop())} - reached
        reached |= new
        waiting += new
    digest = hashlib.sha256()
    for path in sorted({Path(each.__code__.co_filename) for each in reached}):
        if path.is_file():  # otherwise numba says that it cannot cache it
            digest.update(path.read_bytes())
    for identity in sorted(repr(_identity(each)) for each in reached):
        digest.update(identity.encode())
    return digest.hexdigest()


def code_digest(function: Callable[..., Any]) -> str | None:
    """Return a digest of what `function` is made of: `source_digest` of a kernel, else its source file's.

    None where there is no file: it is built in, or was typed into an interpreter.
    """
    if is_kernel(function):
        return source_digest(function)
    described = function if inspect.isroutine(function) else type(function)  # an object that can be called
    try:
        file = inspect.getsourcefile(described)
        return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except (TypeError, OSError):
        return None


def _digest(function: FunctionType) -> str:
    """Return what decides the machine code: versions, and all that `source_digest` sees."""
    try:
        import numba
    except ImportError:
        raise Refuse("numba is not installed: pip install 'crypto-futures-agent[backtest]'") from None
    versions = f"{sys.version} {numba.__version__} {np.__version__} {_OPTIONS} {source_digest(function)}"
    return hashlib.sha256(versions.encode()).hexdigest()[:16]


def _title(function: FunctionType) -> str:
    """Return what the generations of one kernel have in common: its name, and what is bound into it.

    Without the latter the strategies of a host would push one another out of the cache.
    """
    called = [(name, callee.__module__, callee.__qualname__) for name, callee in _callees(function)]
    return f"{function.__name__.strip('_')}-{hashlib.sha256(repr(called).encode()).hexdigest()[:6]}"


def _identity(function: FunctionType) -> tuple[Any, ...]:
    """Return which function of its file this is, and the values that numba freezes into its code."""
    code = function.__code__
    frozen = {name: function.__globals__.get(name) for name in _global_names(code)}
    frozen |= zip(code.co_freevars, [cell.cell_contents for cell in function.__closure__ or ()], strict=True)
    constants = [(name, _constant(value)) for name, value in frozen.items()]
    return function.__module__, function.__qualname__, code.co_firstlineno, function.__defaults__, constants


def _constant(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.descr, value.tolist()
    if isinstance(value, type) and issubclass(value, Enum):
        return list(value)
    return value if isinstance(value, (bool, int, float, str, tuple)) else None


def _require_writable(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise Refuse(
            f"compile cache {directory}: not writable ({error.strerror or error}); "
            "make it writable or point NUMBA_CACHE_DIR elsewhere"
        ) from None


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and "nopython" not in line), type(error).__name__)

"""Compiling kernels: same results as plain, cached on disk, never stale, faults in one line."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from futures_agent.compiled import Compiled, bind, code_digest, is_kernel, kernel, source_digest
from futures_agent.errors import Refuse, Retry

LENGTH = 3
_serial = count()


@kernel
def inner(value: float) -> float:
    return value * LENGTH


@kernel
def outer(values: np.ndarray) -> float:
    total = 0.0
    for value in values:
        total += inner(value)
    return total


@kernel
def double(value: float) -> float:
    return value * 2


@kernel
def triple(value: float) -> float:
    return value * 3


@kernel
def quadruple(value: float) -> float:
    return value * 4


@kernel
def not_for_numba(values: np.ndarray) -> float:
    return float(sorted(str(value) for value in values)[0])


@kernel
def in_a_comprehension(values: np.ndarray) -> float:
    return sum([inner(value) for value in values])


@kernel
def beyond(values: np.ndarray, place: int) -> float:
    return values[place]


VALUES = np.array([1.0, 2.0])


def compiled_files(cache: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb*")}


def test_a_source_digest_changes_with_a_kernel_further_down(monkeypatch: pytest.MonkeyPatch) -> None:
    before = source_digest(outer)
    assert source_digest(outer) == before
    assert source_digest(bind(outer, inner=double)) != before
    monkeypatch.setitem(outer.__globals__, "LENGTH", 4)  # what `inner` multiplies by
    assert source_digest(outer) != before


def plain_step() -> None: ...


class CallableStep:
    def __call__(self) -> None: ...


def test_plain_code_is_told_by_its_file_and_what_has_none_by_nothing() -> None:
    assert code_digest(outer) == source_digest(outer)
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert code_digest(plain_step) == code_digest(CallableStep()) == own
    typed: dict[str, Any] = {}
    exec("def step(): ...", typed)
    assert code_digest(typed["step"]) is code_digest(len) is None


def test_a_kernel_stays_the_plain_function() -> None:
    assert is_kernel(outer)
    assert not is_kernel(len)
    assert outer(VALUES) == 9.0


def test_compiled_kernel_calls_compiled_kernels_and_leaves_the_plain_ones_alone(tmp_path: Path) -> None:
    assert Compiled(outer, tmp_path)(VALUES) == 9.0
    assert type(inner) is type(compiled_files)


def test_kernels_called_within_a_comprehension_are_compiled_too(tmp_path: Path) -> None:
    assert Compiled(in_a_comprehension, tmp_path)(VALUES) == 9.0


def test_an_index_out_of_bounds_raises_compiled_as_it_does_plain(tmp_path: Path) -> None:
    compiled = Compiled(beyond, tmp_path)
    assert compiled(VALUES, -1) == beyond(VALUES, -1) == 2.0
    for run in (compiled, beyond):
        with pytest.raises(IndexError):
            run(VALUES, len(VALUES))


def test_second_compilation_is_loaded_from_disk(tmp_path: Path) -> None:
    Compiled(outer, tmp_path)(VALUES)
    before = compiled_files(tmp_path)
    again = Compiled(outer, tmp_path)
    assert again(VALUES) == 9.0
    assert len(before) >= 2
    assert compiled_files(tmp_path) == before


def test_bound_names_are_seen_by_the_copy_only(tmp_path: Path) -> None:
    doubled = bind(outer, inner=double)
    assert (doubled(VALUES), outer(VALUES)) == (6.0, 9.0)
    assert Compiled(outer, tmp_path)(VALUES) == 9.0
    assert Compiled(doubled, tmp_path)(VALUES) == 6.0


@pytest.fixture
def module_from(tmp_path: Path) -> Callable[[str, str], ModuleType]:
    """Return `module_from(name, source)`: writes and imports a module, as a user's file would be."""

    def load(name: str, source: str) -> ModuleType:
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        exec(compile(source, str(path), "exec"), module.__dict__)  # no bytecode cache: the file may change
        return module

    return load


def test_a_changed_callee_in_another_file_is_never_stale(
    tmp_path: Path, module_from: Callable[[str, str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = "from futures_agent.compiled import kernel\n@kernel\ndef deep(value):\n    return value + {}\n"
    top = (
        "from futures_agent.compiled import kernel\nfrom deep_{0} import deep\n"
        "@kernel\ndef top(value):\n    return deep(value)\n"
    )
    name = next(_serial)
    results = []
    for addend in (1, 2):
        module_from(f"deep_{name}", deep.format(addend))
        results.append(Compiled(module_from(f"top_{name}", top.format(name)).top, tmp_path / "cache")(0.0))
    assert results == [1.0, 2.0]


def test_two_kernels_of_one_file_do_not_share_machine_code(
    tmp_path: Path, module_from: Callable[[str, str], ModuleType]
) -> None:
    module = module_from(
        "pair",
        "from futures_agent.compiled import kernel\n"
        "@kernel\ndef plus(value):\n    return value + 1\n@kernel\ndef minus(value):\n    return value - 1\n",
    )
    found = [
        Compiled(bind(outer, inner=function), tmp_path / "cache")(VALUES)
        for function in (module.plus, module.minus)
    ]
    assert found == [5.0, 1.0]


def test_a_changed_constant_is_never_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Compiled(outer, tmp_path)(VALUES) == 9.0
    monkeypatch.setitem(inner.__globals__, "LENGTH", 5)
    assert Compiled(outer, tmp_path)(VALUES) == 15.0


def test_old_generations_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for length in range(5):
        monkeypatch.setitem(inner.__globals__, "LENGTH", length)
        Compiled(outer, tmp_path)(VALUES)
    assert len(list(tmp_path.glob("outer-*"))) == 3


def test_what_others_are_bound_into_is_not_an_older_generation(tmp_path: Path) -> None:
    first = [outer, bind(outer, inner=double), bind(outer, inner=triple), bind(outer, inner=quadruple)]
    for each in first:
        Compiled(each, tmp_path)(VALUES)
    before = compiled_files(tmp_path)
    assert len({path.parent.parent for path in before}) == 4
    for each in first:
        Compiled(each, tmp_path)(VALUES)
    assert compiled_files(tmp_path) == before


def test_a_torn_cache_is_compiled_afresh(tmp_path: Path) -> None:
    Compiled(outer, tmp_path)(VALUES)
    for path in tmp_path.rglob("*.nb*"):
        path.write_bytes(b"")
    assert Compiled(outer, tmp_path)(VALUES) == 9.0


def test_what_numba_cannot_compile_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        Refuse, match=r"kernel not_for_numba: numba cannot compile it: .*remove @kernel"
    ) as refused:
        Compiled(not_for_numba, tmp_path)(VALUES)
    assert "\n" not in str(refused.value)


def test_a_kernel_without_a_file_is_one_line(tmp_path: Path) -> None:
    names: dict[str, Any] = {"kernel": kernel, "__name__": "typed_in"}
    exec("@kernel\ndef typed(values):\n    return values[0]\n", names)
    with pytest.raises(Refuse, match="kernel typed: numba cannot compile it: cannot cache function"):
        Compiled(names["typed"], tmp_path)(VALUES)


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    with pytest.raises(Retry, match=r"compile cache .*No space left on device"):
        Compiled(outer, tmp_path)(VALUES)


def test_unwritable_cache_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refuse, match=r"compile cache .*file/cache: not writable"):
        Compiled(outer, tmp_path / "file" / "cache")


def test_missing_numba_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(Refuse, match="numba is not installed"):
        Compiled(outer, tmp_path)

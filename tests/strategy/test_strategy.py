"""The plug-in contract: parameters, names, and what is said when they are wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest
from msgspec import Meta, Struct

from futures_agent.compiled import kernel
from futures_agent.errors import Refuse
from futures_agent.features.ema import EMA
from futures_agent.features.indicator_set import INDICATORS
from futures_agent.strategy import registry
from futures_agent.strategy.ema_cross import STRATEGY
from futures_agent.strategy.inputs import Input
from futures_agent.strategy.registry import load_strategy
from futures_agent.strategy.strategy import BAR, Strategy
from sample_markets import NoParams


def test_parameters_are_the_defaults_unless_set() -> None:
    record = STRATEGY.read_params({"fast": 10, "stop_atr": 1.5})[0]
    assert record.tolist() == (10, 50, 14, 1.5, 3.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fats": 10}, "strategy.params.fats: strategy ema_cross has no such parameter; it has fast, slow"),
        ({"fast": "ten"}, "strategy.params.fast: Expected `int`, got `str`"),
        ({"fast": 0}, r"strategy.params.fast: Expected `int` >= 1"),
        ({"stop_atr": -1.0}, r"strategy.params.stop_atr: Expected `float` >= 0.0"),
        ({"fast": 50}, r"strategy.params: fast \(50\) must be below slow \(50\) \(strategy ema_cross\)"),
    ],
)
def test_a_bad_parameter_is_one_line_naming_it(values: dict[str, object], message: str) -> None:
    with pytest.raises(Refuse, match=message) as refused:
        STRATEGY.read_params(values)
    assert "\n" not in str(refused.value)


def test_all_parameter_types_reach_the_record() -> None:
    class Params(Struct, frozen=True):
        on: bool = True
        length: Annotated[int, Meta(ge=1)] = 3
        width: float = 0.5

    strategy = Strategy(name="typed", params=Params, state=np.dtype([("n", int)]), step=lambda *_: None)
    assert strategy.read_params({})[0].tolist() == (True, 3, 0.5)


def test_a_parameter_of_another_type_is_refused() -> None:
    class Params(Struct, frozen=True):
        mode: str = "fast"

    strategy = Strategy(name="texts", params=Params, state=np.dtype([("n", int)]), step=lambda *_: None)
    with pytest.raises(Refuse, match="strategy texts: parameter mode: must be bool, int or float"):
        strategy.read_params({})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2**63, -(2**70)])
def test_a_parameter_without_bounds_must_still_be_possible(value: float) -> None:
    class Params(Struct, frozen=True):
        length: int = 3
        width: float = 0.5

    strategy = Strategy(name="loose", params=Params, state=np.dtype([("n", int)]), step=lambda *_: None)
    name = "length" if isinstance(value, int) else "width"
    with pytest.raises(Refuse, match=rf"strategy.params.{name}: .* is no possible value \(strategy loose\)"):
        strategy.read_params({name: value})


def with_state(state: Any) -> Strategy:
    return Strategy(name="s", params=NoParams, state=np.dtype(state), step=lambda *_: None)


@pytest.mark.parametrize(
    ("state", "field"),
    [
        ([("sum", np.float32)], r"sum \(float32\)"),
        ([("sum", np.float16)], r"sum \(float16\)"),
        ([("count", np.int32)], r"count \(int32\)"),
        ([("count", np.uint64)], r"count \(uint64\)"),
        ([("side", np.int8)], r"side \(int8\)"),
        ([("when", ">i8")], r"when \(>i8\)"),
        ([("name", "U8")], r"name \(<U8\)"),
        ([("ema", EMA), ("deep", [("deeper", [("sum", np.float32)])])], r"deep\.deeper\.sum \(float32\)"),
        ([("window", np.float32, (3,))], r"window \(\('<f4', \(3,\)\)\)"),
        ([("table", np.float64, (3, 3))], r"table \(.*\)"),
        ([("seen", np.bool_, (3,))], r"seen \(.*\)"),
        ([("averages", EMA, (3,))], r"averages \(.*\)"),
    ],
)
def test_a_state_that_compiled_code_would_store_differently_is_refused(state: Any, field: str) -> None:
    with pytest.raises(Refuse, match=f"strategy s: state field {field}: must be float64, int64, bool"):
        with_state(state)


def test_a_state_that_is_no_record_is_refused() -> None:
    with pytest.raises(Refuse, match="strategy s: state must be a record dtype, found float64"):
        with_state(np.float64)


@pytest.mark.parametrize(
    "state",
    [
        [("value", np.float64), ("count", np.int64), ("seen", np.bool_), ("window", np.float64, (3,))],
        [("nested", EMA), ("all", INDICATORS)],
    ],
)
def test_states_of_full_width_are_taken(state: Any) -> None:
    assert with_state(state).state == np.dtype(state)


class Switched(Struct, frozen=True, forbid_unknown_fields=True):
    vix_above: float = 0.0


def with_inputs(*inputs: Input, **more: Any) -> Strategy:
    state = np.dtype([("n", np.int64)])
    return Strategy(name="s", params=Switched, state=state, step=lambda *_: None, inputs=inputs, **more)


def test_a_bar_carries_its_inputs_after_its_prices() -> None:
    strategy = with_inputs(Input("vix", "macro", "VIXCLS", 96), Input("rate", "sentiment", "funding_rate", 9))
    assert strategy.bar.names is not None
    assert strategy.bar.names[:7] == BAR.names
    assert strategy.bar.names[7:] == ("vix", "vix_known", "rate", "rate_known")


def test_an_input_is_used_unless_its_parameter_switches_it_off() -> None:
    always, vix = Input("mood", "macro", "FEAR_GREED", 48), Input("vix", "macro", "VIXCLS", 96, "vix_above")
    strategy = with_inputs(always, vix)
    assert strategy.inputs_used(strategy.read_params({})) == (always,)
    assert strategy.inputs_used(strategy.read_params({"vix_above": 30.0})) == (always, vix)


@pytest.mark.parametrize(
    ("names", "wrong"),
    [(["close"], "close"), (["two words"], "two words"), (["a", "a"], "a"), (["a_known", "a"], "a")],
)
def test_an_input_that_a_bar_cannot_carry_is_refused(names: list[str], wrong: str) -> None:
    with pytest.raises(Refuse, match=f"strategy s: input '{wrong}': must be an identifier that no other"):
        with_inputs(*(Input(name, "macro", "VIXCLS", 96) for name in names))


def test_a_switch_that_is_no_parameter_is_refused() -> None:
    with pytest.raises(Refuse, match="strategy s: input vix: switch vix_over is no parameter"):
        with_inputs(Input("vix", "macro", "VIXCLS", 96, "vix_over"))


@pytest.mark.parametrize(
    ("half", "message"),
    [
        ({"observation": ("a",)}, "strategy s: observation and observe belong together"),
        ({"observe": lambda *_: None}, "strategy s: observation and observe belong together"),
        ({"zone_kinds": ("a",)}, "strategy s: zone_kinds and draw belong together"),
        ({"draw": lambda *_: 0}, "strategy s: zone_kinds and draw belong together"),
    ],
)
def test_names_without_what_fills_them_are_refused(half: dict[str, Any], message: str) -> None:
    with pytest.raises(Refuse, match=message):
        with_inputs(**half)


@pytest.mark.parametrize(
    ("name", "more"), [("observe", {"observation": ("a",)}), ("draw", {"zone_kinds": ("a",)})]
)
def test_kernels_and_plain_functions_do_not_mix(name: str, more: dict[str, Any]) -> None:
    with pytest.raises(Refuse, match=f"strategy s: mark both step and {name} with @kernel, or neither"):
        with_inputs(**more, **{name: kernel(lambda *_: 0)})


def test_reasons_are_the_names_of_bits() -> None:
    strategy = with_inputs(reasons=("sweep", "gap", "break"))
    assert strategy.reasons_of(0) == ()
    assert strategy.reasons_of(0b101) == ("sweep", "break")


def test_more_reasons_than_bits_are_refused() -> None:
    with pytest.raises(Refuse, match="strategy s: 63 reasons; at most 62 fit"):
        with_inputs(reasons=tuple(map(str, range(63))))


def test_the_shipped_strategy_is_found_by_its_name() -> None:
    assert load_strategy("ema_cross") is STRATEGY


def test_a_strategy_is_found_by_its_dotted_path(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("users_own")
    module.MINE = mine = msgspec.structs.replace(STRATEGY, name="mine")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "users_own", module)
    assert load_strategy("users_own:MINE") is mine


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ema_croos", "no strategy 'ema_croos'; installed: .*ema_cross"),
        ("no_such_module:X", "cannot load no_such_module:X: ModuleNotFoundError"),
        ("futures_agent.strategy.ema_cross:NONE", "has no attribute 'NONE'"),
        ("futures_agent.strategy.ema_cross:step", "step is a function, expected a futures_agent Strategy"),
        (":X", "cannot load :X: ValueError"),
    ],
)
def test_a_bad_name_is_one_line(name: str, message: str) -> None:
    with pytest.raises(Refuse, match=message):
        load_strategy(name)


def test_a_module_that_exits_when_imported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_script_of_mine.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Refuse, match="cannot load a_script_of_mine:X: SystemExit: 0"):
        load_strategy("a_script_of_mine:X")


def test_no_strategy_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    with pytest.raises(Refuse, match="installed: none"):
        load_strategy("ema_cross")

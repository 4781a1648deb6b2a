"""Nothing earlier changes when the future is cut off: every feature, every decision, the whole account."""

from __future__ import annotations

import importlib
import os
import pkgutil
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import every_feature
from futures_agent import features
from futures_agent.backtest.audit.checks import Sampling, audit
from futures_agent.backtest.audit.differing import first_difference
from futures_agent.backtest.audit.tracing import Tracer
from futures_agent.backtest.deciding import bars_of
from futures_agent.backtest.panel import Panel
from futures_agent.compiled import is_kernel
from market_panels import generated_panel, recorded_panel
from shipped import CONFIGURATIONS, simulated

TRUNCATIONS = 500
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1, 10**6)


@pytest.fixture(scope="module", params=["recorded", "generated"])
def panel(request: pytest.FixtureRequest) -> Panel:
    """Return a market of H1, H4 and D1."""
    if request.param == "recorded":
        return recorded_panel(symbols=10, bars=2_500)
    return generated_panel(symbols=5, days=60)


def reached_from(step: Callable[..., Any]) -> set[str]:
    """Return the names of the kernels that `step` calls, however deep."""
    assert isinstance(step, FunctionType)
    found: set[str] = set()
    waiting = [step]
    while waiting:
        function = waiting.pop()
        for name in function.__code__.co_names:
            callee = function.__globals__.get(name)
            if isinstance(callee, FunctionType) and is_kernel(callee) and callee.__qualname__ not in found:
                found.add(callee.__qualname__)
                waiting.append(callee)
    return found


def test_every_feature_there_is_is_stepped_here() -> None:
    steps = set()
    for module in pkgutil.walk_packages(features.__path__, f"{features.__name__}."):
        names = vars(importlib.import_module(module.name))
        steps |= {name for name, value in names.items() if name.endswith("_step") and is_kernel(value)}
    assert {"ema_step", "smc_step", "swings_step"} <= steps
    assert steps <= reached_from(every_feature.step)


def test_features_do_not_know_the_future(panel: Panel, compile_cache: Path) -> None:
    rng, changed = random.Random(SEED), 0
    run = Tracer(every_feature.STRATEGY, every_feature.STRATEGY.read_params({}), compile_cache)
    for index, symbol in enumerate(panel.symbols):
        bars = bars_of(panel, every_feature.STRATEGY, index)
        whole = run(bars)
        for cut in rng.sample(range(1, len(bars)), TRUNCATIONS // len(panel.symbols)):
            part = run(bars[:cut], every=whole.every)
            found = first_difference(whole.states, part.states)
            assert found is None, f"seed {SEED}: {symbol} cut at bar {cut}: {found}"
            changed += bool(whole.states[-1].tobytes() != part.states[-1].tobytes())
    assert changed > 0.9 * TRUNCATIONS  # what was cut off did matter


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_shipped_strategies_do_not_know_the_future(name: str, panel: Panel, compile_cache: Path) -> None:
    strategy, params = CONFIGURATIONS[name]
    truncations = 100 if params else TRUNCATIONS
    report = audit(
        panel,
        strategy,
        strategy.read_params(params),
        partial(simulated, strategy, params),
        compile_cache=compile_cache,
        sampling=Sampling(seed=SEED, symbols=10, truncations=truncations, account_truncations=10),
    )
    print("\n".join(report.lines()))
    assert report.verdict == "CLEAN"
    engaged = {check.name: check.engaged / check.planned for check in report.checks}
    assert engaged["prefix"] >= 0.4
    assert engaged["account"] >= 0.5

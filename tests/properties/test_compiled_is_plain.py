"""Compiled and plain execution give the same bits: features, decisions, whole simulations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import every_feature
from futures_agent.backtest.audit.cutting import cut_panel, pick_symbols
from futures_agent.backtest.audit.differing import first_difference
from futures_agent.backtest.audit.tracing import Tracer
from futures_agent.backtest.deciding import bars_of
from futures_agent.backtest.panel import Panel
from futures_agent.clock import HOUR_MS
from futures_agent.settings.tree import RiskSettings
from futures_agent.strategy.strategy import Strategy
from market_panels import generated_panel, recorded_panel
from shipped import CONFIGURATIONS, simulated


@pytest.fixture(scope="module", params=["recorded", "generated"])
def panel(request: pytest.FixtureRequest) -> Panel:
    """Return a market of H1, H4 and D1, the generated one with holes, late listings and M15."""
    return recorded_panel(symbols=3, bars=1_200) if request.param == "recorded" else generated_panel(4, 50)


def assert_traces_agree(panel: Panel, strategy: Strategy, params: dict, compile_cache: Path) -> int:
    """Compare all signals, and states at one bar in ten; return how many entries there were."""
    record = strategy.read_params(params)
    compiled, plain = (Tracer(strategy, record, cache) for cache in (compile_cache, None))
    entries = 0
    for index, symbol in enumerate(panel.symbols):
        bars = bars_of(panel, strategy, index)
        traces = [run(bars, every=10) for run in (compiled, plain)]
        for what in ("states", "signals"):
            found = first_difference(*(getattr(each, what) for each in traces))
            assert found is None, f"{symbol}: {what} differ: {found}"
        entries += int(np.count_nonzero(traces[0].signals["entry"]))
    return entries


def test_features(panel: Panel, compile_cache: Path) -> None:
    assert_traces_agree(panel, every_feature.STRATEGY, {}, compile_cache)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_decisions(name: str, panel: Panel, compile_cache: Path) -> None:
    assert assert_traces_agree(panel, *CONFIGURATIONS[name], compile_cache) > 0


def assert_simulations_agree(
    panel: Panel, name: str, compile_cache: Path, risk: RiskSettings | None = None
) -> tuple[int, set[str]]:
    """Compare trades, equity, rejections and warnings; return how many trades, and the rejections' names."""
    compiled, plain = (
        simulated(*CONFIGURATIONS[name], panel, cache, risk=risk) for cache in (compile_cache, None)
    )
    assert compiled.trades.tobytes() == plain.trades.tobytes()
    assert compiled.equity.tobytes() == plain.equity.tobytes()
    assert (compiled.rejections, compiled.warnings) == (plain.rejections, plain.warnings)
    return len(compiled.trades), set(compiled.rejections)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_simulations(name: str, panel: Panel, compile_cache: Path) -> None:
    tight = RiskSettings(max_positions=2, max_daily_loss=0.01, max_drawdown=0.9)
    trades, rejections = assert_simulations_agree(panel, name, compile_cache, tight)
    assert trades > 0
    if name.startswith("ema_cross"):
        assert "RISK_MAX_POSITIONS" in rejections


@pytest.fixture(scope="module")
def large_panel() -> Panel:
    """Return the market of which examples are cut."""
    return generated_panel(symbols=5, days=30)


@given(
    name=st.sampled_from(sorted(CONFIGURATIONS)),
    symbols=st.permutations(range(5)),
    count=st.integers(1, 4),
    hours=st.integers(24, 30 * 24),
    positions=st.integers(1, 4),
    leverage=st.floats(0.5, 20.0),
    risk_per_trade=st.floats(0.001, 0.2),
    finer=st.booleans(),
    funding=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_any_cut_of_any_account(
    large_panel: Panel,
    compile_cache: Path,
    name: str,
    symbols: list[int],
    count: int,
    hours: int,
    positions: int,
    leverage: float,
    risk_per_trade: float,
    finer: bool,
    funding: bool,
) -> None:
    chosen = pick_symbols(large_panel, symbols[:count])
    first_close = min(int(chosen.candles.of(index)["timestamp"][0]) for index in range(count)) + HOUR_MS
    panel = cut_panel(chosen, first_close + hours * HOUR_MS)
    if not finer:
        empty = replace(panel.finer, records=panel.finer.records[:0], offsets=0 * panel.finer.offsets)
        panel = replace(panel, finer=empty, finer_timeframe=None)
    if not funding:
        panel = replace(panel, funding={})
    risk = RiskSettings(max_positions=positions, max_leverage=leverage, risk_per_trade=risk_per_trade)
    assert_simulations_agree(panel, name, compile_cache, risk)

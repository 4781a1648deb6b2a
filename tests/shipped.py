"""The strategy configurations that come with the agent, as the tests of properties run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from futures_agent.backtest.engine import simulate
from futures_agent.backtest.panel import Panel
from futures_agent.backtest.records import Simulation
from futures_agent.settings.tree import CostSettings, RiskSettings
from futures_agent.strategy.ema_cross import STRATEGY as EMA_CROSS
from futures_agent.strategy.smc import STRATEGY as SMC
from futures_agent.strategy.strategy import Strategy

CONFIGURATIONS: dict[str, tuple[Strategy, dict[str, Any]]] = {
    "ema_cross": (EMA_CROSS, {}),
    "ema_cross, fast, without target": (EMA_CROSS, {"fast": 5, "slow": 12, "target_atr": 0.0}),
    "smc": (SMC, {}),
    "smc, eager": (
        SMC,
        {
            "d1_average": 5,
            "d1_swing_bars": 1,
            "swing_bars": 2,
            "min_reward": 1.0,
            "reward": 2.0,
            "setup_bars": 48,
        },
    ),
    "smc, with inputs": (
        SMC,
        {
            "d1_average": 5,
            "d1_swing_bars": 1,
            "swing_bars": 2,
            "setup_bars": 48,
            "funding_limit_bps": 2.0,
            "fear_greed_limit": 60.0,
            "vix_limit": 25.0,
        },
    ),
}


def simulated(
    strategy: Strategy,
    params: dict[str, Any],
    panel: Panel,
    compile_cache: Path | None,
    *,
    risk: RiskSettings | None = None,
) -> Simulation:
    """Simulate with the risk gate and the costs that settings have by default."""
    return simulate(
        panel,
        strategy,
        params,
        risk=risk or RiskSettings(),
        costs=CostSettings(),
        initial_equity=10_000.0,
        compile_cache=compile_cache,
    )

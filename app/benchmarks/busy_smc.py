"""A strategy as costly as `smc` that is never at rest: it goes with every bar, so that most closes trade.

`smc` itself enters about once a day, far too seldom to measure how long its orders take.
"""

from __future__ import annotations

from typing import Any

from futures_agent.compiled import kernel
from futures_agent.strategy import smc
from futures_agent.strategy.smc import step as smc_step
from futures_agent.strategy.strategy import Strategy

_HOUR_MS = 3_600_000


@kernel
def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """See one closed bar as `smc` does, and go with it."""
    smc_step(state, bar, params, signal)
    if bar.timeframe_ms != _HOUR_MS:
        return
    signal.entry = 1 if bar.close > bar.open else -1
    signal.stop_distance = 0.05 * bar.close
    signal.target_distance = 0.1 * bar.close
    signal.reasons = 0


STRATEGY = Strategy(
    name="busy_smc",
    params=smc.Params,
    state=smc.STATE,
    step=step,
    timeframes=smc.STRATEGY.timeframes,
    reasons=smc.STRATEGY.reasons,
    inputs=smc.STRATEGY.inputs,
    observation=smc.STRATEGY.observation,
    observe=smc.STRATEGY.observe,
)

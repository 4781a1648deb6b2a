"""All features that there are as one strategy, which says nothing: what steps, compiles and traces them."""

from __future__ import annotations

from typing import Any

import numpy as np

from futures_agent.compiled import kernel
from futures_agent.features.indicator_set import INDICATORS, indicators_step
from futures_agent.features.smc.smc import SMC, smc_step
from futures_agent.strategy.strategy import Strategy
from sample_markets import NoParams


@kernel
def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    indicators_step(state.indicators, bar)
    smc_step(state.smc, bar, 3, 2, 14, 0.1, 200, 0.1)


STRATEGY = Strategy(
    name="every_feature",
    params=NoParams,
    state=np.dtype([("indicators", INDICATORS), ("smc", SMC)]),
    step=step,
)

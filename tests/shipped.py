"""The strategy configurations that come with the agent, as the tests of properties run them."""

from __future__ import annotations

from typing import Any

from futures_agent.strategy.ema_cross import STRATEGY as EMA_CROSS
from futures_agent.strategy.strategy import Strategy

CONFIGURATIONS: dict[str, tuple[Strategy, dict[str, Any]]] = {
    "ema_cross": (EMA_CROSS, {}),
    "ema_cross-fast": (EMA_CROSS, {"fast": 5, "slow": 12, "stop_atr": 1.0, "target_atr": 0.0}),
}

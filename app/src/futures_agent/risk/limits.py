"""The risk settings as a record that kernels read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from futures_agent.settings.tree import RiskSettings

# RiskSettings for kernels, field by field.
LIMITS = np.dtype(
    [
        ("risk_per_trade", np.float64),
        ("fixed_notional", np.float64),
        ("max_leverage", np.float64),
        ("max_net_leverage", np.float64),
        ("max_position_leverage", np.float64),
        ("max_positions", np.int64),
        ("max_correlated", np.int64),
        ("correlation_limit", np.float64),
        ("correlation_bars", np.int64),
        ("max_daily_loss", np.float64),
        ("max_drawdown", np.float64),
        ("liquidation_buffer", np.float64),
    ]
)


def limits_of(risk: RiskSettings) -> NDArray[np.void]:
    """Return `risk` as an array of one LIMITS record."""
    limits = np.zeros(1, LIMITS)
    for name in LIMITS.names or ():
        limits[name] = getattr(risk, name)
    return limits

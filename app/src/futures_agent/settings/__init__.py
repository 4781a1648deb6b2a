"""Settings: one typed, frozen tree; defaults here, `agent.toml` above them, the environment on top."""

from futures_agent.settings.load import Effective, load
from futures_agent.settings.tree import (
    BacktestSettings,
    CostSettings,
    DatabaseSettings,
    DataSettings,
    ExchangeSettings,
    GateSettings,
    LogSettings,
    PathSettings,
    RiskSettings,
    Settings,
    StrategySettings,
    SyncSettings,
)

__all__ = [
    "BacktestSettings",
    "CostSettings",
    "DataSettings",
    "DatabaseSettings",
    "Effective",
    "ExchangeSettings",
    "GateSettings",
    "LogSettings",
    "PathSettings",
    "RiskSettings",
    "Settings",
    "StrategySettings",
    "SyncSettings",
    "load",
]

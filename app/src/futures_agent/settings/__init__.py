"""Settings: one typed, frozen tree; defaults here, `agent.toml` above them, the environment on top."""

from futures_agent.settings.load import Effective, load
from futures_agent.settings.tree import (
    BacktestSettings,
    BackupSettings,
    CompactSettings,
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
    "BackupSettings",
    "CompactSettings",
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

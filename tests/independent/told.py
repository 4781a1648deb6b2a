"""Handing a simulation over to the outside checker, as the plain numbers a result consists of."""

from __future__ import annotations

import numpy as np
from msgspec.structs import asdict

from futures_agent.backtest.panel import Panel
from futures_agent.backtest.records import ExitReason, Simulation
from futures_agent.settings.tree import CostSettings, RiskSettings
from independent.world import Bar, Contract, Point, Trade, World


def world_of(panel: Panel, simulation: Simulation, risk: RiskSettings, costs: CostSettings) -> World:
    """Return everything about a run but its strategy."""
    symbols = list(enumerate(panel.symbols))
    return World(
        bar_ms=panel.timeframe.ms,
        bars={symbol: _bars(panel.candles.of(place)) for place, symbol in symbols},
        finer_ms=panel.finer_timeframe.ms if panel.finer_timeframe else 0,
        finer={symbol: _bars(panel.finer.of(place)) for place, symbol in symbols},
        funding={
            symbol: list(zip(rates["timestamp"].tolist(), rates["rate"].tolist(), strict=True))
            for symbol, rates in panel.funding.items()
        },
        contracts={
            each.symbol: Contract(
                each.tick_size,
                each.step_size,
                each.min_quantity,
                each.max_quantity or float("inf"),
                each.min_notional,
                each.liquidation_fee,
            )
            for each in panel.instruments
        },
        risk=asdict(risk),
        costs=asdict(costs),
        initial_equity=simulation.initial_equity,
        trades=[_trade(simulation, row) for row in simulation.trades],
        equity=[
            Point(*(row[name].item() for name in ("timestamp", "equity", "notional", "positions")))
            for row in simulation.equity
        ],
    )


def _bars(records: np.ndarray) -> list[Bar]:
    names = ("timestamp", "open", "high", "low", "close", "volume")
    known = [name if name in records.dtype.names else "open" for name in names]  # finer bars have no volume
    return [Bar(*row) for row in zip(*(records[name].tolist() for name in known), strict=True)]


def _trade(simulation: Simulation, row: np.void) -> Trade:
    told = {name: row[name].item() for name in Trade._fields}
    told["symbol"] = simulation.symbols[told["symbol"]]
    told["side"] = "long" if told["side"] > 0 else "short"
    told["exit_reason"] = ExitReason(told["exit_reason"]).name
    return Trade(**told)

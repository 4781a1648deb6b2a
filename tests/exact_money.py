"""One symbol, one entry, exact money: the markets of the tests of single bars.

Each market decides on its first bar to enter at 100 (fixed notional 1,000: 10 units), with a stop 5 away
and a target 10 away unless said otherwise. Fees: taker 5 bps, maker 2 bps; no slippage, no funding.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from futures_agent.backtest.records import ExitReason, Simulation
from futures_agent.clock import HOUR_MS
from sample_markets import FREE, PLAIN_RISK, START_MS, bars, run, scripted

LONG = {"entry": 1, "stop_distance": 5.0, "target_distance": 10.0}
SHORT = {**LONG, "entry": -1}
FLAT = (100.0, 101.0, 99.0, 100.0)
COSTS = replace(FREE, maker_fee_bps=2.0, taker_fee_bps=5.0)
FUNDED = replace(COSTS, funding=True)
RISK = replace(PLAIN_RISK, max_leverage=3.0)


def market(
    *rows: tuple[float, float, float, float], plan: dict[int, dict[str, Any]] | None = None, **options: Any
) -> Simulation:
    """Simulate one symbol over a flat deciding bar and then `rows`; options: those of `run`, and volume."""
    chosen = {"risk": RISK, "costs": COSTS, **options}
    candles = bars([FLAT, *rows])
    candles["volume"] = chosen.pop("volume", 0.0)
    return run({"BTCUSDT": candles}, scripted(plan or {0: LONG}), **chosen)


def only_trade(result: Simulation) -> Any:
    """Return the one trade there was."""
    assert len(result.trades) == 1
    return result.trades[0]


def assert_exit(result: Simulation, reason: ExitReason, bar: int, price: float, net_pnl: float) -> None:
    """Check how the one trade ended: in which bar (its number), at what price, and the money."""
    trade = only_trade(result)
    assert ExitReason(trade["exit_reason"]) is reason
    assert trade["exit_time"] == START_MS + bar * HOUR_MS
    assert trade["exit_price"] == pytest.approx(price, rel=1e-12)
    assert trade["net_pnl"] == pytest.approx(net_pnl, rel=1e-9)
    assert result.equity["equity"][-1] == pytest.approx(10_000 + net_pnl, rel=1e-12)

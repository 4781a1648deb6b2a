"""Markets for the tests of the engine: a few hand-made bars, seeded random candles, real ones if there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import Struct
from msgspec.structs import replace

from futures_agent.backtest.engine import simulate
from futures_agent.backtest.panel import build_panel
from futures_agent.backtest.records import Simulation
from futures_agent.clock import HOUR_MS, parse_utc
from futures_agent.market.candle import CANDLE
from futures_agent.market.instrument import Instrument
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import CostSettings, RiskSettings
from futures_agent.strategy.strategy import Strategy

START_MS = parse_utc("2026-01-05")
REAL_DATA = Path(__file__).parents[1].parent / "shared" / "data"

# One position per symbol, always affordable, nothing but a fee: what an outsider can recompute.
PLAIN_RISK = RiskSettings(
    fixed_notional=1_000.0,
    max_leverage=1.0,
    max_positions=10_000,
    max_correlated=10_000,
    max_daily_loss=1.0,
    max_drawdown=1.0,
    liquidation_buffer=0.0,
)
FREE = CostSettings(maker_fee_bps=0.0, taker_fee_bps=0.0, slippage_bps=0.0, impact_bps=0.0, funding=False)
PLAIN_COSTS = replace(FREE, maker_fee_bps=4.0, taker_fee_bps=4.0)


def instrument(symbol: str, **changes: Any) -> Instrument:
    """Return a tradable contract with a tick of 0.01 and a step of 0.001."""
    rules: dict[str, Any] = {
        "status": "TRADING",
        "tick_size": 0.01,
        "step_size": 0.001,
        "min_quantity": 0.001,
        "max_quantity": 1e9,
        "min_notional": 5.0,
        "price_precision": 2,
        "quantity_precision": 3,
        "liquidation_fee": 0.0125,
        "onboard_ms": 0,
        "tradable": True,
    }
    return Instrument(symbol=symbol, **{**rules, **changes})


def bars(
    rows: Iterable[tuple[float, float, float, float]], *, step_ms: int = HOUR_MS, start_ms: int = START_MS
) -> np.ndarray:
    """Return candles from (open, high, low, close) rows, one after the other."""
    table = np.array(list(rows), dtype=np.float64)
    candles = np.zeros(len(table), CANDLE)
    candles["timestamp"] = start_ms + step_ms * np.arange(len(table))
    for column, name in enumerate(("open", "high", "low", "close")):
        candles[name] = table[:, column]
    return candles


def random_candles(seed: int, count: int, *, start_ms: int = START_MS, step_ms: int = HOUR_MS) -> np.ndarray:
    """Return a seeded random walk on a tick of 0.01, with jumps, so that stops and targets gap."""
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.006, count) * np.where(rng.random(count) < 0.02, 5, 1)
    close = np.round(100 * np.exp(np.cumsum(returns)), 2)
    gaps = np.where(rng.random(count) < 0.2, rng.normal(0, 0.004, count), 0.0)
    opened = np.round(np.concatenate([[100.0], close[:-1]]) * (1 + gaps), 2)
    reach = np.abs(rng.normal(0, 0.004, (2, count))) * close
    high = np.round(np.maximum(opened, close) + reach[0], 2)
    low = np.round(np.minimum(opened, close) - reach[1], 2)
    candles = bars(np.column_stack([opened, high, low, close]), step_ms=step_ms, start_ms=start_ms)
    candles["volume"] = 10_000 * rng.random(count)
    return candles


def with_holes(candles: np.ndarray, seed: int, share: float = 0.01) -> np.ndarray:
    """Return `candles` with a share of them missing, singly and in runs of ten."""
    rng = np.random.default_rng(seed)
    missing = rng.random(len(candles)) < share
    for first in np.flatnonzero(rng.random(len(candles)) < share / 10):
        missing[first : first + 10] = True
    return candles[~missing]


def real_candles(file_name: str, count: int) -> dict[str, np.ndarray]:
    """Return the last `count` real candles of every symbol; skips the test where the data set is absent."""
    path = REAL_DATA / file_name
    if not path.exists():
        pytest.skip(f"no real candles: {path} is absent")
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    names = table["symbol"].to_numpy()
    candles = np.zeros(len(names), CANDLE)
    candles["timestamp"] = table["open_time"].to_numpy()
    for name in ("open", "high", "low", "close", "volume"):
        candles[name] = table[name].to_numpy()
    series = {symbol: candles[names == symbol] for symbol in sorted(set(names))}
    return {symbol: each[np.argsort(each["timestamp"])][-count:] for symbol, each in series.items()}


def run(
    candles: dict[str, np.ndarray],
    strategy: Strategy,
    *,
    params: dict[str, Any] | None = None,
    timeframe: Timeframe = Timeframe.H1,
    rules: dict[str, Any] | None = None,
    risk: RiskSettings = PLAIN_RISK,
    costs: CostSettings = PLAIN_COSTS,
    initial_equity: float = 10_000.0,
    compile_cache: Path | None = None,
    **panel: Any,
) -> Simulation:
    """Simulate with plain rules unless told otherwise; `rules` changes every instrument."""
    return simulate(
        build_panel(
            candles,
            {symbol: instrument(symbol, **(rules or {})) for symbol in candles},
            timeframe,
            **panel,
        ),
        strategy,
        params or {},
        risk=risk,
        costs=costs,
        initial_equity=initial_equity,
        compile_cache=compile_cache,
    )


class NoParams(Struct, frozen=True, forbid_unknown_fields=True):
    """A strategy without choices."""


def scripted(plan: dict[int, dict[str, Any]]) -> Strategy:
    """Return a plain-Python strategy that writes `plan[i]` into the signal of each symbol's i-th bar."""

    def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
        for name, value in plan.get(state.seen, {}).items():
            setattr(signal, name, value)
        state.seen += 1

    return Strategy(name="scripted", params=NoParams, state=np.dtype([("seen", np.int64)]), step=step)

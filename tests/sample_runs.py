"""Simulated runs for the tests of results: hand-made ones, and a seeded random one of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from futures_agent.backtest.records import EQUITY, TRADE, ExitReason, Simulation
from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc

START_MS = parse_utc("2025-11-20")


def equity_curve(values: Sequence[float], *, bar_ms: int = DAY_MS, start_ms: int = START_MS) -> np.ndarray:
    """Return one EQUITY row per value, no position open; the first bar opens at `start_ms`."""
    curve = np.zeros(len(values), dtype=EQUITY)
    curve["timestamp"] = start_ms + bar_ms * np.arange(1, len(values) + 1)
    curve["equity"] = values
    return curve


def closed_trades(net_pnls: Sequence[float], **columns: Any) -> np.ndarray:
    """Return one TRADE per result: long, 1 unit bought at 100, held two hours, no costs."""
    trades = np.zeros(len(net_pnls), dtype=TRADE)
    trades["side"], trades["quantity"], trades["entry_price"] = 1, 1.0, 100.0
    trades["entry_time"] = START_MS + HOUR_MS * np.arange(len(net_pnls))
    trades["exit_time"] = trades["entry_time"] + 2 * HOUR_MS
    trades["exit_reason"] = ExitReason.SIGNAL
    trades["gross_pnl"] = trades["net_pnl"] = net_pnls
    trades["exit_price"] = trades["entry_price"] + trades["gross_pnl"]
    for name, values in columns.items():
        trades[name] = values
    return trades


def run_of(
    equity: Sequence[float] | np.ndarray = (),
    trades: np.ndarray | None = None,
    *,
    initial_equity: float = 100.0,
    symbols: Sequence[str] = ("BTCUSDT",),
    timeframe: str = "D1",
    **extra: Any,
) -> Simulation:
    """Return a Simulation of one bar a day from plain equity values (or a ready EQUITY array)."""
    curve = equity if isinstance(equity, np.ndarray) else equity_curve(equity)
    return Simulation(
        symbols=tuple(symbols),
        timeframe=timeframe,
        initial_equity=initial_equity,
        trades=closed_trades([]) if trades is None else trades,
        equity=curve,
        rejections=extra.pop("rejections", {}),
        candles=extra.pop("candles", len(curve)),
        **extra,
    )


def random_run(
    seed: int, *, trades: int = 2_400, symbols: Sequence[str] = (), bars: int = 8_760, edge: float = 0.05
) -> Simulation:
    """Return a consistent H1 run: its equity is what its trades, fees and funding add up to."""
    rng = np.random.default_rng(seed)
    names = tuple(symbols) or ("BTCUSDT", "ETHUSDT", "SOLUSDT", "1000PEPEUSDT", "龙虾USDT", "XRPUSDT")
    found = np.zeros(trades, dtype=TRADE)
    found["symbol"] = rng.integers(0, len(names), trades)
    found["side"] = rng.choice([1, -1], trades)
    price = 10.0 ** rng.uniform(-3, 4.5, len(names))
    found["entry_price"] = np.round(price[found["symbol"]] * rng.uniform(0.8, 1.25, trades), 6)
    found["quantity"] = 1_000 / found["entry_price"]
    entry = rng.integers(1, bars - 200, trades)
    found["entry_time"] = START_MS + HOUR_MS * entry
    found["exit_time"] = found["entry_time"] + HOUR_MS * rng.integers(1, 150, trades)
    won = rng.random(trades) < 0.42 + edge / 10
    move = np.where(won, rng.uniform(0.004, 0.045, trades), -rng.uniform(0.004, 0.022, trades))
    found["exit_price"] = found["entry_price"] * (1 + move * found["side"])
    reasons = [ExitReason.TARGET, ExitReason.STOP, ExitReason.SIGNAL]
    signal = rng.random(trades) < 0.3
    found["exit_reason"] = np.where(signal, reasons[2], np.where(won, reasons[0], reasons[1]))
    found["stop_price"] = found["entry_price"] * (1 - 0.02 * found["side"])
    found["target_price"] = found["entry_price"] * (1 + 0.03 * found["side"])
    found["gross_pnl"] = found["quantity"] * found["entry_price"] * move
    found["fees"] = found["quantity"] * (found["entry_price"] + found["exit_price"]) * 0.0005
    found["funding"] = rng.normal(-0.05, 0.1, trades)
    found["net_pnl"] = found["gross_pnl"] - found["fees"] + found["funding"]
    found = np.sort(found, order=["exit_time", "symbol"])
    return run_of(
        _booked(found, bars, rng),
        found,
        initial_equity=10_000.0,
        symbols=names,
        timeframe="H1",
        candles=bars * len(names),
        rejections={"MAX_POSITIONS": 311, "MIN_NOTIONAL": 12},
        warnings=("no funding rates recorded for 龙虾USDT: 1 bp per 8 h assumed",),
    )


def _booked(trades: np.ndarray, bars: int, rng: np.random.Generator) -> np.ndarray:
    """Return the equity curve to which each trade adds its result over the bars it was open."""
    curve = equity_curve(np.zeros(bars), bar_ms=HOUR_MS)
    change, opened, notional = np.zeros(bars + 1), np.zeros(bars + 1, dtype=int), np.zeros(bars + 1)
    for trade in trades:
        first = (int(trade["entry_time"]) - START_MS) // HOUR_MS
        last = (int(trade["exit_time"]) - START_MS) // HOUR_MS
        share = rng.dirichlet(np.ones(last - first))
        change[first:last] += trade["net_pnl"] * share
        opened[first:last] += 1
        notional[first:last] += trade["quantity"] * trade["entry_price"]
    curve["equity"] = 10_000.0 + np.cumsum(change[:bars])
    curve["positions"], curve["notional"] = opened[:bars], notional[:bars]
    return curve

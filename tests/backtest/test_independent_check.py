"""The engine against an outsider: the same rules written again from their description.

Nothing of the product's indicators, rounding or fills is used here. Indicators are computed over the whole
series from their textbook definitions, money in decimal arithmetic. Plain rules: fixed notional, one
position per symbol, no funding, no slippage, one fee.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from futures_agent.backtest.records import ExitReason, Simulation
from futures_agent.strategy.registry import load_strategy
from sample_markets import random_candles, real_candles, run, with_holes

HOUR = 3_600_000
FEE = Decimal("0.0004")
NOTIONAL = Decimal(1000)
STEP = Decimal("0.001")


class Deal(NamedTuple):
    entry_time: int
    exit_time: int
    side: int
    reason: str
    entry: float
    exit: float
    stop: float
    target: float
    quantity: float
    net: float


def textbook_ema(values: list[float], length: int) -> list[float | None]:
    average: list[float | None] = [None] * len(values)
    average[length - 1] = sum(values[:length]) / length
    for i in range(length, len(values)):
        average[i] = values[i] * 2 / (length + 1) + average[i - 1] * (1 - 2 / (length + 1))
    return average


def textbook_atr(high: list[float], low: list[float], close: list[float], length: int) -> list[float | None]:
    ranges = [
        max(high[i] - low[i], abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1]))
        for i in range(1, len(close))
    ]
    average: list[float | None] = [None] * len(close)
    average[length] = sum(ranges[:length]) / length
    for i in range(length + 1, len(close)):
        average[i] = (average[i - 1] * (length - 1) + ranges[i - 1]) / length
    return average


def on_grid(value: Decimal, grid: Decimal, rounding: str) -> Decimal:
    return (value / grid).quantize(Decimal(1), rounding=rounding) * grid


def exact(price: float) -> Decimal:
    return Decimal(repr(price))


def outsider(candles: np.ndarray, tick: Decimal) -> list[Deal]:
    """Trade one symbol: EMA 20/50 cross, stop 2 ATR(14), target 3 ATR(14), reversed by the opposite cross."""
    time = candles["timestamp"].tolist()
    opened, high, low, close = (candles[name].tolist() for name in ("open", "high", "low", "close"))
    fast, slow, atr = textbook_ema(close, 20), textbook_ema(close, 50), textbook_atr(high, low, close, 14)
    deals: list[Deal] = []
    open_deal: dict[str, Any] | None = None

    def leave(i: int, price: float, reason: str) -> None:
        nonlocal open_deal
        assert open_deal is not None
        quantity, entry, side = open_deal["quantity"], exact(open_deal["entry"]), open_deal["side"]
        gross = side * quantity * (exact(price) - entry)
        net = gross - FEE * quantity * (entry + exact(price))
        deals.append(
            Deal(
                open_deal["time"],
                time[i],
                side,
                reason,
                open_deal["entry"],
                price,
                open_deal["stop"],
                open_deal["target"],
                float(quantity),
                float(net),
            )
        )
        open_deal = None

    for i in range(50, len(close)):
        crossed_up = fast[i - 1] > slow[i - 1] and (i > 50 and fast[i - 2] <= slow[i - 2])
        crossed_down = fast[i - 1] < slow[i - 1] and (i > 50 and fast[i - 2] >= slow[i - 2])
        if crossed_up or crossed_down:
            side = 1 if crossed_up else -1
            if open_deal and open_deal["side"] == -side:
                leave(i, opened[i], "SIGNAL")
            if not open_deal and time[i] - time[i - 1] == HOUR:
                entry, width = exact(opened[i]), Decimal(atr[i - 1])
                open_deal = {
                    "time": time[i],
                    "side": side,
                    "entry": opened[i],
                    "stop": float(on_grid(entry - side * 2 * width, tick, ROUND_HALF_UP)),
                    "target": float(on_grid(entry + side * 3 * width, tick, ROUND_HALF_UP)),
                    "quantity": on_grid(NOTIONAL / exact(close[i - 1]), STEP, ROUND_DOWN),
                }
        if open_deal:
            long, stop, target = open_deal["side"] > 0, open_deal["stop"], open_deal["target"]
            if opened[i] <= stop if long else opened[i] >= stop:
                leave(i, opened[i], "STOP")
            elif opened[i] > target if long else opened[i] < target:
                leave(i, target, "TARGET")
            elif low[i] <= stop if long else high[i] >= stop:
                leave(i, stop, "STOP")
            elif high[i] > target if long else low[i] < target:
                leave(i, target, "TARGET")
    if open_deal:
        leave(len(close) - 1, close[-1], "END")
    return deals


def engine_deals(result: Simulation, symbol: int) -> list[Deal]:
    chosen = result.trades[result.trades["symbol"] == symbol]
    return [
        Deal(
            int(trade["entry_time"]),
            int(trade["exit_time"]),
            int(trade["side"]),
            ExitReason(trade["exit_reason"]).name,
            *(
                float(trade[name])
                for name in (
                    "entry_price",
                    "exit_price",
                    "stop_price",
                    "target_price",
                    "quantity",
                    "net_pnl",
                )
            ),
        )
        for trade in chosen
    ]


def tick_of(candles: np.ndarray) -> Decimal:
    """Return the finest decimal place that the prices use."""
    decimals = max(-exact(price).normalize().as_tuple().exponent for price in candles["close"].tolist())
    return Decimal(1).scaleb(-max(decimals, 0))


def assert_same_deals(candles: dict[str, np.ndarray], compile_cache: Path | None) -> int:
    """Compare every trade of every symbol; return how many there were."""
    total = 0
    for symbol, series in candles.items():
        tick = tick_of(series)
        result = run(
            {symbol: series},
            load_strategy("ema_cross"),
            rules={"tick_size": float(tick)},
            initial_equity=1e9,
            compile_cache=compile_cache,
        )
        ours, theirs = engine_deals(result, 0), outsider(series, tick)
        assert [deal[:-1] for deal in ours] == [deal[:-1] for deal in theirs], symbol
        assert [deal.net for deal in ours] == pytest.approx([deal.net for deal in theirs], rel=1e-9, abs=1e-9)
        total += len(ours)
    return total


def test_generated_candles_with_holes_give_the_outsiders_trades(compile_cache: Path) -> None:
    candles = {
        f"GEN{seed}USDT": with_holes(random_candles(seed, 8_000), seed, share=0.02 * (seed % 2))
        for seed in range(10)
    }
    assert assert_same_deals(candles, compile_cache) > 1_000


def test_plain_python_gives_the_outsiders_trades() -> None:
    assert assert_same_deals({"GENUSDT": with_holes(random_candles(77, 3_000), 77)}, None) > 30


def test_real_candles_give_the_outsiders_trades(compile_cache: Path) -> None:
    candles = real_candles("klines_1h.parquet", 8_760)
    holed = {
        symbol: with_holes(series, seed, share=0.02 * (seed % 2))
        for seed, (symbol, series) in enumerate(candles.items())
    }
    assert assert_same_deals(holed, compile_cache) > 5_000


def test_shared_account_gives_each_symbol_the_trades_it_has_alone(compile_cache: Path) -> None:
    candles = {f"GEN{seed}USDT": with_holes(random_candles(seed, 2_000), seed) for seed in range(5)}
    result = run(candles, load_strategy("ema_cross"), initial_equity=1e9, compile_cache=compile_cache)
    for index, series in enumerate(candles.values()):
        ours = engine_deals(result, index)
        assert [deal[:-1] for deal in ours] == [deal[:-1] for deal in outsider(series, Decimal("0.01"))]

"""The EMA cross in backtesting.py: `python run_backtesting_py.py candles.npz rules.json` prints its tally.

One account per symbol. A position open at the end is closed at the last bar's open, ours at its close.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy


def main(candles: str, rules_file: str) -> None:
    """Run every symbol and print trades and net profit as JSON."""
    with open(rules_file, encoding="utf-8") as file:
        rules = json.load(file)
    trades, net_pnl = 0, 0.0
    for series in np.load(candles).values():
        frame = pd.DataFrame(
            {name.title(): series[name] for name in ("open", "high", "low", "close", "volume")},
            index=pd.to_datetime(series["timestamp"], unit="ms"),
        )
        backtest = Backtest(
            frame,
            cross(rules),
            cash=rules["cash"],
            commission=rules["fee"],
            exclusive_orders=True,
            finalize_trades=True,
        )
        stats = backtest.run()
        trades += int(stats["# Trades"])
        net_pnl += float(stats["Equity Final [$]"]) - rules["cash"]
    print(json.dumps([trades, net_pnl]))


def cross(rules: dict[str, Any]) -> type[Strategy]:
    """Return the strategy with these lengths and distances."""

    class EmaCross(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            self.fast = self.I(ema, self.data.Close, rules["fast"])
            self.slow = self.I(ema, self.data.Close, rules["slow"])
            self.atr = self.I(atr, self.data.High, self.data.Low, self.data.Close, rules["atr"])

        def next(self) -> None:
            above, was_above = self.fast[-1] > self.slow[-1], self.fast[-2] > self.slow[-2]
            if above == was_above:
                return
            price, units = self.data.Close[-1], int(rules["notional"] / self.data.Close[-1])
            stop, target = rules["stop_atr"] * self.atr[-1], rules["target_atr"] * self.atr[-1]
            if above:
                self.buy(size=units, sl=price - stop, tp=price + target)
            else:
                self.sell(size=units, sl=price + stop, tp=price - target)

    return EmaCross


def ema(values: Any, length: int) -> Any:
    """Return the exponential moving average."""
    return smoothed(pd.Series(values), length, 2 / (length + 1))


def atr(high: Any, low: Any, close: Any, length: int) -> Any:
    """Return the average true range after Wilder."""
    before = pd.Series(close).shift()
    true_range = np.maximum(high, before) - np.minimum(low, before)
    return smoothed(true_range, length, 1 / length)


def smoothed(values: Any, length: int, weight: float) -> Any:
    """Seed with the plain mean of the first `length` values, as TA-Lib and ours do."""
    first = values.first_valid_index()
    seeded = values.copy()
    seeded[: first + length - 1] = np.nan
    seeded[first + length - 1] = values[first : first + length].mean()
    return seeded.ewm(alpha=weight, adjust=False).mean().to_numpy()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The nightly backtest beside backtesting.py: 60 symbols, a year of H1 bars, the same data and rules.

Run from `app/`: `python -m benchmarks.backtest_speed`. Both are timed as whole processes, in turn,
three times each. Ours is `agentctl backtest`: database, validation, simulation, JSON result and HTML
report on disk. The peer loads arrays from one .npz file, runs its 60 backtests and writes nothing.
The trades are the same but for positions open at the end: the peer closes them at the last bar's open,
ours at its close, which is all that the two net results differ by.
The bars: under 2.5 s, under 300 MB, at least 3 times as fast.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

RUNS = 3
MAX_WALL_S = 2.5
MAX_RSS_MB = 300.0
MIN_RATIO = 3.0

SEED = 20261120
NOTIONAL = 1_000.0
FEE_BPS = 4.0
CASH = 10_000.0  # of each of the peer's 60 accounts; ours has one account with all of it

SETTINGS = """
[paths]
state_dir = "{directory}"
[data]
timeframes = ["H1"]
[risk]
fixed_notional = {notional}
max_positions = {symbols}
[costs]
maker_fee_bps = {fee_bps}
taker_fee_bps = {fee_bps}
slippage_bps = 0
funding = false
[backtest]
initial_equity = {equity}
"""


class Usage(NamedTuple):
    """What one whole process took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


class Tally(NamedTuple):
    """What it computed, to see that both did the same work."""

    trades: int
    net_pnl: float


def main() -> int:
    """Prepare the data, measure both programs, print the comparison; 1 where a bar was missed."""
    with tempfile.TemporaryDirectory(prefix="backtest_speed_") as name:
        directory = Path(name)
        # This process must stay small: a child's peak memory counts what it shared before exec.
        module = [sys.executable, "-m", "benchmarks.backtest_speed"]
        subprocess.run([*module, "prepare", name], check=True)
        agentctl = [sys.executable, "-m", "futures_agent.cli", "--config", str(directory / "agent.toml")]
        subprocess.run([*agentctl, "warm-up"], check=True, stdout=subprocess.DEVNULL)  # as a deploy does
        ours, peer = [], []
        for _ in range(RUNS):
            ours.append(measure([*agentctl, "backtest"], directory / "ours.log", expected=(0, 10)))
            peer.append(measure([*module, "peer", name], directory / "peer.json", expected=(0,)))
        return report(
            ours, our_tally(directory), peer, Tally(*json.loads((directory / "peer.json").read_text()))
        )


def measure(command: Sequence[str], output: Path, expected: Sequence[int]) -> Usage:
    """Run a program to its end, its output into a file; stop the benchmark where it fails."""
    # Started by a person, not by a timer that may be late.
    environment = {name: value for name, value in os.environ.items() if name != "TRIGGER_UNIT"}
    errors = output.with_suffix(".errors")
    with output.open("wb") as out, errors.open("wb") as err:
        started = os.times().elapsed
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = os.times().elapsed - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in expected:
        sys.exit(f"{' '.join(command)}: exit {process.returncode}\n{errors.read_text()[-2_000:]}")
    return Usage(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def our_tally(directory: Path) -> Tally:
    """Return what the last result on disk says."""
    result = json.loads((directory / "backtest" / "results" / "latest.json").read_text())
    return Tally(result["metrics"]["trades"], result["metrics"]["net_pnl"])


def report(ours: list[Usage], our_work: Tally, peer: list[Usage], peer_work: Tally) -> int:
    """Print both programs and how far ours is from its bars."""
    print(f"{'':28}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'trades':>9}{'net':>12}")
    medians = []
    for name, runs, work in (("agentctl backtest", ours, our_work), ("backtesting.py", peer, peer_work)):
        middle = Usage(*(statistics.median(values) for values in zip(*runs, strict=True)))
        medians.append(middle)
        numbers = f"{middle.wall_s:9.2f}{middle.cpu_s:9.2f}{middle.peak_mb:9.0f}"
        print(f"{name:28}{numbers}{work.trades:9,}{work.net_pnl:12,.2f}")
        print(f"{'  each run, wall s':28}{'  '.join(f'{run.wall_s:.2f}' for run in runs)}")
    our_median, peer_median = medians
    ratio = peer_median.wall_s / our_median.wall_s
    cpu_ratio = peer_median.cpu_s / our_median.cpu_s
    print(f"{ratio:.1f} times as fast (bar {MIN_RATIO:g}), by CPU time {cpu_ratio:.1f}; ", end="")
    print(f"{our_median.wall_s:.2f} s (bar {MAX_WALL_S:g}), {our_median.peak_mb:.0f} MB (bar {MAX_RSS_MB:g})")
    reached = ratio >= MIN_RATIO and our_median.wall_s < MAX_WALL_S and our_median.peak_mb < MAX_RSS_MB
    return 0 if reached else 1


def prepare(directory: Path) -> None:
    """Write the same candles as a database for ours and as arrays for the peer, and the settings."""
    import contextlib

    import numpy as np

    from futures_agent.clock import SystemClock
    from futures_agent.market.timeframe import Timeframe
    from futures_agent.settings import DataSettings
    from futures_agent.store.candles import upsert_candles
    from futures_agent.store.database import open_writer
    from futures_agent.store.instruments import upsert_instruments

    symbols = DataSettings().symbols
    bars = DataSettings().history_days * 24
    candles = correlated_walks(len(symbols), bars, end_ms=Timeframe.H1.open_of(SystemClock().now_ms()))
    np.savez(directory / "candles.npz", **dict(zip(symbols, candles, strict=True)))
    database = directory / "db" / "crypto_agent.db"
    database.parent.mkdir()
    with contextlib.closing(open_writer(database)) as db:
        upsert_instruments(db, [instrument(symbol) for symbol in symbols], updated_at_ms=0)
        for symbol, series in zip(symbols, candles, strict=True):
            upsert_candles(db, Timeframe.H1, symbol, series)
    settings = SETTINGS.format(
        directory=directory,
        notional=NOTIONAL,
        symbols=len(symbols),
        fee_bps=FEE_BPS,
        equity=CASH * len(symbols),
    )
    (directory / "agent.toml").write_text(settings, encoding="utf-8")
    print(
        f"{len(symbols)} symbols × {bars:,} H1 bars, seed {SEED}, EMA 20/50 cross, stop 2 ATR, target 3 ATR"
    )


def correlated_walks(symbols: int, bars: int, end_ms: int):  # type: ignore[no-untyped-def]
    """Return FULL_CANDLE of shape (symbols, bars): geometric Brownian motion with a common factor."""
    import numpy as np

    from futures_agent.clock import HOUR_MS
    from futures_agent.market.candle import FULL_CANDLE

    rng = np.random.default_rng(SEED)
    returns = rng.normal(0, 0.004, (1, bars)) + rng.normal(0, 0.006, (symbols, bars))
    candles = np.zeros((symbols, bars), dtype=FULL_CANDLE)
    candles["timestamp"] = end_ms + HOUR_MS * np.arange(-bars, 0)
    candles["close"] = np.exp(np.cumsum(returns, axis=1))
    candles["open"][:, 0] = 1.0
    candles["open"][:, 1:] = candles["close"][:, :-1]
    reach = np.abs(rng.normal(0, 0.004, (2, symbols, bars)))
    candles["high"] = np.maximum(candles["open"], candles["close"]) * (1 + reach[0])
    candles["low"] = np.minimum(candles["open"], candles["close"]) * (1 - reach[1])
    candles["volume"] = candles["quote_volume"] = rng.lognormal(8, 1, (symbols, bars))
    return candles


def instrument(symbol: str):  # type: ignore[no-untyped-def]
    """Return a contract traded in whole units, as the peer's are, whose tick rounds nothing away."""
    from futures_agent.market.instrument import Instrument

    return Instrument(
        symbol=symbol,
        status="TRADING",
        tick_size=1e-8,
        step_size=1.0,
        min_quantity=1.0,
        max_quantity=1e9,
        min_notional=5.0,
        price_precision=8,
        quantity_precision=0,
        liquidation_fee=0.0,
        onboard_ms=0,
        tradable=True,
    )


def run_peer(directory: Path) -> None:
    """Run backtesting.py over every symbol and print its tally."""
    import numpy as np
    import pandas as pd
    from backtesting import Backtest, Strategy

    def ema(values, length):  # type: ignore[no-untyped-def]
        return smoothed(pd.Series(values), length, 2 / (length + 1))

    def smoothed(values, length, weight):  # type: ignore[no-untyped-def]
        """Seed with the plain mean of the first `length` values, as TA-Lib and ours do."""
        first = values.first_valid_index()
        seeded = values.copy()
        seeded[: first + length - 1] = np.nan
        seeded[first + length - 1] = values[first : first + length].mean()
        return seeded.ewm(alpha=weight, adjust=False).mean().to_numpy()

    def atr(high, low, close, length):  # type: ignore[no-untyped-def]
        before = pd.Series(close).shift()
        true_range = np.maximum(high, before) - np.minimum(low, before)
        return smoothed(true_range, length, 1 / length)

    class EmaCross(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            self.fast = self.I(ema, self.data.Close, 20)
            self.slow = self.I(ema, self.data.Close, 50)
            self.atr = self.I(atr, self.data.High, self.data.Low, self.data.Close, 14)

        def next(self) -> None:
            above, was_above = self.fast[-1] > self.slow[-1], self.fast[-2] > self.slow[-2]
            if above == was_above:
                return
            price, reach, units = self.data.Close[-1], self.atr[-1], int(NOTIONAL / self.data.Close[-1])
            if above:
                self.buy(size=units, sl=price - 2 * reach, tp=price + 3 * reach)
            else:
                self.sell(size=units, sl=price + 2 * reach, tp=price - 3 * reach)

    trades, net_pnl = 0, 0.0
    for series in np.load(directory / "candles.npz").values():
        frame = pd.DataFrame(
            {name.title(): series[name] for name in ("open", "high", "low", "close", "volume")},
            index=pd.to_datetime(series["timestamp"], unit="ms"),
        )
        backtest = Backtest(
            frame, EmaCross, cash=CASH, commission=FEE_BPS / 1e4, exclusive_orders=True, finalize_trades=True
        )
        stats = backtest.run()
        trades += int(stats["# Trades"])
        net_pnl += float(stats["Equity Final [$]"]) - CASH
    print(json.dumps([trades, net_pnl]))


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            sys.exit(main())
        case ["prepare", target]:
            prepare(Path(target))
        case ["peer", target]:
            run_peer(Path(target))
        case _:
            sys.exit("usage: python -m benchmarks.backtest_speed")

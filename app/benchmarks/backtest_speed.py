"""The nightly backtest as a whole process, its simulation alone, and how both grow with the data.

Run from `app/`: `python -m benchmarks.backtest_speed [STRATEGY]`, the default being the default strategy.
60 symbols, a year of H1 with H4 and D1, then twice the symbols, then twice the years; three runs each.
The whole process is `agentctl backtest`: database, validation, simulation, JSON result and HTML report on
disk, on a host whose compile cache a deploy has warmed. The simulation alone is features, decisions
and fills over a loaded panel, compiled, the best of ten times in one process. It and all growth count by CPU
time, which other work on the machine changes least.
The bars, on the year of 60 symbols: under 3 s and 300 MB, the simulation under 0.3 s. Linear: twice the
data take at most 2.2 times as much, of anything.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.whole_process import Usage, measure, middle

RUNS = 3
SIMULATIONS = 10  # in one process, each timed
MAX_WALL_S = 3.0
MAX_RSS_MB = 300.0
MAX_SIMULATION_S = 0.3
MAX_GROWTH = 2.2

SYMBOLS, DAYS = 60, 365
WORLDS = {
    "60 symbols × 1 year": (SYMBOLS, DAYS),
    "120 symbols × 1 year": (2 * SYMBOLS, DAYS),
    "60 symbols × 2 years": (SYMBOLS, 2 * DAYS),
}

# Walks without drift lose the costs of trading; an account that is stopped for it would be quicker.
SETTINGS = """
[paths]
state_dir = "{directory}"
[data]
symbols = {names}
history_days = {days}
[strategy]
{strategy}
[risk]
max_daily_loss = 1
max_drawdown = 1
[backtest]
days = {days}
"""


class Cost(NamedTuple):
    """What one world took."""

    candles: int
    trades: int
    whole: Usage
    deciding_s: float
    filling_s: float

    @property
    def simulation_s(self) -> float:
        return self.deciding_s + self.filling_s


def main(strategy: str | None) -> int:
    """Measure every world, print the table and the growth; 1 where a bar was missed."""
    print(f"{strategy or 'the default strategy'} on H1 with H4 and D1, median of {RUNS} runs")
    print(
        f"{'':24}{'candles':>11}{'trades':>9}{'wall s':>9}{'CPU s':>8}{'peak MB':>9}"
        f"{'simulation s':>14}{'deciding':>10}{'filling':>9}"
    )
    costs = []
    for name, (symbols, days) in WORLDS.items():
        cost = cost_of(symbols, days, strategy)
        costs.append(cost)
        print(
            f"{name:24}{cost.candles:11,}{cost.trades:9,}{cost.whole.wall_s:9.2f}{cost.whole.cpu_s:8.2f}"
            f"{cost.whole.peak_mb:9.0f}{cost.simulation_s:14.3f}{cost.deciding_s:10.3f}{cost.filling_s:9.3f}",
            flush=True,
        )
    year, *grown = costs
    print(
        f"{year.whole.wall_s:.2f} s (bar {MAX_WALL_S:g}), {year.whole.peak_mb:.0f} MB (bar {MAX_RSS_MB:g}), "
        f"simulation alone {year.simulation_s:.3f} s (bar {MAX_SIMULATION_S:g})"
    )
    reached = (
        year.whole.wall_s < MAX_WALL_S
        and year.whole.peak_mb < MAX_RSS_MB
        and year.simulation_s < MAX_SIMULATION_S
    )
    for name, cost in zip(("2 × symbols", "2 × years"), grown, strict=True):
        factors = {
            "simulation": cost.simulation_s / year.simulation_s,
            "whole process": cost.whole.cpu_s / year.whole.cpu_s,
            "memory": cost.whole.peak_mb / year.whole.peak_mb,
        }
        text = ", ".join(f"{what} × {factor:.2f}" for what, factor in factors.items())
        print(f"{name}: {text} (bar × {MAX_GROWTH:g})")
        reached &= max(factors.values()) <= MAX_GROWTH
    return 0 if reached else 1


def cost_of(symbols: int, days: int, strategy: str | None) -> Cost:
    """Write one world, warm the compile cache, and measure."""
    with tempfile.TemporaryDirectory(prefix="backtest_speed_") as name:
        directory = Path(name)
        module = [sys.executable, "-m", "benchmarks.backtest_speed"]
        subprocess.run([*module, "prepare", name, str(symbols), str(days), strategy or ""], check=True)
        agentctl = [sys.executable, "-m", "futures_agent.cli", "--config", str(directory / "agent.toml")]
        subprocess.run([*agentctl, "warm-up"], check=True, stdout=subprocess.DEVNULL)  # as a deploy does
        runs = [measure([*agentctl, "backtest"], directory / "backtest.log", (0, 10)) for _ in range(RUNS)]
        alone = subprocess.run([*module, "simulate", name], check=True, stdout=subprocess.PIPE, text=True)
        deciding_s, filling_s = json.loads(alone.stdout)
        result = json.loads((directory / "backtest" / "results" / "latest.json").read_text())
        return Cost(result["candles"], result["metrics"]["trades"], middle(runs), deciding_s, filling_s)


def prepare(directory: Path, symbols: int, days: int, strategy: str) -> None:
    """Write database and settings of one world."""
    from benchmarks.market import symbol_names, write_market

    write_market(directory, symbols, days)
    settings = SETTINGS.format(
        directory=directory,
        names=json.dumps(symbol_names(symbols)),
        days=days,
        strategy=f'name = "{strategy}"' if strategy else "",
    )
    (directory / "agent.toml").write_text(settings, encoding="utf-8")


def simulate_alone(directory: Path) -> None:
    """Print the CPU seconds of deciding and of filling over a loaded panel, as JSON: the best run."""
    from time import process_time

    from futures_agent.backtest.engine import simulate
    from futures_agent.backtest.loading import Period
    from futures_agent.backtest.run import compile_cache_of, run_backtest
    from futures_agent.clock import DAY_MS, SystemClock
    from futures_agent.market.timeframe import Timeframe
    from futures_agent.settings import load

    settings = load(directory / "agent.toml").settings
    end_ms = Timeframe[settings.strategy.timeframe].open_of(SystemClock().now_ms())
    period = Period(end_ms - settings.backtest.days * DAY_MS, end_ms)
    run = run_backtest(settings, database=settings.paths.database, period=period)
    times = []
    for _ in range(SIMULATIONS):
        decided = [process_time()]
        simulate(
            run.panel,
            run.strategy,
            settings.strategy.params,
            risk=settings.risk,
            costs=settings.costs,
            initial_equity=settings.backtest.initial_equity,
            compile_cache=compile_cache_of(settings),
            on_progress=lambda stage, done, total, at=decided: at.append(process_time()),
        )
        times.append((decided[-1] - decided[0], process_time() - decided[-1]))
    print(json.dumps(min(times, key=sum)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", target, symbols, days, strategy]:
            prepare(Path(target), int(symbols), int(days), strategy)
        case ["simulate", target]:
            simulate_alone(Path(target))
        case [] | [_]:
            sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
        case _:
            sys.exit("usage: python -m benchmarks.backtest_speed [STRATEGY]")

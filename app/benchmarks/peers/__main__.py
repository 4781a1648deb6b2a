"""A year of 60 symbols beside other engines: the same candles, the same rules.

Run from `app/`: `python -m benchmarks.peers [PEER=PYTHON …]`. backtesting.py always runs; any other peer
(nautilus, freqtrade) where the Python of an environment that has it is named: docs/benchmarks.md.
All are timed as whole processes, ours and backtesting.py three times in turn, the others once: they take
minutes. Ours is `agentctl backtest`: database, validation, simulation, JSON result and HTML report on
disk. The peers load arrays from one .npz file and print a tally. The number of trades is the same, and what
the net results differ by is known: docs/benchmarks.md. The bar: at least 3 times as fast as backtesting.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.whole_process import Usage, measure, middle

RUNS = 3
MIN_RATIO = 3.0

SYMBOLS, DAYS = 60, 365
RULES = {
    "notional": 1_000.0,
    "fee": 4.0 / 10_000,
    "cash": 10_000.0,  # of each of a peer's 60 accounts; ours has one account with all of it
    "fast": 20,
    "slow": 50,
    "atr": 14,
    "stop_atr": 2.0,
    "target_atr": 3.0,
}
SETTINGS = """
[paths]
state_dir = "{directory}"
[data]
timeframes = ["H1"]
[strategy]
name = "ema_cross"
[risk]
fixed_notional = {notional}
max_positions = {symbols}
max_correlated = {symbols}
max_daily_loss = 1.0
max_drawdown = 1.0
liquidation_buffer = 0.0
[costs]
maker_fee_bps = {fee_bps}
taker_fee_bps = {fee_bps}
slippage_bps = 0
impact_bps = 0
funding = false
[backtest]
initial_equity = {equity}
"""


class Tally(NamedTuple):
    """What was computed, to see that all did the same work."""

    trades: int
    net_pnl: float


def main(others: Mapping[str, str]) -> int:
    """Prepare the data, measure all programs in turn, print the comparison; 1 where the bar was missed.

    `others` maps a peer, whose script is run_PEER.py here, to the Python that runs it.
    """
    peers = {"backtesting_py": sys.executable, **others}
    with tempfile.TemporaryDirectory(prefix="peers_") as name:
        directory = Path(name)
        # A child's peak memory counts what it shared with this process, which must stay small.
        subprocess.run([sys.executable, "-m", "benchmarks.peers", "prepare", name], check=True)
        agentctl = [sys.executable, "-m", "futures_agent.cli", "--config", str(directory / "agent.toml")]
        subprocess.run([*agentctl, "warm-up"], check=True, stdout=subprocess.DEVNULL)  # as a deploy does
        here = Path(__file__).parent
        data = [f"{name}/candles.npz", f"{name}/rules.json"]
        scripts = {peer: [python, str(here / f"run_{peer}.py"), *data] for peer, python in peers.items()}
        ours: list[Usage] = []
        theirs: dict[str, list[Usage]] = {peer: [] for peer in peers}
        for run in range(RUNS):
            ours.append(measure([*agentctl, "backtest"], directory / "ours.log", (0, 10)))
            for peer in peers if run == 0 else ["backtesting_py"]:
                theirs[peer].append(measure(scripts[peer], directory / f"{peer}.json"))
        base = middle(ours)
        print(f"{SYMBOLS} symbols × {DAYS} days of H1, EMA cross, median of {RUNS} runs")
        print(
            f"{'':20}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'trades':>9}{'net':>12}{'wall ×':>9}{'CPU ×':>9}"
        )
        print_row("agentctl backtest", base, our_tally(directory), base)
        for peer, runs in theirs.items():
            print_row(peer, middle(runs), peer_tally(directory / f"{peer}.json"), base)
    ratio = middle(theirs["backtesting_py"]).wall_s / base.wall_s
    print(f"{ratio:.1f} times as fast as backtesting.py (bar {MIN_RATIO:g})")
    return 0 if ratio >= MIN_RATIO else 1


def print_row(name: str, usage: Usage, work: Tally, ours: Usage) -> None:
    """Print one program, and how many times what ours took it took."""
    numbers = (
        f"{usage.wall_s:9.2f}{usage.cpu_s:9.2f}{usage.peak_mb:9.0f}{work.trades:9,}{work.net_pnl:12,.2f}"
    )
    print(f"{name:20}{numbers}{usage.wall_s / ours.wall_s:9.1f}{usage.cpu_s / ours.cpu_s:9.1f}")


def our_tally(directory: Path) -> Tally:
    """Return what the last result on disk says."""
    metrics = json.loads((directory / "backtest" / "results" / "latest.json").read_text())["metrics"]
    return Tally(metrics["trades"], metrics["net_pnl"])


def peer_tally(output: Path) -> Tally:
    """Return what a peer's script printed last."""
    return Tally(*json.loads(output.read_text().splitlines()[-1]))


def prepare(directory: Path) -> None:
    """Write the candles as a database and as arrays, the rules for the peers and the settings for ours."""
    from benchmarks.market import write_market

    write_market(directory, SYMBOLS, DAYS, arrays=True)
    (directory / "rules.json").write_text(json.dumps(RULES), encoding="utf-8")
    settings = SETTINGS.format(
        directory=directory,
        notional=RULES["notional"],
        symbols=SYMBOLS,
        fee_bps=RULES["fee"] * 10_000,
        equity=RULES["cash"] * SYMBOLS,
    )
    (directory / "agent.toml").write_text(settings, encoding="utf-8")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", target]:
            prepare(Path(target))
        case pairs if all("=" in pair for pair in pairs):
            sys.exit(main(dict(pair.split("=", 1) for pair in pairs)))
        case _:
            sys.exit("usage: python -m benchmarks.peers [PEER=PYTHON …]")

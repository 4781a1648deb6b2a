"""Months of history through the live trader, compared with the backtest trade by trade.

`python campaign.py --data FOLDER --symbols 20 --days 181` (`make parity`). Without recorded candles they are
generated. Prints the differences; there must be none, and there must have been trades to compare.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc, utc_text
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.decision_log import read_decisions
from futures_agent.settings.tree import CostSettings, RiskSettings, Settings, StrategySettings
from parity.backtested import backtest_of
from parity.compare import differences, equity_differences, round_trips
from parity.replay import EQUITY, trading, venue_config

# Recorded from mid-2024 on, hour by hour.
RECORDED = tuple(
    f"{base}USDT"
    for base in (
        "BTC ETH BNB SOL XRP DOGE ADA LINK NEAR APT ARB OP SUI LTC UNI FIL INJ ATOM DOT TRX "
    ).split()
)
_FILES = ("klines_1h.parquet", "funding.parquet")  # finer candles of a few symbols would judge them otherwise


def run(
    *,
    symbols: tuple[str, ...],
    days: int,
    strategy: str,
    start_ms: int,
    data: Path | None,
    seed: int = 6,
    params: dict[str, float] | None = None,
    max_positions: int = 8,
    progress: bool = False,
) -> tuple[int, list[str], Counter[str]]:
    """Return how many trades were compared, what differs, and the exits' reasons.

    The venue refuses an entry for which the margin does not suffice, which the backtest does not know: keep
    `max_positions` below `risk.max_leverage` for a strategy that uses all of it.
    """
    settings = Settings(
        strategy=StrategySettings(name=strategy, params=params or {}),
        # What is lost must not end the comparison before its time.
        risk=RiskSettings(max_drawdown=0.95, max_daily_loss=0.9, max_positions=max_positions),
        # The venue pays no funding where none was recorded; the backtest assumes the worst.
        costs=CostSettings(funding_fallback_bps=0.0),
    )
    end_ms = start_ms + days * DAY_MS
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        terms: dict[str, Any] = {"seed": seed, "history_days": 2, "start_ms": start_ms}
        if data is not None:
            terms = {"dataset": linked(data, scratch / "data"), "start_ms": start_ms, "data_end_ms": end_ms}
        config = venue_config(settings.costs, 3, symbols=symbols, **terms)
        replay = stack.enter_context(trading(config, settings, scratch))
        began = time.monotonic()
        for close_ms in range(start_ms + HOUR_MS, end_ms + 1, HOUR_MS):
            replay.step_to(close_ms)
            if progress and close_ms % (10 * DAY_MS) == 0:
                took_s = time.monotonic() - began
                print(f"  {utc_text(close_ms)}  {len(replay.fills)} fills  {took_s:.0f} s", flush=True)
        assert replay.trader is not None
        one = replay.trader.assembly
        venue = replay.simulator.venue
        # What is decided at the very end is carried out behind it.
        trips = [
            trip
            for trip in round_trips(replay.fills, replay.incomes, replay.names)
            if trip.exit_bar_ms < end_ms
        ]
        expected = backtest_of(
            venue,
            one.instruments,
            replay.settings,
            first_ms=start_ms,
            end_ms=end_ms,
            equity=float(EQUITY),
            finer=None if data is not None else Timeframe.M15,
        )
        if progress:
            print(f"  refused live {dict(one.rounds.decider.rejections)}, backtest {expected.rejections}")
            print(f"  incidents {one.clerk.incident_count}")
        found = differences(trips, expected.trades, expected.symbols)
        moments = read_decisions(replay.settings.paths.decisions, start_ms, end_ms)
        told = {close.close_ms: close.risk["equity"] for close, _ in moments}
        found += equity_differences(told, expected.equity)
    return len(trips), found, Counter(trip.reason.name for trip in trips)


def linked(data: Path, folder: Path) -> Path:
    """Return a folder with those of the recorded files that are wanted."""
    folder.mkdir()
    for name in _FILES:
        (folder / name).symlink_to((data / name).resolve())
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="recorded candles; generated ones without it")
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--days", type=int, default=181)
    parser.add_argument("--start", default="2024-07-01")
    parser.add_argument("--strategy", default="smc")
    parser.add_argument("--seed", type=int, default=6)
    chosen = parser.parse_args()
    symbols = RECORDED[: chosen.symbols]
    print(f"parity: {chosen.strategy}, {len(symbols)} symbols, {chosen.days} days, seed {chosen.seed}")
    compared, found, reasons = run(
        symbols=symbols,
        days=chosen.days,
        strategy=chosen.strategy,
        start_ms=parse_utc(chosen.start),
        data=chosen.data,
        seed=chosen.seed,
        progress=True,
    )
    for line in found[:20]:
        print(f"  DIFFERS {line}")
    print(f"parity: {compared} trades compared ({dict(reasons)}), {len(found)} differences")
    return 1 if found or not compared else 0


if __name__ == "__main__":
    sys.exit(main())

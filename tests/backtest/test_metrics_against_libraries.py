"""The metrics beside two libraries that know nothing of this one, on the same returns and trades.

empyrical judges what follows from the daily returns, the statistics of backtesting.py what follows from
the curve bar by bar and from the trades.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import empyrical
import numpy as np
import pandas as pd
import pytest
from backtesting._stats import compute_stats  # the public one makes a curve of its own from the trades
from empyrical.stats import drawdown_series

from futures_agent.backtest.metrics import compute_metrics, daily_equity, drawdown
from futures_agent.backtest.records import Simulation
from futures_agent.clock import HOUR_MS
from futures_agent.strategy.ema_cross import STRATEGY
from sample_markets import random_candles, real_candles, run
from sample_runs import random_run, run_of

close_to = partial(pytest.approx, rel=1e-9)

MONTHS = 6
HOURS = MONTHS * 30 * 24
DAILY: dict[str, Any] = {"period": "daily", "annualization": 365}


def walk(seed: int, days: int, *, drift: float = 0.0, deviation: float = 0.03) -> Simulation:
    """Return a run of one bar a day whose returns are drawn from a normal law."""
    returns = np.random.default_rng(seed).normal(drift, deviation, days)
    return run_of((100.0 * np.cumprod(1 + returns)).tolist())


def generated_market() -> Simulation:
    """Return what the example strategy made of six months of generated hours."""
    return run({name: random_candles(seed, HOURS) for seed, name in enumerate(("A", "B", "C"))}, STRATEGY)


def recorded_market() -> Simulation:
    """Return what it made of the last six months of two recorded markets."""
    candles = real_candles("klines_1h.parquet", HOURS)
    return run({name: candles[name] for name in ("BTCUSDT", "ETHUSDT")}, STRATEGY)


RUNS: dict[str, Callable[[], Simulation]] = {
    "good_year": lambda: walk(1, 365, drift=0.003),
    "bad_year": lambda: walk(2, 365, drift=-0.002),
    "wild_month": lambda: walk(3, 30, deviation=0.12),
    "two_days": lambda: walk(4, 2),
    "made_up_trades": lambda: random_run(5, trades=400, bars=HOURS),
    "generated_market": generated_market,
    "recorded_market": recorded_market,
}


@pytest.fixture(params=RUNS)
def simulation(request: pytest.FixtureRequest) -> Simulation:
    return RUNS[request.param]()


def test_ratios_of_the_daily_returns(simulation: Simulation) -> None:
    metrics = compute_metrics(simulation)
    equity = daily_equity(simulation)
    returns = equity[1:] / equity[:-1] - 1

    assert metrics.total_return == close_to(empyrical.cum_returns_final(returns))
    assert metrics.volatility == close_to(empyrical.annual_volatility(returns, **DAILY))
    assert metrics.sharpe == close_to(empyrical.sharpe_ratio(returns, **DAILY))
    assert metrics.sortino == close_to(empyrical.sortino_ratio(returns, **DAILY))
    # empyrical counts a year in returns, ours in days of the curve: the same for curves of whole days.
    assert metrics.days == len(returns)
    assert metrics.annual_return == close_to(empyrical.annual_return(returns, **DAILY))


def test_drawdown_and_calmar_of_every_bar(simulation: Simulation) -> None:
    metrics = compute_metrics(simulation)
    bars = whole_curve(simulation)
    returns = bars[1:] / bars[:-1] - 1
    daily = empyrical.annual_return(daily_equity(simulation)[1:] / daily_equity(simulation)[:-1] - 1, **DAILY)

    assert metrics.max_drawdown == close_to(-empyrical.max_drawdown(returns))
    assert drawdown(simulation) == close_to(-np.asarray(drawdown_series(returns)), abs=1e-9)
    assert metrics.calmar == close_to(daily / -empyrical.max_drawdown(returns))


def test_calmar_of_daily_bars() -> None:
    simulation = walk(6, 365, drift=0.001)
    returns = whole_curve(simulation)[1:] / whole_curve(simulation)[:-1] - 1

    assert compute_metrics(simulation).calmar == close_to(empyrical.calmar_ratio(returns, **DAILY))


@pytest.mark.filterwarnings("ignore:DatetimeIndex.dayofweek")  # backtesting.py's business
@pytest.mark.parametrize("name", ["made_up_trades", "generated_market", "recorded_market"])
def test_trades_and_length_of_drawdown(name: str) -> None:
    simulation = RUNS[name]()
    metrics, peer = compute_metrics(simulation), peer_statistics(simulation)

    assert metrics.trades == peer["# Trades"] > 20
    assert metrics.win_rate == close_to(peer["Win Rate [%]"] / 100)
    assert metrics.profit_factor == close_to(peer["Profit Factor"])
    assert metrics.expectancy == close_to(peer["Expectancy [%]"] / 100)
    assert metrics.best_trade == close_to(peer["Best Trade [%]"] / 100)
    assert metrics.worst_trade == close_to(peer["Worst Trade [%]"] / 100)
    assert metrics.max_drawdown == close_to(-peer["Max. Drawdown [%]"] / 100)
    assert metrics.max_drawdown_days == peer["Max. Drawdown Duration"] / pd.Timedelta(days=1)
    assert metrics.total_return == close_to(peer["Return [%]"] / 100)


def test_libraries_notice_another_definition() -> None:
    """The comparison can fail: a population deviation, or 252 days, is not within its tolerance."""
    returns = np.random.default_rng(7).normal(0.001, 0.03, 365)
    sharpe = empyrical.sharpe_ratio(returns, **DAILY)

    assert np.mean(returns) / np.std(returns) * np.sqrt(365) != close_to(sharpe)
    assert np.mean(returns) / np.std(returns, ddof=1) * np.sqrt(252) != close_to(sharpe)


def whole_curve(simulation: Simulation) -> np.ndarray:
    """Return the equity of every bar, the initial one first."""
    return np.concatenate([[simulation.initial_equity], simulation.equity["equity"]])


def peer_statistics(simulation: Simulation) -> pd.Series:
    """Return what backtesting.py says of this curve and these trades.

    It works on the shares that trades returned; given money instead, its averages and quotients are of
    money.
    """
    equity = whole_curve(simulation)
    closes = np.concatenate([simulation.equity["timestamp"][:1] - HOUR_MS, simulation.equity["timestamp"]])
    index = pd.to_datetime(closes, unit="ms")
    market = pd.DataFrame({"Close": equity}, index=index)  # for its beta, which nobody reads
    trades = simulation.trades
    table = pd.DataFrame(
        {
            "EntryBar": (trades["entry_time"] - closes[0]) // HOUR_MS,
            "ExitBar": (trades["exit_time"] - closes[0]) // HOUR_MS,
            "PnL": trades["net_pnl"],
            "ReturnPct": trades["net_pnl"],
            "Duration": pd.to_timedelta(trades["exit_time"] - trades["entry_time"], unit="ms"),
        }
    )
    return compute_stats(table, equity, market, strategy_instance=None)

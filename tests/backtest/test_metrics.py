"""Exact values on hand-made runs, then what must hold for every run."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from futures_agent.backtest.metrics import (
    by_exit_reason,
    by_reason,
    by_side,
    by_symbol,
    compute_metrics,
    daily_equity,
    drawdown,
    monthly_returns,
)
from futures_agent.backtest.records import ExitReason
from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc
from sample_runs import START_MS, closed_trades, equity_curve, random_run, run_of

YEAR = math.sqrt(365)


def test_ratios_of_a_hand_made_week():
    # Returns +10 %, −10 %, +20 %, −5 %: mean 0.0375.
    metrics = compute_metrics(run_of([110, 99, 118.8, 112.86]))
    deviations = [0.0625, -0.1375, 0.1625, -0.0875]
    deviation = math.sqrt(sum(d * d for d in deviations) / 3)
    downside = math.sqrt((0.1**2 + 0.05**2) / 4)

    assert metrics.total_return == pytest.approx(0.1286)
    assert metrics.days == 4
    assert metrics.volatility == pytest.approx(deviation * YEAR)
    assert metrics.sharpe == pytest.approx(0.0375 / deviation * YEAR)
    assert metrics.sortino == pytest.approx(0.0375 / downside * YEAR)
    assert metrics.max_drawdown == pytest.approx(0.1)
    assert metrics.annual_return == pytest.approx(1.1286 ** (365 / 4) - 1)
    assert metrics.calmar == pytest.approx((1.1286 ** (365 / 4) - 1) / 0.1)


def test_drawdown_starts_from_the_initial_equity():
    simulation = run_of([80, 90, 120, 60, 119])

    assert drawdown(simulation).tolist() == pytest.approx([0.2, 0.1, 0, 0.5, 1 / 120])
    assert compute_metrics(simulation).max_drawdown == 0.5


@pytest.mark.parametrize(
    ("equity", "days"),
    [
        ([101, 102, 103], 0),  # never under water
        ([100, 100, 100], 0),  # flat is not under water
        ([110, 105, 106, 110, 111], 3),  # peak at day 1, reached again at day 4
        ([90, 100, 110], 2),  # under water from the start
        ([110, 105, 110, 100, 100, 100], 3),  # still under water at the end
    ],
)
def test_drawdown_length_counts_from_the_peak_to_its_recovery_or_the_end(equity, days):
    assert compute_metrics(run_of(equity)).max_drawdown_days == days


def test_bar_closing_at_midnight_belongs_to_the_day_that_ends():
    hourly = equity_curve(np.arange(101, 149), bar_ms=HOUR_MS)

    assert daily_equity(run_of(hourly, timeframe="H1")).tolist() == [100, 124, 148]


def test_day_without_bars_keeps_the_equity_of_the_day_before():
    curve = equity_curve([101, 102, 105])
    curve["timestamp"][2] += 2 * DAY_MS

    assert daily_equity(run_of(curve)).tolist() == [100, 101, 102, 102, 102, 105]


def test_monthly_returns_compound_to_the_total():
    curve = equity_curve([110, 99, 198], start_ms=parse_utc("2025-11-29"))

    assert monthly_returns(run_of(curve)) == {"2025-11": pytest.approx(-0.01), "2025-12": pytest.approx(1.0)}


def test_monthly_return_after_ruin_is_undefined():
    curve = equity_curve([-5, -5], start_ms=parse_utc("2025-11-30"))

    assert monthly_returns(run_of(curve)) == {"2025-11": pytest.approx(-1.05), "2025-12": None}


def test_trade_statistics_of_four_trades():
    trades = closed_trades([30, -10, 0, -5], fees=[1, 2, 3, 4], funding=[0.5, -1, 0, 0])
    metrics = compute_metrics(run_of([115], trades))

    assert metrics.trades == 4
    assert metrics.win_rate == 0.25  # a trade that ends at zero is no win
    assert metrics.profit_factor == 2.0
    assert (metrics.total_won, metrics.total_lost, metrics.net_pnl) == (30, 15, 15)
    assert metrics.expectancy == 3.75
    assert (metrics.average_win, metrics.average_loss) == (30, -7.5)
    assert (metrics.best_trade, metrics.worst_trade) == (30, -10)
    assert (metrics.fees, metrics.funding) == (10, -0.5)
    assert metrics.average_trade_hours == 2
    assert metrics.traded_notional == 4 * 100 + 130 + 90 + 100 + 95
    assert metrics.turnover == pytest.approx(815 / 115)


def test_exposure_is_measured_over_all_bars():
    curve = equity_curve([100, 100, 200, 50])
    curve["positions"] = [0, 2, 1, 0]
    curve["notional"] = [0, 150, 100, 0]
    metrics = compute_metrics(run_of(curve))

    assert metrics.exposure_time == 0.5
    assert metrics.exposure_mean == pytest.approx((1.5 + 0.5) / 4)
    assert metrics.exposure_peak == 1.5


def test_groups_add_up_and_name_every_symbol():
    trades = closed_trades(
        [10, -4, 6],
        symbol=[2, 0, 2],
        side=[1, -1, -1],
        exit_reason=[ExitReason.TARGET, ExitReason.LIQUIDATION, ExitReason.TARGET],
        liquidation_fee=[0, 1.5, 0],
    )
    simulation = run_of([112], trades, symbols=("A", "B", "C"))

    assert [(g.name, g.trades, g.net_pnl) for g in by_symbol(simulation)] == [
        ("A", 1, -4),
        ("B", 0, 0),
        ("C", 2, 16),
    ]
    assert [(g.name, g.trades, g.net_pnl) for g in by_side(simulation)] == [("long", 1, 10), ("short", 2, 2)]
    assert [(g.name, g.trades) for g in by_exit_reason(simulation)] == [("TARGET", 2), ("LIQUIDATION", 1)]
    metrics = compute_metrics(simulation)
    assert (metrics.liquidations, metrics.liquidation_fees) == (1, 1.5)


def test_days_after_the_kill_switch_are_not_traded_days():
    tripped = compute_metrics(run_of([100, 80, 80, 80], tripped_ms=START_MS + 2 * DAY_MS))

    assert (tripped.traded_days, tripped.days, tripped.kill_switch_trips) == (2.0, 4.0, 1)
    assert tripped.cut_short == "traded 2 of 4 days"


def test_without_the_kill_switch_every_day_is_traded():
    whole = compute_metrics(run_of([100, 80, 80, 80]))

    assert (whole.traded_days, whole.kill_switch_trips, whole.cut_short) == (4.0, 0, "")


def test_a_trade_counts_for_every_reason_of_its_entry():
    trades = closed_trades([10, -4, 6], reasons=[0b011, 0b010, 0b001], slippage=[1.0, 2.0, 0.5])
    groups = by_reason(run_of([112], trades), ("trend", "sweep", "never"))

    assert [(g.name, g.trades, g.net_pnl, g.slippage) for g in groups] == [
        ("trend", 2, 16, 1.5),
        ("sweep", 2, 6, 3.0),
        ("never", 0, 0, 0.0),
    ]


def test_empty_run_has_no_ratios():
    metrics = compute_metrics(run_of())

    assert (metrics.trades, metrics.total_return, metrics.max_drawdown, metrics.days) == (0, 0, 0, 0)
    undefined = (
        "win_rate",
        "profit_factor",
        "sharpe",
        "sortino",
        "calmar",
        "exposure_time",
        "turnover",
        "expectancy",
    )
    assert all(getattr(metrics, name) is None for name in undefined)
    assert monthly_returns(run_of()) == {}


@pytest.mark.parametrize("name", ["sharpe", "sortino"])
def test_steady_growth_has_no_risk_adjusted_ratio(name):
    assert getattr(compute_metrics(run_of([100 * 1.01**day for day in range(1, 30)])), name) is None


def test_run_through_ruin_has_no_ratio_but_a_drawdown_beyond_all():
    metrics = compute_metrics(run_of([50, -10, 20]))

    assert metrics.sharpe is None
    assert metrics.max_drawdown == pytest.approx(1.1)
    assert compute_metrics(run_of([50, -10])).annual_return == -1


def test_annual_return_needs_a_day_and_a_float_that_holds_it():
    hour = equity_curve([101], bar_ms=HOUR_MS)

    assert compute_metrics(run_of(hour, timeframe="H1")).annual_return is None
    assert compute_metrics(run_of([1e6])).annual_return is None


equities = st.lists(st.floats(0.01, 1e9), min_size=1, max_size=60)
results = st.lists(st.floats(-1e6, 1e6), max_size=40)


@given(equities, results)
def test_every_number_is_finite_or_absent(equity, net_pnls):
    metrics = compute_metrics(run_of(equity, closed_trades(net_pnls)))

    for value in msgspec.to_builtins(metrics).values():
        assert value is None or math.isfinite(value)
    assert 0 <= metrics.max_drawdown <= 1
    assert 0 <= metrics.max_drawdown_days <= metrics.days
    assert metrics.sharpe is None or metrics.sortino is None or metrics.sharpe * metrics.sortino >= 0


@given(equities, st.floats(0.001, 1000))
def test_ratios_do_not_depend_on_the_size_of_the_account(equity, factor):
    one = compute_metrics(run_of(equity))
    other = compute_metrics(run_of([value * factor for value in equity], initial_equity=100 * factor))

    assert other.max_drawdown == pytest.approx(one.max_drawdown, abs=1e-9)
    assert other.total_return == pytest.approx(one.total_return, rel=1e-9, abs=1e-9)


@given(results)
def test_groups_partition_the_trades(net_pnls):
    sides = [1 if index % 3 else -1 for index in range(len(net_pnls))]
    simulation = run_of([100], closed_trades(net_pnls, side=sides))
    metrics = compute_metrics(simulation)

    for groups in (by_symbol(simulation), by_side(simulation), by_exit_reason(simulation)):
        assert sum(group.trades for group in groups) == metrics.trades
        assert sum(group.net_pnl for group in groups) == pytest.approx(metrics.net_pnl, abs=1e-6)
    assert metrics.total_won - metrics.total_lost == pytest.approx(metrics.net_pnl, abs=1e-6)


def test_monthly_returns_of_a_year_compound_to_its_total():
    simulation = random_run(7, trades=300)
    metrics = compute_metrics(simulation)
    growth = math.prod(1 + value for value in monthly_returns(simulation).values())

    assert growth - 1 == pytest.approx(metrics.total_return)
    assert metrics.net_pnl == pytest.approx(metrics.final_equity - metrics.initial_equity)
    assert int(simulation.equity["timestamp"][0]) == START_MS + HOUR_MS

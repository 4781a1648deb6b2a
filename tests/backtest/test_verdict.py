"""The gate at, above and below each threshold."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from futures_agent.backtest.metrics import compute_metrics
from futures_agent.backtest.verdict import judge
from futures_agent.settings.tree import GateSettings
from sample_runs import closed_trades, run_of

GOOD = replace(
    compute_metrics(run_of([100])),
    trades=30,
    profit_factor=1.1,
    sharpe=1.0,
    max_drawdown=0.15,
    total_won=11.0,
    total_lost=10.0,
)


def test_every_threshold_is_inclusive():
    verdict = judge(GOOD, GateSettings())

    assert verdict.passed
    assert verdict.text == "PASSED"
    assert [(c.name, c.relation, c.threshold) for c in verdict.checks] == [
        ("trades", ">=", 30),
        ("profit_factor", ">=", 1.1),
        ("sharpe", ">=", 1.0),
        ("max_drawdown", "<=", 0.15),
        ("kill_switch_trips", "<=", 0),
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"trades": 29}, "trades 29 < 30"),
        ({"profit_factor": 1.0999}, "profit_factor 1.0999 < 1.1"),
        ({"sharpe": -0.5}, "sharpe -0.5 < 1"),
        ({"sharpe": None}, "sharpe undefined (needs >= 1)"),
        ({"max_drawdown": 0.1501}, "max_drawdown 0.1501 > 0.15"),
        ({"kill_switch_trips": 1}, "kill_switch_trips 1 > 0"),
        ({"max_drawdown": 0.2, "trades": 0}, "trades 0 < 30, max_drawdown 0.2 > 0.15"),
    ],
)
def test_missed_threshold_fails_and_is_named(changes, line):
    verdict = judge(replace(GOOD, **changes), GateSettings())

    assert verdict.text == "FAILED"
    assert verdict.failures == line


def test_a_tripped_kill_switch_passes_only_where_the_setting_says_so():
    tripped = replace(GOOD, kill_switch_trips=1)

    assert judge(tripped, GateSettings(max_kill_switch_trips=1)).passed
    assert not judge(tripped, GateSettings()).passed


def test_run_that_never_lost_meets_any_profit_factor():
    trades = closed_trades([5.0] * 30)
    metrics = replace(GOOD, profit_factor=None, total_won=150.0, total_lost=0.0)

    assert compute_metrics(run_of([250], trades)).profit_factor is None
    assert judge(metrics, GateSettings()).passed


def test_run_without_trades_fails_even_where_none_are_asked_for():
    verdict = judge(compute_metrics(run_of([100, 100, 100])), GateSettings(min_trades=0))

    assert [check.name for check in verdict.checks if not check.ok] == ["profit_factor", "sharpe"]

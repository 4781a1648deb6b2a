"""What a result says about a run, and how the curve in it is thinned."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from futures_agent.backtest.metrics import Metrics, TradeGroup, drawdown
from futures_agent.backtest.order_hash import order_list_hash
from futures_agent.backtest.result import (
    BacktestResult,
    EquityColumns,
    StrategyRun,
    TradeColumns,
    _git_commit,
    build_result,
    curve_points,
    run_id,
)
from futures_agent.backtest.result_files import Incomplete
from futures_agent.backtest.verdict import Check
from futures_agent.clock import parse_utc
from futures_agent.compiled import source_digest
from futures_agent.settings.load import load
from futures_agent.strategy.ema_cross import STRATEGY as EMA_CROSS
from sample_runs import closed_trades, random_run, run_of

STARTED = parse_utc("2026-11-20T23:30")


def result_of(simulation, *, environ=None, **extra):
    effective = load(environ={"AGENT_STRATEGY__NAME": "ema_cross", **(environ or {})})
    return build_result(simulation, effective, started_ms=STARTED, finished_ms=STARTED + 1500, **extra)


def test_result_tells_run_data_and_versions():
    result = result_of(run_of([101, 102], candles=7), model_hash="abc")

    assert (result.run_id, result.started, result.duration_s) == (
        "20261120T233000Z",
        "2026-11-20T23:30:00Z",
        1.5,
    )
    assert msgspec.to_builtins(result.data) == {
        "start": "2025-11-20T00:00:00Z",
        "end": "2025-11-22T00:00:00Z",
        "days": 2.0,
    }
    assert (result.candles, result.model_hash) == (7, "abc")
    assert (result.versions.python, result.versions.numpy) == (sys.version.split()[0], np.__version__)
    assert result.signal_validation.status == "NOT VALIDATED"


def test_strategy_is_told_with_the_defaults_it_used():
    strategy = result_of(run_of(), environ={"AGENT_STRATEGY__PARAMS": '{"fast": 10}'}).strategy

    assert strategy.name == "ema_cross"
    assert strategy.params == {"fast": 10, "slow": 50, "atr": 14, "stop_atr": 2.0, "target_atr": 3.0}


def test_strategy_is_told_by_the_digest_of_its_step():
    assert result_of(run_of()).strategy.code == source_digest(EMA_CROSS.step)


def test_trades_are_equally_long_columns_with_names_in_them():
    trades = closed_trades([5, -2], symbol=[1, 0], side=[1, -1], exit_reason=[3, 2])
    columns = msgspec.to_builtins(result_of(run_of([103], trades, symbols=("A", "B"))).trades)

    assert {len(column) for column in columns.values()} == {2}
    assert columns["symbol"] == ["B", "A"]
    assert columns["side"] == ["long", "short"]
    assert columns["exit_reason"] == ["TARGET", "STOP"]
    assert columns["net_pnl"] == [5.0, -2.0]


def test_daily_equity_names_the_day_that_a_bar_closing_at_midnight_ends():
    assert result_of(run_of([101, 102])).daily_equity == {"2025-11-20": 101.0, "2025-11-21": 102.0}
    assert result_of(run_of()).daily_equity == {}


def test_the_order_list_hash_is_that_of_the_trades():
    runs = [
        run_of([101], closed_trades([5, -2], symbol=[0, symbol]), symbols=("A", "B")) for symbol in (0, 1)
    ]
    first, other = (result_of(run).order_list_hash for run in runs)
    assert first == order_list_hash(runs[0]) != other


def test_json_is_strict_and_complete_for_a_run_without_trades():
    text = msgspec.json.encode(result_of(run_of()))
    found = json.loads(text, parse_constant=pytest.fail)

    assert found["data"] is None
    assert found["verdict"]["passed"] is False
    assert found["equity"]["bars"] == 0
    assert found["metrics"]["sharpe"] is None


def test_result_survives_the_trip_through_json():
    text = msgspec.json.encode(result_of(random_run(3, trades=50)))

    assert json.loads(msgspec.json.encode(msgspec.json.decode(text, type=BacktestResult))) == json.loads(text)


def test_settings_hash_changes_with_what_decides_and_nothing_else():
    base = result_of(run_of()).settings_hash

    assert result_of(run_of(), environ={"LOG_LEVEL": "DEBUG"}).settings_hash == base
    assert result_of(run_of(), environ={"AGENT_COSTS__TAKER_FEE_BPS": "4"}).settings_hash != base


def test_assumptions_state_the_costs_of_the_settings():
    environ = {"AGENT_COSTS__FUNDING": "false", "AGENT_RISK__FIXED_NOTIONAL": "1000"}
    plain, changed = result_of(run_of()).assumptions, result_of(run_of(), environ=environ).assumptions

    assert "Fees: 5 bps at market or by a stop, 2 bps at a target." in plain
    assert any(rule.startswith("Funding is paid at the recorded times") for rule in plain)
    assert "Funding is not charged." in changed
    assert "Each entry has a notional of 1000." in changed


def test_run_ids_sort_by_time():
    assert run_id(STARTED) < run_id(STARTED + 1000) == "20261120T233001Z"


@given(arrays(np.float64, st.integers(1, 400), elements=st.floats(1, 1e6)), st.integers(6, 50))
def test_thinned_curve_keeps_every_extreme(equity, limit):
    depth = drawdown(run_of(equity.tolist()))
    kept = curve_points(equity, depth, limit)

    assert len(kept) <= max(limit, 1)
    assert np.all(np.diff(kept) > 0)
    assert (kept[0], kept[-1]) == (0, len(equity) - 1)
    assert equity[kept].max() == equity.max()
    assert equity[kept].min() == equity.min()
    assert depth[kept].max() == depth.max()


def test_a_flat_stretch_of_the_curve_keeps_its_length():
    equity = np.concatenate([100 + np.sin(np.arange(5_000)), np.full(5_000, 100.0)])
    kept = curve_points(equity, np.zeros(10_000), 500)

    assert abs(np.count_nonzero(kept < 5_000) - np.count_nonzero(kept >= 5_000)) <= 4


def test_curve_of_a_year_is_bounded_and_keeps_its_length_in_bars():
    equity = result_of(random_run(1, trades=200)).equity

    assert equity.bars == 8_760
    assert 1_500 < len(equity.timestamp) <= 2_000


def test_commit_is_read_from_a_clone(tmp_path: Path):
    def git(*arguments: str) -> str:
        command = [
            "git",
            "-C",
            str(tmp_path),
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            *arguments,
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    source = tmp_path / "app" / "src" / "package"
    assert _git_commit(source) is None
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    commit = git("rev-parse", "HEAD")

    assert _git_commit(source) == commit
    assert _git_commit(source / "deeper") is None
    git("pack-refs", "--all")
    assert _git_commit(source) == commit
    git("checkout", "-q", "--detach")
    assert _git_commit(source) == commit


def test_every_field_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "backtest-result.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`([a-z_]+)`", page))
    structs = (
        BacktestResult,
        StrategyRun,
        Metrics,
        TradeGroup,
        TradeColumns,
        EquityColumns,
        Check,
        Incomplete,
    )

    assert {name for struct in structs for name in struct.__struct_fields__} - documented == set()

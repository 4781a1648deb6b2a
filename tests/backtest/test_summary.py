"""The screen after a run that a person typed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from futures_agent.backtest.records import Simulation
from futures_agent.backtest.result import build_result
from futures_agent.backtest.result_files import ResultPaths
from futures_agent.backtest.summary import print_summary, shows_summary
from futures_agent.clock import DAY_MS, parse_utc
from futures_agent.settings import load
from sample_runs import START_MS, closed_trades, run_of

STARTED = parse_utc("2026-11-20T23:30")
PATHS = ResultPaths(Path("/results/one.json"), Path("/results/one.html"))


def summary_of(simulation: Simulation, capsys: pytest.CaptureFixture[str]) -> str:
    effective = load(environ={"AGENT_STRATEGY__NAME": "ema_cross"})
    result = build_result(simulation, effective, started_ms=STARTED, finished_ms=STARTED + 900)
    print_summary(result, PATHS)
    return capsys.readouterr().out


def test_it_tells_verdict_checks_best_and_worst_symbols_refusals_and_the_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [f"{letter}USDT" for letter in "ABCDEFGH"]
    trades = closed_trades([5, -7, 3, 1, -1, 2, 4], symbol=range(7))
    reasons = {f"REASON_{count}": count for count in range(1, 8)}
    shown = summary_of(
        run_of([101, 107], trades, symbols=names, rejections=reasons, warnings=("look here",)), capsys
    )
    assert "FAILED  ema_cross D1, 8 symbols, 2 candles, 2025-11-20T00:00 to 2025-11-22T00:00" in shown
    assert "warning: look here" in shown
    assert [line.split()[0] for line in shown.splitlines() if "USDT" in line] == [
        *("AUSDT", "GUSDT", "CUSDT"),  # best first
        *("DUSDT", "EUSDT", "BUSDT"),  # worst last
    ]
    gate = {line.split()[0]: line.split()[-1] for line in shown.splitlines() if ">=" in line or "<=" in line}
    assert (gate["trades"], gate["max_drawdown"]) == ("missed", "ok")
    assert "entries refused: REASON_7 7, REASON_6 6, " in shown
    assert "REASON_2 2, … 1 reasons more" in shown.replace("\n", " ").replace("  ", " ")
    assert shown.rstrip().endswith("report: /results/one.html")


def test_a_run_without_anything_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    shown = summary_of(run_of(warnings=tuple(f"warning {count}" for count in range(7))), capsys)
    assert "no bar" in shown
    assert "… 2 warnings more in the report" in shown
    assert "undefined" in shown
    assert "USDT " not in shown
    assert "entries refused" not in shown


def test_a_run_that_the_kill_switch_cut_short_says_so_first(capsys: pytest.CaptureFixture[str]) -> None:
    shown = summary_of(run_of([100] * 5, tripped_ms=START_MS + DAY_MS), capsys)
    assert shown.startswith("FAILED  traded 1 of 5 days  ema_cross D1")
    assert "traded" not in summary_of(run_of([100] * 5), capsys)


def test_few_symbols_are_each_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    shown = summary_of(run_of([101], closed_trades([1, 2], symbol=[0, 1]), symbols=("A1", "B1")), capsys)
    assert [line.split()[0] for line in shown.splitlines() if line[:2] in ("A1", "B1")] == ["B1", "A1"]


@pytest.mark.parametrize(
    ("invocation", "terminal", "shown"),
    [(None, True, True), (None, False, True), ("1", True, True), ("1", False, False)],
)
def test_the_journal_gets_the_outcome_line_alone(
    monkeypatch: pytest.MonkeyPatch, invocation: str | None, terminal: bool, shown: bool
) -> None:
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    if invocation is not None:
        monkeypatch.setenv("INVOCATION_ID", invocation)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert shows_summary() is shown

"""The report in a real browser: no fault, every control works, and what it shows is the result's."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from chromium_page import CHROMIUM, ChromiumPage
from futures_agent.backtest.charts import charts_of
from futures_agent.backtest.engine import simulate
from futures_agent.backtest.panel import Panel, build_panel
from futures_agent.backtest.records import Simulation
from futures_agent.backtest.report import render_report
from futures_agent.backtest.result import BacktestResult, build_result
from futures_agent.backtest.run import BacktestRun
from futures_agent.backtest.signal_validation import DifferingDecision, SignalValidation
from futures_agent.clock import DAY_MS, parse_utc
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.load import load
from sample_markets import PLAIN_COSTS, PLAIN_RISK, instrument, random_candles
from sample_runs import START_MS, closed_trades, random_run, run_of
from sample_zones import DRAWING_CROSS

STARTED = parse_utc("2026-11-20T23:30")
PROBE = Path(__file__).with_name("report_probe.js")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to show the report with")


def result_of(simulation: Simulation, strategy: str = "ema_cross") -> BacktestResult:
    effective = load(environ={"AGENT_STRATEGY__NAME": strategy})
    return build_result(simulation, effective, started_ms=STARTED, finished_ms=STARTED + 900)


def seen_in_browser(document: str, folder: Path, width: int = 1400) -> dict:
    report = folder / "report.html"
    report.write_text(document, encoding="utf-8")
    with ChromiumPage(folder / "profile", width=width) as page:
        page.open(report, before=PROBE.read_text(encoding="utf-8"))
        return page.evaluate("probe()")


@pytest.fixture(scope="module")
def charted(tmp_path_factory) -> tuple[BacktestResult, Panel, dict]:
    """A run with candles and zones, its panel, and what a browser saw of its report."""
    candles = {f"S{seed}USDT": random_candles(seed, 1_200) for seed in range(3)}
    panel = build_panel(candles, {name: instrument(name) for name in candles}, Timeframe.H1)
    simulation = simulate(
        panel, DRAWING_CROSS, {}, risk=PLAIN_RISK, costs=PLAIN_COSTS, initial_equity=10_000.0
    )
    charts = charts_of(BacktestRun(simulation, panel, DRAWING_CROSS, DRAWING_CROSS.read_params({})))
    result = result_of(simulation, "sample_zones:DRAWING_CROSS")
    seen = seen_in_browser(render_report(result, charts), tmp_path_factory.mktemp("report"))
    return result, panel, seen


def test_nothing_fails_in_the_page(charted):
    result, _, seen = charted
    assert seen["faults"] == []
    assert seen["badge"] == result.verdict.text
    assert seen["canvases"] >= 4
    assert seen["toggled"]
    assert not seen["wide"]


def test_a_run_that_the_kill_switch_cut_short_says_so_beside_the_verdict(tmp_path):
    result = result_of(run_of([100.0] * 5, tripped_ms=START_MS + DAY_MS), "ema_cross")
    seen = seen_in_browser(render_report(result), tmp_path)
    assert "Traded 1 of 5 days: the kill switch tripped" in seen["verdict"]
    assert seen["faults"] == []


def test_decisions_that_live_made_otherwise_are_listed(tmp_path):
    one = DifferingDecision("S1USDT", "2026-11-20T10:00:00Z", "CANDLE", "<b>the H1 candle", "long", "nothing")
    found = SignalValidation("DIFFERENT", "1 of 2 reproduced", by_reason={"CANDLE": 1}, differing=[one])
    result = msgspec.structs.replace(result_of(run_of([100.0] * 5)), signal_validation=found)
    seen = seen_in_browser(render_report(result), tmp_path)
    assert seen["validation"] == [
        "2026-11-20T10:00:00Z", "S1USDT", "CANDLE", "<b>the H1 candle", "long", "nothing",
    ]  # fmt: skip
    assert "Signals against live trading: DIFFERENT – 1 of 2 reproduced." in seen["verdict"]
    assert seen["faults"] == []
    assert seen_in_browser(render_report(result_of(run_of([100.0] * 5))), tmp_path)["validation"] == []


def test_paper_gets_pictures_of_the_charts_in_the_light_theme(charted):
    _, _, seen = charted
    assert seen["printed"] == [2, "light"]
    assert seen["afterPrint"] == [0, True]


def test_the_page_shows_the_numbers_of_the_result(charted):
    result, _, seen = charted
    metrics = result.metrics
    assert seen["cards"]["Total return"] == text(100 * metrics.total_return, sign=True) + " %"
    assert seen["cards"]["Max drawdown"] == text(-100 * metrics.max_drawdown) + " %"
    assert seen["cards"]["Sharpe"] == text(metrics.sharpe)
    assert seen["count"].startswith(f"{metrics.trades} trades, net {text(metrics.net_pnl, sign=True)}")
    assert (seen["best"], seen["worst"]) == (text(metrics.best_trade, True), text(metrics.worst_trade, True))
    assert seen["busiest"] == max(result.by_symbol, key=lambda group: group.trades).name
    assert seen["months"] == len(result.monthly_returns)
    assert seen["hours"] == 7 * 24
    groups = [*result.by_side, *result.by_exit_reason]
    assert seen["groups"] == [group.name for group in groups]
    assert seen["reasons"] == {group.name: group.trades for group in result.by_reason}


def test_filters_select_the_trades_they_name(charted):
    result, _, seen = charted
    trades, found = result.trades, seen["filtered"]
    rows = range(len(trades.symbol))
    assert found["symbol"][1] == trades.symbol.count(found["symbol"][0])
    assert found["short"] == trades.side.count("short")
    assert found["stop"] == trades.exit_reason.count("STOP")
    assert found["reason"] == sum(bits & 1 for bits in trades.reasons)
    assert found["won"] == sum(net > 0 for net in trades.net_pnl)
    assert found["lost"] == sum(net < 0 for net in trades.net_pnl)
    assert found["text"] == sum(
        trades.side[row] == "short" and trades.exit_reason[row] == "STOP" for row in rows
    )
    day = parse_utc("2026-01-20")
    assert found["from"] == sum(time >= day for time in trades.entry_time)
    assert found["to"] == sum(time < day + DAY_MS for time in trades.entry_time)
    assert 0 < found["from"] < found["from"] + found["to"] <= len(trades.symbol) + 3
    assert seen["sides"] == ["short"]
    assert seen["csv"][0] == ",".join(type(trades).__struct_fields__)
    assert len(seen["csv"]) == 1 + trades.side.count("short")
    assert seen["reset"] == seen["count"]


def test_the_browser_decodes_the_very_candles(charted):
    _, panel, seen = charted
    stored = panel.candles.of(2)
    found = seen["candles"]
    for name in ("open", "high", "low", "close"):
        assert [candle[name] for candle in found] == stored[name].tolist()
    assert [1_000 * candle["time"] for candle in found] == stored["timestamp"].tolist()
    assert np.allclose([candle["volume"] for candle in found], stored["volume"], rtol=0.02, atol=0)


def test_the_chart_follows_its_controls(charted):
    _, panel, seen = charted
    stored = panel.candles.of(2)
    assert f"C {stored['close'][-1]:.2f}" in " ".join(seen["legend"].split())
    assert [switch.split()[0] for switch in seen["switches"]] == ["gap", "tenth"]
    assert seen["zones"] > 100
    assert seen["zonesToggled"]
    assert seen["h4"] == 300
    symbol, side = seen["picked"]
    assert seen["tradeLine"].startswith(f"{symbol} {side} ")
    assert seen["nextLine"].split()[1] in ("long", "short")
    assert seen["opened"] == ["S0USDT", "S0USDT"]


def text(value: float, sign: bool = False) -> str:
    """Return `value` as the page writes it."""
    return f"{value:{'+' if sign else ''},.2f}".replace("-", "−")


def test_ten_thousand_trades_are_listed_by_the_rows_in_view(tmp_path: Path):
    result = result_of(random_run(9, trades=10_000))
    seen = seen_in_browser(render_report(result), tmp_path)

    assert seen["faults"] == []
    assert not seen["charted"]
    assert seen["count"].startswith("10,000 trades")
    assert 15 < seen["rows"] < 60
    assert 15 < seen["rowsInTheMiddle"] < 60
    assert seen["best"] == text(result.metrics.best_trade, True)
    assert seen["worst"] == text(result.metrics.worst_trade, True)
    assert seen["filtered"]["short"] == result.trades.side.count("short")
    assert seen["rejections"] == ["311", "12"]


@pytest.mark.parametrize("width", [390, 820])
def test_a_small_run_fits_a_narrow_screen(tmp_path: Path, width: int):
    simulation = run_of([101, 99], closed_trades([1.0, -2.0], side=[1, -1]))
    seen = seen_in_browser(render_report(result_of(simulation)), tmp_path, width)

    assert seen["faults"] == []
    assert not seen["wide"]
    assert seen["count"].startswith("2 trades, net −1.00")
    assert (seen["best"], seen["worst"]) == ("+1.00", "−2.00")


def test_a_run_without_a_trade_has_a_page(tmp_path: Path):
    seen = seen_in_browser(render_report(result_of(run_of([100.0, 100.0]))), tmp_path)

    assert seen["faults"] == []
    assert seen["count"].startswith("0 trades")

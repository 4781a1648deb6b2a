"""The report as a document; test_report_in_browser.py has what a browser makes of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pytest

import futures_agent.backtest.report as report_module
from futures_agent.backtest.charts import charts_of
from futures_agent.backtest.engine import simulate
from futures_agent.backtest.panel import build_panel
from futures_agent.backtest.report import MAX_LISTED_TRADES, render_report
from futures_agent.backtest.result import BacktestResult, build_result
from futures_agent.backtest.run import BacktestRun
from futures_agent.clock import parse_utc
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.load import load
from sample_markets import PLAIN_COSTS, PLAIN_RISK, instrument, random_candles
from sample_runs import closed_trades, random_run, run_of
from sample_zones import DRAWING_CROSS

ASSETS = Path(report_module.__file__).with_name("assets")
STARTED = parse_utc("2026-11-20T23:30")


def result_of(simulation) -> BacktestResult:
    return build_result(simulation, load(environ={}), started_ms=STARTED, finished_ms=STARTED + 900)


def embedded(document: str, element: str = "data") -> dict:
    found = re.search(rf'<script id="{element}" type="application/json">(.*?)</script>', document, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_report_embeds_the_whole_result():
    result = result_of(random_run(5, trades=40))
    found = embedded(render_report(result))

    assert found["metrics"]["net_pnl"] == result.metrics.net_pnl
    assert found["trades"]["symbol"] == result.trades.symbol
    assert "龙虾USDT" in found["symbols"]


def test_report_embeds_candles_and_the_benchmark_at_the_points_of_the_curve():
    candles = {"AUSDT": random_candles(1, 3_000), "BUSDT": random_candles(2, 400)}
    panel = build_panel(candles, {name: instrument(name) for name in candles}, Timeframe.H1)
    simulation = simulate(
        panel, DRAWING_CROSS, {}, risk=PLAIN_RISK, costs=PLAIN_COSTS, initial_equity=10_000.0
    )
    charts = charts_of(BacktestRun(simulation, panel, DRAWING_CROSS, DRAWING_CROSS.read_params({})))
    result = result_of(simulation)
    found = embedded(render_report(result, charts), "charts")

    assert b64decode(found["symbols"][1]["candles"]) == charts.symbols[1].candles
    assert found["zone_kinds"] == ["gap", "tenth high"]
    assert result.equity.bars == 3_000
    assert len(found["benchmark"]) == len(result.equity.timestamp) <= 2_000
    assert found["benchmark"][-1] == charts.benchmark[-1]
    assert found["benchmark"][5] == charts.benchmark[charts.times == result.equity.timestamp[5]][0]


def test_report_without_charts_says_so_to_its_script():
    assert embedded(render_report(result_of(random_run(5, trades=40))), "charts") is None


COLOURS = re.compile(r"--([a-z]+): (#[0-9a-f]{6});")
THEMES = [":root {", ':root[data-theme="dark"] {']


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb, WCAG 2.1."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("text", ["text", "muted", "gain", "loss", "accent"])
@pytest.mark.parametrize("ground", ["page", "panel", "hover", "picked"])
def test_text_can_be_read_on_every_ground(theme, text, ground):
    style = (ASSETS / "theme.css").read_text(encoding="utf-8")
    block = style[style.index(theme) :]
    colours = dict(COLOURS.findall(block[: block.index("}")]))

    assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def test_every_asset_is_used_and_none_is_long():
    document = render_report(result_of(random_run(5, trades=40)))
    for path in ASSETS.glob("*.[cj]s*"):
        text = path.read_text(encoding="utf-8")
        assert text.strip() in document, path.name
        assert "standalone" in path.name or len(text.splitlines()) <= 400, path.name


def test_report_is_self_contained():
    document = render_report(result_of(random_run(5, trades=40)))
    markup = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", document, flags=re.DOTALL)

    assert "{{" not in markup
    assert re.findall(r"(?:src|href)=\"([^\"]+)\"", markup) == [
        "https://www.tradingview.com/"
    ]  # the attribution
    assert "default-src 'none'" in markup
    assert "url(" not in document[: document.index("</style>")]


def test_text_in_the_data_cannot_end_its_script():
    hostile = "</script><script>alert(1)</script>{{library}}<!--"
    document = render_report(result_of(run_of([101], closed_trades([1.0]), symbols=[hostile])))

    assert hostile not in document
    assert embedded(document)["symbols"] == [hostile]


def test_trade_list_is_bounded_and_the_numbers_are_not():
    result = result_of(run_of([101], closed_trades([0.1] * (MAX_LISTED_TRADES + 5))))
    found = embedded(render_report(result))

    assert {len(column) for column in found["trades"].values()} == {MAX_LISTED_TRADES}
    assert found["metrics"]["trades"] == MAX_LISTED_TRADES + 5
    assert len(result.trades.symbol) == MAX_LISTED_TRADES + 5


def test_licence_of_the_chart_library_is_shipped():
    assert "Apache License" in (ASSETS / "lightweight-charts.LICENSE").read_text(encoding="utf-8")
    notice = (ASSETS / "lightweight-charts.NOTICE").read_text(encoding="utf-8")
    assert "https://www.tradingview.com/" in notice


def test_rendering_imports_nothing_heavy():
    code = (
        "import sys, futures_agent.backtest.report, futures_agent.backtest.result_files\n"
        "print(sorted({'pandas', 'numba', 'pyarrow', 'starlette', 'requests'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"

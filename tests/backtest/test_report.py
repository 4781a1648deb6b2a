"""The report as a document, and as a browser shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from futures_agent.backtest.report import MAX_LISTED_TRADES, render_report
from futures_agent.backtest.result import BacktestResult, build_result
from futures_agent.clock import parse_utc
from futures_agent.settings.load import load
from sample_runs import closed_trades, random_run, run_of

STARTED = parse_utc("2026-11-20T23:30")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def result_of(simulation) -> BacktestResult:
    return build_result(simulation, load(environ={}), started_ms=STARTED, finished_ms=STARTED + 900)


def embedded(document: str) -> dict:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', document, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_report_embeds_the_whole_result():
    result = result_of(random_run(5, trades=40))
    found = embedded(render_report(result))

    assert found["metrics"]["net_pnl"] == result.metrics.net_pnl
    assert found["trades"]["symbol"] == result.trades.symbol
    assert "龙虾USDT" in found["symbols"]


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
    import futures_agent.backtest.report as module

    assets = Path(module.__file__).with_name("assets")
    assert "Apache License" in (assets / "lightweight-charts.LICENSE").read_text(encoding="utf-8")
    assert "https://www.tradingview.com/" in (assets / "lightweight-charts.NOTICE").read_text(
        encoding="utf-8"
    )


def test_rendering_imports_nothing_heavy():
    code = (
        "import sys, futures_agent.backtest.report, futures_agent.backtest.result_files\n"
        "print(sorted({'pandas', 'numba', 'pyarrow', 'starlette', 'requests'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


# Runs in the page: uses the controls as a person would, and leaves what it saw in an element.
PROBE = """
<script>
const faults = [];
addEventListener("error", (event) => faults.push(event.message));
addEventListener("securitypolicyviolation", (event) => faults.push(event.violatedDirective));
addEventListener("load", () => setTimeout(() => {
  const shown = (selector) => document.querySelectorAll(selector).length;
  const first = () => document.querySelector("#trades tbody tr:nth-child(2)").innerText.split("\\t");
  const seen = { badge: document.querySelector(".badge")?.innerText, canvases: shown("#chart canvas") };
  seen.rows = shown("#trades tbody tr");
  seen.count = document.querySelector("#trade-count").innerText;
  seen.wide = document.documentElement.scrollWidth > innerWidth;
  const grid = document.querySelector("#trades .grid");
  grid.scrollTop = 30 * 5000;
  grid.dispatchEvent(new Event("scroll"));
  seen.rowsInTheMiddle = shown("#trades tbody tr");
  document.querySelectorAll("#trades th button")[10].click();
  seen.best = first()[10];
  document.querySelectorAll("#trades th button")[10].click();
  seen.worst = first()[10];
  const side = document.querySelectorAll("#filters select")[1];
  side.value = "short";
  side.dispatchEvent(new Event("change"));
  const sides = [...document.querySelectorAll("#trades tbody td:nth-child(2)")].map((td) => td.innerText);
  seen.sides = [...new Set(sides)];
  window.Blob = class { constructor(parts) { [seen.csv] = parts; } };
  URL.createObjectURL = () => "#";
  document.querySelector("#filters button").click();
  seen.csv = seen.csv.split("\\n").slice(0, 2);
  const theme = document.documentElement.dataset.theme;
  document.querySelector("#theme").click();
  seen.toggled = theme !== document.documentElement.dataset.theme;
  document.querySelector("#ranges button").click();
  seen.months = shown(".months tbody td[title]");
  seen.faults = faults;
  const note = document.createElement("pre");
  document.body.append(Object.assign(note, { id: "seen", textContent: JSON.stringify(seen) }));
}, 200));
</script>
"""


def seen_in_browser(document: str, folder: Path, width: int) -> dict:
    page = folder / "report.html"
    page.write_text(document.replace("</title>", "</title>" + PROBE, 1), encoding="utf-8")
    flags = (
        "--headless --no-sandbox --disable-gpu --dump-dom --virtual-time-budget=4000 --no-first-run "
        "--disable-sync --disable-background-networking --disable-component-update --disable-dev-shm-usage"
    ).split()
    command = [str(CHROMIUM), *flags, f"--window-size={width},1400", f"--user-data-dir={folder / 'profile'}"]
    run = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=60)
    found = re.search(r'<pre id="seen">(.*?)</pre>', run.stdout, re.DOTALL)
    assert found is not None, run.stderr[-2_000:]
    return json.loads(found[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to show the report with")
def test_browser_draws_ten_thousand_trades_without_a_fault(tmp_path: Path):
    result = result_of(random_run(9, trades=10_000))
    seen = seen_in_browser(render_report(result), tmp_path, width=1400)

    assert seen["faults"] == []
    assert seen["badge"] == result.verdict.text
    assert seen["canvases"] >= 4
    assert seen["count"].startswith("10,000 trades")
    assert not seen["wide"]
    assert 15 < seen["rows"] < 60
    assert 15 < seen["rowsInTheMiddle"] < 60
    assert seen["best"] == f"+{result.metrics.best_trade:.2f}"
    assert seen["worst"] == f"−{-result.metrics.worst_trade:.2f}"
    assert seen["sides"] == ["short"]
    assert seen["csv"][0] == ",".join(type(result.trades).__struct_fields__)
    assert seen["csv"][1].split(",")[1] == "short"
    assert seen["toggled"]
    assert seen["months"] == len(result.monthly_returns)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to show the report with")
def test_browser_draws_a_small_run_on_a_narrow_screen(tmp_path: Path):
    document = render_report(result_of(run_of([101, 99], closed_trades([1.0, -2.0], side=[1, -1]))))
    seen = seen_in_browser(document, tmp_path, width=500)

    assert seen["faults"] == []
    assert not seen["wide"]
    assert seen["count"] == "2 trades, net −1.00"
    assert (seen["best"], seen["worst"]) == ("+1.00", "−2.00")

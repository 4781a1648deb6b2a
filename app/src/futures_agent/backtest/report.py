"""The HTML report: one self-contained file that draws a result without any network."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from futures_agent.backtest.charts import Charts
from futures_agent.backtest.result import BacktestResult, TradeColumns

MAX_LISTED_TRADES = 10_000
_ASSETS = Path(__file__).with_name("assets")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_STYLES = ("theme.css", "page.css", "tables.css", "print.css")
_LIBRARY = "lightweight-charts.standalone.production.js"
_SCRIPTS = (
    "elements.js",
    "grid.js",
    "unpack.js",
    "equity.js",
    "overlays.js",
    "symbol_chart.js",
    "chart_panel.js",
    "summary.js",
    "breakdown.js",
    "listings.js",
    "page.js",
)


def render_report(result: BacktestResult, charts: Charts | None = None) -> str:
    """Return the report on `result` as an HTML document.

    It lists the first 10,000 trades, and draws them; all numbers but those by hour of entry cover the whole
    run. Without `charts` it has no candles, zones and benchmark.
    """
    listed = msgspec.structs.replace(result, trades=_first(result.trades, MAX_LISTED_TRADES))
    parts = {
        "style": _assets(_STYLES),
        "library": _assets([_LIBRARY]),
        "script": _assets(_SCRIPTS),
        "title": html.escape(f"Backtest {result.strategy.name} {result.verdict.text} {result.started[:10]}"),
        "data": _embedded(listed),
        "charts": _embedded(_charts(result, charts)),
    }
    template = _assets(["report.html"])
    # One pass: what is filled in is never searched for placeholders itself.
    return _PLACEHOLDER.sub(lambda match: parts[match[1]], template)


def _assets(names: Any) -> str:
    return "\n".join((_ASSETS / name).read_text(encoding="utf-8") for name in names)


def _embedded(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")


def _charts(result: BacktestResult, charts: Charts | None) -> dict[str, Any] | None:
    """Return `charts` with the benchmark at the points of the thinned curve alone."""
    if charts is None:
        return None
    fields = msgspec.structs.asdict(charts)
    places = np.searchsorted(fields.pop("times"), result.equity.timestamp)
    return {**fields, "benchmark": charts.benchmark[places].tolist()}


def _first(trades: TradeColumns, count: int) -> TradeColumns:
    return TradeColumns(*(column[:count] for column in msgspec.structs.astuple(trades)))

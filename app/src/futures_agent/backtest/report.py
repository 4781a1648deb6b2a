"""The HTML report: one self-contained file that draws a result without any network."""

from __future__ import annotations

import html
import re
from pathlib import Path

import msgspec

from futures_agent.backtest.result import BacktestResult, TradeColumns

MAX_LISTED_TRADES = 10_000
_ASSETS = Path(__file__).with_name("assets")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_PARTS = {
    "style": "report.css",
    "library": "lightweight-charts.standalone.production.js",
    "tables": "tables.js",
    "charts": "charts.js",
    "listings": "listings.js",
    "page": "page.js",
}


def render_report(result: BacktestResult) -> str:
    """Return the report on `result` as an HTML document.

    It lists the first 10,000 trades; every other number covers the whole run.
    """
    parts = {name: (_ASSETS / file).read_text(encoding="utf-8") for name, file in _PARTS.items()}
    parts["title"] = html.escape(
        f"Backtest {result.strategy.name} {result.verdict.text} {result.started[:10]}"
    )
    parts["data"] = _embedded(
        msgspec.structs.replace(result, trades=_first(result.trades, MAX_LISTED_TRADES))
    )
    template = (_ASSETS / "report.html").read_text(encoding="utf-8")
    # One pass: what is filled in is never searched for placeholders itself.
    return _PLACEHOLDER.sub(lambda match: parts[match[1]], template)


def _embedded(result: BacktestResult) -> str:
    """Return JSON that cannot end the script element it stands in."""
    return msgspec.json.encode(result).decode().replace("<", "\\u003c")


def _first(trades: TradeColumns, count: int) -> TradeColumns:
    return TradeColumns(*(column[:count] for column in msgspec.structs.astuple(trades)))

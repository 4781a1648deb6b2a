"""How stops and targets fill, as a picture: five bars, judged by the fill rules themselves."""

from __future__ import annotations

import numpy as np

from futures_agent.execution.fills import AMBIGUOUS, BRACKET, NONE, STOP, TARGET, bar_exit
from futures_agent.market.candle import CANDLE
from futures_agent.plain import plain_type
from pictures.drawing import Chart

STOP_PRICE, ENTRY_PRICE, TARGET_PRICE = 98.0, 100.0, 103.0
NAMES_AT = 96.2
COLUMNS = 7  # of each case, its three bars in the middle

BEFORE = [
    (99.6, 100.3, 99.3, 100.0),
    (100.0, 101.0, 99.5, 100.4),
]  # the bar that decides, the one that enters
CASES = {
    "touched: at stop": (100.4, 100.7, 97.3, 98.6),
    "opens below: at open": (96.9, 98.9, 96.4, 98.5),
    "opens above: at target": (103.8, 104.4, 102.4, 103.2),
    "touched: not filled": (100.4, 103.0, 99.8, 101.6),
    "reaches both: at stop": (100.4, 103.9, 97.2, 101.3),
}
TONES = {STOP: "bear", AMBIGUOUS: "bear", TARGET: "bull", NONE: "muted"}


def fill_rules() -> Chart:
    """Five bars after the entry of a long position."""
    rows = [row for case in CASES.values() for row in (*BEFORE, case)]
    candles = np.zeros(len(rows), CANDLE)
    for name, column in zip(("open", "high", "low", "close"), zip(*rows, strict=True), strict=True):
        candles[name] = column
    places = [case * COLUMNS + 2 + bar for case in range(len(CASES)) for bar in range(3)]
    chart = Chart(
        "How stops and targets fill",
        "A long position after its entry. A dot marks the price of the exit, before slippage.",
        candles,
        "Both reached in one bar: bars of a finer timeframe decide; where they cannot, the stop counts.",
        places=places,
        columns=len(CASES) * COLUMNS,
    )
    bracket = np.zeros(1, BRACKET)
    bracket["side"], bracket["stop_price"], bracket["target_price"] = 1, STOP_PRICE, TARGET_PRICE
    held = plain_type(BRACKET)(bracket[0].item())
    for case, name in enumerate(CASES):
        entry, last = places[3 * case + 1], places[3 * case + 2]
        reason, price = bar_exit(held, plain_type(CANDLE)(candles[3 * case + 2].item()))
        chart.level(entry - 0.5, last + 1.5, STOP_PRICE, "bear", dashed=True)
        chart.level(entry - 0.5, last + 1.5, TARGET_PRICE, "bull", dashed=True)
        chart.level(entry - 0.5, last - 0.5, ENTRY_PRICE, "muted")
        if reason != NONE:
            chart.dot(last, price, TONES[reason])
        chart.label(entry + 0.5, NAMES_AT, name, TONES[reason], "below")
    chart.label(places[0] - 0.2, TARGET_PRICE, "target", "bull", "left")
    chart.label(places[0] - 0.2, ENTRY_PRICE, "entry", "muted", "left")
    chart.label(places[0] - 0.2, STOP_PRICE, "stop", "bear", "left")
    return chart


PICTURES = {"fill-rules": fill_rules}

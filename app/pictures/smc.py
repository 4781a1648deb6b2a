"""The smart money concepts as pictures: made-up candles, run through the very steps the strategy uses.

Nothing is placed by hand but the labels: what is drawn is what the steps' states said, bar by bar.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pictures.drawing import Chart, Side, Tone
from pictures.series import path
from pictures.trace import trace

SIDES: tuple[tuple[str, Tone, Side], ...] = (("high", "bear", "above"), ("low", "bull", "below"))
DOT = "A dot marks the bar at whose close it was known; before that it did not exist for the strategy."


def swings() -> Chart:
    """Swing highs and lows, and when they are known."""
    turns = [(0, 100), (7, 107), (13, 101), (22, 110), (30, 103), (37, 107.5), (44, 101.5), (49, 105)]
    candles = path(turns, seed=3)
    right = 3
    chart = Chart(
        "Swings are known late",
        f"A swing high stands above {right} bars on either side. It is confirmed when the third bar to its "
        "right has closed.",
        candles,
        DOT,
    )
    states = trace(candles, left=right, right=right)
    for side, tone, place in SIDES:
        found = states["swings"][side]
        for known in np.flatnonzero(found["confirmed"]):
            bar, price = found["bar"][known], found["price"][known]
            chart.triangle(bar, price, tone, place)
            chart.level(bar, known, price, tone, dashed=True)
            chart.dot(known, price, tone)
        known = np.flatnonzero(found["confirmed"])[1]
        bar, price = found["bar"][known], found["price"][known]
        window = candles[bar - right : known + 1]
        chart.zone(
            bar - right, [window["high"].max()] * len(window), [window["low"].min()] * len(window), "muted"
        )
        chart.label(bar, price, f"swing {side}", tone, place, away=10)
        chart.label(known, price, "confirmed", tone, "right")
    return chart


def structure() -> Chart:
    """Breaks of structure, and the change of character that ends the trend."""
    turns = [(0, 100), (5, 104), (9, 101.5), (16, 107.5), (20, 104.5), (28, 111), (33, 107)]
    turns += [(38, 110), (46, 103), (50, 105.5), (57, 99)]
    wick = 37
    candles = path(turns, seed=5, changes={wick: {"high": 112.2}})
    chart = Chart(
        "Structure breaks at a close",
        "A close beyond the newest swing continues the trend (BOS) or turns it (CHoCH). "
        "A wick beyond it breaks nothing.",
        candles,
        "Lines run from the broken swing to the close that broke it. The first break only gives the trend.",
    )
    states = trace(candles)
    mark_swings(chart, states["swings"])
    newest = states["swings"]["high"][wick]
    chart.level(newest["bar"], wick, newest["price"], "muted", dashed=True)
    chart.label(newest["bar"] + 0.5, newest["price"], "a wick is no break", "muted", "above", away=10)
    broken = states["structure"]
    for bar in np.flatnonzero(np.diff(broken["breaks"], prepend=0)):
        row = broken[bar]
        up = row["trend"] > 0
        tone: Tone = "bull" if up else "bear"
        name = "BOS" if row["bos"] else "CHoCH" if row["choch"] else "first break"
        chart.level(row["level_bar"], bar, row["level"], tone)
        chart.dot(bar, candles["close"][bar], tone)
        middle = (row["level_bar"] + bar) / 2
        chart.label(middle, row["level"], name, tone, "above" if up else "below")
    return chart


def liquidity() -> Chart:
    """Equal highs: a pool that is swept, and one that is taken."""
    turns = [(0, 100), (5, 105), (9, 101.5), (14, 105.1), (19, 102), (25, 104.6), (34, 99), (38, 101)]
    turns += [(42, 99.1), (50, 103.5), (58, 95.5)]
    candles = path(turns, seed=6, wobble=0.2, reach=0.35, changes={25: {"high": 106.4}})
    chart = Chart(
        "Liquidity: pools, sweeps and takes",
        "Stops rest beyond swings, more of them where swings are equal. "
        "A wick beyond sweeps the pool, a close beyond takes it.",
        candles,
        "A line runs from a pool's first swing to the bar that ended it; dashed: a pool of a single swing.",
    )
    states = trace(candles)
    mark_swings(chart, states["swings"])
    for side, tone, place in SIDES:
        pools = states["liquidity"][side]
        for bar in range(1, len(candles)):
            gone = set(pools["start"][bar - 1][: pools["count"][bar - 1]])
            gone -= set(pools["start"][bar][: pools["count"][bar]])
            for start_ms in sorted(gone):
                at = int(np.flatnonzero(pools["start"][bar - 1] == start_ms)[0])
                start = int(np.searchsorted(candles["timestamp"], start_ms))
                price, touches = pools["price"][bar - 1][at], pools["touches"][bar - 1][at]
                chart.level(start, bar, price, tone, dashed=touches < 2)
                what = "taken by a close" if pools["taken"][bar] else "swept by a wick"
                if touches > 1:
                    chart.label((start + bar) / 2, price, f"equal {side}s, {what}", tone, place, away=13)
    return chart


def premium_discount() -> Chart:
    """The dealing range, and its halves."""
    turns = [(0, 102), (5, 105), (11, 100), (19, 108), (26, 103.5), (33, 106), (40, 101)]
    turns += [(47, 104), (52, 102.5)]
    candles = path(turns, seed=7)
    chart = Chart(
        "Premium and discount",
        "The range from the newest swing low to the newest swing high, widened where price goes beyond. "
        "Above its middle is premium.",
        candles,
        "Drawn as known at each bar's close: a new range begins only when its swing is confirmed.",
    )
    ranges = trace(candles)["dealing_range"]
    first = int(np.argmax(ranges["known"]))
    known = ranges[first:]
    chart.zone(first, known["top"], known["equilibrium"], "bear")
    chart.zone(first, known["equilibrium"], known["bottom"], "bull")
    edges = np.repeat(np.arange(first, len(candles) + 1) - 0.5, 2)[1:-1]
    chart.line(list(zip(edges, np.repeat(known["equilibrium"], 2), strict=True)), "accent")
    for bar, upper, lower, name, tone in (
        (31, "top", "equilibrium", "premium", "bear"),
        (25, "equilibrium", "bottom", "discount", "bull"),
    ):
        chart.label(bar, (ranges[upper][bar] + ranges[lower][bar]) / 2, name, tone, "above")
    chart.label(20.5, ranges["equilibrium"][20], "equilibrium", "accent", "below")
    return chart


def mark_swings(chart: Chart, swings: NDArray[np.void]) -> None:
    """Point at every swing that was confirmed in the end (records of SWINGS, one per bar)."""
    for side, _, place in SIDES:
        found = swings[side]
        for known in np.flatnonzero(found["confirmed"]):
            chart.triangle(found["bar"][known], found["price"][known], "muted", place)


PICTURES = {
    "smc-swings": swings,
    "smc-structure": structure,
    "smc-liquidity": liquidity,
    "smc-premium-discount": premium_discount,
}

"""Fair value gaps and order blocks as pictures: zones with a beginning, a retest and an end."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pictures.drawing import Chart
from pictures.series import path
from pictures.trace import Life, lives, trace

DOT = "A dot marks the bar at whose close a zone was known. Stronger colour: not yet traded through."


def gaps() -> Chart:
    """Fair value gaps from their third bar to their end."""
    turns = [(0, 100), (8, 100.5), (9, 101), (10, 104.5), (11, 105.2), (20, 107), (28, 103.2), (31, 104.5)]
    turns += [(36, 101), (41, 102), (42, 101.5), (43, 97.8), (44, 97.2), (54, 95.5), (60, 99.2), (66, 97)]
    candles = path(turns, seed=8, wobble=0.25, reach=0.4)
    chart = Chart(
        "Fair value gaps",
        "Between the first and the third bar of a burst nothing was traded: the gap. "
        "Prices that trade into it later fill it.",
        candles,
        DOT,
    )
    states = trace(candles, smallest_gap=1.0)
    draw_zones(chart, states["gaps"], what="gap", over="filled")
    return chart


def order_blocks() -> Chart:
    """Order blocks: known when structure breaks, retested, invalidated by a close."""
    turns = [(0, 103), (5, 100.5), (9, 102.6), (14, 99.5), (22, 105.2), (31, 100.6), (40, 107), (54, 97.5)]
    candles = path([*turns, (60, 99.5)], seed=4, wobble=0.25, reach=0.4)
    chart = Chart(
        "Order blocks",
        "The last falling candle before the move up that broke structure; mirrored for moves down. "
        "A close beyond ends it.",
        candles,
        DOT,
    )
    draw_zones(chart, trace(candles)["order_blocks"], what="block", over="invalidated")
    return chart


def draw_zones(chart: Chart, zones: NDArray[np.void], *, what: str, over: str) -> None:
    """Draw every zone of both sides (records of GAPS or ORDER_BLOCKS, one per bar)."""
    for side in ("bull", "bear"):
        for life in lives(zones[side], chart.candles["timestamp"]):
            draw_zone(chart, life, side, f"{side} {what}", over)


def draw_zone(chart: Chart, life: Life, side: Literal["bull", "bear"], name: str, over: str) -> None:
    """Shade one zone from its bar to its end, and say what happened to it.

    The labels stand inside, between the bars where it was known and retested: no price has been there.
    """
    near, far = (life.top, life.bottom) if side == "bull" else (life.bottom, life.top)
    length = life.known + len(life.rests) - life.start
    chart.zone(life.start, [life.top] * length, [life.bottom] * length, side)
    edges = [far] * len(life.rests)
    chart.zone(life.known, *((life.rests, edges) if side == "bull" else (edges, life.rests)), side)
    chart.dot(life.known, near, side)
    middle = (life.top + life.bottom) / 2
    chart.label(life.known, middle, name, side, "right")
    if life.retested is not None:
        chart.label(life.retested, middle, "retested", side, "left")
    if life.ended is not None:
        chart.label(life.ended, near, over, side, "right")


PICTURES = {"smc-gaps": gaps, "smc-order-blocks": order_blocks}

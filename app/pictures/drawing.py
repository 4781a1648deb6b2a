"""Candles, levels, zones and labels as one SVG file that follows the reader's light or dark theme."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal, NamedTuple

import numpy as np

from futures_agent.market.candle import Candles

Tone = Literal["bull", "bear", "accent", "muted"]
Side = Literal["above", "below", "left", "right"]

WIDTH, HEIGHT = 880, 440
LEFT, RIGHT, TOP, BOTTOM = 16, 16, 74, 46  # px around the candles
FONT_PX = 13.0
_CHARACTER_PX = 0.54 * FONT_PX  # mean width in the fonts below; labels are kept apart by it
_MARGIN = 0.08  # of the range of prices, free above and below for labels
_WIDEST = 9.0  # half a body, px
_GAP_PX = 7.0  # between a label and what it belongs to

STYLE = """
svg { --page: #ffffff; --text: #16191d; --quiet: #5d6672; --line: #d5d9e0; --candle: #8a94a2;
  --bull: #0a63b8; --bear: #b84a08; --accent: #6b3fa0; --muted: #5d6672;
  font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --page: #0e1116; --text: #e6e9ee; --quiet: #98a2b0; --line: #2a313b; --candle: #76818f;
    --bull: #5eb0ff; --bear: #ff9150; --accent: #c39bff; --muted: #98a2b0; }
}
.page { fill: var(--page); stroke: var(--line); }
.title { font-size: 17px; font-weight: 650; fill: var(--text); }
.quiet { fill: var(--quiet); }
.wick { stroke: var(--candle); }
.rising { fill: var(--page); stroke: var(--candle); }
.falling { fill: var(--candle); stroke: var(--candle); }
.label { paint-order: stroke; stroke: var(--page); stroke-width: 4px; stroke-linejoin: round; }
.level { fill: none; stroke-width: 1.6; }
.dashed { stroke-dasharray: 4 4; }
"""
for _tone in ("bull", "bear", "accent", "muted"):
    STYLE += (
        f".{_tone} {{ stroke: var(--{_tone}); }} .zone.{_tone} {{ fill: var(--{_tone}); stroke: none; }}"
        f" .solid.{_tone}, .label.{_tone} {{ fill: var(--{_tone}); }}"
        f" .label.{_tone} {{ stroke: var(--page); }}\n"
    )


class Box(NamedTuple):
    """A rectangle on the page, px."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Say whether the two share more than an edge."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


class Chart:
    """A picture under construction; what is drawn later lies above.

    Parameters
    ----------
    title, subtitle, footer : str
    candles : ndarray with open, high, low, close, shape (bars,)
    places : sequence of int, optional
        The columns of the candles, by which bars are addressed; without it one after the other.
    columns : int, optional
        How many there are; without it as many as candles.
    """

    def __init__(
        self,
        title: str,
        subtitle: str,
        candles: Candles,
        footer: str,
        *,
        places: Sequence[int] | None = None,
        columns: int | None = None,
    ) -> None:
        self.candles = candles
        self._places = range(len(candles)) if places is None else places
        self._step = (WIDTH - LEFT - RIGHT) / (len(candles) if columns is None else columns)
        self.labels: list[tuple[str, Box]] = []
        self._texts = (title, subtitle, footer)
        low, high = float(candles["low"].min()), float(candles["high"].max())
        self._low, self._high = low - _MARGIN * (high - low), high + _MARGIN * (high - low)
        self._behind: list[str] = []
        self._before: list[str] = []

    def x(self, bar: float) -> float:
        """Return where the middle of a bar lies, px."""
        return LEFT + (bar + 0.5) * self._step

    def y(self, price: float) -> float:
        """Return where a price lies, px."""
        share = (price - self._low) / (self._high - self._low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    @property
    def _half(self) -> float:
        """Half the width of a candle's body, px."""
        return min(0.32 * self._step, _WIDEST)

    def zone(
        self,
        first: int,
        tops: Sequence[float],
        bottoms: Sequence[float],
        tone: Tone,
        *,
        opacity: float = 0.16,
    ) -> None:
        """Shade a range of prices that may differ from bar to bar, the first of which is `first`."""
        edges = [bar for place in range(len(tops)) for bar in (first + place - 0.5, first + place + 0.5)]
        upper = zip(edges, np.repeat(tops, 2), strict=True)
        lower = zip(reversed(edges), np.repeat(bottoms, 2)[::-1], strict=True)
        points = " ".join(f"{self.x(bar):.1f},{self.y(price):.1f}" for bar, price in (*upper, *lower))
        self._behind.append(f'<polygon class="zone {tone}" opacity="{opacity}" points="{points}"/>')

    def level(self, first: float, last: float, price: float, tone: Tone, *, dashed: bool = False) -> None:
        """Draw a price from the middle of one bar to the middle of another."""
        self.line([(first, price), (last, price)], tone, dashed=dashed)

    def line(self, points: Sequence[tuple[float, float]], tone: Tone, *, dashed: bool = False) -> None:
        """Join (bar, price) points."""
        path = " ".join(f"{self.x(bar):.1f},{self.y(price):.1f}" for bar, price in points)
        style = f"level {tone}{' dashed' if dashed else ''}"
        self._before.append(f'<polyline class="{style}" points="{path}"/>')

    def dot(self, bar: float, price: float, tone: Tone) -> None:
        """Mark the bar at whose close something was known."""
        self._before.append(
            f'<circle class="solid {tone}" cx="{self.x(bar):.1f}" cy="{self.y(price):.1f}" r="4"/>'
        )

    def triangle(self, bar: float, price: float, tone: Tone, side: Side) -> None:
        """Point at a bar's high from above, or at its low from below."""
        x, y, up = self.x(bar), self.y(price), -1 if side == "above" else 1
        points = f"{x:.1f},{y + up * 4:.1f} {x - 5:.1f},{y + up * 12:.1f} {x + 5:.1f},{y + up * 12:.1f}"
        self._before.append(f'<polygon class="solid {tone}" points="{points}"/>')

    def label(
        self, bar: float, price: float, text: str, tone: Tone, side: Side = "above", away: float = 0.0
    ) -> None:
        """Write `text` beside a point, `away` px further from it than usual."""
        x, y = self.x(bar), self.y(price)
        distance = _GAP_PX + away
        width = len(text) * _CHARACTER_PX
        anchor, left = "middle", x - width / 2
        if side == "above":
            baseline = y - distance
        elif side == "below":
            baseline = y + distance + 0.75 * FONT_PX
        else:
            baseline = y + 0.35 * FONT_PX
            anchor = "start" if side == "right" else "end"
            x += distance if side == "right" else -distance
            left = x if side == "right" else x - width
        self.labels.append((text, Box(left, baseline - 0.8 * FONT_PX, left + width, baseline + 3)))
        self._before.append(
            f'<text class="label {tone}" x="{x:.1f}" y="{baseline:.1f}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )

    def candle_boxes(self) -> list[Box]:
        """Return the room each candle takes, wicks included."""
        half = self._half
        return [
            Box(self.x(bar) - half, self.y(candle["high"]), self.x(bar) + half, self.y(candle["low"]))
            for bar, candle in zip(self._places, self.candles, strict=True)
        ]

    def svg(self) -> str:
        """Return the picture as the text of a file."""
        title, subtitle, footer = (escape(text) for text in self._texts)
        parts = [
            '<svg xmlns="http://www.w3.org/2000/svg" role="img"',
            f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{title}">',
            f"<style>{STYLE}</style>",
            f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>',
            f'<text class="title" x="{LEFT}" y="29">{title}</text>',
            f'<text class="quiet" x="{LEFT}" y="50">{subtitle}</text>',
            *self._behind,
            *(self._candle(bar, candle) for bar, candle in zip(self._places, self.candles, strict=True)),
            *self._before,
            f'<text class="quiet" x="{LEFT}" y="{HEIGHT - 15}">{footer}</text>',
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _candle(self, bar: int, candle: np.void) -> str:
        x, half = self.x(bar), self._half
        upper, lower = sorted((self.y(candle["open"]), self.y(candle["close"])))
        style = "rising" if candle["close"] >= candle["open"] else "falling"
        return (
            f'<path class="wick" d="M{x:.1f} {self.y(candle["high"]):.1f}V{upper:.1f}'
            f'M{x:.1f} {lower:.1f}V{self.y(candle["low"]):.1f}"/>'
            f'<rect class="{style}" x="{x - half:.1f}" y="{upper:.1f}" width="{2 * half:.1f}" '
            f'height="{max(lower - upper, 1.0):.1f}"/>'
        )

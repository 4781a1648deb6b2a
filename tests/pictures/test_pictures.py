"""The pictures in docs are what the steps say, are up to date, and can be read."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from pictures.__main__ import PICTURES, main
from pictures.drawing import HEIGHT, WIDTH, Box, Chart
from pictures.fills import CASES
from pictures.series import path
from pictures.trace import lives, trace

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SVG = "{http://www.w3.org/2000/svg}"
DRAWABLE = Box(4, 56, WIDTH - 4, HEIGHT - 30)  # between the texts above and below


def test_committed_pictures_are_what_the_code_draws(tmp_path: Path) -> None:
    main(tmp_path)

    for name in PICTURES:
        drawn, committed = tmp_path / f"{name}.svg", IMAGES / f"{name}.svg"
        assert drawn.read_text() == committed.read_text(), f"{name}: run `make pictures`"


@pytest.mark.parametrize("name", PICTURES)
def test_no_label_covers_another_or_a_candle_or_leaves_the_page(name: str) -> None:
    chart = PICTURES[name]()

    for place, (text, box) in enumerate(chart.labels):
        others = [other for _, other in chart.labels[place + 1 :]] + chart.candle_boxes()
        assert not any(box.overlaps(other) for other in others), text
        assert box.left > DRAWABLE.left, text
        assert box.right < DRAWABLE.right, text
        assert box.top > DRAWABLE.top, text
        assert box.bottom < DRAWABLE.bottom, text


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("smc-swings", {"swing high", "swing low", "confirmed"}),
        ("smc-structure", {"first break", "BOS", "CHoCH", "a wick is no break"}),
        ("smc-gaps", {"bull gap", "bear gap", "retested", "filled"}),
        ("smc-order-blocks", {"bull block", "bear block", "retested", "invalidated"}),
        ("smc-liquidity", {"equal highs, swept by a wick", "equal lows, taken by a close"}),
        ("smc-premium-discount", {"premium", "discount", "equilibrium"}),
        ("fill-rules", {"target", "entry", "stop", *CASES}),
    ],
)
def test_picture_shows_what_it_explains(name: str, told: set[str]) -> None:
    assert {text for text, _ in PICTURES[name]().labels} == told


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_well_formed_and_follows_the_theme(name: str) -> None:
    chart = PICTURES[name]()
    root = ET.fromstring(chart.svg())

    assert root.tag == f"{SVG}svg"
    assert "prefers-color-scheme: dark" in (root.find(f"{SVG}style").text or "")
    # Wicks and bodies of every candle, the page itself besides.
    assert len(root.findall(f"{SVG}path")) == len(chart.candles)
    assert len(root.findall(f"{SVG}rect")) == len(chart.candles) + 1


def test_texts_are_escaped() -> None:
    chart = Chart("a < b", "R&D", path([(0, 100), (3, 101)], seed=1), "1 > 0")
    chart.label(1, 100.5, "<tag>", "muted")

    texts = [element.text for element in ET.fromstring(chart.svg()).iter(f"{SVG}text")]
    assert texts == ["a < b", "R&D", "<tag>", "1 > 0"]


def test_path_runs_through_its_turns_and_changes() -> None:
    candles = path([(0, 100), (4, 108), (6, 104)], seed=2, changes={2: {"high": 111.0}, 5: {"close": 107.0}})

    assert candles["close"][[0, 4, 5, 6]].tolist() == [100, 108, 107, 104]
    assert candles["open"][[1, 5, 6]].tolist() == [100, 108, 107]
    assert candles["high"][2] == 111
    assert (candles["high"] >= np.maximum(candles["open"], candles["close"])).all()
    assert (candles["low"] <= np.minimum(candles["open"], candles["close"])).all()


def test_lives_of_gaps_are_those_of_the_states() -> None:
    candles = path(
        [(0, 100), (6, 100), (7, 104), (8, 104.5), (12, 105), (20, 99)], seed=8, wobble=0.1, reach=0.2
    )
    (gap,) = lives(trace(candles, smallest_gap=1.0)["gaps"]["bull"], candles["timestamp"])

    assert (gap.start, gap.known) == (7, 8)
    assert (gap.bottom, gap.top) == (candles["high"][6], candles["low"][8])
    assert gap.retested is not None
    assert gap.ended is not None
    assert candles["low"][gap.retested] <= gap.top < candles["low"][gap.known + 1 : gap.retested].min()
    assert candles["low"][gap.ended] <= gap.bottom < candles["low"][gap.known : gap.ended].min()
    assert gap.rests[-1] == candles["low"][gap.known : gap.ended].min()

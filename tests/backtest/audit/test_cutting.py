"""Panels made of a panel: what was known at an instant, some of its symbols, the market at another time."""

from __future__ import annotations

import numpy as np
import pytest

from futures_agent.backtest.audit.cutting import cut_panel, moved_panel, pick_symbols
from futures_agent.backtest.panel import Panel
from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.market.timeframe import Timeframe
from market_panels import generated_panel
from tick_markets import START_MS

CUT = START_MS + 2 * DAY_MS + 6 * HOUR_MS  # two hours into an H4 bar, six into a D1 bar


@pytest.fixture(scope="module")
def panel() -> Panel:
    return generated_panel(symbols=4, days=4)


def test_a_cut_leaves_what_had_closed_and_was_published(panel: Panel) -> None:
    part = cut_panel(panel, CUT)
    assert part.symbols == panel.symbols[:3]  # the fourth was listed a day later
    for index in range(3):
        for series, whole, length in (
            (part.candles, panel.candles, HOUR_MS),
            (part.higher[Timeframe.H4], panel.higher[Timeframe.H4], 4 * HOUR_MS),
            (part.higher[Timeframe.D1], panel.higher[Timeframe.D1], DAY_MS),
            (part.finer, panel.finer, 15 * MINUTE_MS),
        ):
            known = whole.of(index)[whole.of(index)["timestamp"] + length <= CUT]
            assert series.of(index).tobytes() == known.tobytes()
            assert len(known) < len(whole.of(index))
        for name, published in part.inputs.items():
            assert (published[index]["available_at"] <= CUT).all(), name
    assert all((rates["timestamp"] <= CUT).all() for rates in part.funding.values())
    assert part.candles.of(0)["timestamp"][-1] == CUT - HOUR_MS


def test_before_the_first_close_there_is_nothing(panel: Panel) -> None:
    with pytest.raises(ValueError, match="no bar of S0USDT, S1USDT, S2USDT, S3USDT had closed"):
        cut_panel(panel, START_MS + HOUR_MS - 1)


def test_symbols_are_picked_in_the_order_asked_for(panel: Panel) -> None:
    part = pick_symbols(panel, [2, 0])
    assert part.symbols == ("S2USDT", "S0USDT")
    for index, place in enumerate((2, 0)):
        assert part.instruments[index] == panel.instruments[place]
        assert part.candles.of(index).tobytes() == panel.candles.of(place).tobytes()
        assert part.finer.of(index).tobytes() == panel.finer.of(place).tobytes()
        for name in panel.inputs:
            assert part.inputs[name][index].tobytes() == panel.inputs[name][place].tobytes()
    assert set(part.funding) == {"S2USDT", "S0USDT"}


def test_a_moved_market_is_the_same_at_another_time(panel: Panel) -> None:
    before = panel.timeline
    moved = moved_panel(panel, -7 * DAY_MS)
    np.testing.assert_array_equal(moved.timeline, before - 7 * DAY_MS)
    np.testing.assert_array_equal(moved.candles.records["close"], panel.candles.records["close"])
    np.testing.assert_array_equal(panel.timeline, before)  # the panel itself stays where it was
    for name in panel.inputs:
        for one, other in zip(moved.inputs[name], panel.inputs[name], strict=True):
            np.testing.assert_array_equal(one["available_at"], other["available_at"] - 7 * DAY_MS)
            np.testing.assert_array_equal(one["timestamp"], other["timestamp"] - 7 * DAY_MS)

"""The panel: what it keeps, what it leaves out, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from futures_agent.backtest.panel import build_panel, load_panel
from futures_agent.clock import HOUR_MS
from futures_agent.errors import Refuse
from futures_agent.market.timeframe import Timeframe
from sample_markets import START_MS, bars, instrument, random_candles

FLAT = (100.0, 101.0, 99.0, 100.0)


def instruments(*symbols: str) -> dict:
    return {symbol: instrument(symbol) for symbol in symbols}


def test_series_lie_end_to_end_and_come_back_whole() -> None:
    candles = {"BUSDT": random_candles(1, 5), "AUSDT": random_candles(2, 3)}
    panel = build_panel(candles, instruments("AUSDT", "BUSDT"), Timeframe.H1)
    assert panel.symbols == ("BUSDT", "AUSDT")
    for index, symbol in enumerate(panel.symbols):
        np.testing.assert_array_equal(panel.candles.of(index), candles[symbol])
        assert panel.instruments[index].symbol == symbol
    assert panel.candle_count == 8


def test_timeline_is_every_time_at_which_anyone_traded() -> None:
    candles = {"AUSDT": bars([FLAT] * 2), "BUSDT": bars([FLAT] * 2, start_ms=START_MS + 5 * HOUR_MS)}
    panel = build_panel(candles, instruments(*candles), Timeframe.H1)
    assert ((panel.timeline - START_MS) // HOUR_MS).tolist() == [0, 1, 5, 6]


def test_symbols_that_cannot_be_simulated_are_left_out_and_named() -> None:
    candles = {"AUSDT": bars([FLAT]), "BUSDT": bars([FLAT]), "CUSDT": bars([FLAT])[:0]}
    panel = build_panel(candles, instruments("AUSDT", "CUSDT"), Timeframe.H1)
    assert panel.symbols == ("AUSDT",)
    assert panel.warnings == (
        "left out, exchange filters unknown: BUSDT",
        "left out, no candles: CUSDT",
    )


@pytest.mark.parametrize("order", [[1, 0], [0, 0]])
def test_candles_out_of_order_are_refused(order: list[int]) -> None:
    with pytest.raises(
        Refuse, match=r"AUSDT: H1 candle at 2026-01-05T00:00:00Z is off the grid or out of order"
    ):
        build_panel({"AUSDT": bars([FLAT] * 2)[order]}, instruments("AUSDT"), Timeframe.H1)


def test_candles_off_the_grid_are_refused() -> None:
    with pytest.raises(Refuse, match=r"AUSDT: H1 candle at 2026-01-05T00:00:01Z is off the grid"):
        build_panel({"AUSDT": bars([FLAT], start_ms=START_MS + 1_000)}, instruments("AUSDT"), Timeframe.H1)


def test_no_candle_at_all_is_refused() -> None:
    with pytest.raises(Refuse, match="no H1 candles of any of the 1 symbols; run data-sync"):
        build_panel({"AUSDT": bars([FLAT])[:0]}, instruments("AUSDT"), Timeframe.H1)


def test_no_instrument_at_all_is_refused() -> None:
    with pytest.raises(Refuse, match="exchange filters unknown for all 1 symbols; run data-sync"):
        build_panel({"AUSDT": bars([FLAT])}, {}, Timeframe.H1)


def test_progress_counts_symbols_read() -> None:
    told: list[int] = []
    load_panel(
        ("AUSDT", "BUSDT"),
        instruments("AUSDT"),
        Timeframe.H1,
        read={Timeframe.H1: lambda symbol: bars([FLAT])},
        funding={},
        on_symbol=told.append,
    )
    assert told == [1, 2]

"""Confirmed holes."""

from __future__ import annotations

import apsw

from futures_agent.clock import HOUR_MS
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.holes import confirm_hole, read_holes
from sample_candles import START_MS


def _hours(first: int, last: int) -> tuple[int, int]:
    return START_MS + first * HOUR_MS, START_MS + last * HOUR_MS


def test_holes_come_back_by_symbol_and_in_order(db: apsw.Connection) -> None:
    assert read_holes(db, Timeframe.H1) == {}
    confirm_hole(db, Timeframe.H1, "BTCUSDT", _hours(9, 9), 1)
    confirm_hole(db, Timeframe.H1, "BTCUSDT", _hours(2, 4), 1)
    confirm_hole(db, Timeframe.H1, "ETHUSDT", _hours(5, 6), 1)
    confirm_hole(db, Timeframe.H4, "BTCUSDT", _hours(0, 4), 1)
    assert read_holes(db, Timeframe.H1) == {
        "BTCUSDT": [_hours(2, 4), _hours(9, 9)],
        "ETHUSDT": [_hours(5, 6)],
    }


def test_a_hole_confirmed_again_only_grows(db: apsw.Connection) -> None:
    for last in (4, 7, 5):
        confirm_hole(db, Timeframe.H1, "BTCUSDT", _hours(2, last), last)
    assert read_holes(db, Timeframe.H1) == {"BTCUSDT": [_hours(2, 7)]}
    assert db.execute("SELECT confirmed_at FROM candle_holes").get == 5

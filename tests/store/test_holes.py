"""Confirmed holes."""

from __future__ import annotations

import apsw

from futures_agent.clock import HOUR_MS
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.holes import read_holes, settle_holes
from sample_candles import START_MS


def _hours(first: int, last: int) -> tuple[int, int]:
    return START_MS + first * HOUR_MS, START_MS + last * HOUR_MS


def _settle(
    db: apsw.Connection, symbol: str, asked: tuple[int, int], *absent: tuple[int, int], at: int = 1
) -> None:
    settle_holes(db, Timeframe.H1, symbol, asked, absent, at)


def test_holes_come_back_by_symbol_and_in_order(db: apsw.Connection) -> None:
    assert read_holes(db, Timeframe.H1) == {}
    _settle(db, "BTCUSDT", _hours(0, 20), _hours(9, 9), _hours(2, 4))
    _settle(db, "ETHUSDT", _hours(5, 6), _hours(5, 6))
    settle_holes(db, Timeframe.H4, "BTCUSDT", _hours(0, 4), [_hours(0, 4)], 1)
    assert read_holes(db, Timeframe.H1) == {
        "BTCUSDT": [_hours(2, 4), _hours(9, 9)],
        "ETHUSDT": [_hours(5, 6)],
    }


def test_a_hole_keeps_the_time_of_its_first_confirmation_unless_it_grows(db: apsw.Connection) -> None:
    for at, last in ((1, 4), (2, 4), (3, 7)):
        _settle(db, "BTCUSDT", _hours(0, 20), _hours(2, last), at=at)
        assert db.execute("SELECT confirmed_at FROM candle_holes").get == (3 if at == 3 else 1)
    assert read_holes(db, Timeframe.H1, confirmed_before_ms=3) == {}
    assert read_holes(db, Timeframe.H1, confirmed_before_ms=4) == {"BTCUSDT": [_hours(2, 7)]}


def test_a_hole_that_the_exchange_filled_is_forgotten(db: apsw.Connection) -> None:
    _settle(db, "BTCUSDT", _hours(0, 20), _hours(2, 4), _hours(9, 9), _hours(12, 14))
    _settle(db, "BTCUSDT", _hours(1, 10), _hours(3, 4))
    assert read_holes(db, Timeframe.H1) == {"BTCUSDT": [_hours(3, 4), _hours(12, 14)]}

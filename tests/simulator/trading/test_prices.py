"""Prices are those that the candles show."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.market.timeframe import Timeframe
from trading_worlds import BTC, START_MS, flat, generated_exchange, scripted_exchange

D = Decimal


def test_the_last_price_is_the_close_of_the_forming_candle() -> None:
    exchange = generated_exchange((BTC,))
    prices, market = exchange.state.prices, exchange.state.market
    for now_ms in range(START_MS, START_MS + 6 * HOUR_MS, 7 * MINUTE_MS + 3):
        (forming,) = market.forming(BTC, Timeframe.H1, now_ms)
        assert float(prices.last(BTC, now_ms)) == forming["close"]


@pytest.mark.parametrize("cut_ms", [HOUR_MS, 61_003])
def test_legs_join_and_reach_the_extremes_of_their_candle(cut_ms: int) -> None:
    exchange, _ = scripted_exchange({BTC: [(100, 112, 90, 111), *flat(111, 1)]})
    prices = exchange.state.prices
    legs = [
        leg
        for from_ms in range(START_MS, START_MS + HOUR_MS, cut_ms)
        for leg in prices.legs(BTC, from_ms, min(from_ms + cut_ms, START_MS + HOUR_MS))
    ]
    assert (legs[0].from_ms, legs[-1].to_ms) == (START_MS, START_MS + HOUR_MS)
    for leg, following in pairwise(legs):
        assert leg.to_ms == following.from_ms
        assert leg.at(leg.to_ms) == pytest.approx(following.at(following.from_ms), abs=D("1e-20"))
    assert [legs[0].at(START_MS), legs[-1].at(START_MS + HOUR_MS)] == [100, 111]
    assert {leg.end for leg in legs} == {90, 112, 111}


def test_a_price_stands_still_where_there_are_no_candles() -> None:
    exchange, _ = scripted_exchange({BTC: [(100, 112, 90, 111)]})
    prices = exchange.state.prices
    assert prices.last(BTC, START_MS + 5 * HOUR_MS) == 111
    assert prices.last(BTC, START_MS - 1) == 0
    assert prices.volume(BTC, START_MS) == 0
    assert not list(prices.legs(BTC, START_MS + HOUR_MS, START_MS + 3 * HOUR_MS))
    exchange.advance(START_MS + 5 * HOUR_MS)
    assert exchange.last_price(BTC) == 111


def test_the_mark_price_keeps_its_distance() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 1)})
    assert exchange.mark_price(BTC) == 100
    exchange.state.prices.mark_offset[BTC] = D("0.02")
    assert (exchange.mark_price(BTC), exchange.last_price(BTC)) == (102, 100)

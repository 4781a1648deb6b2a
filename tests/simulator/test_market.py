from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc
from futures_agent.market.candle import FULL_CANDLE, Candles, candles_from_columns
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.generator import GeneratedCandles
from futures_agent.simulator.listing import Listing
from futures_agent.simulator.market import Market
from futures_agent.simulator.series import Grid, aggregate

NOW = parse_utc("2026-03-10T14:20:00Z")
SYMBOL = "ETHUSDT"


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(GeneratedCandles([SYMBOL], seed=3, start_ms=NOW, history_days=40, with_untradable=False))


@pytest.mark.parametrize("timeframe", list(Timeframe))
def test_a_bar_closes_exactly_at_its_close_time(market: Market, timeframe: Timeframe) -> None:
    open_ms = timeframe.open_of(NOW)
    close_ms = open_ms + timeframe.ms
    before = market.closed(SYMBOL, timeframe, close_ms - 1)
    after = market.closed(SYMBOL, timeframe, close_ms)
    assert before["timestamp"][-1] == open_ms - timeframe.ms
    assert after["timestamp"][-1] == open_ms
    last_view = market.forming(SYMBOL, timeframe, close_ms - 1)
    assert last_view["timestamp"][0] == open_ms
    assert last_view[0] != after[-1]
    assert market.forming(SYMBOL, timeframe, close_ms)["timestamp"][0] == close_ms


@pytest.mark.parametrize("timeframe", list(Timeframe))
def test_the_forming_bar_has_the_true_open_and_never_the_final_volume(
    market: Market, timeframe: Timeframe
) -> None:
    open_ms = timeframe.open_of(NOW)
    final = market.closed(SYMBOL, timeframe, open_ms + timeframe.ms)[-1]
    for elapsed in np.linspace(0, timeframe.ms - 1, 50).astype(int).tolist():
        (bar,) = market.forming(SYMBOL, timeframe, open_ms + elapsed)
        assert bar["open"] == final["open"]
        assert bar["volume"] < final["volume"]
        assert bar["trades"] <= final["trades"]
        assert final["low"] <= bar["low"] <= bar["close"] <= bar["high"] <= final["high"]


def test_forming_bars_of_all_timeframes_agree(market: Market) -> None:
    grid = market.listings[SYMBOL].grid
    for now in range(NOW, NOW + 5 * HOUR_MS, 17 * 60_000 + 1):
        quarters = market.page(SYMBOL, Timeframe.M15, now, limit=100)
        for timeframe in (Timeframe.H1, Timeframe.H4, Timeframe.D1):
            parts = quarters[quarters["timestamp"] >= timeframe.open_of(now)]
            expected = aggregate(parts, timeframe, grid)
            assert market.forming(SYMBOL, timeframe, now).tobytes() == expected.tobytes()


class Sparse:
    """Three hours, one of them missing, and nothing after them."""

    def __init__(self) -> None:
        self.hours = candles_from_columns(
            FULL_CANDLE,
            timestamp=np.array([0, 1, 3]) * HOUR_MS + DAY_MS,
            open=[10.0, 11.0, 12.0],
            high=[11.0, 12.0, 13.0],
            low=[9.0, 10.0, 11.0],
            close=[11.0, 12.0, 13.0],
            volume=[1.0, 1.0, 1.0],
        )

    def listings(self) -> list[Listing]:
        return [Listing(SYMBOL, 10.0, Grid(1, 1, 2), 1, 0)]

    def series(self, symbol: str, timeframe: Timeframe, until_ms: int) -> Candles:
        return self.hours if timeframe is Timeframe.H1 else self.hours[:0]

    def inside(self, symbol: str, timeframe: Timeframe, open_ms: int) -> tuple[Timeframe, Candles]:
        return timeframe, self.hours[self.hours["timestamp"] == open_ms]


@pytest.mark.parametrize(
    ("now_h", "start_h", "end_h", "limit", "opens"),
    [
        (3.5, None, None, 500, [0, 1, 3]),  # the last one is forming
        (2.5, None, None, 500, [0, 1]),  # a gap has no forming candle either
        (9.0, None, None, 500, [0, 1, 3]),
        (3.5, None, None, 2, [1, 3]),
        (3.5, None, None, 1, [3]),
        (3.5, 0, None, 2, [0, 1]),
        (3.5, 1, None, 2, [1, 3]),
        (3.5, 1.01, None, 9, [3]),
        (3.5, 4, None, 9, []),
        (3.5, None, 1, 9, [0, 1]),
        (3.5, None, 2.99, 1, [1]),
        (3.5, None, 3, 2, [1, 3]),
        (3.5, 1, 1, 9, [1]),
        (3.5, 2, 2.5, 9, []),
        (0.5, None, None, 9, [0]),
        (-1.0, None, None, 9, []),
    ],
)
def test_pages(
    now_h: float, start_h: float | None, end_h: float | None, limit: int, opens: list[int]
) -> None:
    def at(hours: float | None) -> int | None:
        return None if hours is None else DAY_MS + int(hours * HOUR_MS)

    now = DAY_MS + int(now_h * HOUR_MS)
    page = Market(Sparse()).page(
        SYMBOL, Timeframe.H1, now, start_ms=at(start_h), end_ms=at(end_h), limit=limit
    )
    assert ((page["timestamp"] - DAY_MS) // HOUR_MS).tolist() == opens
    assert len(Market(Sparse()).page(SYMBOL, Timeframe.D1, now, limit=5)) == 0


MINUTES = st.none() | st.integers(-60, 7 * 60)


@given(now_min=st.integers(-60, 7 * 60), start_min=MINUTES, end_min=MINUTES, limit=st.integers(1, 5))
@settings(max_examples=300, deadline=None)
def test_a_page_is_the_filtered_view(
    now_min: int, start_min: int | None, end_min: int | None, limit: int
) -> None:
    now, start_ms, end_ms = (
        None if minutes is None else DAY_MS + minutes * 60_000 for minutes in (now_min, start_min, end_min)
    )
    assert now is not None
    view = [open_ms for open_ms in Sparse().hours["timestamp"].tolist() if open_ms <= now]
    wanted = [
        open_ms
        for open_ms in view
        if (start_ms is None or open_ms >= start_ms) and (end_ms is None or open_ms <= end_ms)
    ]
    expected = wanted[-limit:] if start_ms is None else wanted[:limit]
    page = Market(Sparse()).page(SYMBOL, Timeframe.H1, now, start_ms=start_ms, end_ms=end_ms, limit=limit)
    assert page["timestamp"].tolist() == expected

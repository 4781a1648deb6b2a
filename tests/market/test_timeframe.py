import pytest

from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc
from futures_agent.market.timeframe import Timeframe


@pytest.mark.parametrize(
    ("timeframe", "moment", "open_", "last_closed"),
    [
        (Timeframe.H1, "2026-11-20T10:00Z", "2026-11-20T10:00Z", "2026-11-20T09:00Z"),
        (Timeframe.H1, "2026-11-20T10:59Z", "2026-11-20T10:00Z", "2026-11-20T09:00Z"),
        (Timeframe.H4, "2026-11-20T10:59Z", "2026-11-20T08:00Z", "2026-11-20T04:00Z"),
        (Timeframe.D1, "2026-11-20T00:00Z", "2026-11-20T00:00Z", "2026-11-19T00:00Z"),
        (Timeframe.M15, "2026-11-20T10:44Z", "2026-11-20T10:30Z", "2026-11-20T10:15Z"),
    ],
)
def test_the_grid(timeframe, moment, open_, last_closed):
    assert timeframe.open_of(parse_utc(moment)) == parse_utc(open_)
    assert timeframe.last_closed_open(parse_utc(moment)) == parse_utc(last_closed)


def test_names_lengths_and_tables():
    assert [one.ms for one in Timeframe] == [DAY_MS, 4 * HOUR_MS, HOUR_MS, HOUR_MS // 4]
    assert [one.table for one in Timeframe] == ["ohlcv_d1", "ohlcv_h4", "ohlcv_h1", "ohlcv_m15"]

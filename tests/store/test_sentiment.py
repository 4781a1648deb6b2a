"""Funding rates and statistics: stored once, known no earlier than they were published."""

from __future__ import annotations

import apsw
import numpy as np
import pytest

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.market.sentiment import FUNDING_PAYMENT, Statistic
from futures_agent.store.sentiment import (
    FUNDING,
    known_at,
    read_funding,
    sentiment_span,
    upsert_funding,
    upsert_statistic,
)
from sample_candles import START_MS

EIGHT_HOURS = 8 * HOUR_MS
PUBLISHED = HOUR_MS + 5 * MINUTE_MS  # after a period's beginning
FETCHED = START_MS + DAY_MS


def _funding(*pairs: tuple[int, float]) -> np.ndarray:
    return np.array(list(pairs), dtype=FUNDING)


def test_times_are_rounded_to_the_minute(db: apsw.Connection) -> None:
    given = _funding((START_MS + 4, 1e-4), (START_MS + EIGHT_HOURS - 9, -2e-4))
    assert upsert_funding(db, "BTCUSDT", given) == 2
    read = read_funding(db, ["BTCUSDT"], START_MS, START_MS + EIGHT_HOURS + 1)["BTCUSDT"]
    assert read.dtype == FUNDING
    assert read.tolist() == [(START_MS, 1e-4), (START_MS + EIGHT_HOURS, -2e-4)]


def test_the_jitter_of_another_download_changes_nothing(db: apsw.Connection) -> None:
    upsert_funding(db, "BTCUSDT", _funding((START_MS + 4, 1e-4)), fetched_at_ms=5)
    assert upsert_funding(db, "BTCUSDT", _funding((START_MS + 11, 1e-4)), fetched_at_ms=6) == 0
    assert upsert_funding(db, "BTCUSDT", _funding((START_MS, 3e-4)), fetched_at_ms=7) == 1
    assert db.execute("SELECT funding_rate, fetched_at FROM sentimento_mercado").get == (3e-4, 7)


def test_other_columns_of_the_row_stay(db: apsw.Connection) -> None:
    db.execute(
        "INSERT INTO sentimento_mercado (symbol, timestamp, open_interest) VALUES ('BTCUSDT', ?, 12.5)",
        (START_MS,),
    )
    assert len(read_funding(db, ["BTCUSDT"], 0, 2**62)["BTCUSDT"]) == 0
    assert upsert_funding(db, "BTCUSDT", _funding((START_MS, 1e-4))) == 1
    assert db.execute("SELECT open_interest, funding_rate FROM sentimento_mercado").get == (12.5, 1e-4)


def test_ranges_and_unknown_symbols(db: apsw.Connection) -> None:
    moments = [START_MS + index * EIGHT_HOURS for index in range(5)]
    upsert_funding(db, "BTCUSDT", _funding(*((moment, 1e-4) for moment in moments)))
    found = read_funding(db, ["ETHUSDT", "BTCUSDT"], moments[1], moments[3])
    assert found["BTCUSDT"]["timestamp"].tolist() == moments[1:3]
    assert len(found["ETHUSDT"]) == 0


def _rows(statistic: Statistic, *rows: tuple[float, ...]) -> np.ndarray:
    return np.array(list(rows), dtype=statistic.dtype)


def _store(db: apsw.Connection, statistic: Statistic, *rows: tuple[float, ...], at: int = FETCHED) -> int:
    return upsert_statistic(
        db, statistic, "BTCUSDT", _rows(statistic, *rows), published_after_ms=PUBLISHED, fetched_at_ms=at
    )


def test_a_statistic_is_known_after_its_period_and_not_before(db: apsw.Connection) -> None:
    assert _store(db, Statistic.LONG_SHORT, (START_MS, 1.5), (START_MS + HOUR_MS, 1.6)) == 2
    assert known_at(db, "BTCUSDT", START_MS + PUBLISHED - 1) == {}
    assert known_at(db, "BTCUSDT", START_MS + PUBLISHED) == {"long_short_ratio": (START_MS, 1.5)}
    assert known_at(db, "BTCUSDT", START_MS + PUBLISHED + HOUR_MS)["long_short_ratio"].value == 1.6
    assert known_at(db, "ETHUSDT", FETCHED) == {}


def test_a_corrected_statistic_is_known_from_when_it_was_seen(db: apsw.Connection) -> None:
    _store(db, Statistic.LONG_SHORT, (START_MS, 1.5), (START_MS + HOUR_MS, 1.6))
    assert _store(db, Statistic.LONG_SHORT, (START_MS + HOUR_MS, 1.7), at=FETCHED + 9) == 1
    assert _store(db, Statistic.LONG_SHORT, (START_MS + HOUR_MS, 1.7), at=FETCHED + 99) == 0
    before, after = (known_at(db, "BTCUSDT", at)["long_short_ratio"] for at in (FETCHED + 8, FETCHED + 9))
    assert before == (START_MS, 1.5)  # what was believed of the later hour is not known any more
    assert after == (START_MS + HOUR_MS, 1.7)


def test_statistics_share_a_row_and_each_is_new_on_its_own(db: apsw.Connection) -> None:
    _store(db, Statistic.OPEN_INTEREST, (START_MS, 20_403.6, 1.5e8))
    _store(db, Statistic.TAKER_VOLUME, (START_MS, 1.56, 387.3, 248.5), at=FETCHED + DAY_MS)
    assert db.execute("SELECT count(*) FROM sentimento_mercado").get == 1
    assert known_at(db, "BTCUSDT", START_MS + PUBLISHED) == {
        "open_interest": (START_MS, 20_403.6),
        "open_interest_value": (START_MS, 1.5e8),
        "taker_buy_sell_ratio": (START_MS, 1.56),
        "taker_buy_volume": (START_MS, 387.3),
        "taker_sell_volume": (START_MS, 248.5),
    }


def test_funding_in_a_row_of_statistics_is_known_at_its_own_time(db: apsw.Connection) -> None:
    _store(db, Statistic.LONG_SHORT, (START_MS, 1.5))
    upsert_funding(db, "BTCUSDT", _funding((START_MS + 4, 1e-4)), fetched_at_ms=FETCHED)
    assert known_at(db, "BTCUSDT", START_MS) == {}
    assert known_at(db, "BTCUSDT", START_MS + MINUTE_MS) == {"funding_rate": (START_MS, 1e-4)}
    upsert_funding(db, "BTCUSDT", _funding((START_MS + 4, 2e-4)), fetched_at_ms=FETCHED)
    assert "funding_rate" not in known_at(db, "BTCUSDT", FETCHED - 1)
    assert known_at(db, "BTCUSDT", FETCHED)["funding_rate"].value == 2e-4


def test_the_mark_price_is_kept_where_it_is_told(db: apsw.Connection) -> None:
    payments = np.array([(START_MS, 1e-4, 76_907.9), (START_MS + HOUR_MS, 1e-4, np.nan)], FUNDING_PAYMENT)
    upsert_funding(db, "BTCUSDT", payments)
    sql = "SELECT mark_price FROM sentimento_mercado ORDER BY timestamp"
    assert list(db.execute(sql)) == [(76_907.9,), (None,)]


def test_where_a_series_begins_and_ends(db: apsw.Connection) -> None:
    _store(db, Statistic.LONG_SHORT, (START_MS, 1.5), (START_MS + HOUR_MS, 1.6))
    assert sentiment_span(db, "BTCUSDT", "long_short_ratio") == (START_MS, START_MS + HOUR_MS)
    assert sentiment_span(db, "BTCUSDT", "funding_rate") is None
    with pytest.raises(ValueError, match="no value column"):
        sentiment_span(db, "BTCUSDT", "fetched_at")

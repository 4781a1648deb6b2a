"""Funding rates."""

from __future__ import annotations

import apsw
import numpy as np

from futures_agent.clock import HOUR_MS
from futures_agent.store.sentiment import FUNDING, read_funding, upsert_funding
from sample_candles import START_MS

EIGHT_HOURS = 8 * HOUR_MS


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

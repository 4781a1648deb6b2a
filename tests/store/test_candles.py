"""Candle tables: what is stored, read back, and missing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw
import numpy as np
import pytest

from futures_agent.clock import HOUR_MS
from futures_agent.errors import Corrupt, SkipSymbol
from futures_agent.market.candle import CANDLE, FULL_CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.candles import (
    SeriesSurvey,
    newest,
    read_candles,
    read_timestamps,
    remove_impossible,
    survey_series,
    untraded_since,
    upsert_candles,
)
from futures_agent.store.database import open_reader
from sample_candles import START_MS, random_walk

H1 = Timeframe.H1
FOREVER = 2**62
REAL_CANDLES = Path(__file__).parents[3] / "shared" / "data" / "klines_4h.parquet"


def _hour(index: int) -> int:
    return START_MS + index * HOUR_MS


@pytest.mark.parametrize("timeframe", Timeframe)
def test_what_is_stored_is_read_back_bit_by_bit(db: apsw.Connection, timeframe: Timeframe) -> None:
    candles = random_walk(300, timeframe)
    assert upsert_candles(db, timeframe, "BTCUSDT", candles) == 300
    read = read_candles(db, timeframe, ["BTCUSDT"], 0, FOREVER)["BTCUSDT"]
    assert read.dtype == CANDLE
    assert read.tobytes() == candles[list(CANDLE.names or ())].astype(CANDLE).tobytes()
    stored = db.execute(f"SELECT * FROM {timeframe.table}").fetchall()
    assert [row[1:] for row in stored] == candles.tolist()


def test_writing_again_changes_nothing_and_writes_nothing(db: apsw.Connection, database: Path) -> None:
    upsert_candles(db, H1, "BTCUSDT", random_walk(500))
    wal = database.with_name(database.name + "-wal")
    before = wal.read_bytes()
    assert upsert_candles(db, H1, "BTCUSDT", random_walk(500)) == 0
    assert wal.read_bytes() == before


@pytest.mark.parametrize("column", (FULL_CANDLE.names or ())[1:])
def test_one_changed_number_is_one_changed_row(db: apsw.Connection, column: str) -> None:
    candles = random_walk(50)
    upsert_candles(db, H1, "BTCUSDT", candles)
    candles[column][17] *= 2 if column in {"high", "volume", "trades"} else 1.0 + 1e-12
    candles[column][17] += column == "quote_volume"
    assert upsert_candles(db, H1, "BTCUSDT", candles) == 1
    assert [row[1:] for row in db.execute("SELECT * FROM ohlcv_h1")] == candles.tolist()


def test_order_does_not_matter_and_the_last_of_equal_times_wins(db: apsw.Connection) -> None:
    candles = random_walk(10)
    again = candles[3:4].copy()
    again["volume"] = 7.0
    upsert_candles(db, H1, "BTCUSDT", np.concatenate((candles[::-1], again)))
    read = read_candles(db, H1, ["BTCUSDT"], 0, FOREVER)["BTCUSDT"]
    assert read["timestamp"].tolist() == candles["timestamp"].tolist()
    assert read["volume"][3] == 7.0


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("high", 0.5),
        ("low", 1e9),
        ("low", -1.0),
        ("close", float("nan")),
        ("volume", -1.0),
        ("timestamp", _hour(5) + 1),
    ],
)
def test_one_impossible_candle_skips_its_symbol_and_stores_nothing(
    db: apsw.Connection, column: str, value: float
) -> None:
    candles = random_walk(10)
    candles[column][5] = value
    with pytest.raises(SkipSymbol, match="BTCUSDT: impossible H1 candle of 2025-01-01T05:00:00Z"):
        upsert_candles(db, H1, "BTCUSDT", candles)
    assert newest(db, H1) == {}
    assert upsert_candles(db, H1, "ETHUSDT", random_walk(10)) == 10


def test_a_wrong_record_type_is_a_programming_error(db: apsw.Connection) -> None:
    with pytest.raises(TypeError, match="expected FULL_CANDLE"):
        upsert_candles(db, H1, "BTCUSDT", np.zeros(3, dtype=CANDLE))


def test_a_range_includes_its_start_and_excludes_its_end(db: apsw.Connection) -> None:
    upsert_candles(db, H1, "BTCUSDT", random_walk(10))
    expected = [_hour(3), _hour(4), _hour(5)]
    found = read_candles(db, H1, ["BTCUSDT"], _hour(3), _hour(6))["BTCUSDT"]["timestamp"].tolist()
    assert found == expected
    assert read_timestamps(db, H1, "BTCUSDT", _hour(3), _hour(6)).tolist() == expected


def test_every_symbol_asked_for_is_answered(db: apsw.Connection) -> None:
    upsert_candles(db, H1, "BTCUSDT", random_walk(3))
    upsert_candles(db, H1, "ETHUSDT", random_walk(4))
    found = read_candles(db, H1, ["NEWUSDT", "ETHUSDT"], 0, FOREVER)
    assert {symbol: len(series) for symbol, series in found.items()} == {"NEWUSDT": 0, "ETHUSDT": 4}
    assert found["NEWUSDT"].dtype == CANDLE
    assert read_timestamps(db, H1, "NEWUSDT", 0, FOREVER).dtype == np.int64


def test_newest_open_time_of_every_symbol(db: apsw.Connection) -> None:
    assert newest(db, H1) == {}
    for index, symbol in enumerate(["ADAUSDT", "BTCUSDT", "XRPUSDT"]):
        upsert_candles(db, H1, symbol, random_walk(5 + index, start_ms=_hour(index)))
    assert newest(db, H1) == {"ADAUSDT": _hour(4), "BTCUSDT": _hour(6), "XRPUSDT": _hour(8)}
    assert newest(db, Timeframe.D1) == {}


def test_newest_looks_up_keys_and_scans_nothing(db: apsw.Connection) -> None:
    statements: list[str] = []
    db.exec_trace = lambda cursor, sql, bindings: statements.append(sql) or True
    newest(db, H1)
    db.exec_trace = None
    plan = [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + statements[0])]
    on_table = [step for step in plan if "ohlcv_h1" in step]
    assert on_table
    assert all(step.startswith("SEARCH") for step in on_table), plan


def test_a_series_is_surveyed_from_a_time_on(db: apsw.Connection) -> None:
    upsert_candles(db, H1, "BTCUSDT", random_walk(10))
    assert survey_series(db, H1, "BTCUSDT", _hour(4), last_closed_ms=_hour(9)) == SeriesSurvey(
        6, _hour(4), _hour(9), impossible=0
    )
    assert survey_series(db, H1, "NEWUSDT", 0, last_closed_ms=_hour(9)) == SeriesSurvey(0, None, None, 0)


@pytest.mark.parametrize(
    "damage",
    [
        "timestamp = timestamp + 1",
        "high = low / 2",
        "low = 0",
        "close = high * 2",
        "volume = -1",
    ],
)
def test_what_cannot_be_a_candle_is_counted_and_removed(db: apsw.Connection, damage: str) -> None:
    upsert_candles(db, H1, "BTCUSDT", random_walk(10))
    upsert_candles(db, H1, "ETHUSDT", random_walk(10))
    db.pragma("ignore_check_constraints", True)
    db.execute(f"UPDATE ohlcv_h1 SET {damage} WHERE symbol = 'BTCUSDT' AND timestamp = ?", (_hour(5),))
    for symbol, impossible in (("BTCUSDT", 1), ("ETHUSDT", 0)):
        assert survey_series(db, H1, symbol, 0, last_closed_ms=_hour(9)).impossible == impossible
        assert remove_impossible(db, H1, symbol, 0, last_closed_ms=_hour(9)) == impossible
        assert survey_series(db, H1, symbol, 0, last_closed_ms=_hour(9)).candles == 10 - impossible


def test_a_candle_that_has_not_closed_cannot_be_there(db: apsw.Connection) -> None:
    upsert_candles(db, H1, "BTCUSDT", random_walk(10))
    assert survey_series(db, H1, "BTCUSDT", 0, last_closed_ms=_hour(7)).impossible == 2
    assert remove_impossible(db, H1, "BTCUSDT", 0, last_closed_ms=_hour(7)) == 2
    assert newest(db, H1) == {"BTCUSDT": _hour(7)}


@pytest.mark.parametrize(("traded", "since"), [(6, 7), (7, None), (None, 0)])
def test_since_when_nothing_is_traded(db: apsw.Connection, traded: int | None, since: int | None) -> None:
    candles = random_walk(10)
    candles["volume"] = 0
    if traded is not None:
        candles["volume"][traded] = 1
    upsert_candles(db, H1, "BTCUSDT", candles)
    assert untraded_since(db, H1, "BTCUSDT", 3) == (None if since is None else _hour(since))


def test_a_damaged_page_is_told_while_reading(db: apsw.Connection, database: Path) -> None:
    upsert_candles(db, H1, "BTCUSDT", random_walk(3000))
    db.close()
    content = bytearray(database.read_bytes())
    for page in range(40, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    database.write_bytes(content)
    with contextlib.closing(open_reader(database)) as reader, pytest.raises(Corrupt, match="damaged"):
        read_candles(reader, H1, ["BTCUSDT"], 0, FOREVER)


def test_real_candles_pass_the_checks(db: apsw.Connection) -> None:
    if not REAL_CANDLES.exists():
        pytest.skip(f"{REAL_CANDLES} is absent: real candles are not part of the repository")
    parquet = pytest.importorskip("pyarrow.parquet")
    names = ["open_time", "open", "high", "low", "close", "volume", "quote_volume"]
    table = parquet.read_table(REAL_CANDLES, columns=["symbol", *names])
    symbols = table["symbol"].to_numpy()
    columns = {name: table[name].to_numpy() for name in names}
    for symbol in np.unique(symbols)[:10]:
        mine = symbols == symbol
        candles = np.zeros(int(mine.sum()), dtype=FULL_CANDLE)
        for name in names:
            candles["timestamp" if name == "open_time" else name] = np.nan_to_num(columns[name][mine])
        assert upsert_candles(db, Timeframe.H4, symbol, candles) == len(candles)
        assert upsert_candles(db, Timeframe.H4, symbol, candles) == 0
        read = read_candles(db, Timeframe.H4, [symbol], 0, FOREVER)[symbol]
        assert np.array_equal(read["close"], candles[np.argsort(candles["timestamp"])]["close"])


def test_changed_and_deleted_candles_leave_a_record_and_new_ones_none(db: apsw.Connection) -> None:
    candles = random_walk(400)
    upsert_candles(db, H1, "BTCUSDT", candles)
    upsert_candles(db, H1, "BTCUSDT", candles)
    assert db.execute("SELECT * FROM candle_rewrites").fetchall() == []
    candles["volume"][[3, 4, 200]] *= 2
    assert upsert_candles(db, H1, "BTCUSDT", candles) == 3
    db.execute("DELETE FROM ohlcv_h1 WHERE timestamp = ?", (_hour(5),))
    week = 7 * 24 * HOUR_MS
    expected = {_hour(index) // week * week: 0 for index in (3, 200)}
    for index in (3, 4, 5, 200):
        expected[_hour(index) // week * week] += 1
    assert dict(db.execute("SELECT week, rewrites FROM candle_rewrites")) == expected

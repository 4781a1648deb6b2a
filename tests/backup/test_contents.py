"""What a database holds: equal for equal rows, different for any difference, and where."""

from __future__ import annotations

import contextlib

import apsw
import pytest

from futures_agent.backup.contents import WEEK_MS, Contents, read_contents
from futures_agent.backup.snapshot import open_copy
from futures_agent.errors import Corrupt
from futures_agent.settings import Settings
from futures_agent.store.database import open_writer


def contents_of(settings: Settings) -> Contents:
    with open_copy(settings.paths.database) as db:
        return read_contents(db)


def change(settings: Settings, sql: str) -> None:
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        db.execute(sql)
        assert db.changes() == 1
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def test_every_row_of_every_table_is_counted(settings: Settings) -> None:
    contents = contents_of(settings)
    with open_copy(settings.paths.database) as db:
        counted = {table: db.execute(f"SELECT count(*) FROM {table}").get for table in contents.tables}
        stored = db.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table'").get
    assert {name: table.rows for name, table in contents.tables.items()} == counted
    assert len(counted) == stored
    assert contents.rows == sum(counted.values())
    assert sum(week.rows for week in contents.weeks["ohlcv_h1"].values()) == 3 * 120 * 24
    assert all(week % WEEK_MS == 0 for weeks in contents.weeks.values() for week in weeks)


def test_one_changed_bit_changes_one_week_and_counts_as_a_rewrite(settings: Settings) -> None:
    before = contents_of(settings)
    where = "symbol = 'ETHUSDT' AND timestamp = (SELECT min(timestamp) FROM ohlcv_h4)"
    change(settings, f"UPDATE ohlcv_h4 SET volume = volume * (1 + 2.3e-16) WHERE {where}")
    after = contents_of(settings)
    different = [name for name in before.tables if before.tables[name] != after.tables[name]]
    assert different == ["candle_rewrites", "ohlcv_h4"]
    (week,) = [week for week, old in before.weeks["ohlcv_h4"].items() if after.weeks["ohlcv_h4"][week] != old]
    assert week == min(before.weeks["ohlcv_h4"])
    assert after.weeks["ohlcv_h4"][week].rewrites == before.weeks["ohlcv_h4"][week].rewrites + 1


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE trades SET quantity = 1.5000000000000002",
        "UPDATE trades SET stop_price = 0",  # NULL before
        "UPDATE incidents SET type = 'X'",
        "UPDATE ohlcv_d1 SET symbol = 'SOLUSDX' WHERE symbol = 'SOLUSDT' AND timestamp = 1735689600000",
    ],
)
def test_any_other_change_shows_too(settings: Settings, sql: str) -> None:
    before = contents_of(settings)
    change(settings, sql)
    assert contents_of(settings).tables != before.tables


def test_the_order_of_writing_does_not_matter(settings: Settings) -> None:
    before = contents_of(settings)
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        db.execute("DROP TRIGGER ohlcv_h1_delete")
        rows = db.execute("SELECT * FROM ohlcv_h1 ORDER BY volume").fetchall()
        db.execute("DELETE FROM ohlcv_h1")
        db.executemany(f"INSERT INTO ohlcv_h1 VALUES ({', '.join('?' * 11)})", rows)
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    after = contents_of(settings)
    assert after.tables == before.tables
    assert after.schema != before.schema  # the trigger is gone


def test_rows_out_of_reach_of_their_key_are_damage(settings: Settings) -> None:
    content = bytearray(settings.paths.database.read_bytes())
    place = content.find(b"ETHUSDT", len(content) // 2)  # in the middle of a leaf of H1
    content[place : place + 7] = b"ZZZUSDT"
    settings.paths.database.write_bytes(content)
    with pytest.raises(Corrupt, match=r"^ohlcv_.*(reachable|order)"):
        contents_of(settings)


def test_text_that_is_no_text_is_damage(settings: Settings) -> None:
    content = settings.paths.database.read_bytes().replace(b"BTCUSDT", b"\xff\xfeCUSDT")
    settings.paths.database.write_bytes(content)
    with pytest.raises(Corrupt, match="text that is no text"):
        contents_of(settings)

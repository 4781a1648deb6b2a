"""`quick_check` and `integrity_check`: what they find and what they say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from futures_agent.errors import Corrupt, Refuse
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_writer
from futures_agent.store.integrity import integrity_check, quick_check
from sample_candles import random_walk

Check = Callable[[Path], float]


@pytest.mark.parametrize("check", [quick_check, integrity_check])
def test_a_sound_database_passes(db: apsw.Connection, database: Path, check: Check) -> None:
    upsert_candles(db, Timeframe.H1, "BTCUSDT", random_walk(2000))
    assert 0 < check(database) < 30


@pytest.mark.parametrize("check", [quick_check, integrity_check])
def test_a_missing_database_is_refused_and_not_created(database: Path, check: Check) -> None:
    with pytest.raises(Refuse, match="no database yet; run `agentctl data-sync` first"):
        check(database)
    assert not database.exists()


def test_only_integrity_check_compares_indexes_with_tables(database: Path) -> None:
    with contextlib.closing(open_writer(database)) as db:
        db.executemany(
            "INSERT INTO incidents (incident_id, type, detected_by, detected_at) VALUES (?, '', '', ?)",
            [("1", 1000), ("2", 2000), ("3", 3000)],
        )
        # The stored order of the index no longer is what its definition says.
        db.pragma("writable_schema", True)
        db.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, ' DESC', '') WHERE name = 'incidents_detected_at'"
        )
    quick_check(database)
    with pytest.raises(Corrupt, match=r"damaged \(integrity_check: .*incidents_detected_at"):
        integrity_check(database)


def test_the_message_is_one_line_with_what_to_do(database: Path) -> None:
    with contextlib.closing(open_writer(database)) as db:
        upsert_candles(db, Timeframe.H1, "BTCUSDT", random_walk(2000))
    content = bytearray(database.read_bytes())
    for page in (35, 36, 37, 38, 39, 40):
        content[page * 4096 + 100 : page * 4096 + 4096] = bytes(3996)
    database.write_bytes(content)
    with pytest.raises(Corrupt) as caught:
        quick_check(database)
    text = str(caught.value)
    assert text.startswith(f"{database}: damaged (quick_check: ")
    assert text.endswith("run `agentctl data-sync` to fetch the candles again")
    assert "\n" not in text

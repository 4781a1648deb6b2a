"""The copy: one moment of the database, whatever others write meanwhile."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from database_program import running
from futures_agent.backup import snapshot
from futures_agent.backup.contents import differences
from futures_agent.backup.snapshot import examine, take_snapshot
from futures_agent.errors import Corrupt, Refuse, Retry
from futures_agent.settings import Settings
from futures_agent.store.database import open_reader, open_writer


def insert_incident(settings: Settings, name: str) -> None:
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        db.execute(
            "INSERT INTO incidents (incident_id, type, detected_by, detected_at) VALUES (?, '', '', 1)",
            (name,),
        )


def incidents(database: Path) -> list[str]:
    with contextlib.closing(open_reader(database)) as db:
        return [name for (name,) in db.execute("SELECT incident_id FROM incidents ORDER BY 1")]


def test_copy_and_digests_see_one_moment(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.db"
    real_copy = snapshot._copy

    def copy_between_two_commits(db, target):  # type: ignore[no-untyped-def]
        insert_incident(settings, "after the transaction began")
        real_copy(db, target)
        insert_incident(settings, "after the copy")

    monkeypatch.setattr(snapshot, "_copy", copy_between_two_commits)
    taken = take_snapshot(settings.paths.database, copy, settings.database)
    assert incidents(settings.paths.database) == ["after the copy", "after the transaction began", "i1"]
    assert incidents(copy) == ["i1"]
    assert taken.contents.tables["incidents"].rows == 1


def test_with_a_writer_that_never_pauses_the_copy_is_one_of_its_states(
    settings: Settings, tmp_path: Path
) -> None:
    with running("write", settings.paths.database, "XRPUSDT") as writer:
        before = int(writer.line().split()[0])
        for index in range(5):
            copy = tmp_path / f"copy{index}.db"
            taken = take_snapshot(settings.paths.database, copy, settings.database)
            rows = taken.contents.tables["ohlcv_h1"].rows - 3 * 120 * 24
            assert rows % 50 == 0  # whole transactions only
            assert rows >= before
        writer.kill()
        assert writer.process.stdout is not None
        last = [int(line.split()[0]) for line in writer.process.stdout.read().splitlines()][-1]
    assert last > rows > before  # it wrote before, between and after the copies


def test_the_copy_leaves_no_files_beside_it_and_only_the_group_may_read_it(
    settings: Settings, tmp_path: Path
) -> None:
    directory = tmp_path / "copies"
    directory.mkdir()
    taken = take_snapshot(settings.paths.database, directory / "copy.db", settings.database)
    assert os.listdir(directory) == ["copy.db"]
    assert (directory / "copy.db").stat().st_mode & 0o777 == 0o640
    assert taken.size == (directory / "copy.db").stat().st_size


def test_a_copy_that_differs_is_found_and_the_table_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_copy = snapshot._copy

    def copy_wrongly(db, target):  # type: ignore[no-untyped-def]
        real_copy(db, target)
        with contextlib.closing(open_writer(target)) as copied:
            copied.execute("UPDATE trades SET quantity = 1.5000000000000002")

    monkeypatch.setattr(snapshot, "_copy", copy_wrongly)
    with pytest.raises(Corrupt, match=r"copy\.db: the copy differs in trades; check the disk"):
        take_snapshot(settings.paths.database, tmp_path / "copy.db", settings.database)


def test_a_damaged_database_is_never_copied_as_good(settings: Settings, tmp_path: Path) -> None:
    content = bytearray(settings.paths.database.read_bytes())
    content[60 * 4096 : 61 * 4096] = bytes(4096)
    settings.paths.database.write_bytes(content)
    with pytest.raises(Corrupt, match="damaged"):
        take_snapshot(settings.paths.database, tmp_path / "copy.db", settings.database)


def test_bad_places_are_one_clear_line(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(Refuse, match="no database yet; run `agentctl data-sync` first"):
        take_snapshot(tmp_path / "none.db", tmp_path / "copy.db", settings.database)
    with pytest.raises(Retry, match="cannot write"):
        take_snapshot(settings.paths.database, tmp_path / "no" / "copy.db", settings.database)


def test_a_schema_that_differs_is_a_difference(settings: Settings, tmp_path: Path) -> None:
    taken = take_snapshot(settings.paths.database, tmp_path / "copy.db", settings.database)
    with contextlib.closing(open_writer(tmp_path / "copy.db")) as db:
        db.execute("DROP INDEX orders_trade_id")
    assert differences(taken.contents, examine(tmp_path / "copy.db")) == "its schema"

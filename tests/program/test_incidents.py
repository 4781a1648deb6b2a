"""Incidents: one line when detected, one when recovered, whoever wrote them."""

from pathlib import Path

from futures_agent.program.incidents import IncidentLog, read_incidents


def test_an_incident_is_open_until_it_has_recovered(tmp_path: Path) -> None:
    log = IncidentLog(tmp_path, "live-trading")
    record = log.open(
        "UNPROTECTED", what="no stop", action="closed at market", evidence="BTCUSDT", at_ms=1_700_000_000_000
    )
    assert read_incidents(tmp_path) == [record]
    assert (record.detected_at, record.recovered_at) == (1_700_000_000_000, None)
    log.recovered(record)
    (ended,) = read_incidents(tmp_path)
    assert ended.id == record.id
    assert ended.recovered_at
    assert (ended.action, ended.data_lost) == ("closed at market", "none")


def test_every_programs_incidents_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    IncidentLog(tmp_path, "live-trading").open("B", what="", at_ms=1_700_000_060_000)
    IncidentLog(tmp_path, "backup").open("A", what="", at_ms=1_700_000_000_000)
    assert [each.type for each in read_incidents(tmp_path)] == ["A", "B"]


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    log = IncidentLog(tmp_path, "live-trading")
    log.open("A", what="")
    with (tmp_path / "live-trading.jsonl").open("ab") as file:
        file.write(b'{"id": 4}\n{"id": "torn')
    log.open("B", what="")
    assert {each.type for each in read_incidents(tmp_path)} == {"A", "B"}


def test_no_directory_is_no_incident(tmp_path: Path) -> None:
    assert read_incidents(tmp_path / "none") == []

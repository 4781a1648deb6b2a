"""The files beside the database: all of them, whole, and damage found."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
import zstandard

from futures_agent.backup import evidence_files
from futures_agent.backup.evidence_files import archive_files, count_files
from futures_agent.errors import Corrupt, Retry
from futures_agent.settings import Settings

NAMES = ("jobs", "incidents", "models")


def read_back(archive: Path) -> dict[str, bytes]:
    with (
        archive.open("rb") as source,
        zstandard.ZstdDecompressor().stream_reader(source) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def test_the_named_directories_are_archived_and_absent_ones_are_none(settings: Settings) -> None:
    scratch = settings.paths.job("restore-test") / "scratch"
    scratch.mkdir(parents=True)
    (scratch / "restored.db").write_bytes(b"large")
    archive = settings.paths.state / "files"
    archived = archive_files(settings.paths.state, NAMES, archive)
    assert archived.files == 2
    assert archive.stat().st_mode & 0o777 == 0o640
    assert archived.unreadable == ()
    assert read_back(archive) == {
        "jobs/data-sync/runs.jsonl": b'{"run":"1"}\n{"run":"2"}\n',
        "incidents/incidents.jsonl": b'{"incident":1}\n',
    }


def test_a_file_that_grows_meanwhile_is_taken_as_it_was(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = settings.paths.state / "jobs" / "data-sync" / "runs.jsonl"
    before = records.read_bytes()
    real = evidence_files._described

    def grow(path, content, state):  # type: ignore[no-untyped-def]
        described = real(path, content, state)
        with records.open("ab") as file:
            file.write(b"more\n")
        return described

    monkeypatch.setattr(evidence_files, "_described", grow)
    archive = settings.paths.state / "files"
    assert archive_files(settings.paths.state, NAMES, archive).files == 2
    assert read_back(archive)["jobs/data-sync/runs.jsonl"] == before


def test_links_and_special_files_are_left_alone_and_unreadable_ones_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = settings.paths.state / "jobs"
    (directory / "link").symlink_to("/etc/passwd")
    os.mkfifo(directory / "pipe")
    (directory / "secret").write_bytes(b"x")
    real = Path.open

    def refuse(self, *arguments, **keywords):  # type: ignore[no-untyped-def]
        if self.name == "secret":
            raise PermissionError
        return real(self, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", refuse)
    archived = archive_files(settings.paths.state, NAMES, settings.paths.state / "files")
    assert archived.files == 2
    assert archived.unreadable == ("jobs/secret",)


def test_damage_is_found(settings: Settings) -> None:
    archive = settings.paths.state / "files"
    archive_files(settings.paths.state, NAMES, archive)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(Corrupt, match="damaged"):
        count_files(archive)


def test_a_place_that_cannot_be_written_is_one_clear_line(settings: Settings) -> None:
    with pytest.raises(Retry, match="cannot write"):
        archive_files(settings.paths.state, NAMES, settings.paths.state / "no" / "files")

"""The file of a backup: whole or found out."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from futures_agent.backup.archive import Manifest, read_manifest, unpack, write_archive
from futures_agent.errors import AgentError, Corrupt, Refuse, Retry
from futures_agent.settings import Settings

SEED = 20261120
FLIPS = 40


@pytest.fixture
def archive(kept_backup: Callable[..., Path]) -> Path:
    return kept_backup()


def test_it_unpacks_to_the_same_bytes_and_says_what_it_holds(
    archive: Path, settings: Settings, tmp_path: Path
) -> None:
    manifest = unpack(archive, tmp_path / "back.db")
    assert manifest == read_manifest(archive) == unpack(archive, None)
    assert (tmp_path / "back.db").stat().st_size == manifest.database_bytes
    assert manifest.contents.tables["ohlcv_h4"].rows == 3 * 120 * 6
    assert archive.stat().st_size < manifest.database_bytes


def test_any_zstd_opens_it_without_this_program(archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path / "back.db")
    with archive.open("rb") as file:
        plain = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    assert plain == (tmp_path / "back.db").read_bytes()
    if zstd := shutil.which("zstd"):
        told = subprocess.run([zstd, "-dc", str(archive)], capture_output=True, check=True).stdout
        assert told == plain


def test_every_flipped_bit_is_found(archive: Path, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    pristine = archive.read_bytes()
    for place in [*range(8), *(rng.randrange(len(pristine)) for _ in range(FLIPS))]:
        bad = bytearray(pristine)
        bad[place] ^= 1 << rng.randrange(8)
        archive.write_bytes(bad)
        with pytest.raises(AgentError):
            unpack(archive, tmp_path / "back.db")
        assert not (tmp_path / "back.db").exists(), place


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.999])
def test_a_cut_off_end_is_found(archive: Path, tmp_path: Path, keep: float) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(AgentError):
        unpack(archive, None)


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"something else altogether")
    with pytest.raises(Refuse, match="not a backup of this agent; `agentctl backups`"):
        read_manifest(tmp_path / "x")
    with pytest.raises(Refuse, match="no such backup"):
        read_manifest(tmp_path / "y")
    with pytest.raises(Refuse, match="cannot be read"):
        read_manifest(tmp_path)


def test_a_torn_manifest_is_damage(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(Corrupt, match="its manifest is torn"):
        read_manifest(archive)


def test_contents_that_are_not_those_of_the_manifest_are_damage(archive: Path, tmp_path: Path) -> None:
    manifest = read_manifest(archive)
    (tmp_path / "other").write_bytes(bytes(manifest.database_bytes))
    write_archive(tmp_path / "other", manifest, tmp_path / "false.zst", level=1)
    with pytest.raises(Corrupt, match="does not decompress to what was put in"):
        unpack(tmp_path / "false.zst", tmp_path / "back.db")
    assert not (tmp_path / "back.db").exists()


def test_a_place_that_cannot_be_written_is_one_clear_line(archive: Path, tmp_path: Path) -> None:
    manifest: Manifest = read_manifest(archive)
    with pytest.raises(Retry, match="cannot write"):
        unpack(archive, tmp_path / "no" / "back.db")
    with pytest.raises(Retry, match="cannot write"):
        write_archive(archive, manifest, tmp_path / "no" / "archive", level=1)

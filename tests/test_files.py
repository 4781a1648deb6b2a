"""Small files are whole or absent, whatever the disk does."""

import os

import pytest

from futures_agent.errors import Refuse, Retry
from futures_agent.files import append_line, write_atomically


def test_write_replaces_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "deep" / "report.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new", mode=0o640)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(path.parent) == ["report.json"]


def test_append_adds_whole_lines(tmp_path):
    path = tmp_path / "runs.jsonl"
    append_line(path, b"1")
    append_line(path, b"2")
    assert path.read_bytes() == b"1\n2\n"


def test_a_torn_line_does_not_swallow_the_next_one(tmp_path):
    path = tmp_path / "runs.jsonl"
    append_line(path, b"1")
    with path.open("ab") as file:
        file.write(b"tor")
    append_line(path, b"2")
    assert path.read_bytes() == b"1\ntor\n2\n"


def test_an_append_that_does_not_fit_leaves_no_fragment(tmp_path, limited_file_size):
    path = tmp_path / "runs.jsonl"
    append_line(path, b"1")
    with limited_file_size(1000), pytest.raises(Retry, match="cannot write"):
        append_line(path, b"x" * 2000)
    append_line(path, b"2")
    assert path.read_bytes() == b"1\n2\n"


def test_a_full_disk_leaves_the_old_file(tmp_path, limited_file_size):
    path = tmp_path / "report.json"
    write_atomically(path, b"old")
    with limited_file_size(1000), pytest.raises(Retry, match="cannot write"):
        write_atomically(path, b"x" * 100_000)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["report.json"]


@pytest.mark.parametrize("write", [write_atomically, append_line])
def test_a_file_in_the_way_is_refused(tmp_path, write):
    (tmp_path / "file").touch()
    with pytest.raises(Refuse, match=r"set paths\.state_dir"):
        write(tmp_path / "file" / "report.json", b"x")

"""Credentials: from the unit's directory or a named file, and never shown."""

import pytest

from futures_agent.errors import Refuse
from futures_agent.program.credentials import read_credential

SETTING = "macro.fred_key_file"


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return tmp_path


def test_the_units_credential(directory):
    (directory / "key").write_text("secret\n")
    assert read_credential("key", "", SETTING) == "secret"


def test_a_named_file_wins(directory):
    (directory / "key").write_text("secret")
    (directory / "other").write_text("mine")
    assert read_credential("key", str(directory / "other"), SETTING) == "mine"
    assert read_credential("key", str(directory / "absent"), SETTING) is None


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_none_and_an_empty_default_are_no_secret(directory, content):
    if content is not None:
        (directory / "key").write_text(content)
    assert read_credential("key", "", SETTING) is None


def test_outside_a_unit_there_is_none(monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert read_credential("key", "", SETTING) is None


def test_what_cannot_be_read_is_one_line(directory):
    (directory / "key").write_bytes(b"\xff\xfe")
    with pytest.raises(Refuse, match="not the text of a secret"):
        read_credential("key", "", SETTING)
    (directory / "folder").mkdir()
    with pytest.raises(Refuse, match=r"cannot read the secret: Is a directory; see macro\.fred_key_file"):
        read_credential("folder", "", SETTING)

"""Clients are installed once, completely or not at all, and their absence is told."""

from __future__ import annotations

from pathlib import Path

import pytest

import venue_client
from venue_client import NoClients, client_python


def test_an_environment_that_is_there_is_used_again(python: Path) -> None:
    written = python.parents[1].stat().st_mtime_ns
    assert client_python() == python
    assert python.parents[1].stat().st_mtime_ns == written


def test_a_failed_installation_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = tmp_path / "clients"
    clients.mkdir()
    (clients / "requirements.txt").write_text("no such requirement\n")
    monkeypatch.setattr(venue_client, "CLIENTS", clients)
    monkeypatch.setattr(venue_client, "_CACHE", tmp_path / "cache")
    with pytest.raises(NoClients, match=r"requirements.txt cannot be installed: .*[Ii]nvalid requirement"):
        client_python()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["venue-clients.lock"]

"""A fresh database for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from futures_agent.store.database import open_writer


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a database may be created."""
    return tmp_path / "crypto_agent.db"


@pytest.fixture
def db(database: Path) -> Iterator[apsw.Connection]:
    """An open writer on a new database."""
    with contextlib.closing(open_writer(database)) as connection:
        yield connection

"""A place to import into, and files to import."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from futures_agent.settings import Settings
from futures_agent.settings.tree import PathSettings
from imported_candles import HEADER


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return msgspec.structs.replace(Settings(), paths=PathSettings(state_dir=str(tmp_path / "state")))


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., Path]:
    """Return `write(*lines, name=…, header=…)`: a CSV with the header line and these."""

    def write(*rows: str, name: str = "klines_1h.csv", header: str = HEADER) -> Path:
        path = tmp_path / name
        path.write_text("\n".join([header, *rows] if header else rows) + "\n")
        return path

    return write

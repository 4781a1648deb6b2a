"""A state directory with a database that holds a year of candles of a few symbols."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from backup_world import NOW_MS, build_state, settings_of
from futures_agent.backup.archive import Manifest, write_archive
from futures_agent.backup.hot import HotTier, database_name
from futures_agent.backup.snapshot import take_snapshot
from futures_agent.settings import Settings


@pytest.fixture(scope="session")
def pristine_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory that no test changes."""
    state = tmp_path_factory.mktemp("pristine") / "state"
    build_state(state)
    return state


@pytest.fixture
def settings(pristine_state: Path, tmp_path: Path) -> Settings:
    """Settings of a fresh copy of that state directory."""
    state = tmp_path / "state"
    shutil.copytree(pristine_state, state)
    return settings_of(state)


@pytest.fixture
def tier(settings: Settings) -> HotTier:
    """The hot tier of those settings, empty."""
    hot = HotTier(settings.paths.hot_backups)
    hot.start_work()
    return hot


@pytest.fixture
def kept_backup(settings: Settings, tier: HotTier, tmp_path: Path) -> Callable[..., Path]:
    """Return `keep(taken_ms, daily=False)`: puts a good backup of that time into the tier."""
    copy = tmp_path / "copied.db"
    snapshot = take_snapshot(settings.paths.database, copy, settings.database)

    def keep(taken_ms: int = NOW_MS, *, daily: bool = False, sha256: str = snapshot.sha256) -> Path:
        manifest = Manifest(
            taken_ms=taken_ms, database_bytes=snapshot.size, sha256=sha256, contents=snapshot.contents
        )
        made = tier.directory / ".partial" / "archive"
        with contextlib.suppress(FileNotFoundError):
            made.unlink()
        write_archive(copy, manifest, made, level=1)
        name = database_name(taken_ms, daily=daily)
        tier.keep(made, name)
        return tier.directory / name

    return keep

"""Settings that point a job at a simulated exchange and a scratch directory."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from futures_agent.demo import COMPILED
from futures_agent.settings import Settings, load

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


@pytest.fixture
def settings_for(tmp_path: Path) -> Callable[..., Settings]:
    """Return `make(url, **"section.key" -> value)`: quick retries, sixty days, three symbols."""

    def make(url: str, **changes: Any) -> Settings:
        overrides = {
            "paths.state_dir": str(tmp_path / "state"),
            "exchange.rest_url": url,
            "data.symbols": ",".join(SYMBOLS),
            "data.history_days": "50",
            "sync.retry_wait_s": "0.01",
            **{key.replace("__", "."): value for key, value in changes.items()},
        }
        config = tmp_path / "agent.toml"
        config.touch()
        return load(config, {}, {key: _text(value) for key, value in overrides.items()}).settings

    return make


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else msgspec.json.encode(value).decode().strip('"')


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share compiled kernels between the tests and with the demo: compiling takes seconds."""
    if "NUMBA_CACHE_DIR" not in os.environ:
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(COMPILED))


class SmallDisk:
    """A file system of its own, to be filled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def grow(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.path)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Yield a file system of one megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(path)], check=True)
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)

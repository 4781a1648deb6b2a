"""One compile cache for all tests of the engine: compiling once takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory in which compiled kernels stay for the session."""
    return tmp_path_factory.mktemp("compiled")

"""Fixtures that several rooms share: a simulated exchange on a loopback port, a compile cache."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from futures_agent.clock import parse_utc
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.server import RunningSimulator, running_simulator

SimulatorFactory = Callable[..., RunningSimulator]

# A small world that stands still, sixty days old, a candle forming in every timeframe.
START_MS = parse_utc("2026-03-10T14:20:00Z")
SMALL_WORLD: dict[str, Any] = {
    "symbols": ("BTCUSDT", "ETHUSDT", "SOLUSDT"),
    "history_days": 60,
    "start_ms": START_MS,
    "scale": 0.0,
}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing is skipped: a test that was has failed to prove what it is there for."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if os.environ.get("CI") == "true" and skipped and session.exitstatus == pytest.ExitCode.OK:
        print(f"\nCI=true and {len(skipped)} tests were skipped; install what they name")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def simulator_factory() -> Iterator[SimulatorFactory]:
    """Return `factory(**config) -> RunningSimulator`; what it started stops after the test.

    Without arguments it serves SMALL_WORLD; every argument is a field of SimulatorConfig.
    """
    with ExitStack() as running:

        def start(**config: Any) -> RunningSimulator:
            chosen = SimulatorConfig(**{**SMALL_WORLD, **config})
            return running.enter_context(running_simulator(chosen))

        yield start


@pytest.fixture(scope="session")
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory in which compiled kernels stay for the session: compiling takes seconds."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def limited_file_size() -> Callable[[int], AbstractContextManager[None]]:
    """Let no file of this process grow beyond a size, as a full disk would not."""

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)

    return limit

"""One venue in real time, as the clients sign by the host's clock, and the clients that judge it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.server import RunningSimulator, running_simulator
from venue_client import ClientProcess, NoClients, client_python

KEY, SECRET = "demo", "demo-secret"
Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def python() -> Path:
    """Return the interpreter that has the clients."""
    try:
        return client_python()
    except NoClients as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def venue() -> Iterator[RunningSimulator]:
    """Return a small exchange in real time."""
    with running_simulator(SimulatorConfig(symbols=("BTCUSDT", "ETHUSDT"), history_days=40)) as running:
        yield running


@pytest.fixture(scope="module")
def sdk_process(python: Path, venue: RunningSimulator) -> Iterator[ClientProcess]:
    with ClientProcess(python, "sdk_program.py", venue.url, KEY, SECRET) as process:
        yield process


@pytest.fixture
def sdk(sdk_process: ClientProcess) -> Ask:
    """Return `sdk(call, **arguments)`: the data of a good answer that fits the client's models."""

    def ask(call: str, **arguments: Any) -> Any:
        answer = sdk_process.ask({"call": call, "with": arguments})
        assert "data" in answer, f"{call}: {answer}"
        assert answer["complaints"] == [], call
        return answer["data"]

    return ask


@pytest.fixture(scope="module")
def ccxt_process(python: Path, venue: RunningSimulator) -> Iterator[ClientProcess]:
    with ClientProcess(python, "ccxt_program.py", venue.url, KEY, SECRET) as process:
        yield process


@pytest.fixture
def ccxt(ccxt_process: ClientProcess) -> Ask:
    """Return `ccxt(method, *arguments)`: what it returned."""

    def ask(call: str, *arguments: Any, **named: Any) -> Any:
        answer = ccxt_process.ask({"call": call, "with": arguments, "named": named})
        assert "data" in answer, f"{call}: {answer}"
        return answer["data"]

    return ask

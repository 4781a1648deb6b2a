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

# Fields of the client's models that an answer may lack, by call.
_TRAILING = "activatePrice priceRate"  # of orders that were trailing stops
_STRATEGY = "tpTriggerPrice tpPrice slTriggerPrice slPrice"  # of orders that belong to a strategy
ABSENT = {
    "test_order": "*",  # the answer is {}
    "query_order": _TRAILING,
    "query_current_open_order": _TRAILING,
    "current_all_open_orders": _TRAILING,
    "all_orders": f"{_TRAILING} pair cumBase",  # of contracts with coin margin
    "cancel_order": _TRAILING,
    "modify_order": "pair modifyId",  # none was sent
    "place_multiple_orders": "*",  # rows are orders or refusals
    "cancel_multiple_orders": "*",
    "new_algo_order": "icebergQuantity",
    "query_algo_order": "actualType actualQty icebergQuantity",
    "current_all_algo_open_orders": f"actualPrice tpOrderType icebergQuantity {_STRATEGY}",
    "query_all_algo_orders": f"icebergQuantity {_STRATEGY}",
    "notional_and_leverage_brackets": "notionalCoef",  # of accounts with a multiplier of their own
    "position_adl_quantile_estimation": "*",  # rows are of one-way or of hedge mode
    "futures_trading_quantitative_rules_indicators": "*",  # only contracts with indicators are told
    "exchange_information": "*",  # filters differ in their fields
}


def missing(value: Any) -> set[str]:
    """Return the names of fields without a value, at any depth."""
    if isinstance(value, list):
        return set().union(*map(missing, value))
    if not isinstance(value, dict):
        return set()
    empty = {name for name, each in value.items() if each is None}
    return empty.union(*(missing(each) for each in value.values()))


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
    """Return `sdk(call, **arguments)`: the data of a good answer, which fits the client's models."""

    def ask(call: str, **arguments: Any) -> Any:
        answer = sdk_process.ask({"call": call, "with": arguments})
        assert "data" in answer, f"{call}: {answer}"
        assert answer["complaints"] == [], call
        absent = ABSENT.get(call, "")
        assert absent == "*" or missing(answer["data"]) <= set(absent.split()), call
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

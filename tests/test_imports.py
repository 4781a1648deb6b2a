"""Heavy imports stay out of the processes that do not need them."""

import subprocess
import sys

import pytest

HEAVY = ("pandas", "pyarrow", "numba", "torch", "starlette", "uvicorn", "requests", "rich", "numpy")


def loaded_by(module):
    program = f"import sys, {module}; print(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout.split()
    )


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("futures_agent.cli", set()),
        ("futures_agent.settings", set()),
        ("futures_agent.jobs.data_sync", {"numpy", "requests", "rich"}),
        ("futures_agent.jobs.sentiment_macro", {"numpy", "requests", "rich"}),
        # What trades live, the streams included, fits a small host.
        ("futures_agent.exchange.trading", {"numpy", "requests"}),
        ("futures_agent.exchange.streams.market", {"numpy", "requests"}),
        ("futures_agent.live.records", set()),
        ("futures_agent.jobs.data_validation", {"numpy", "rich"}),
        # The backtest process may load numba, but only once it runs; never the exchange's client.
        ("futures_agent.jobs.backtest", {"numpy", "rich"}),
        ("futures_agent.interchange.importing", {"numpy", "rich"}),
        ("futures_agent.interchange.exporting", {"numpy"}),
        ("futures_agent.health.status", {"numpy"}),
        ("futures_agent.strategy.ema_cross", {"numpy"}),
        ("futures_agent.strategy.smc", {"numpy"}),
        ("futures_agent.policy.policy", {"numpy"}),
        ("futures_agent.execution.fills", {"numpy"}),
        ("futures_agent.live.journal", set()),
        ("futures_agent.live.desk", {"numpy"}),
    ],
)
def test_a_program_loads_what_it_needs(module, allowed):
    assert loaded_by(module) <= allowed

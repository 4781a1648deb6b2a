"""What every test on a host gets."""

import pytest
from agent_host import SERVICES, TIMERS, Agent


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Print the end of the journal with every failure."""
    report = (yield).get_result()
    host = item.funcargs.get("host") if hasattr(item, "funcargs") else None
    if report.failed and host is not None:
        units = " ".join(f"--unit={name}" for name in [*SERVICES, "exchange-simulator.service"])
        journal = host.run(f"journalctl --no-pager --lines=60 --output=short-iso {units}")
        report.sections.append(("journal of the host", journal.stdout))


@pytest.fixture(scope="module")
def agent(host):
    """The host, with its timers and jobs stopped: only the test starts jobs."""
    asked = Agent(host)
    asked.run(f"systemctl stop {' '.join(TIMERS)} {' '.join(SERVICES)}")
    asked.run("systemctl reset-failed")
    yield asked
    asked.run(f"systemctl start {' '.join(TIMERS)}")


@pytest.fixture(scope="module")
def candles(agent):
    """Good candles, whatever ran before."""
    with agent.simulator():
        assert agent.start("data-sync") == ("success", 0)
        assert agent.start("data-validation") == ("success", 0)

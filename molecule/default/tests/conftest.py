"""What every test on a host gets."""

import pytest
from agent_host import TIMERS, Agent

JOURNALED = ("data-sync", "data-validation", "backtest", "exchange-simulator")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Print the end of the journal with every failure."""
    report = (yield).get_result()
    host = item.funcargs.get("host") if hasattr(item, "funcargs") else None
    if report.failed and host is not None:
        units = " ".join(f"--unit={name}.service" for name in JOURNALED)
        journal = host.run(f"journalctl --no-pager --lines=60 --output=short-iso {units}")
        report.sections.append(("journal of the host", journal.stdout))


@pytest.fixture(scope="module")
def agent(host):
    """The host, with its timers stopped: only the test starts jobs."""
    asked = Agent(host)
    asked.run(f"systemctl stop {' '.join(TIMERS)}")
    asked.run("systemctl reset-failed")
    yield asked
    asked.run(f"systemctl start {' '.join(TIMERS)}")

"""The nightly backtest: its result, its hold, its retries, its limits."""

import json

import pytest
from agent_host import PYTHON, RESULTS, STATE, SYMBOLS

pytestmark = pytest.mark.usefixtures("candles")


@pytest.fixture(autouse=True)
def full_start_budget(agent):
    """Three starts for each test."""
    agent.host.run("systemctl reset-failed backtest.service")


def test_leaves_a_result(agent):
    result, status = agent.start("backtest")
    assert result == "success"
    assert status in (0, 10), "passed, or failed its gate"
    latest = json.loads(agent.run(f"cat {RESULTS}/latest.json"))
    assert sorted(latest["symbols"]) == sorted(SYMBOLS)
    assert agent.host.file(f"{RESULTS}/latest.html").size > 10_000
    assert agent.run(f"stat --format=%U {RESULTS}/latest.json") == "agent-backtest"


def test_ran_as_its_user_in_its_slice(agent):
    entry = json.loads(agent.run("journalctl --unit=backtest _COMM=agentctl --lines=1 --output=json"))
    assert (entry["_UID"], entry["_SYSTEMD_SLICE"]) == (
        agent.run("id -u agent-backtest"),
        "agent-backtest.slice",
    )


def test_status_and_timer_tell_the_verdict(agent):
    status = agent.show("backtest", "StatusText")
    assert " trades, return " in status
    assert f'Status: "{status}"' in agent.host.run("systemctl status --no-pager backtest.service").stdout
    assert f"backtest {status}" in agent.journal("backtest.timer")


def test_is_watched_and_has_no_network(agent):
    assert agent.show("backtest", "WatchdogUSec") == "2min"
    assert agent.show("backtest", "PrivateNetwork") == "yes"
    assert "BACKTEST_ISOLATED=1" in agent.show("backtest", "Environment")


def test_held_it_does_not_start_and_says_why(agent):
    since = agent.now()
    results = agent.run(f"ls {RESULTS}")
    agent.run("agentctl hold backtest --why 'exchange maintenance until noon'")
    try:
        agent.run("systemctl start backtest")
        assert agent.show("backtest", "ConditionResult") == "no"
        assert agent.show("backtest", "ActiveState") == "inactive"
        agent.until(
            lambda: (
                "exchange maintenance until noon; release it with: agentctl release backtest"
                in agent.journal("backtest", since)
            ),
            "the reason in the unit's journal",
        )
        assert agent.run(f"ls {RESULTS}") == results
    finally:
        agent.run("agentctl release backtest")
    assert agent.start("backtest")[0] == "success"


def crash(program):
    """Return a drop-in that runs another program, with short waits; the shipped ones are asserted too."""
    return (
        "[Service]\nExecStartPre=\nRestartSec=1s\nRestartMaxDelaySec=2s\n"
        f"WatchdogSec=2s\nTimeoutAbortSec=2s\nExecStart=\nExecStart={program}\n"
    )


def test_crashing_it_is_tried_three_times_and_then_stays_down(agent):
    since = agent.now()
    with agent.drop_in("backtest.service", crash('/bin/sh -c "echo attempt; kill -SEGV $$$$"')):
        agent.run("systemctl start --no-block backtest")
        agent.until(lambda: agent.show("backtest", "ActiveState") == "failed", "the start limit")
        assert agent.journal("backtest", since).splitlines().count("attempt") == 3
        agent.run("systemctl start backtest", fails=True)
        assert agent.journal("backtest", since).splitlines().count("attempt") == 3
        assert agent.journal("backtest.timer", since).count("[signal: killed SEGV]") == 3


def test_bad_settings_are_not_tried_again(agent):
    since = agent.now()
    with agent.drop_in("backtest.service", crash('/bin/sh -c "echo attempt; exit 78"')):
        assert agent.start("backtest") == ("exit-code", 78)
        assert agent.journal("backtest", since).splitlines().count("attempt") == 1
        assert agent.show("backtest", "NRestarts") == "0"


HANGING = """\
import faulthandler, time
from futures_agent.program.notify import notify
faulthandler.enable()
notify("READY=1")
def work():
    time.sleep(600)
work()
"""


def test_hanging_it_is_dumped_and_killed(agent):
    since = agent.now()
    program = f"{STATE}/jobs/backtest/hanging.py"
    agent.run(f"printf '%s' '{HANGING}' > {program}")
    try:
        with agent.drop_in("backtest.service", crash(f"{PYTHON} {program}") + "Restart=no\n"):
            assert agent.start("backtest")[0] == "watchdog"
            assert 'hanging.py", line 6 in work' in agent.journal("backtest", since)
    finally:
        agent.run(f"rm {program}")


def test_out_of_memory_kills_the_backtest_and_nobody_else(agent):
    hog = "held = [bytearray(1) * (1 << 24) for _ in range(60)]"
    agent.run("systemd-run --quiet --collect --unit=live-dummy --slice=agent-live.slice sleep 600")
    try:
        before = agent.show("live-dummy", "MainPID")
        agent.run(
            "systemd-run --quiet --wait --pipe --unit=hog --slice=agent-backtest.slice "
            f'--uid=agent-backtest {PYTHON} -c "{hog}"',
            fails=True,
        )
        assert agent.show("hog", "Result") in ("oom-kill", "signal")
        assert agent.show("live-dummy", "ActiveState") == "active"
        assert agent.show("live-dummy", "MainPID") == before
    finally:
        agent.run("systemctl stop live-dummy; systemctl reset-failed hog || :")

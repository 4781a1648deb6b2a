"""The programs that units call, with stand-ins for systemd's own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "systemd/scripts"


@pytest.fixture
def programs(tmp_path):
    """A directory of stand-ins, first on the path; each writes down how it was called."""
    directory = tmp_path / "bin"
    directory.mkdir()
    return directory


@pytest.fixture
def stand_in(programs):
    """Return `stand_in(name, body) -> calls`: a program of that name; `calls()` lists its arguments."""

    def make(name, body=""):
        log = programs / f"{name}.log"
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "$*" >> {log}\n{body}\n')
        program.chmod(0o755)
        return lambda: log.read_text().splitlines() if log.exists() else []

    return make


@pytest.fixture
def script(programs):
    """Return `script(name, *arguments, **environment)`: runs it to its end."""

    def run(name, *arguments, **environment):
        return subprocess.run(
            [SCRIPTS / name, *arguments],
            env={"PATH": f"{programs}:/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.mark.parametrize(
    ("arguments", "waits"),
    [(("4", "14"), [None, None, "4", "14", "14"]), (("45",), [None, None, "45", "45", "45"])],
)
def test_waits_before_restarts_grow(stand_in, script, arguments, waits):
    slept = stand_in("sleep")
    for restarts, wait in enumerate(waits):
        stand_in("systemctl", f"echo {restarts}")
        before = len(slept())
        assert script("restart-wait", "some.service", *arguments).returncode == 0
        assert slept()[before:] == ([] if wait is None else [wait]), restarts


@pytest.mark.parametrize(
    ("result", "asked"),
    [("success", ["reset-failed some.service"]), ("signal", []), ("watchdog", []), ("exit-code", [])],
)
def test_only_a_clean_end_gives_the_starts_back(stand_in, script, result, asked):
    called = stand_in("systemctl")
    assert script("start-budget", "some.service", SERVICE_RESULT=result).returncode == 0
    assert called() == asked


def live(state, running_s=0.0):
    entered = int((time.monotonic() - running_s) * 1e6)
    return f"printf 'ActiveState={state}\\nActiveEnterTimestampMonotonic={entered}\\n'"


@pytest.mark.parametrize(("state", "running_s"), [("active", 121), ("inactive", 0), ("failed", 0)])
def test_a_trader_that_has_run_for_long_or_does_not_run_is_not_waited_for(stand_in, script, state, running_s):
    called = stand_in("systemctl", live(state, running_s))
    ran = script("after-live", "120")
    assert (ran.returncode, ran.stdout, len(called())) == (0, "", 1)


def test_a_trader_that_has_just_started_is_waited_for(stand_in, script):
    started = time.monotonic()
    called = stand_in("systemctl", live("active", 118))
    ran = script("after-live", "120")
    assert ran.returncode == 0
    assert time.monotonic() - started >= 1.9
    assert ran.stdout == "waiting until live trading has run for 120 s\n"
    assert len(called()) >= 2, "it looks again: the trader may have been restarted meanwhile"


@pytest.mark.parametrize("state", ["activating", "deactivating"])
def test_a_trader_between_two_attempts_is_waited_for(stand_in, script, tmp_path, state):
    marker = tmp_path / "later"
    called = stand_in("systemctl", f"[ -e {marker} ] && exec {tmp_path}/up; touch {marker}; {live(state)}")
    (tmp_path / "up").write_text(f"#!/bin/sh\n{live('active', 200)}\n")
    (tmp_path / "up").chmod(0o755)
    assert script("after-live", "120").returncode == 0
    assert len(called()) == 2


@pytest.fixture
def state(tmp_path):
    directory = tmp_path / "state"
    for name in ("holds", "incidents"):
        (directory / name).mkdir(parents=True)
    return directory


ENDED = {"MONITOR_SERVICE_RESULT": "watchdog", "MONITOR_EXIT_CODE": "killed", "MONITOR_EXIT_STATUS": "ABRT"}


def incidents(state):
    return [json.loads(line) for line in (state / "incidents/live-down.jsonl").read_text().splitlines()]


@pytest.fixture
def tools(stand_in, state, tmp_path):
    """Stand-ins of what `live-down` calls, all of which work."""
    log = tmp_path / "journal"
    return {
        "systemctl": stand_in("systemctl", 'case "$*" in show*) echo "3 positions";; esac'),
        "agentctl": stand_in("agentctl", f"echo held > {state}/holds/backtest"),
        "logger": stand_in("logger", f"cat > {log}"),
        "journal": lambda: dict(line.split("=", 1) for line in log.read_text().splitlines()),
    }


def test_when_live_trading_is_down_the_backtest_is_held_then_stopped(script, state, tools):
    ran = script("live-down", str(state), **ENDED)
    assert (ran.returncode, ran.stderr) == (0, "")
    why = "live trading is down for good: watchdog killed ABRT (3 positions)"
    assert tools["agentctl"]() == [f"hold backtest --why {why}"]
    assert tools["systemctl"]()[-1] == "--no-ask-password stop backtest.service"
    [incident] = incidents(state)
    assert (incident["type"], incident["detected_by"]) == ("live-down", "live-down.service")
    assert abs(incident["detected_at"] / 1000 - time.time()) < 60
    assert incident["action"] == "the backtest is held; the backtest does not run"
    assert incident["id"].endswith("Z-live-down")
    told = tools["journal"]()
    assert (told["PRIORITY"], told["OBJECT_SYSTEMD_UNIT"]) == ("2", "live-trading.service")
    assert told["MESSAGE"].startswith(why)
    assert told["MESSAGE"].endswith("agentctl release backtest")


def test_a_hold_of_a_person_keeps_its_reason(script, state, tools):
    (state / "holds/backtest").write_text("a person's")
    assert script("live-down", str(state), **ENDED).returncode == 0
    assert (state / "holds/backtest").read_text() == "a person's"
    assert tools["agentctl"]() == []
    assert "held before" in incidents(state)[0]["action"]


def test_without_agentctl_the_hold_is_set_all_the_same(stand_in, script, state, tools):
    stand_in("agentctl", "exit 1")
    assert script("live-down", str(state), **ENDED).returncode == 0
    assert (state / "holds/backtest").exists()


def test_what_fails_is_said_and_stops_none_of_the_rest(stand_in, script, state, tools):
    stand_in("systemctl", 'case "$*" in *stop*) echo "Connection refused" >&2; exit 1;; esac')
    ran = script("live-down", str(state), **ENDED)
    assert ran.returncode == 1
    assert "Connection refused" in ran.stderr
    assert "FAILED: systemctl: exit 1: Connection refused" in incidents(state)[0]["action"]
    assert "FAILED" in tools["journal"]()["MESSAGE"]
    os.rename(state / "incidents", state / "elsewhere")
    stand_in("systemctl")
    assert script("live-down", str(state), **ENDED).returncode == 1
    assert len(tools["logger"]()) == 2, "the journal is told without an incident"


def test_a_torn_line_does_not_swallow_the_next(script, state, tools):
    path = state / "incidents/live-down.jsonl"
    path.write_text('{"id": "torn')
    assert script("live-down", str(state), **ENDED).returncode == 0
    assert script("live-down", str(state), **ENDED).returncode == 0
    torn, *whole = path.read_text().splitlines()
    assert torn == '{"id": "torn'
    assert [json.loads(line)["type"] for line in whole] == ["live-down", "live-down"]

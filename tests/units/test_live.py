"""Live trading's unit: what restarts it, what ends it for good, what only it may know."""

from __future__ import annotations

import re

import pytest

from futures_agent.errors import ExitCode
from futures_agent.settings.tree import LiveSettings
from units.unit_files import JOBS, SYSTEMD, keys, unit

LIVE = unit("live-trading.service")
CREDENTIALS = ("binance_api_key", "binance_api_secret")


def seconds(text):
    number, name = re.fullmatch(r"(\d+)(s|min|h)", text).groups()
    return int(number) * {"s": 1, "min": 60, "h": 3600}[name]


def test_it_is_one_watched_program_that_starts_with_the_host():
    assert LIVE["Type"] == ["notify"]
    assert LIVE["ExecStart"] == ["/usr/local/bin/agentctl live-trading"]
    assert LIVE["SyslogIdentifier"] == ["live-trading"]
    assert (LIVE["WatchdogSec"], LIVE["WatchdogSignal"]) == (["2min"], ["SIGABRT"])
    assert LIVE["WantedBy"] == ["multi-user.target"]
    assert "RuntimeMaxSec" not in LIVE


def test_the_third_crash_of_a_day_is_the_last():
    assert (LIVE["StartLimitIntervalSec"], LIVE["StartLimitBurst"]) == (["24h"], ["3"])
    assert LIVE["Restart"] == ["on-failure"]


def test_restarts_wait_1_5_and_15_seconds():
    first = seconds(LIVE["RestartSec"][0])
    [waits] = [line for line in LIVE["ExecStartPre"] if "restart-wait" in line]
    assert waits.startswith("-+/usr/local/lib/crypto-futures-agent/restart-wait live-trading.service ")
    assert [first, *(first + int(extra) for extra in waits.split()[2:])] == [1, 5, 15]


def test_only_crashes_count():
    assert LIVE["ExecStopPost"] == ["-+/usr/local/lib/crypto-futures-agent/start-budget live-trading.service"]


def test_no_retry_where_none_would_help():
    never = {int(code) for code in LIVE["RestartPreventExitStatus"][0].split()}
    assert never == {ExitCode.USAGE, ExitCode.HELD, ExitCode.CONFIG}
    assert "SuccessExitStatus" not in LIVE, "it is told to stop and ends with 0, or it failed"


def test_when_it_is_down_for_good_something_happens_once():
    assert LIVE["OnFailure"] == ["live-down.service"]
    newer = keys(SYSTEMD / "live-trading.service.d/20-restart-since-254.conf")
    assert newer["RestartMode"] == ["direct"]
    assert unit("live-down.service")["StartLimitIntervalSec"] == ["0"]


def test_a_damaged_database_does_not_keep_it_from_starting():
    database = [line for line in LIVE["ExecStartPre"] if "db check" in line]
    assert database == ["-/usr/bin/timeout --kill-after=5s 20s /usr/local/bin/agentctl db check"]
    for key in ("ExecStartPre", "ExecStopPost"):
        assert all(line.startswith("-") for line in LIVE[key]), "what helps it must not stop it"


def test_it_stops_within_its_limit():
    assert seconds(LIVE["TimeoutStopSec"][0]) == 30
    assert LiveSettings().stop_limit_s < 30, "what is under way has to be given up before systemd kills"


def test_its_keys_reach_nobody_else():
    folder = "/etc/crypto-futures-agent/credentials"
    assert LIVE["LoadCredential"] == [f"{name}:{folder}/{name}" for name in CREDENTIALS]
    assert LIVE["SetCredential"] == [rf"{name}:\n" for name in CREDENTIALS], "paper trading has none"
    for path in SYSTEMD.glob("*.service"):
        if path.name != "live-trading.service":
            assert "binance" not in path.read_text(encoding="utf-8"), path.name
            assert keys(path).get("User") != LIVE["User"], path.name


def test_it_runs_no_code_that_it_writes_and_talks_to_the_network():
    assert LIVE["MemoryDenyWriteExecute"] == ["yes"]
    assert LIVE["RestrictAddressFamilies"] == ["AF_INET AF_INET6 AF_UNIX"]
    assert "PrivateNetwork" not in LIVE


def test_it_is_the_last_to_go_when_memory_runs_out():
    others = [int(unit(f"{job}.service")["OOMScoreAdjust"][0]) for job in JOBS]
    assert int(LIVE["OOMScoreAdjust"][0]) < 0 < min(others)


def test_the_backtest_comes_two_minutes_after_it():
    backtest = unit("backtest.service")
    assert "live-trading.service" in backtest["After"]
    assert backtest["ExecStartPre"][0] == "+/usr/local/lib/crypto-futures-agent/after-live 120"


@pytest.mark.parametrize("key", ["Requires", "BindsTo", "PartOf", "Requisite", "Conflicts"])
def test_no_unit_stops_with_another(key):
    files = [path for pattern in ("*.service", "*.timer") for path in SYSTEMD.glob(pattern)]
    assert [path.name for path in files if key in keys(path)] == []

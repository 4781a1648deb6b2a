"""agentctl as a person types it: exit codes, one line for each mistake, no traceback."""

import contextlib
import json
import os
import subprocess
import sys

import apsw
import pytest

from futures_agent.errors import ExitCode
from futures_agent.store.migrate import MIGRATIONS, apply_pending


@pytest.fixture
def agentctl(tmp_path):
    def run(*arguments, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "futures_agent.cli", *arguments],
            env={
                **os.environ,
                "AGENT_CONFIG": os.devnull,
                "AGENT_PATHS__STATE_DIR": str(tmp_path),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    return run


def test_help_names_every_command(agentctl):
    text = agentctl("--help").stdout
    for command in (
        "data-sync",
        "data-validation",
        "backtest",
        "compare",
        "status",
        "settings",
        "hold",
        "release",
        "db",
    ):
        assert command in text


def test_no_command_is_a_usage_error(agentctl):
    assert agentctl("no-such-command").returncode == ExitCode.USAGE


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--config", "/no/such/agent.toml", "settings"], "/no/such/agent.toml: settings file not found"),
        (["--set", "backtest.dayz=3", "settings"], "no setting 'backtest.dayz'"),
        (["--set", "days", "settings"], "write section.key=value"),
        (["data-sync", "--timeframes", "H2"], "H2; possible: D1, H4, H1, M15"),
        (["data-sync", "--symbols", ","], "no symbol given"),
        (["hold", "sshd", "--why", "x"], "cannot be held"),
        (["simulator", "--data", "/no/such/folder"], "/no/such/folder"),
        (["simulator", "--start", "yesterday"], "not a date"),
        (["simulator", "--scale", "-1"], "simulator: "),
        (["--set", "data.timeframes=D1", "backtest"], "add H1 to data.timeframes"),
        (["backtest"], "no database yet; run `agentctl data-sync` first"),
        (["backtest", "--from", "yesterday"], "not a date; write 2026-11-20"),
        (
            ["backtest", "--from", "2025-02-01", "--to", "2025-01-01"],
            "--from 2025-02-01T00:00:00Z is not before",
        ),
        (["backtest", "--to", "2100-01-01"], "lies ahead, at the exchange it is 20"),
        (["backtest", "--set", "fast"], "write a parameter of the strategy, fast=10, or section.key=value"),
        (["backtest", "--set", "fast=ten"], "--set fast: expected a number, true or false, found 'ten'"),
        (["backtest", "--set", "risk.positions=3"], "--set risk.positions: no setting 'risk.positions'"),
        (["backtest", "--strategy", "nothing"], "no strategy 'nothing'; installed: "),
        (["backtest", "--strategy", "no_such.module:ONE"], "No module named 'no_such'; install it, or put"),
        (
            ["backtest", "--strategy", "ema_cross", "--set", "fats=3"],
            "strategy ema_cross has no such parameter",
        ),
        (["compare"], "no run before the latest"),
        (["compare", "a", "b"], "no result 'a'; newest in"),
        (["compare", "", "b"], "no result ''; newest in"),
        (["compare", "a" * 5000, "b"], "aaa'; newest in"),
    ],
)
def test_bad_input_is_one_line_and_exit_78(agentctl, arguments, line):
    done = agentctl(*arguments)
    assert done.returncode == ExitCode.CONFIG, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert line in done.stderr


def test_settings_show_value_and_origin(agentctl):
    shown = json.loads(agentctl("--set", "backtest.days=90", "settings", "--json", LOG_LEVEL="DEBUG").stdout)
    assert shown["backtest.days"] == {"value": 90, "origin": "--set backtest.days"}
    assert shown["log.level"] == {"value": "DEBUG", "origin": "variable LOG_LEVEL"}
    assert shown["exchange.concurrency"]["origin"] == "default"
    table = agentctl("settings").stdout
    assert "60: BTCUSDT" in table


def test_hold_and_release(agentctl, tmp_path):
    assert "held since" in agentctl("hold", "backtest", "--why", "new fees").stdout
    assert agentctl("backtest").returncode == ExitCode.HELD
    assert "new fees" in agentctl("status").stdout
    assert agentctl("release", "backtest").stdout == "backtest released\n"
    assert agentctl("release", "backtest").stdout == "backtest was not held\n"


def test_the_database_is_created_checked_and_its_damage_told(agentctl, tmp_path):
    assert "no database yet" in agentctl("db", "check").stdout
    assert "schema" in agentctl("db", "migrate").stdout
    assert "quick_check ok" in agentctl("db", "check").stdout
    assert "integrity_check ok" in agentctl("db", "check", "--full").stdout
    database = tmp_path / "db" / "crypto_agent.db"
    database.write_bytes(b"\0" * 100 + database.read_bytes()[100:])
    done = agentctl("db", "check")
    assert done.returncode == ExitCode.CORRUPT
    assert str(database) in done.stderr


def test_a_database_whose_creation_was_interrupted_does_not_keep_the_sync_out(agentctl, tmp_path):
    database = tmp_path / "db" / "crypto_agent.db"
    database.parent.mkdir()
    database.touch()
    assert "no database yet" in agentctl("db", "check").stdout
    with contextlib.closing(apsw.Connection(str(database))) as db:
        apply_pending(db, MIGRATIONS[:1])
    assert "quick_check ok" in agentctl("db", "check").stdout
    assert "run `agentctl db migrate`" in agentctl("status").stdout.replace("│", "")
    assert agentctl("db", "migrate").returncode == ExitCode.OK


def test_status_works_on_an_empty_host(agentctl):
    assert "candles" in agentctl("status").stdout
    assert json.loads(agentctl("status", "--json").stdout)["backtest"] is None


def test_version(agentctl):
    assert agentctl("version").stdout.startswith("crypto-futures-agent 0.")

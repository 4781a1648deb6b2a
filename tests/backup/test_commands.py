"""The commands people type around backups: one line each, the right exit code, nothing heavy loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from futures_agent.errors import ExitCode
from futures_agent.settings import Settings

Agentctl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def agentctl(settings: Settings) -> Agentctl:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "AGENT_PATHS__STATE_DIR": str(settings.paths.state),
            "AGENT_BACKUP__RESERVE_MB": "0",
            "AGENT_BACKUP__DAILY_HOUR_UTC": "0",  # whatever the time, the first copy is the day's
        }
        return subprocess.run(
            [sys.executable, "-m", "futures_agent.cli", *arguments],
            env={**os.environ, "AGENT_CONFIG": os.devnull, "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_back_up_list_prove_and_restore(agentctl: Agentctl, tmp_path: Path) -> None:
    assert "no backup yet; run `agentctl backup`" in agentctl("backups").stdout
    assert agentctl("backup").returncode == ExitCode.OK
    assert agentctl("restore-test").returncode == ExitCode.OK
    rows = msgspec.json.decode(agentctl("backups", "--json").stdout)
    hourly, daily = (row["name"] for row in rows)
    assert hourly.startswith("hot/db_backup_20")
    assert all(row["verified"] and row["proof"]["passed"] for row in rows)
    table = agentctl("backups").stdout
    assert hourly in table
    assert daily in table
    assert "verified" in table
    look = tmp_path / "look"
    assert "the database was not touched" in agentctl("restore", "--from", hourly, "--to", str(look)).stdout
    assert (look / "crypto_agent.db").exists()
    done = agentctl("restore", "--from", hourly)
    assert done.returncode == ExitCode.OK
    assert "`agentctl data-sync` fetches what is newer" in done.stdout
    assert agentctl("compact").returncode == ExitCode.OK


def test_a_wrong_name_is_one_line(agentctl: Agentctl) -> None:
    done = agentctl("restore", "--from", "hot/none")
    assert done.returncode == ExitCode.CONFIG
    assert done.stderr.splitlines() == [
        "agentctl: hot/none: no such backup; `agentctl backups` lists those there are"
    ]


@pytest.mark.parametrize("module", ["jobs.backup", "jobs.restore_test", "jobs.compact", "backup.restore"])
def test_nothing_heavy_is_loaded(module: str) -> None:
    program = (
        f"import sys, futures_agent.{module}; "
        "print([name for name in ('numpy', 'pandas', 'numba', 'requests') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"

"""`agentctl import` and `agentctl export` as a person types them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from futures_agent.errors import ExitCode
from futures_agent.program.records import RunLog
from imported_candles import lines
from sample_candles import random_walk


@pytest.fixture
def agentctl(tmp_path, settings):
    def run(*arguments):
        environment = {"AGENT_CONFIG": os.devnull, "AGENT_PATHS__STATE_DIR": settings.paths.state_dir}
        done = subprocess.run(
            [sys.executable, "-m", "futures_agent.cli", *map(str, arguments)],
            env={**os.environ, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    return run


def test_in_and_out_again(agentctl, csv, tmp_path, settings):
    csv(*lines("BTCUSDT", random_walk(40)), *lines("ETHUSDT", random_walk(20)))
    shown = agentctl("import", "--dry-run", "klines_1h.csv")
    assert shown.returncode == ExitCode.OK, shown.stderr
    assert "60 new candles" in shown.stdout
    assert not settings.paths.state.exists()
    assert agentctl("import", "klines_1h.csv", "--symbol", "BTCUSDT", "--timeframe", "H1").returncode == 0
    assert RunLog(settings.paths.job("import")).recent()[-1].counts["new"] == 40
    written = agentctl(
        "export", "--symbols", "BTCUSDT", "--timeframes", "H1", "--from", "2025-01-01", "--to", "2025-01-02",
        "--format", "csv", "--output", "out.csv",
    )  # fmt: skip
    assert written.stdout == "out.csv: 24 candles\n"
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 25


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["import", "nothing.csv"], "nothing.csv: no such file or folder"),
        (["import", ".", "--timeframe", "H1,H4"], "--timeframe: name one"),
        (["import", ".", "--timeframe", "H2"], "H2; possible: D1, H4, H1, M15"),
        (["export", "--output", "out"], "no database yet"),
        (["export", "--output", "out", "--from", "soon"], "not a date"),
    ],
)
def test_bad_input_is_one_line_and_exit_78(agentctl, arguments, line):
    done = agentctl(*arguments)
    assert done.returncode == ExitCode.CONFIG, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert line in done.stderr


def test_an_unknown_format_is_a_usage_error(agentctl):
    assert agentctl("export", "--output", "out", "--format", "xlsx").returncode == ExitCode.USAGE

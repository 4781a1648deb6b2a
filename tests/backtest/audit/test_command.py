"""`agentctl backtest --audit` on a real database file: what it prints, how it ends, what it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from futures_agent.backtest.audit.command import run_audit
from futures_agent.backtest.request import Request
from futures_agent.clock import DAY_MS
from futures_agent.errors import Blocked, ExitCode
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import Effective
from futures_agent.settings.tree import Settings
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_writer
from futures_agent.store.instruments import upsert_instruments
from sample_markets import START_MS, instrument, random_candles

SYMBOLS = ("AUSDT", "BUSDT")
DAYS = 15
PERIOD = Request(start_ms=START_MS, end_ms=START_MS + DAYS * DAY_MS)


@pytest.fixture
def settings(tmp_path: Path, compile_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings of a host with two symbols' H1 candles of last winter."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(compile_cache))
    plain = Settings()
    chosen = msgspec.structs.replace(
        plain,
        paths=msgspec.structs.replace(plain.paths, state_dir=str(tmp_path)),
        data=msgspec.structs.replace(plain.data, symbols=SYMBOLS, timeframes=("H1",)),
        strategy=msgspec.structs.replace(plain.strategy, name="ema_cross", params={"fast": 5, "slow": 12}),
    )
    chosen.paths.database.parent.mkdir(parents=True)
    db = open_writer(chosen.paths.database)
    for seed, symbol in enumerate(SYMBOLS):
        candles = random_candles(seed, 24 * DAYS)
        full = np.zeros(len(candles), FULL_CANDLE)
        for name in candles.dtype.names:
            full[name] = candles[name]
        upsert_candles(db, Timeframe.H1, symbol, full)
    upsert_instruments(db, [instrument(symbol) for symbol in SYMBOLS], START_MS)
    db.close()
    return chosen


def test_an_audit_prints_what_it_compared_and_writes_nothing(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_audit(Effective(settings, {}), PERIOD, seed=5) is ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "audit of ema_cross: 2 of 2 symbols, 720 bars, 8 numbers of state, seed 5"
    assert [line.split()[:2] for line in lines[1:-1]] == [
        [name, "same"]
        for name in ("prefix", "again", "order", "compiled", "account", "calendar", "foresight")
    ]
    assert lines[-1] == "audit CLEAN: every bar, feature, decision and trade was the same without the future"
    assert not settings.paths.results.exists()
    assert not settings.paths.job("backtest").exists()


def test_findings_as_json(settings: Settings, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    run_audit(Effective(settings, {}), PERIOD, seed=5, as_json=True)
    told = json.loads(capsysbinary.readouterr().out)
    assert (told["verdict"], told["exit_code"], told["symbols"]) == ("CLEAN", 0, list(SYMBOLS))
    prefix = told["checks"][0]
    assert (prefix["name"], prefix["planned"], prefix["findings"]) == ("prefix", 100, [])
    assert 50 < prefix["engaged"] <= 100


def test_no_audit_while_recovery_holds_the_database(settings: Settings) -> None:
    settings.paths.locked_flag.touch()
    with pytest.raises(Blocked, match="recovery holds the database"):
        run_audit(Effective(settings, {}), PERIOD)


@pytest.mark.parametrize("option", [["--json"], ["--seed", "3"], ["--accept-outside-data"]])
def test_options_of_an_audit_need_one(option: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "futures_agent.cli", "backtest", *option],
        env={**os.environ, "AGENT_CONFIG": os.devnull, "AGENT_PATHS__STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        ExitCode.CONFIG,
        "agentctl: --seed, --accept-outside-data, --json: only with --audit; add it, or leave them out\n",
    )


def test_a_peek_ends_with_its_own_exit_code_on_the_command_line(settings: Settings) -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [
            *(sys.executable, "-m", "futures_agent.cli", "backtest", "--audit"),
            *("--strategy", "peeking:REPAINTING", "--symbols", "BUSDT", "--seed", "3"),
            *("--from", "2026-01-05", "--to", "2026-01-15", "--set", "data.timeframes=H1"),
        ],
        env={
            **os.environ,
            "AGENT_CONFIG": os.devnull,
            "AGENT_PATHS__STATE_DIR": settings.paths.state_dir,
            "PYTHONPATH": os.pathsep.join(map(str, (here, here.parents[1]))),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ExitCode.AUDIT_FAILED, done.stderr
    assert "BUSDT H1, bar of 2026-01-" in done.stdout
    assert "decision entry: 1, but 0 with what was known at 2026-01-" in done.stdout.replace("-1,", "1,")
    assert "audit FAILED" in done.stdout.splitlines()[-1]

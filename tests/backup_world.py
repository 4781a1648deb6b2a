"""A small host for tests of backup, restore and compaction, and the program that is killed in them.

`python backup_world.py backup|restore|compact|restore-test STATE [FROM]` runs one of them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from futures_agent.clock import DAY_MS
from futures_agent.errors import AgentError, ExitCode
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import Settings, load
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_writer
from sample_candles import START_MS, random_walk

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
DAYS = 120
NOW_MS = START_MS + DAYS * DAY_MS  # when the newest candle has just closed


def settings_of(state: Path, **changes: object) -> Settings:
    """Return settings for the state directory; `section__key=value` changes one."""
    overrides = {
        "paths.state_dir": str(state),
        "backup.reserve_mb": "0",
        "backup.min_h4_candles": "1000",
        "backup.retry_wait_s": "0",
        **{key.replace("__", "."): str(value) for key, value in changes.items()},
    }
    return load(Path(os.devnull), {}, overrides).settings


def build_state(state: Path) -> None:
    """Make a state directory: candles of four months, a trade, an incident, records of jobs."""
    database = settings_of(state).paths.database
    database.parent.mkdir(parents=True)
    with contextlib.closing(open_writer(database)) as db:
        for seed, symbol in enumerate(SYMBOLS):
            for timeframe in (Timeframe.D1, Timeframe.H4, Timeframe.H1):
                count = DAYS * DAY_MS // timeframe.ms
                upsert_candles(db, timeframe, symbol, random_walk(count, timeframe, seed=seed))
        db.execute(
            "INSERT INTO trades (trade_id, symbol, timestamp, mode, strategy, side, quantity, entry_price)"
            " VALUES ('t1', 'BTCUSDT', 1, 'paper', 's', 'LONG', 1.5, 100.25)"
        )
        db.execute(
            "INSERT INTO incidents (incident_id, type, detected_by, detected_at) VALUES ('i1', 'x', 'y', 5)"
        )
    records = state / "jobs" / "data-sync" / "runs.jsonl"
    records.parent.mkdir(parents=True)
    records.write_text('{"run":"1"}\n{"run":"2"}\n')
    (state / "incidents").mkdir()
    (state / "incidents" / "incidents.jsonl").write_text('{"incident":1}\n')


def run_killed(procedure: str, state: Path, number: int, *arguments: str) -> int:
    """Run a procedure in a child that dies at its step `number`; return the status (-9 if it did die)."""
    return subprocess.run(
        [sys.executable, __file__, procedure, str(state), *arguments],
        env={**os.environ, "FAULT_DIE_AT_STEP": f"{procedure}:{number}"},
        capture_output=True,
        timeout=60,
        check=False,
    ).returncode


def main(procedure: str, state: Path, *arguments: str) -> int:
    """Run one procedure as its job or command does."""
    from futures_agent.backup.restore import restore_database
    from futures_agent.jobs import backup, compact, restore_test

    settings = settings_of(state, compact__free_list_min="0.01")
    if procedure == "restore":
        try:
            restore_database(settings, *arguments)
        except AgentError as error:
            print(error, file=sys.stderr)
            return int(error.exit_code)
        return int(ExitCode.OK)
    return int({"backup": backup, "compact": compact, "restore-test": restore_test}[procedure].run(settings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))

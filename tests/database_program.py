"""A second process on the same database: tests start it, tell it when to go on, and kill it.

`python database_program.py COMMAND DATABASE …`; each command prints a line when it has got somewhere.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from futures_agent.errors import AgentError
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import DatabaseSettings
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_reader, open_writer
from futures_agent.store.integrity import quick_check
from futures_agent.store.migrate import schema_version
from sample_candles import START_MS, random_walk

NOBODY = 65534
BATCH = 50
CREATE_SLOT_S = 0.02


class Program:
    """The other process, seen from the test."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, __file__, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self) -> str:
        """Wait for the next line it prints."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        assert text, f"the other process ended with status {self.process.wait(30)}"
        return text.strip()

    def go(self, text: str = "") -> None:
        """Let it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def kill(self) -> int:
        """Kill it as a power cut would, and return its status."""
        self.process.kill()
        return self.process.wait(30)


@contextlib.contextmanager
def running(*arguments: object) -> Iterator[Program]:
    """Start one and make sure that it is gone at the end."""
    program = Program(*arguments)
    try:
        yield program
    finally:
        program.kill()
        with contextlib.suppress(BrokenPipeError):
            program.process.communicate()


def hold(database: Path, symbol: str, count: str) -> None:
    """Write more candles than the cache holds in a transaction that stays open until told to commit."""
    with contextlib.closing(open_writer(database, DatabaseSettings(cache_mb=1))) as db, db:
        upsert_candles(db, Timeframe.H1, symbol, random_walk(int(count)))
        print("holding", flush=True)
        sys.stdin.readline()
    print("committed", flush=True)
    sys.stdin.readline()


def counts(db: apsw.Connection) -> dict[str, int]:
    """Return the number of stored H1 candles by symbol."""
    return dict(db.execute("SELECT symbol, count(*) FROM ohlcv_h1 GROUP BY symbol"))


def write(database: Path, symbol: str) -> None:
    """Write batches until killed; print how many candles are committed and when (ns, the machine's clock)."""
    with contextlib.closing(open_writer(database)) as db:
        stored = counts(db).get(symbol, 0)
        for first in itertools.count(stored, BATCH):
            batch = random_walk(BATCH, start_ms=START_MS + first * Timeframe.H1.ms)
            upsert_candles(db, Timeframe.H1, symbol, batch)
            print(first + BATCH, time.monotonic_ns(), flush=True)


def create(directory: Path, count: str) -> None:
    """At a told moment (s, the machine's clock) and each slot after it, open the next new database."""
    print("ready", flush=True)
    start = float(sys.stdin.readline())
    for index in range(int(count)):
        while time.monotonic() < start + index * CREATE_SLOT_S:
            pass  # sleeping would be too coarse for all to arrive together
        with contextlib.closing(open_writer(directory / f"{index}.db")) as db:
            assert schema_version(db) > 0
    print("created", flush=True)


def unprivileged(database: Path) -> None:
    """Without any right to write: say how writing fails, then read and check."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    for path in (database, database.with_name(database.name + "-wal"), database.with_name("new")):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT))
            print(f"fault not engaged: may write {path}", flush=True)
        except PermissionError:
            continue
    try:
        with contextlib.closing(open_writer(database)):
            print("opened for writing", flush=True)
    except AgentError as error:
        print(type(error).__name__, error, flush=True)
    try:
        with contextlib.closing(open_reader(database)) as db:
            found = counts(db)
        quick_check(database)
        print(found, flush=True)
    except AgentError as error:
        print(type(error).__name__, error, flush=True)


if __name__ == "__main__":
    command, database, *rest = sys.argv[1:]
    commands = {
        "hold": hold,
        "write": write,
        "create": create,
        "unprivileged": unprivileged,
    }
    commands[command](Path(database), *rest)

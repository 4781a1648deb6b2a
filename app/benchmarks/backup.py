"""A hot backup of 300 MB while a program writes: seconds, what they go to, and how long a commit waits.

Run from `app/`: `python -m benchmarks.backup`. The bar: under 5 s, with the writer not blocked.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import store_read
from futures_agent.backup.take import take_backup
from futures_agent.clock import SystemClock
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import Settings, load
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_writer

SERIES = {Timeframe.D1: 365, Timeframe.H4: 2_190, Timeframe.H1: 8_760, Timeframe.M15: 35_040}
MAX_BACKUP_S = 5.0
WRITE_EVERY_S = 0.02
CANDLES_PER_COMMIT = 60
BASELINE_S = 3.0


def settings_of(state: Path) -> Settings:
    """Return the settings of a scratch state directory."""
    return load(Path(os.devnull), {}, {"paths.state_dir": str(state)}).settings


def write(state: Path) -> None:
    """Commit a batch of new candles again and again, until the input ends; print when each began and took."""
    batch = store_read.random_walk(
        store_read.np.random.default_rng(1), Timeframe.M15, CANDLES_PER_COMMIT * 4_000
    )
    with contextlib.closing(open_writer(settings_of(state).paths.database)) as db:
        for first in range(0, len(batch), CANDLES_PER_COMMIT):
            started = time.monotonic()
            upsert_candles(db, Timeframe.M15, "NEWUSDT", batch[first : first + CANDLES_PER_COMMIT])
            print(started, time.monotonic() - started, flush=True)
            time.sleep(WRITE_EVERY_S)


def back_up(state: Path) -> None:
    """Take one backup and print what its stages took, when it ran, and the peak memory."""
    started = time.monotonic()
    stages: list[tuple[str, float]] = []
    cpu = time.process_time()
    taken = take_backup(
        settings_of(state),
        SystemClock().now_ms(),
        progress=lambda doing: stages.append((doing, time.monotonic())),
    )
    ended = time.monotonic()
    for (doing, at), (_, until) in zip(stages, [*stages[1:], ("", ended)], strict=True):
        print(f"  {doing:40s} {until - at:6.2f} s", file=sys.stderr)
    print(
        f"  {taken.manifest.contents.rows:,} rows, {taken.manifest.database_bytes / 1e6:.0f} MB in "
        f"{taken.size / 1e6:.0f} MB; {time.process_time() - cpu:.2f} s of CPU, "
        f"peak RSS {store_read._peak_rss_mb():.0f} MB",
        file=sys.stderr,
    )
    print(started, ended, flush=True)


def main() -> None:
    """Build the database, start the writer, take a backup in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="STATE", help="only write to this state directory")
    parser.add_argument("--backup", type=Path, metavar="STATE", help="only take a backup of it")
    arguments = parser.parse_args()
    if arguments.write is not None:
        write(arguments.write)
    elif arguments.backup is not None:
        back_up(arguments.backup)
    else:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
            measure(Path(directory))


def measure(state: Path) -> None:
    """Print the time of the backup, and of the writer's commits before and during it."""
    database = settings_of(state).paths.database
    database.parent.mkdir(parents=True)
    store_read.SERIES = SERIES
    store_read.build(database)
    own = [sys.executable, "-m", "benchmarks.backup"]
    writer = subprocess.Popen([*own, "--write", str(state)], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(BASELINE_S)
        told = subprocess.run([*own, "--backup", str(state)], stdout=subprocess.PIPE, text=True, check=True)
    finally:
        writer.terminate()
    lines, _ = writer.communicate()
    started, ended = map(float, told.stdout.split())
    commits = [tuple(map(float, line.split())) for line in lines.splitlines()]
    for name, chosen in (
        ("before", [took for at, took in commits if at + took < started]),
        ("during", [took for at, took in commits if at + took > started and at < ended]),
    ):
        print(
            f"commits {name:8s}{len(chosen):8d}      median {statistics.median(chosen) * 1e3:.1f} ms, "
            f"longest {max(chosen) * 1e3:.1f} ms"
        )
    print(f"backup          {ended - started:8.2f} s    (bar: {MAX_BACKUP_S:g} s)")


if __name__ == "__main__":
    main()

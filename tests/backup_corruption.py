"""Seeded damage to a database, to its copy and to the archive: none may be kept as a good backup.

`python tests/backup_corruption.py [--runs 100] [--mb 300] [--seed 1]` does it at full size, in minutes, and
prints each seed. A backup that was kept must hold exactly what the undamaged database held: damage may
hit bytes that nobody uses.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from backup_world import build_state, settings_of
from futures_agent.backup import snapshot, take
from futures_agent.backup.archive import unpack
from futures_agent.backup.contents import Contents
from futures_agent.backup.hot import HotTier
from futures_agent.backup.snapshot import examine
from futures_agent.backup.take import take_backup
from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.errors import AgentError
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_writer
from sample_candles import START_MS, random_walk

PAGE = 4096
PLACES = ("database", "database", "database", "copy", "archive")  # the database more often
NOW_MS = START_MS + 300 * DAY_MS  # all candles are settled by then
BYTES_PER_CANDLE = 105


class Verdict(NamedTuple):
    """How one run ended."""

    seed: int
    place: str
    kind: str
    engaged: bool
    outcome: str  # `refused: …`, `harmless`, or what must not be


class World(NamedTuple):
    """An undamaged host with one good backup."""

    state: Path
    contents: Contents


def build_world(directory: Path, mb: float) -> World:
    """Make a host whose database has about `mb` megabytes."""
    state = directory / "pristine"
    build_state(state)
    settings = settings_of(state, backup__zstd_level=1)
    symbols = int((mb * 1e6 / BYTES_PER_CANDLE) // 8760)
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        for seed in range(symbols):
            candles = random_walk(8760, Timeframe.M15, seed=seed)
            upsert_candles(db, Timeframe.M15, f"S{seed:03}USDT", candles)
        db.wal_checkpoint(mode=3)
    taken = take_backup(settings, NOW_MS)
    return World(state, taken.manifest.contents)


def damage(path: Path, rng: random.Random) -> tuple[str, bool]:
    """Damage the file; return how, and whether its bytes did change."""
    size = path.stat().st_size
    kind = rng.choice(("bit", "bytes", "zeroed page", "swapped pages", "truncated"))
    if kind == "truncated":
        os.truncate(path, rng.randrange(size // 2, size))
        return kind, True
    with path.open("r+b") as file:

        def read(at: int, count: int) -> bytes:
            file.seek(at)
            return file.read(count)

        def write(at: int, new: bytes) -> bool:
            old = read(at, len(new))
            file.seek(at)
            file.write(new)
            return new != old

        at = rng.randrange(size)
        if kind == "bit":
            return kind, write(at, bytes([read(at, 1)[0] ^ (1 << rng.randrange(8))]))
        if kind == "bytes":
            return kind, write(at, rng.randbytes(min(rng.randrange(2, 64), size - at)))
        page = at - at % PAGE
        if kind == "zeroed page":
            return kind, write(page, bytes(min(PAGE, size - page)))
        other = rng.randrange(size // PAGE) * PAGE
        first, second = read(page, PAGE), read(other, PAGE)
        write(other, first[: len(second)])
        return kind, write(page, second[: len(first)])


@contextlib.contextmanager
def damaged_at(
    place: str, database: Path, rng: random.Random, done: list[tuple[str, bool]]
) -> Iterator[None]:
    """Damage the database now, or what the backup makes of it as soon as that is written."""
    real_copy, real_write = snapshot._copy, take.write_archive

    def copy(db, target):  # type: ignore[no-untyped-def]
        real_copy(db, target)
        done.append(damage(target, rng))

    def write(copy, manifest, archive, *, level):  # type: ignore[no-untyped-def]
        real_write(copy, manifest, archive, level=level)
        done.append(damage(archive, rng))

    if place == "database":
        done.append(damage(database, rng))
    elif place == "copy":
        snapshot._copy = copy
    else:
        take.write_archive = write
    try:
        yield
    finally:
        snapshot._copy, take.write_archive = real_copy, real_write


def one_run(world: World, directory: Path, seed: int) -> Verdict:
    """Damage a copy of the world, take a backup, and judge what was kept."""
    state = directory / "run"
    shutil.copytree(world.state, state)
    try:
        settings = settings_of(state, backup__zstd_level=1)
        rng = random.Random(seed)
        place = rng.choice(PLACES)
        done: list[tuple[str, bool]] = []
        with damaged_at(place, settings.paths.database, rng, done):
            outcome = _outcome(world, settings, directory)
        kind, engaged = done[0] if done else ("none", False)
        before = HotTier(settings.paths.hot_backups).entries()[-1]
        if unpack(before.path, None).contents != world.contents:
            outcome = "THE BACKUP BEFORE IS GONE"
        return Verdict(seed, place, kind, engaged, outcome)
    finally:
        shutil.rmtree(state)


def _outcome(world: World, settings: object, directory: Path) -> str:
    from futures_agent.settings import Settings

    assert isinstance(settings, Settings)
    try:
        taken = take_backup(settings, NOW_MS + HOUR_MS)
    except AgentError as error:
        return f"refused: {type(error).__name__}"
    except Exception as error:  # what nobody expected must be found too
        return f"UNEXPECTED {type(error).__name__}: {error}"
    restored = directory / "restored.db"
    try:
        unpack(settings.paths.state / "backups" / taken.name, restored)
        return "harmless" if examine(restored) == world.contents else "KEPT ALTHOUGH DAMAGED"
    except AgentError as error:
        return f"KEPT ALTHOUGH DAMAGED: {error}"
    finally:
        restored.unlink(missing_ok=True)


def failed(verdict: Verdict) -> bool:
    """Whether the run shows a backup kept that is not one, or a fault nobody expected."""
    return not verdict.outcome.startswith(("refused", "harmless"))


def summary(verdicts: list[Verdict]) -> str:
    """Return the counts in one line."""
    counts = Counter(f"{verdict.place}: {verdict.outcome}" for verdict in verdicts if verdict.engaged)
    engaged = sum(verdict.engaged for verdict in verdicts)
    return f"engaged/planned {engaged}/{len(verdicts)}; " + ", ".join(
        f"{name} {count}" for name, count in sorted(counts.items())
    )


def main() -> int:
    """Run at full size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--mb", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    verdicts = []
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        world = build_world(Path(name), arguments.mb)
        print(
            f"database of {(settings_of(world.state).paths.database.stat().st_size) / 1e6:.0f} MB", flush=True
        )
        for seed in range(arguments.seed, arguments.seed + arguments.runs):
            started = time.monotonic()
            verdicts.append(one_run(world, Path(name), seed))
            print(*verdicts[-1], f"{time.monotonic() - started:.1f} s", flush=True)
    print(summary(verdicts))
    engaged = [verdict for verdict in verdicts if verdict.engaged]
    return 1 if not engaged or any(map(failed, engaged)) else 0


if __name__ == "__main__":
    sys.exit(main())

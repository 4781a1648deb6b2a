"""Runs of data-sync that are disturbed at random, each followed by an undisturbed one.

`python campaign.py --runs 200 [--seed S]` (`make crash`). Every run draws faults from its seed: refusals,
answers that are late, broken off, cut short, of wrong types or not final, a wrong clock, an exchange that
dies and comes back, SIGKILL in the middle. Afterwards one clean full pass and data-validation must leave the
database equal to one that nobody disturbed. A fault that never struck proves nothing: the counts say how many
did.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import apsw
import msgspec

from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc
from futures_agent.errors import ExitCode
from futures_agent.jobs import data_sync, data_validation
from futures_agent.jobs.candle_plan import SyncScope
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import Settings, load
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.faults import Fault
from futures_agent.simulator.server import running_simulator
from futures_agent.simulator.venue import Venue

START_MS = parse_utc("2026-03-10T14:20:00Z")
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
SCALE = 100.0  # of the exchange's clock: waits that it demands are short
LONGEST_RUN_S = 10.0
LONGEST_END_S = 10.0
# Tables that data-sync fills, and the columns that depend on when it asked.
TABLES = {
    "ohlcv_d1": "*",
    "ohlcv_h4": "*",
    "ohlcv_h1": "*",
    "indicadores_tecnico": "*",
    "candle_holes": "symbol, timeframe, first, last",
    "universe": "symbol, standing, reason",
}
KLINES = "/fapi/v1/klines"

Engaged = Callable[[], bool]


class Exchange:
    """A simulated exchange that can go away and come back at the same address."""

    def __init__(self) -> None:
        self._config = SimulatorConfig(symbols=SYMBOLS, history_days=60, start_ms=START_MS, scale=SCALE)
        self.venue = Venue(self._config)
        self._server = contextlib.ExitStack()
        self.url = ""
        self.start()

    def start(self) -> None:
        self.url = self._server.enter_context(running_simulator(self._config, self.venue)).url
        self._config = msgspec.structs.replace(self._config, port=int(self.url.rpartition(":")[2]))

    def stop(self) -> None:
        self._server.close()

    def calm(self) -> None:
        """Forget every fault, delay, weight and ban, and show the time at which the truth was taken."""
        self.venue.faults.clear()
        self.venue.limiter.forget()
        self.venue.latency_ms = 0.0
        self.venue.clock.set(START_MS)


@dataclass
class World:
    """One disturbed run: the exchange, the state directory, and a source of chance."""

    exchange: Exchange
    settings: Settings
    chance: random.Random
    while_running: list[Callable[[BaseProcess], None]] = field(default_factory=list)

    def asked(self) -> int:
        """Return how many requests the exchange has answered."""
        return self.exchange.venue.tally.requests

    def after_answers(self, process: BaseProcess, count: int) -> bool:
        """Wait for `count` more answers; return whether the process still runs then."""
        target = self.asked() + count
        while process.is_alive() and self.asked() < target:
            time.sleep(0.001)
        return process.is_alive()


def refuse(status: int, retry_after_s: int | None = None, most: int = 12) -> Callable[[World], Engaged]:
    """Answer `status` instead of the truth, up to `most` times."""

    def plan(world: World) -> Engaged:
        count, path = world.chance.randint(1, most), world.chance.choice(("", KLINES, KLINES))
        return _spoil(world, Fault(status=status, count=count, path=path, retry_after_s=retry_after_s))

    return plan


def spoil(how: Any, most: int = 6) -> Callable[[World], Engaged]:
    """Spoil up to `most` true answers; see `Fault`."""

    def plan(world: World) -> Engaged:
        path = KLINES if how.startswith("last row") else world.chance.choice(("", KLINES, KLINES))
        return _spoil(world, Fault(how=how, count=world.chance.randint(1, most), path=path, delay_ms=600))

    return plan


def _spoil(world: World, fault: Fault) -> Engaged:
    faults = world.exchange.venue.faults
    faults.add(fault)
    return lambda: faults.left(fault) < fault.count


def kill(world: World) -> Engaged:
    """SIGKILL after a random number of answers and a random moment more."""
    answers, pause_s = world.chance.randint(1, 12), world.chance.uniform(0, 0.05)
    world.exchange.venue.latency_ms = 40.0  # time to be killed in
    killed: list[bool] = []

    def strike(process: BaseProcess) -> None:
        world.after_answers(process, answers)
        time.sleep(pause_s)
        process.kill()
        process.join()
        killed.append(process.exitcode == -signal.SIGKILL)

    world.while_running.append(strike)
    return lambda: any(killed)


def die_and_come_back(world: World) -> Engaged:
    """The exchange goes away after a random number of answers, and comes back at the same address."""
    answers, down_s = world.chance.randint(1, 9), world.chance.uniform(0.05, 0.4)
    world.exchange.venue.latency_ms = 40.0  # time to be missed in
    struck: list[bool] = []

    def strike(process: BaseProcess) -> None:
        if world.after_answers(process, answers):
            world.exchange.stop()
            struck.append(process.is_alive())
            time.sleep(down_s)
            world.exchange.start()

    world.while_running.append(strike)
    return lambda: any(struck)


def wrong_clock(world: World) -> Engaged:
    """What the host believes of the exchange's time is hours off, either way."""
    offset_ms = world.chance.choice((-1, 1)) * world.chance.randint(1, 100) * HOUR_MS
    saved = {
        "offset_ms": START_MS + offset_ms - time.time_ns() // 1_000_000,
        "scale": SCALE,
        "measured_at_ms": time.time_ns() // 1_000_000,
    }
    path = world.settings.paths.exchange_state / "clock.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(saved))
    written = path.read_bytes()
    return lambda: path.read_bytes() != written  # replaced by what the exchange said


def clock_ahead(world: World) -> Engaged:
    """The exchange's own clock runs ahead, so that candles are stored which have not closed."""
    world.exchange.venue.clock.step(world.chance.randint(1, 30) * HOUR_MS)
    last = Timeframe.H1.last_closed_open(START_MS)

    def stored() -> bool:
        if not world.settings.paths.database.exists():  # killed before it wrote anything
            return False
        return any(timestamp > last for _, timestamp, *_ in contents(world.settings)["ohlcv_h1"])

    return stored


FAULTS: dict[str, Callable[[World], Engaged]] = {
    "429": refuse(429, 2),
    "429 without Retry-After": refuse(429),
    "418": refuse(418, 20),
    "500": refuse(500),
    "503": refuse(503),
    "403": refuse(403, most=1),
    "408": refuse(408),
    "late": spoil("late", 3),
    "broken off": spoil("broken off"),
    "cut short": spoil("cut short"),
    "wrong types": spoil("wrong types"),
    "last row absent": spoil("last row absent", 20),
    "last row different": spoil("last row different", 20),
    "exchange dies": die_and_come_back,
    "wrong clock": wrong_clock,
    "clock ahead": clock_ahead,
    "SIGKILL": kill,
}


@dataclass
class Result:
    """What the runs came to."""

    runs: int = 0
    planned: Counter[str] = field(default_factory=Counter)
    engaged: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(
            f"{name} {self.engaged[name]}/{self.planned[name]}" for name in sorted(self.planned)
        )
        return (
            f"{self.runs} runs, {len(self.failures)} failed; "
            f"engaged/planned {self.engaged.total()}/{self.planned.total()}: {counts}"
        )


def run_campaign(runs: int, seed: int, *, say: Callable[[str], None] = print) -> Result:
    """Make `runs` disturbed runs, seeds `seed`, `seed + 1`, …; `say` hears of each failure."""
    result = Result()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, "futures_agent.jobs.data_sync"])
    exchange = Exchange()
    with contextlib.ExitStack() as stack:
        stack.callback(exchange.stop)
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="crash_"))
        scratch = Path(name)
        untouched = settings_in(scratch / "truth", exchange.url)
        clean_night(exchange, untouched)
        truth = contents(untouched)
        for each in range(seed, seed + runs):
            fault = _one_run(exchange, scratch / str(each), each, truth, processes, result)
            result.runs += 1
            if fault:
                result.failures.append(f"seed {each}: {fault}")
                say(result.failures[-1])
    return result


def settings_in(directory: Path, url: str) -> Settings:
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "agent.toml"
    config.touch()
    overrides = {
        "paths.state_dir": str(directory / "state"),
        "exchange.rest_url": url,
        "exchange.time_scale": str(SCALE),
        "exchange.read_timeout_s": "0.4",
        "data.symbols": ",".join(SYMBOLS),
        "data.history_days": "50",
        "sync.retry_wait_s": "2",  # of the exchange's time
        "log.level": "ERROR",
    }
    return load(config, {}, overrides).settings


def sync(settings: Settings) -> None:
    """Run data-sync in a process of its own, silently; its exit code is the job's."""
    with silence():
        code = data_sync.run(settings, SyncScope(full=True))
    sys.exit(int(code))


@contextlib.contextmanager
def silence() -> Iterator[None]:
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def clean_night(exchange: Exchange, settings: Settings) -> None:
    """Make one full pass and a validation that nothing disturbs, at the time of the truth."""
    exchange.calm()
    for file in settings.paths.exchange_state.glob("*"):
        file.unlink()  # bans and weights of a time that is over
    with silence():
        codes = data_sync.run(settings, SyncScope(full=True)), data_validation.run(settings)
    if codes != (ExitCode.OK, ExitCode.OK):
        raise AssertionError(f"the clean night ended with {codes}")


def contents(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row that data-sync is answerable for."""
    with contextlib.closing(
        apsw.Connection(str(settings.paths.database), flags=apsw.SQLITE_OPEN_READONLY)
    ) as db:
        if db.pragma("integrity_check") != "ok":
            raise AssertionError("the database is damaged")
        return {
            table: list(db.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3"))
            for table, columns in TABLES.items()
        }


def _one_run(
    exchange: Exchange,
    directory: Path,
    seed: int,
    truth: dict[str, list[tuple[Any, ...]]],
    processes: Any,
    result: Result,
) -> str:
    """Disturb one run, let a clean one follow, and return how the database then differs from the truth."""
    chance = random.Random(seed)
    settings = settings_in(directory, exchange.url)
    if chance.random() < 0.5:  # else the database is filled for the first time
        clean_night(exchange, settings)
        _lose_some(settings, chance)
    exchange.calm()
    world = World(exchange, settings, chance)
    drawn = chance.sample(sorted(FAULTS), chance.randint(1, 3))
    engaged = {name: FAULTS[name](world) for name in drawn}
    process = processes.Process(target=sync, args=(settings,))
    process.start()
    for strike in world.while_running:
        strike(process)
    process.join(LONGEST_RUN_S)
    if process.is_alive():  # it keeps still for a long ban; the unit's time limit ends it the same way
        process.terminate()
        process.join(LONGEST_END_S)
    if process.is_alive():
        process.kill()
        return f"{drawn}: did not end within {LONGEST_END_S:g} s of SIGTERM"
    result.planned.update(drawn)
    result.engaged.update(name for name, has_struck in engaged.items() if has_struck())
    try:
        clean_night(exchange, settings)
        found = contents(settings)
    except AssertionError as error:
        return f"{drawn}: {error}"
    differing = [table for table in TABLES if found[table] != truth[table]]
    return f"{drawn}: {', '.join(differing)} differ" if differing else ""


def _lose_some(settings: Settings, chance: random.Random) -> None:
    """Take the database back to some time ago, and tear a hole into it."""
    since_ms = START_MS - chance.randint(0, 40) * HOUR_MS
    hole_ms = START_MS - chance.randint(5, 45) * DAY_MS
    with contextlib.closing(apsw.Connection(str(settings.paths.database))) as db:
        for table in ("ohlcv_d1", "ohlcv_h4", "ohlcv_h1"):
            db.execute(
                f"DELETE FROM {table} WHERE timestamp > ? OR timestamp BETWEEN ? AND ?",
                (since_ms, hole_ms, hole_ms + chance.randint(0, 3) * DAY_MS),
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    result = run_campaign(options.runs, options.seed, say=lambda line: print(line, flush=True))
    print(result)
    return 1 if result.failures or not result.engaged else 0


if __name__ == "__main__":
    sys.exit(main())

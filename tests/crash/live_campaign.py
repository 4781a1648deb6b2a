"""Live traders that are killed, at numbered steps of the order path and at random instants, under faults.

`python live_campaign.py --runs 60 [--seed S]` (`make crash`). A run is one exchange and one trader that lives
several times: SIGKILL ends each life but the last. Each life must find its way back, and everything is held
against the exchange's own record: no fill missing or booked twice, no order twice, no position without its
one stop for longer than five seconds, nothing left behind. A step or a fault that never engaged proves
nothing, and fails the campaign.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash import faulty_venue, trader_process, venue_truth
from crash.board import Board
from crash.venue_truth import CLOSING_MS, UNPROTECTED_LIMIT_MS, Running
from futures_agent.clock import MINUTE_MS, parse_utc
from futures_agent.live.steps import Step
from futures_agent.settings.tree import (
    DataSettings,
    ExchangeSettings,
    LiveSettings,
    PathSettings,
    RiskSettings,
    Settings,
    StrategySettings,
)
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.fault_script import read_fault
from futures_agent.simulator.server import RunningSimulator, running_simulator
from futures_agent.simulator.trading.config import AccountConfig, TradingConfig

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
START_MS = parse_utc("2026-03-10T14:20:00Z")
KEY, SECRET = "crash", "crash-secret"
BAR_MS = 15 * MINUTE_MS
PIECE_MS = 3 * MINUTE_MS  # in which the clock jumps while nothing is under way
SCALE = 2.0  # venue seconds per host second, between two jumps
KILLS_PER_RUN = 5
PATIENCE_S = 90.0
NEVER = float("inf")
RANDOM = "random instant"
_MOST_CLOSES = 6  # within which a step is to be reached
# Up to which occurrence of each step a life is ended; those that happen seldom have few.
_OCCURRENCES = {
    Step.WANTED: 4,
    Step.JOURNALED: 12,
    Step.SENT: 12,
    Step.ANSWERED: 12,
    Step.SEEN: 25,
    Step.RECORDED: 25,
    Step.RECONCILED: 2,
    Step.CLOSED: 2,
    Step.SAVED: 2,
}

BreakIt = Callable[[], None] | None


class Failed(AssertionError):
    """What must not be."""


class Kill(NamedTuple):
    """How a life ends: at an occurrence of a step, or some time after a number of closes."""

    step: str  # name of a Step, or RANDOM
    occurrence: int = 0
    closes: int = 0
    delay_s: float = 0.0


@dataclass
class Result:
    """What the runs came to."""

    runs: int = 0
    kills: int = 0
    fills: int = 0
    seconds: float = 0.0
    longest_naked_ms: int = 0
    given_up: int = 0
    planned: Counter[str] = field(default_factory=Counter)
    engaged: Counter[str] = field(default_factory=Counter)
    incidents: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def idle(self) -> list[str]:
        """What never engaged."""
        names = [*(step.name for step in Step), RANDOM, *faulty_venue.FAULTS]
        return [name for name in names if not self.engaged[name]]

    def __str__(self) -> str:
        def counts(names: Any) -> str:
            return ", ".join(f"{name} {self.engaged[name]}/{self.planned[name]}" for name in names)

        per_s = self.seconds or 1.0
        return (
            f"{self.runs} runs, {self.kills} kills, {self.fills} fills, {len(self.failures)} failed; "
            f"{self.runs / per_s:.3f} runs/s, {self.kills / per_s:.3f} kills/s\n"
            f"longest without exactly one stop while a trader ran: {self.longest_naked_ms} ms; "
            f"closed for want of a stop: {self.given_up}\n"
            f"kills engaged/planned: {counts([*(step.name for step in Step), RANDOM])}\n"
            f"faults engaged/planned: {counts(faulty_venue.FAULTS)}\n"
            f"incidents: {dict(self.incidents)}"
        )


class World:
    """One exchange, one state directory, and the trader that lives there."""

    def __init__(
        self, simulator: RunningSimulator, scratch: Path, chance: random.Random, break_it: BreakIt
    ) -> None:
        self.simulator = simulator
        self.chance = chance
        self.settings = trader_settings(simulator.url, scratch)
        self.lives: list[Running] = []
        self._board_path = scratch / "board"
        self.board = Board(self._board_path)
        self._break_it = break_it
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload([__name__, "crash.busy"])
        self.process: Any = None
        self._shown: Callable[[], None] = lambda: self.board.show_time(simulator.clock)
        simulator.clock.on_change(self._shown)
        self._shown()

    @property
    def now_ms(self) -> int:
        return self.simulator.clock.now_ms()

    @property
    def account(self) -> Any:
        return self.simulator.venue.exchange.accounts[0]

    @property
    def alive(self) -> bool:
        return bool(self.process.is_alive())

    def start(self, kill: Kill | None) -> None:
        at = None if kill is None or kill.step == RANDOM else (kill.step, kill.occurrence)
        self.board.begin_life()
        self.process = self._processes.Process(
            target=trader_process.trade,
            args=(self.settings, self._board_path, at, self._break_it),
            daemon=True,
        )
        self.process.start()

    def end(self, how: signal.Signals) -> None:
        """End the trader if it still lives, and note how long it did; it must have died of `how`."""
        if self.alive and how is signal.SIGKILL:
            self.process.kill()
        elif self.alive:
            self.process.terminate()
        self.process.join(PATIENCE_S)
        if running_ms := self.board.told.running_ms:
            self.lives.append(Running(running_ms, self.now_ms))
        expected = -int(signal.SIGKILL) if how is signal.SIGKILL else 0
        if self.process.exitcode != expected:
            raise Failed(f"the trader ended with {self.process.exitcode}; see trader.log")

    def jump(self, by_ms: int) -> None:
        self.simulator.clock.step(by_ms)
        self.simulator.venue.advance(self.now_ms)

    def wait(self, what: str, check: Callable[[], bool], until_mono: float) -> bool:
        """Wait until `check` holds; return False where the trader has died or `until_mono` came before."""
        give_up_mono = time.monotonic() + PATIENCE_S
        while not check():
            if not self.alive or time.monotonic() >= until_mono:
                return False
            if time.monotonic() >= give_up_mono:
                raise Failed(f"waited for {what} in vain: {self.board.told}")
            time.sleep(0.005)
        return self.alive and time.monotonic() < until_mono

    def is_at_rest(self) -> bool:
        """Say whether the trader wants nothing, and no position lacks its stop."""
        if not self.board.told.idle:
            return False
        with self.simulator.venue.lock:
            held = [each.symbol for each in self.account.held()]
            return all(
                sum(algo.type == "STOP_MARKET" for algo in self.account.algos_of(symbol)) == 1
                for symbol in held
            )

    def rest(self, until_mono: float, *, close_ms: int = 0) -> bool:
        """Wait until the trader is at rest, having decided the close `close_ms`."""
        beats = self.board.told.beats

        def rested() -> bool:
            told = self.board.told
            return told.last_close_ms >= close_ms and told.beats >= beats + 4 and self.is_at_rest()

        return self.wait(f"rest after {close_ms}", rested, until_mono)

    def to_next_close(self, until_mono: float) -> bool:
        """Let a bar pass, and the trader decide its close."""
        close_ms = self.now_ms - self.now_ms % BAR_MS + BAR_MS
        while (left_ms := close_ms - self.now_ms) > 0:
            if not self.rest(until_mono):
                return False
            left_ms = close_ms - self.now_ms
            self.jump(max(0, min(PIECE_MS, left_ms)))
        return self.rest(until_mono, close_ms=close_ms)

    def fills_agree(self) -> bool:
        with self.simulator.venue.lock:
            records, _ = venue_truth.journal_of(self.settings)
            return not venue_truth.fill_differences(records, self.settings, self.account)


def trader_settings(url: str, scratch: Path) -> Settings:
    files = {}
    for name, text in (("key", KEY), ("secret", SECRET)):
        path = scratch / f"{name}.txt"
        path.write_text(text)
        files[f"{name}_file"] = str(path)
    return Settings(
        paths=PathSettings(state_dir=str(scratch / "state")),
        exchange=ExchangeSettings(
            rest_url=url,
            stream_url=url.replace("http", "ws", 1),
            weight_limit_per_min=1_000_000,
            close_grace_ms=0,
            read_timeout_s=2.0,
            time_scale=SCALE,
        ),
        data=DataSettings(symbols=SYMBOLS, timeframes=("M15",)),
        strategy=StrategySettings(name="crash.busy:STRATEGY", timeframe="M15"),
        risk=RiskSettings(
            fixed_notional=600.0,
            max_correlated=100,
            max_net_leverage=3.0,
            max_daily_loss=0.9,
            max_drawdown=0.95,
        ),
        live=LiveSettings(mode="testnet", anchor_days=0, reconcile_s=30.0, unknown_limit_s=8.0, **files),
    )


def venue_config(seed: int) -> SimulatorConfig:
    account = AccountConfig(
        key=KEY, secret=SECRET, balances={"USDT": Decimal(10_000)}, leverage=3, margin_type="ISOLATED"
    )
    return SimulatorConfig(
        symbols=SYMBOLS,
        untradable_symbols=False,
        seed=seed,
        history_days=2,
        start_ms=START_MS,
        scale=SCALE,
        weight_limit=1_000_000_000,
        orders_per_10s=1_000_000,
        orders_per_min=1_000_000,
        ledger_lines_kept=1_000_000,
        trading=TradingConfig(accounts=(account,)),
    )


def draw_kill(chance: random.Random, steps: list[str]) -> Kill:
    """Draw how a life ends; `steps` are taken in turn, so that every one has its share."""
    if chance.random() < 0.4:
        return Kill(RANDOM, closes=chance.randint(0, 3), delay_s=chance.uniform(0.0, 1.5))
    step = steps.pop()
    return Kill(step, occurrence=chance.randint(1, _OCCURRENCES[Step[step]]))


def _live(world: World, kill: Kill, result: Result, *, calm: bool) -> None:
    """Live one life, under faults if not `calm`, up to its kill."""
    faults, begun_mono = world.simulator.venue.faults, time.monotonic()
    faults.clear()
    drawn = [] if calm else faulty_venue.draw(world.chance)
    numbers = {faults.add(read_fault(line, world.now_ms)): name for name, line in drawn}
    world.start(kill)
    if kill.step != RANDOM:
        _trade(world, _MOST_CLOSES, NEVER)
    elif kill.closes == 0:
        _trade(world, 0, begun_mono + kill.delay_s)
    elif _trade(world, kill.closes - 1, NEVER):
        until_mono = time.monotonic() + kill.delay_s
        world.to_next_close(until_mono)
        time.sleep(max(0.0, until_mono - time.monotonic()))
    by_itself = not world.alive
    world.end(signal.SIGKILL)
    struck = {row["number"] for row in faults.rows(world.now_ms) if row["engaged"]}
    result.kills += 1
    result.planned.update([kill.step, *numbers.values()])
    result.engaged.update(name for number, name in numbers.items() if number in struck)
    result.engaged[kill.step] += by_itself or kill.step == RANDOM


def _trade(world: World, closes: int, until_mono: float) -> bool:
    """Let the trader find its way back and decide `closes`; return whether it lives on at `until_mono`."""
    return (
        world.rest(until_mono)
        and world.wait("the fills in the journal", world.fills_agree, until_mono)
        and all(world.to_next_close(until_mono) for _ in range(closes))
    )


def _live_in_peace(world: World) -> None:
    """Live the last life, without faults: all must come to rest, and the trader end when it is told to."""
    world.simulator.venue.faults.clear()
    world.start(None)
    if not (_trade(world, 2, NEVER) and world.wait("the fills", world.fills_agree, NEVER)):
        raise Failed(f"the trader ended by itself with {world.process.exitcode}; see trader.log")
    world.end(signal.SIGTERM)


def _judge(world: World, result: Result, *, calm: bool) -> list[str]:
    """Hold everything against the venue's own record."""
    with world.simulator.venue.lock:
        account, ledger = world.account, list(world.simulator.venue.exchange.state.ledger.entries())
        records, damage = venue_truth.journal_of(world.settings)
        found = [f"journal: {each}" for each in damage]
        found += venue_truth.fill_differences(records, world.settings, account)
        found += venue_truth.order_faults(records, account)
        found += venue_truth.turned_positions(account)
        found += venue_truth.orphans(account)
        found += venue_truth.refusals(records)
        naked = venue_truth.unprotected(ledger, world.lives, world.now_ms)
    for each in naked:
        result.longest_naked_ms = max(result.longest_naked_ms, each.lasted_ms)
        if each.lasted_ms > UNPROTECTED_LIMIT_MS + CLOSING_MS or each.count > 1:
            found.append(f"{each.symbol}: {each.count} stops for {each.lasted_ms} ms from {each.since_ms} on")
    given_up = venue_truth.given_up(records)
    result.given_up += len(given_up)
    if calm:  # without a fault there is always a stop to be had
        found += given_up
    result.fills += len(account.fills)
    result.incidents.update(venue_truth.incidents(records))
    if not account.fills:
        found.append("nothing was traded")
    return found


def run_once(
    seed: int,
    result: Result,
    *,
    kills: list[Kill] | None = None,
    break_it: BreakIt = None,
    calm: bool = False,
    keep: Path | None = None,
) -> list[str]:
    """Make one run, of `kills` or those that chance draws, `calm` without faults; return what is wrong."""
    chance = random.Random(seed)
    steps = [step.name for step in Step]
    chance.shuffle(steps)
    kills = kills or [draw_kill(chance, steps) for _ in range(KILLS_PER_RUN)]
    with ExitStack() as stack:
        scratch = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crash_live_")))
        (scratch / "state").mkdir(parents=True, exist_ok=True)
        simulator = stack.enter_context(running_simulator(venue_config(seed)))
        world = World(simulator, scratch, chance, break_it)
        try:
            for kill in kills:
                _live(world, kill, result, calm=calm)
                if chance.random() < 0.5:  # the host is down for a while, and the market moves on
                    world.jump(chance.randint(0, 20) * MINUTE_MS)
            _live_in_peace(world)
            return _judge(world, result, calm=calm)
        except Failed as failed:
            return [f"{failed}", *_judge(world, result, calm=calm)]
        finally:
            if world.process is not None and world.alive:
                world.process.kill()
                world.process.join()


def run_campaign(
    runs: int,
    seed: int,
    *,
    say: Callable[[str], None] = print,
    keep: Path | None = None,
    break_it: BreakIt = None,
) -> Result:
    """Make `runs` runs, seeds `seed`, `seed + 1`, …; `say` hears of each failure."""
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())  # killed clients do not read their answers
    result, begun = Result(), time.monotonic()
    for each in range(seed, seed + runs):
        directory = keep / str(each) if keep is not None else None
        wrong = run_once(each, result, break_it=break_it, keep=directory)
        result.runs += 1
        result.seconds = time.monotonic() - begun
        if wrong:
            result.failures.append(f"seed {each}: {'; '.join(wrong[:6])}")
            say(result.failures[-1])
        if result.runs % 5 == 0:
            say(f"{result.runs} runs, {result.kills} kills, {result.seconds:.0f} s")
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--keep", type=Path, help="folder in which state and logs stay, one folder a seed")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    logging.getLogger("uvicorn").setLevel(
        logging.CRITICAL
    )  # clients that are killed do not read their answers
    result = run_campaign(
        options.runs, options.seed, say=lambda line: print(line, flush=True), keep=options.keep
    )
    print(result)
    if result.idle:
        print(f"inconclusive, never engaged: {', '.join(result.idle)}")
    return 1 if result.failures or result.idle else 0


if __name__ == "__main__":
    sys.exit(main())

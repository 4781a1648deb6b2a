"""A day of live trading against the simulator, with mild faults: does it leak, and do its books agree?

Run from `app/`: `python -m benchmarks.live_soak [--hours H] [--scale S] [--seed S]`. The simulator and the
trader are a process each: `agentctl live-trading` on the testnet, 60 contracts in H1, H4 and D1 with mark
prices and user data, and `ema_cross` with lengths so short that most closes trade. Answers get lost, events
are dropped, connections torn, listen keys expire. In the end the faults are lifted, the clock slows down, the
trader is told to stop, and its journal is held against the venue's ledger.

The bars, from a sixth of the time on: memory that grows by less than 5 % and stays below 260 MB, as many open
files and threads as before, every fault struck, every close decided, every reconnection up again, the
journal's fills equal to the ledger's, and a stop at the exchange for every position that is left.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import requests

from benchmarks.live_process import DEPOSIT, KEY, RECKLESS, SECRET, LiveProcess, Sample, live_trader
from benchmarks.streams import set_clock
from benchmarks.sync import START_MS, simulator
from futures_agent.clock import HOUR_MS
from futures_agent.exchange.orders import FillSeen
from futures_agent.live.journal_files import read_journal
from futures_agent.live.records import Answered, Happened, Incident, Reconciled
from futures_agent.live.status import LiveStatus
from futures_agent.store.database import open_writer

MAX_GROWTH = 0.05
MAX_PEAK_MB = 260.0
MAX_MORE_FILES = 4  # connections that are being closed or replaced
MAX_MORE_THREADS = 3  # their readers
_SAMPLES = 100
_QUIET_S = 60.0  # for what is under way to come to rest

_ORDER, _ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
_LASTING: tuple[dict[str, Any], ...] = (
    {"how": "unknown error", "method": "POST", "path": _ORDER, "executed": True, "probability": 0.02},
    {"how": "timed out", "method": "POST", "path": _ALGO, "executed": True, "probability": 0.02},
    {"how": "reset", "method": "POST", "path": _ORDER, "executed": True, "probability": 0.01},
    {"how": "throttled", "probability": 0.02},
    {"how": "service unavailable", "probability": 0.005},
    {"how": "event dropped", "event": "ORDER_TRADE_UPDATE", "probability": 0.02},
    {"how": "event repeated", "event": "ORDER_TRADE_UPDATE", "probability": 0.02},
)
# By the share of the time that has passed.
_AT: tuple[tuple[float, dict[str, Any]], ...] = (
    *((0.05 + share / 10, {"how": "streams closed", "route": "private"}) for share in range(0, 10, 2)),
    *((0.1 + share / 10, {"how": "streams closed", "route": "market"}) for share in range(1, 9, 3)),
    (0.27, {"how": "listen key expired"}),
    (0.77, {"how": "listen key expired"}),
    (0.52, {"how": "streams ended"}),
)


class Fill(NamedTuple):
    """One fill as both sides must tell it."""

    price: Decimal
    quantity: Decimal


class Books(NamedTuple):
    """What the trader's journal holds."""

    fills: dict[tuple[str, int], Fill]
    incidents: Counter[str]
    answers: Counter[str]
    records: int
    faults: tuple[str, ...]


def main() -> int:
    """Measure, print, and return 1 where a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="venue time to run for")
    parser.add_argument("--scale", type=float, default=180.0, help="venue seconds per second")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="live_soak_") as name:
        directory = Path(name)
        account = {
            "key": KEY,
            "secret": SECRET,
            "balances": {"USDT": str(DEPOSIT)},
            "leverage": 5,
            "margin_type": "ISOLATED",
        }
        (directory / "accounts.json").write_text(json.dumps([account]))
        ledger = directory / "ledger.jsonl"
        more = ["--latency-ms", "0", "--accounts", str(directory / "accounts.json"), "--ledger", str(ledger)]
        with simulator(directory, *more, "--seed", str(options.seed)) as exchange:
            database = directory / "state" / "db" / "crypto_agent.db"
            database.parent.mkdir(parents=True)
            open_writer(database).close()
            with live_trader(directory, exchange.url, _settings(options.scale)) as trader:
                return measure(exchange.url, trader, ledger, options)


def _settings(scale: float) -> dict[str, Any]:
    """Return settings in which times that a host needs are as long, on the venue's clock, as usual."""
    return {
        **RECKLESS,
        "strategy.name": "ema_cross",
        "strategy.params": json.dumps({"fast": 2, "slow": 5, "atr": 5, "stop_atr": 1.5, "target_atr": 2.5}),
        "risk.max_positions": 24,
        "exchange.time_scale": scale,
        "exchange.recv_window_ms": 60_000,
        "exchange.clock_resync_s": 3_600,
        "live.anchor_days": 20,
        "live.unprotected_limit_s": min(5 * scale, 3_600),
        "live.unknown_limit_s": min(30 * scale, 3_600),
        "live.decide_within_s": min(20 * scale, 3_600),
        "live.close_backstop_s": min(5 * scale, 3_600),
        "live.reconcile_s": 3_600,
        "live.heartbeat_stale_s": 3_600,
        "log.level": "INFO",
    }


def measure(url: str, trader: LiveProcess, ledger: Path, options: argparse.Namespace) -> int:
    """Trade for `options.hours` of venue time, and report."""
    set_clock(url, now_ms=START_MS, scale=options.scale)
    trader.wait()
    print(f"trading {trader.started_s:.1f} s after its start")
    first_ms = requests.get(f"{url}/sim/clock", timeout=30).json()["now_ms"]
    length_ms = round(options.hours * HOUR_MS)
    order_faults(url, length_ms)
    began, cpu_s = time.monotonic(), trader.cpu_s
    samples = sample(trader, began, length_ms / options.scale / 1000)
    wall_s, cpu_s = time.monotonic() - began, trader.cpu_s - cpu_s
    struck = requests.get(f"{url}/sim/faults", timeout=30).json()["faults"]
    requests.delete(f"{url}/sim/faults", timeout=30)
    set_clock(url, scale=1)  # what is under way comes to rest in real time
    status, unprotected = settle(url, trader)
    peak_mb, exit_status = trader.peak_mb, trader.stop()
    unprotected = unprotected or naked(url)
    set_clock(url, scale=0)
    books = read_books(trader.state / "journal" / "testnet")
    print(
        f"{wall_s:.0f} s at {options.scale:g} ×, {options.hours:g} h, load {os.getloadavg()[0]:.1f}; "
        f"trader {cpu_s / wall_s:.0%} of a core; closes decided up to "
        f"{(status.last_close_ms - first_ms) / HOUR_MS:.1f} h after the beginning"
    )
    missed = [
        *told_memory(samples, peak_mb),
        *told_faults(struck),
        *told_books(books, ledger),
        *told_connections(trader.log),
    ]
    size = sum(path.stat().st_size for path in (trader.state / "journal" / "testnet").glob("*.journal"))
    print(f"journal: {books.records:,} records, {size / 1e6:.1f} MB; its faults: {list(books.faults)}")
    print(f"{len(status.positions)} positions at the end, without a stop: {unprotected or 'none'} (bar none)")
    print(f"database: {status.database}; exit status {exit_status}")
    missed += [f"unprotected {each}" for each in unprotected]
    missed += [] if exit_status == 0 and status.database == "ok" else ["the end"]
    missed += [] if status.last_close_ms >= first_ms + length_ms - 2 * HOUR_MS else ["closes"]
    missed += list(books.faults)
    print(f"missed: {'; '.join(missed) or 'no bar'}")
    return 1 if missed else 0


def sample(trader: LiveProcess, began: float, length_s: float) -> list[Sample]:
    """Return the process `_SAMPLES` times, the first after a sixth of the time."""
    samples = []
    for number in range(_SAMPLES + 1):
        due = began + length_s / 6 + number / _SAMPLES * length_s * 5 / 6
        while time.monotonic() < due:
            trader.check()
            time.sleep(0.2)
        samples.append(trader.sample())
    return samples


def order_faults(url: str, length_ms: int) -> None:
    """Order every fault; its times follow from the length of the run."""
    at = [{**fault, "at": f"+{share * length_ms / 1000:.0f}"} for share, fault in _AT]
    for fault in (*({**each, "count": None, "key": KEY} for each in _LASTING), *at):
        requests.post(f"{url}/sim/faults", json=fault, timeout=30).raise_for_status()


def settle(url: str, trader: LiveProcess) -> tuple[LiveStatus, list[str]]:
    """Wait until every position has its stop; return what the trader says, and those that have none."""
    deadline = time.monotonic() + _QUIET_S
    while True:
        trader.check()
        status, without = trader.status, naked(url)
        assert status is not None
        quiet = not status.opens_nothing and all(order.state in ("NEW", "LIVE") for order in status.orders)
        if (quiet and not without) or time.monotonic() > deadline:
            return status, without
        time.sleep(1)


def naked(url: str) -> list[str]:
    """Return the positions for which the exchange holds no stop that closes them."""
    (account,) = requests.get(f"{url}/sim/state", timeout=30).json()["accounts"]
    stops = {
        (order["symbol"], order["side"]) for order in account["conditional_orders"] if order["close_position"]
    }
    wanted = {
        position["symbol"]: "SELL" if Decimal(position["amount"]) > 0 else "BUY"
        for position in account["positions"]
    }
    return sorted(symbol for symbol, side in wanted.items() if (symbol, side) not in stops)


def read_books(directory: Path) -> Books:
    """Return what the whole journal tells, each fill once."""
    replay = read_journal(directory, whole=True)
    fills: dict[tuple[str, int], Fill] = {}
    incidents: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for record in replay.records:
        match record:
            case Happened(seen=FillSeen() as fill):
                fills[fill.symbol, fill.trade_id] = Fill(fill.price, fill.quantity)
            case Reconciled():
                fills |= {
                    (fill.symbol, fill.trade_id): Fill(fill.price, fill.quantity) for fill in record.fills
                }
            case Incident():
                incidents[record.kind] += 1
            case Answered():
                answers[record.answer.outcome.name] += 1
    return Books(fills, incidents, answers, len(replay.records), replay.faults)


def told_memory(samples: list[Sample], peak_mb: float) -> list[str]:
    """Print the process's figures; return the bars that were missed."""
    before, after = samples[0], samples[-1]
    growth = after.rss_mb / before.rss_mb - 1
    print(
        f"memory {before.rss_mb:.1f} MB, then {after.rss_mb:.1f} MB: {growth:+.2%} (bar {MAX_GROWTH:+.0%}); "
        f"on the way {', '.join(f'{each.rss_mb:.1f}' for each in samples[:: len(samples) // 8])}; "
        f"{peak_mb:.1f} MB at most (bar {MAX_PEAK_MB:g})"
    )
    files, threads = [[getattr(each, name) for each in samples] for name in ("files", "threads")]
    print(f"open files {before.files}, then {after.files}, {min(files)} to {max(files)} between; ", end="")
    print(f"threads {before.threads}, then {after.threads}, {min(threads)} to {max(threads)} between")
    flat = after.files <= before.files + MAX_MORE_FILES
    flat = flat and after.threads <= before.threads + MAX_MORE_THREADS
    bars = {"memory": growth < MAX_GROWTH, "peak": peak_mb < MAX_PEAK_MB, "files and threads": flat}
    return [name for name, kept in bars.items() if not kept]


def told_faults(struck: list[dict[str, Any]]) -> list[str]:
    """Print how often faults struck; return those that did not."""
    idle = [f"{each['how']} ({each['state']})" for each in struck if not each["engaged"]]
    strikes = sum(each["engaged"] for each in struck)
    print(f"faults: {strikes:,} strikes; without one: {', '.join(idle) or 'none'} (bar: none)")
    return idle


def told_books(books: Books, ledger: Path) -> list[str]:
    """Print journal beside ledger; return what differs."""
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    booked = {
        (entry["symbol"], int(entry["trade_id"])): Fill(Decimal(entry["price"]), Decimal(entry["quantity"]))
        for entry in entries
        if entry["kind"] == "FILL"
    }
    odd = [key for key in booked.keys() | books.fills.keys() if booked.get(key) != books.fills.get(key)]
    orders = Counter(entry["kind"] for entry in entries)
    print(
        f"{orders['ORDER']:,} orders and {orders['ALGO']:,} conditional ones; answers {dict(books.answers)}"
    )
    print(f"incidents: {dict(books.incidents) or 'none'}")
    print(f"fills: {len(booked):,} in the ledger, {len(books.fills):,} in the journal, ", end="")
    print(f"{len(odd)} different (bar 0)")
    return [f"fill {odd[0]} and {len(odd) - 1} others"] if odd else []


def told_connections(log: Path) -> list[str]:
    """Print how often streams came up; return those that did not come up again, or errors."""
    lines = log.read_text().splitlines()
    missed = []
    for name in ("user", "market"):
        said = [line for line in lines if f"{name} stream up" in line or f"{name} stream down" in line]
        ups = sum(f"{name} stream up" in line for line in said)
        print(f"{name} stream: up {ups} times, down {len(said) - ups} times; ", end="")
        if not said or f"{name} stream up" not in said[-1]:
            missed.append(f"{name} stream")
    errors = [line for line in lines if "ERROR" in line or "Traceback" in line]
    print(f"errors logged: {len(errors)}{', such as ' + errors[0] if errors else ''}")
    return missed


if __name__ == "__main__":
    sys.exit(main())

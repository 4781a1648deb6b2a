"""A day of trading against the simulator, with faults: does it leak, and does its ledger tell what happened?

Run from `app/`: `python -m benchmarks.trading [--hours H] [--scale S] [--per-minute N] [--seed S]`. The
simulator is a process of its own with 60 contracts, whose 240 klines a connection takes in, as an agent does.
The client (`trading_client`) trades them through signed requests and its user data, `N` times a minute of
venue time, while answers get lost, stores lag, events are dropped and repeated, connections are torn, a
contract halts and the account may only reduce. In the end the clock stands still, everything is closed, and
what the client knows is held against the ledger's file.

The bars, from a sixth of the time on: memory that grows by less than 5 %, as many open files and threads as
before, no fault that did not strike, and a ledger that equals what the client saw: its orders by their ids,
every trade with price, quantity, fee and result, and the balance.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import threading
import time
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import requests

from benchmarks.streams import (
    Received,
    VenueTime,
    cpu_seconds,
    hold_to_cores,
    listen,
    rss_mb,
    server_process,
    set_clock,
)
from benchmarks.sync import START_MS, simulator
from benchmarks.trading_client import DEPOSIT, KEY, SECRET, Trade, Trader
from futures_agent.clock import HOUR_MS, MINUTE_MS

MAX_GROWTH = 0.05
MAX_MORE_FILES = 2  # a connection that is being closed

_AT_A_TIME, _ROUND = 6, 60  # contracts that are traded for so many turns, then closed

_ORDER, _ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
_LASTING: tuple[dict[str, Any], ...] = (
    {"how": "unknown error", "method": "POST", "path": _ORDER, "executed": True, "probability": 0.02},
    {"how": "unknown error", "method": "POST", "path": _ORDER, "probability": 0.02},
    {"how": "timed out", "method": "POST", "path": _ALGO, "executed": True, "probability": 0.02},
    {"how": "gateway", "method": "POST", "path": _ORDER, "executed": True, "probability": 0.01},
    {"how": "reset", "method": "POST", "path": _ORDER, "executed": True, "probability": 0.01},
    {"how": "reset", "method": "GET", "probability": 0.002},
    {"how": "throttled", "probability": 0.02},
    {"how": "service unavailable", "probability": 0.005},
    {"how": "late", "delay_ms": 5, "probability": 0.01},
    {"how": "cut short", "method": "GET", "probability": 0.005},
    {"how": "store lag", "lag_ms": 60000, "probability": 0.3},
    {"how": "stale status", "lag_ms": 60000, "probability": 0.3},
    {"how": "partial fill", "probability": 0.05},
    {"how": "event dropped", "event": "ORDER_TRADE_UPDATE", "probability": 0.02},
    {"how": "event repeated", "event": "ORDER_TRADE_UPDATE", "probability": 0.02},
    {"how": "event late", "event": "ACCOUNT_UPDATE", "delay_ms": 60000, "probability": 0.02},
    {"how": "events swapped", "event": "ORDER_TRADE_UPDATE", "probability": 0.02},
)
# By the share of the time that has passed.
_AT: tuple[tuple[float, dict[str, Any]], ...] = (
    *((share / 10, {"how": "streams closed", "route": "private"}) for share in range(1, 10)),
    (0.25, {"how": "listen key expired"}),
    (0.75, {"how": "listen key expired"}),
    (0.3, {"how": "contract status", "symbol": "BTCUSDT", "status": "TRADING_HALT"}),
    (0.35, {"how": "contract status", "symbol": "BTCUSDT", "status": "TRADING"}),
    (0.4, {"how": "reduce only", "code": -4400, "for_s": 600}),
    (0.5, {"how": "price jump", "symbol": "ETHUSDT", "share": "-0.05"}),
    (0.6, {"how": "mark offset", "symbol": "SOLUSDT", "share": "0.01"}),
    (0.7, {"how": "mark offset", "symbol": "SOLUSDT", "share": "0"}),
)


class Sample(NamedTuple):
    """The simulator's process at one moment."""

    rss_mb: float
    files: int
    threads: int

    @classmethod
    def of(cls, server: psutil.Process) -> Sample:
        return cls(rss_mb(server), server.num_fds(), server.num_threads())


class Candles:
    """Takes in every candle of some contracts, in a thread of its own."""

    def __init__(self, url: str, symbols: tuple[str, ...]) -> None:
        self._received = Received()
        self._loop = asyncio.new_event_loop()
        ready = asyncio.Event()
        self._listening = self._loop.create_task(listen(url, symbols, self._received, ready))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(ready.wait(), self._loop).result(60)
        set_clock(url, step_ms=1_000, wait_quiet=True, within_s=60)  # the first messages make the histories
        self._received.clock = VenueTime.of(url, 1)  # from now on closes are counted

    def stop(self) -> int:
        """End the thread; return how many candles closed."""
        self._loop.call_soon_threadsafe(self._listening.cancel)
        self._thread.join(30)
        return self._received.closes.total()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._listening)
        self._loop.close()


def main() -> int:
    """Measure, print, and return 1 where a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="venue time to run for")
    parser.add_argument("--scale", type=float, default=400.0, help="venue seconds per second")
    parser.add_argument("--per-minute", type=float, default=4.0, help="of venue time")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trading_") as name:
        directory = Path(name)
        account = {"key": KEY, "secret": SECRET, "balances": {"USDT": str(DEPOSIT)}}
        (directory / "accounts.json").write_text(json.dumps([account]))
        ledger = directory / "ledger.jsonl"
        more = ["--latency-ms", "0", "--accounts", str(directory / "accounts.json"), "--ledger", str(ledger)]
        with simulator(directory, *more, "--seed", str(options.seed)) as exchange:
            server = server_process()
            hold_to_cores(server)
            return measure(exchange.url, server, ledger, options)


def measure(url: str, server: psutil.Process, ledger: Path, options: argparse.Namespace) -> int:
    """Trade for a while, and report."""
    set_clock(url, now_ms=START_MS, scale=0)
    trader = Trader(url, options.seed, options.scale)
    for symbol in trader.contracts:  # each makes its history once
        trader.act(symbol)
    trader.tidy_up(trader.contracts)
    candles = Candles(url, tuple(trader.contracts))
    length_ms = round(options.hours * HOUR_MS)
    order_faults(url, length_ms)
    set_clock(url, scale=options.scale)
    trader.clock = VenueTime.of(url, options.scale)
    began, cpu_s = time.monotonic(), cpu_seconds(server)
    before, samples = trade(trader, server, length_ms, options.per_minute)
    wall_s, cpu_s = time.monotonic() - began, cpu_seconds(server) - cpu_s
    set_clock(url, scale=0)
    closes = candles.stop()
    struck = requests.get(f"{url}/sim/faults", timeout=30).json()["faults"]
    requests.delete(f"{url}/sim/faults", timeout=30)
    trader.clock = VenueTime.of(url, 0)
    trader.tidy_up(trader.contracts)
    seen = dict(trader.user_data.trades)
    told = trader.trades_told()
    wrong = compare(trader, seen, told, ledger)
    print(
        f"{wall_s:.0f} s at {options.scale:g} ×, {options.hours:g} h; server {cpu_s / wall_s:.0%} of a core"
    )
    tell(trader, wall_s, told.keys() - seen.keys())
    print(f"{closes:,} closes of candles")
    idle = [f"{each['how']} ({each['state']})" for each in struck if not each["engaged"]]
    strikes = sum(each["engaged"] for each in struck)
    print(f"faults: {strikes:,} strikes; without one: {', '.join(idle) or 'none'} (bar: none)")
    trader.close()
    return report(before, samples, len(trader.placed), wrong) or bool(idle)


def trade(
    trader: Trader, server: psutil.Process, length_ms: int, per_minute: float
) -> tuple[Sample, list[Sample]]:
    """Trade for `length_ms` of venue time; return the process after a sixth, and every ten minutes since."""
    symbols = list(trader.contracts)
    start_ms, number, samples = trader.clock.now_ms(), 0, []
    before, next_ms = None, start_ms + length_ms / 6
    while (now_ms := trader.clock.now_ms()) < start_ms + length_ms:
        due_ms = start_ms + number * MINUTE_MS / per_minute
        if now_ms < due_ms:
            time.sleep((due_ms - now_ms) / trader.clock.scale / 1000)
        first = number // _ROUND * _AT_A_TIME
        trader.act(symbols[(first + number % _AT_A_TIME) % len(symbols)])
        number += 1
        if not number % _ROUND:
            trader.tidy_up(symbols[(first + other) % len(symbols)] for other in range(_AT_A_TIME))
        if now_ms >= next_ms:
            next_ms += 10 * MINUTE_MS
            sample = Sample.of(server)
            before = before or sample
            samples.append(sample)
    assert before is not None
    return before, samples


def order_faults(url: str, length_ms: int) -> None:
    """Order every fault; its times follow from the length of the run."""
    at = [{**fault, "at": f"+{share * length_ms / 1000:.0f}"} for share, fault in _AT]
    for fault in (*({**each, "count": None, "key": KEY} for each in _LASTING), *at):
        requests.post(f"{url}/sim/faults", json=fault, timeout=30).raise_for_status()


def tell(trader: Trader, wall_s: float, untold: set[tuple[str, int]]) -> None:
    """Print what the client did, and what it got."""
    answers, data = trader.answers, trader.user_data
    print(
        f"{len(trader.placed):,} orders, {len(trader.placed) / wall_s:.0f}/s, {trader.cancelled:,} cancelled"
    )
    print(f"{answers.total():,} answers by status and code: {dict(answers.most_common())}")
    print(
        f"{data.events.total():,} events over {data.connections} connections, one after the other; ", end=""
    )
    print(f"of the trades {len(untold)} were told by queries alone")


def compare(
    trader: Trader,
    seen: dict[tuple[str, int], Trade],
    told: dict[tuple[str, int], Trade],
    ledger: Path,
) -> list[str]:
    """Return where the ledger's file and what the client saw differ."""
    orders: set[str] = set()
    fills: dict[tuple[str, int], list[Decimal]] = {}
    money: dict[str, Decimal] = defaultdict(Decimal)
    for line in ledger.read_text().splitlines():
        entry = json.loads(line)
        kind = entry["kind"]
        if kind in ("ORDER", "ALGO"):
            orders.add(entry["client_order_id" if kind == "ORDER" else "client_algo_id"])
        elif kind == "FILL":
            fills[entry["symbol"], entry["trade_id"]] = [
                Decimal(entry["price"]),
                Decimal(entry["quantity"]),
                Decimal(0),
                Decimal(0),
            ]
        elif "wallet" in entry:
            money[kind] += Decimal(entry["amount"])
            if kind in ("COMMISSION", "REALIZED_PNL"):
                place = 2 if kind == "COMMISSION" else 3
                sign = -1 if kind == "COMMISSION" else 1
                fills[entry["symbol"], int(entry["trade_id"])][place] += sign * Decimal(entry["amount"])
    booked = {key: Trade(*fill) for key, fill in fills.items()}
    balance = next(
        Decimal(row["balance"]) for row in trader.known("GET", "/fapi/v3/balance") if row["asset"] == "USDT"
    )
    paid = sum((each.realized - each.fee for each in told.values()), Decimal(0))
    other = sum((trader.income(kind, START_MS) for kind in ("FUNDING_FEE", "INSURANCE_CLEAR")), Decimal(0))
    own = {name for name in orders if name.startswith("soak-")}
    wrong = []
    if own != trader.placed:
        wrong.append(f"orders: {len(own - trader.placed)} unknown, {len(trader.placed - own)} made up")
    if told != booked:
        wrong.append(
            f"trades: {len(booked)} booked, {len(told)} told, {len(set(told) ^ set(booked))} of one only"
        )
    if odd := [key for key, trade in seen.items() if booked.get(key) != trade]:
        wrong.append(f"events: {len(odd)} trades are told otherwise than booked, such as {odd[0]}")
    if not sum(money.values()) == balance == DEPOSIT + paid + other:
        wrong.append(
            f"balance: {sum(money.values())} booked, {balance} told, {DEPOSIT + paid + other} reckoned"
        )
    return wrong


def report(before: Sample, samples: list[Sample], orders: int, wrong: list[str]) -> int:
    """Print the process's figures and what differs next to the bars; return 1 where one was missed."""
    after = samples[-1]
    growth = after.rss_mb / before.rss_mb - 1
    kb = (after.rss_mb - before.rss_mb) * 1000 / (orders * 5 / 6)
    print(
        f"memory {before.rss_mb:.1f} MB, then {after.rss_mb:.1f} MB: {growth:+.2%} (bar {MAX_GROWTH:+.0%}), "
        f"{kb:.2f} KB an order; on the way "
        f"{', '.join(f'{each.rss_mb:.1f}' for each in samples[:: max(len(samples) // 8, 1)])}"
    )
    files, threads = [[getattr(each, name) for each in samples] for name in ("files", "threads")]
    print(f"open files {before.files}, then {after.files}, {min(files)} to {max(files)} between; ", end="")
    print(f"threads {before.threads}, then {after.threads}, {max(threads)} at most")
    print(f"ledger and client: {'; '.join(wrong) or 'equal'} (bar: equal)")
    flat = after.files <= before.files + MAX_MORE_FILES and after.threads <= before.threads
    return 0 if growth < MAX_GROWTH and flat and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())

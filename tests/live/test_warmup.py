"""Warming up: whatever the database has or lacks, the strategy has seen the same candles in the end."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from futures_agent.backtest.panel import Panel
from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc
from futures_agent.errors import Retry
from futures_agent.live.account import Account
from futures_agent.live.deciding import Decider
from futures_agent.live.memory import load_memory, maker_of, save_memory
from futures_agent.live.warmup import PAGE, Warmed, warm_up
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import DatabaseSettings
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_writer
from futures_agent.store.holes import settle_holes
from live_replay import decider_of
from market_panels import generated_panel
from shipped import CONFIGURATIONS

STRATEGY, PARAMS = CONFIGURATIONS["smc"]
FRAMES = (Timeframe.H1, Timeframe.H4, Timeframe.D1)
PATIENCE = DatabaseSettings(busy_timeout_ms=50)
START_MS = parse_utc("2026-01-05")
CLOSE_MS = START_MS + 40 * DAY_MS
FLAT = Account(wallet=10_000.0, holdings={})


@pytest.fixture(scope="module")
def panel() -> Panel:
    return generated_panel(symbols=2, days=41)


class Exchange:
    """Answers like the exchange, and counts what it was asked for."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self.asked: list[tuple[str, Timeframe, int, int]] = []
        self.down: set[str] = set()

    def candles(self, symbol: str, timeframe: Timeframe, first: int, last: int) -> np.ndarray:
        series = self._panel.candles if timeframe is Timeframe.H1 else self._panel.higher[timeframe]
        rows = series.of(self._panel.symbols.index(symbol))
        rows = rows[(rows["timestamp"] >= first) & (rows["timestamp"] <= last)]
        full = np.zeros(len(rows), FULL_CANDLE)
        for name in rows.dtype.names:
            full[name] = rows[name]
        return full

    def __call__(self, symbol: str, timeframe: Timeframe, first: int, last: int) -> np.ndarray:
        assert (last - first) // timeframe.ms < PAGE
        if symbol in self.down:
            raise Retry(f"{symbol}: no answer")
        self.asked.append((symbol, timeframe, first, last))
        return self.candles(symbol, timeframe, first, last)


@pytest.fixture
def exchange(panel: Panel) -> Exchange:
    return Exchange(panel)


@pytest.fixture
def database(tmp_path: Path, panel: Panel, exchange: Exchange) -> Path:
    """Return a database whose candles end two days ago, with a hole that the exchange has not."""
    path = tmp_path / "crypto_agent.db"
    with closing(open_writer(path)) as db:
        for symbol in panel.symbols:
            for timeframe in FRAMES:
                candles = exchange.candles(symbol, timeframe, 0, CLOSE_MS - 2 * DAY_MS)
                lost = (candles["timestamp"] // HOUR_MS * HOUR_MS) % (10 * DAY_MS) == 0
                upsert_candles(db, timeframe, symbol, candles[~lost])
    return path


def decider_at(panel: Panel, directory: Path) -> Decider:
    decider = decider_of(panel, STRATEGY, PARAMS, directory, anchor_ms=START_MS)
    decider.trackers = {}
    return decider


def warmed(decider: Decider, exchange: Exchange, database: Path | None, **more: object) -> list[Warmed]:
    chosen = {"memory": None, "close_ms": CLOSE_MS, **more}
    return list(warm_up(decider, fetch=exchange, database=database, settings=PATIENCE, **chosen))


@pytest.fixture
def expected(panel: Panel, tmp_path: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return what every symbol has seen where all came from the exchange."""
    decider = decider_at(panel, tmp_path)
    assert [each.fault for each in warmed(decider, Exchange(panel), None)] == ["", ""]
    return seen_by(decider)


def seen_by(decider: Decider) -> dict[str, tuple[int, int, bytes]]:
    return {
        symbol: (each.bars_seen, each.history, each.state.tobytes())
        for symbol, each in decider.trackers.items()
    }


def test_database_and_exchange_together_give_what_the_exchange_alone_gives(
    panel: Panel, exchange: Exchange, database: Path, expected: dict, tmp_path: Path
) -> None:
    decider = decider_at(panel, tmp_path)
    done = warmed(decider, exchange, database)
    assert seen_by(decider) == expected
    assert [each.symbol for each in done] == list(panel.symbols)
    assert all(50 < each.fetched < 200 for each in done)  # two days, and the hole
    assert min(count for count, _, _ in expected.values()) > 900


def test_a_hole_that_the_exchange_confirmed_is_not_asked_for(
    panel: Panel, exchange: Exchange, database: Path, tmp_path: Path
) -> None:
    warmed(decider_at(panel, tmp_path), exchange, database)
    holes = [each for each in exchange.asked if each[1] is Timeframe.H1 and each[3] < CLOSE_MS - 3 * DAY_MS]
    assert len(holes) > 4
    with closing(open_writer(database)) as db:
        for symbol, timeframe, first, last in holes:
            settle_holes(db, timeframe, symbol, (first, last), [(first, last)], CLOSE_MS)
    asked, exchange.asked = exchange.asked, []
    warmed(decider_at(panel, tmp_path), exchange, database)
    assert exchange.asked == [each for each in asked if each not in holes]


@pytest.mark.parametrize("trouble", ["missing", "locked", "empty", "rubbish", "torn", "held"])
def test_no_trouble_with_the_database_stops_it(
    trouble: str, panel: Panel, exchange: Exchange, database: Path, expected: dict, tmp_path: Path
) -> None:
    holder = None
    if trouble == "missing":
        database.unlink()
    elif trouble == "locked":
        database.with_name("LOCKED").touch()
    elif trouble == "empty":
        database.write_bytes(b"")
    elif trouble == "rubbish":
        database.write_bytes(b"rubbish" * 10_000)
    elif trouble == "torn":
        content = bytearray(database.read_bytes())
        content[8_192 : len(content) // 2] = bytes(len(content) // 2 - 8_192)
        database.write_bytes(content)
    else:
        holder = sqlite3.connect(database)
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
    decider = decider_at(panel, tmp_path)
    assert [each.fault for each in warmed(decider, exchange, database)] == ["", ""]
    assert seen_by(decider) == expected
    if holder is not None:
        holder.close()


def test_what_is_remembered_is_not_stepped_over_again(
    panel: Panel, exchange: Exchange, expected: dict, tmp_path: Path
) -> None:
    first = decider_at(panel, tmp_path)
    warmed(first, exchange, None, close_ms=CLOSE_MS - 5 * HOUR_MS)
    first.decide(CLOSE_MS - 5 * HOUR_MS, FLAT, CLOSE_MS)
    maker, path = maker_of(first.rules, first.code), tmp_path / "memory"
    save_memory(path, first.trackers, maker=maker, anchor_ms=START_MS, anchor_days=40)
    memory, why = load_memory(path, maker=maker, anchor_days=40)
    assert why == ""
    again, exchange.asked = decider_at(panel, tmp_path), []
    done = warmed(again, exchange, None, memory=memory)
    assert all(each.bars <= 7 for each in done)
    assert min(first for _, _, first, _ in exchange.asked) >= CLOSE_MS - DAY_MS
    assert seen_by(again) == expected
    assert [line.symbol for line in again.decide(CLOSE_MS, FLAT, CLOSE_MS).decisions] == list(panel.symbols)


def test_a_symbol_that_cannot_be_fetched_costs_itself_and_comes_later(
    panel: Panel, exchange: Exchange, expected: dict, tmp_path: Path
) -> None:
    decider = decider_at(panel, tmp_path)
    exchange.down = {panel.symbols[0]}
    assert [each.fault for each in warmed(decider, exchange, None)] == [f"{panel.symbols[0]}: no answer", ""]
    assert list(decider.trackers) == [panel.symbols[1]]
    exchange.down = set()
    assert [each.symbol for each in warmed(decider, exchange, None)] == [panel.symbols[0]]
    assert seen_by(decider) == expected

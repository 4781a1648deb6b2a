"""Trades reach the database behind the journal, whatever happens to the database."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from futures_agent.live import projection as module
from futures_agent.live.projection import Projection
from futures_agent.settings.tree import DatabaseSettings
from futures_agent.store.database import open_reader, open_writer
from futures_agent.store.trades import OrderRow, TradeRow

TRADE = TradeRow(
    trade_id="a-1", symbol="BTCUSDT", timestamp=1, mode="paper", strategy="smc", side="LONG",
    quantity=0.5, entry_price=100.0, stop_price=98.0,
)  # fmt: skip
ORDER = OrderRow(
    client_order_id="cfa-a-1-E1", exchange_order_id=7, trade_id="a-1", symbol="BTCUSDT", timestamp=1,
    side="BUY", type="MARKET", status="FILLED", reduce_only=False, quantity=0.5, updated_at=2,
)  # fmt: skip


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(module, "BUFFER_S", 0.05)
    monkeypatch.setattr(module, "_BUSY_TIMEOUT_MS", 50)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "crypto_agent.db"
    open_writer(path).close()
    return path


class World:
    """A journal's rows, and a projection of them."""

    def __init__(self, database: Path) -> None:
        self.trades: list[TradeRow] = []
        self.orders: list[OrderRow] = []
        self.database = database
        self.projection = Projection(
            database, DatabaseSettings(), "paper", lambda: (list(self.trades), list(self.orders))
        )

    def happen(self, trade: TradeRow, *orders: OrderRow) -> None:
        self.trades = [each for each in self.trades if each.trade_id != trade.trade_id] + [trade]
        self.orders += orders
        self.projection.put([trade], list(orders))

    def stored(self) -> tuple[list[tuple], list[tuple]]:
        with contextlib.closing(open_reader(self.database)) as db:
            trades = list(db.execute("SELECT trade_id, exit_reason, net_pnl FROM trades ORDER BY trade_id"))
            return trades, list(db.execute("SELECT client_order_id, status FROM orders"))


@pytest.fixture
def world(database: Path):
    world = World(database)
    yield world
    world.projection.close(5.0)


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_the_journal_holds_is_written_at_the_start_and_what_happens_afterwards(world: World) -> None:
    world.trades, world.orders = [TRADE], [ORDER]
    world.projection.start()
    eventually(lambda: world.stored() == ([("a-1", None, None)], [("cfa-a-1-E1", "FILLED")]))
    eventually(lambda: world.projection.fault == "")
    world.happen(replace(TRADE, exit_reason="STOP", net_pnl=-1.25))
    eventually(lambda: world.stored()[0] == [("a-1", "STOP", -1.25)])


def test_closing_writes_what_waits(world: World) -> None:
    world.projection.start()
    world.happen(TRADE, ORDER)
    world.projection.close(10.0)
    assert world.stored()[0] == [("a-1", None, None)]


def test_a_locked_database_delays_and_loses_nothing(world: World) -> None:
    with contextlib.closing(open_writer(world.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        world.projection.start()
        world.happen(TRADE, ORDER)
        eventually(lambda: "another program" in world.projection.fault)
        other.execute("COMMIT")
    eventually(lambda: world.projection.fault == "")
    eventually(lambda: len(world.stored()[0]) == 1)


def test_recovery_holds_the_database(world: World) -> None:
    flag = world.database.with_name("LOCKED")
    flag.touch()
    world.projection.start()
    world.happen(TRADE)
    eventually(lambda: "LOCKED" in world.projection.fault)
    flag.unlink()
    eventually(lambda: len(world.stored()[0]) == 1)


def test_a_deleted_database_is_waited_for_and_gets_everything_again(world: World) -> None:
    world.projection.start()
    world.happen(TRADE, ORDER)
    eventually(lambda: len(world.stored()[0]) == 1)
    for path in world.database.parent.glob("crypto_agent.db*"):
        path.unlink()
    world.happen(replace(TRADE, trade_id="a-2"))
    eventually(lambda: "no database" in world.projection.fault)
    assert not world.database.exists()  # the jobs' to make
    open_writer(world.database).close()
    eventually(lambda: [row[0] for row in world.stored()[0]] == ["a-1", "a-2"])


def test_a_damaged_database_is_left_alone_until_it_is_replaced(world: World) -> None:
    world.projection.start()
    world.happen(TRADE, ORDER)
    eventually(lambda: len(world.stored()[0]) == 1)
    for path in world.database.parent.glob("crypto_agent.db-*"):
        path.unlink()
    world.database.write_bytes(b"not a database at all" * 500)
    world.happen(replace(TRADE, trade_id="a-2"))
    eventually(lambda: "not a SQLite database" in world.projection.fault)
    world.database.unlink()
    open_writer(world.database).close()
    eventually(lambda: len(world.stored()[0]) == 2)


def test_an_older_copy_put_in_its_place_is_noticed_without_anything_new(world: World) -> None:
    world.projection.start()
    world.happen(TRADE, ORDER)
    eventually(lambda: len(world.stored()[0]) == 1)
    with contextlib.closing(open_writer(world.database)) as db:
        db.execute("DELETE FROM orders; DELETE FROM trades")
    eventually(lambda: len(world.stored()[0]) == 1)


def test_a_newer_row_of_a_trade_replaces_one_that_waits(world: World) -> None:
    world.happen(TRADE)
    world.happen(replace(TRADE, exit_reason="TARGET", net_pnl=3.0))
    world.projection.start()
    eventually(lambda: world.stored()[0] == [("a-1", "TARGET", 3.0)])

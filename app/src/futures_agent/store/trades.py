"""The tables `trades` and `orders`: projections of the live trader's journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from futures_agent.store.database import database_errors


class TradeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `trades`; quote units, times in ms UTC, None while the position is open."""

    trade_id: str
    symbol: str
    timestamp: int  # entry
    mode: str  # paper, testnet, live
    strategy: str
    side: str  # LONG, SHORT
    quantity: float
    entry_price: float
    stop_price: float | None = None
    target_price: float | None = None
    exit_time: int | None = None
    exit_price: float | None = None
    exit_reason: str | None = None
    gross_pnl: float | None = None
    fees: float = 0.0
    funding: float = 0.0
    net_pnl: float | None = None


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `orders`."""

    client_order_id: str
    exchange_order_id: int | None
    trade_id: str | None
    symbol: str
    timestamp: int  # sent
    side: str  # BUY, SELL
    type: str
    status: str
    reduce_only: bool
    quantity: float
    price: float | None = None
    stop_price: float | None = None
    filled_quantity: float = 0.0
    average_price: float | None = None
    fees: float = 0.0
    updated_at: int = 0


def put_trades(db: apsw.Connection, trades: Iterable[TradeRow], orders: Iterable[OrderRow]) -> None:
    """Insert rows or replace what was stored of them, in one transaction.

    Parameters
    ----------
    db : apsw.Connection
        From `open_writer` with `Durability.TRADES`.

    Raises
    ------
    Retry, Corrupt, Refuse
        As `database_errors` says; nothing was written.
    """
    with database_errors(Path(db.filename)), db:
        _upsert(db, "trades", "trade_id", TradeRow, trades)
        _upsert(db, "orders", "client_order_id", OrderRow, orders)


def count_trades(db: apsw.Connection, mode: str) -> int:
    """Return how many trades of `mode` are stored."""
    with database_errors(Path(db.filename)):
        return int(db.execute("SELECT count(*) FROM trades WHERE mode = ?", (mode,)).get)


def _upsert(
    db: apsw.Connection, table: str, key: str, row: type[msgspec.Struct], rows: Iterable[msgspec.Struct]
) -> None:
    names: Sequence[str] = row.__struct_fields__
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name != key)
    sql = (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )
    values: Iterable[Any] = (msgspec.structs.astuple(each) for each in rows)
    db.executemany(sql, values)

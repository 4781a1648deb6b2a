"""The database's view of trades: written behind the journal, never in its way.

Rows wait half a second and go in together. A database that is locked, full, damaged or gone delays them
and nothing else: what waits is in memory, and all of it is in the journal. A database that has lost rows,
or was replaced by an older one, gets everything again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from futures_agent.errors import AgentError, Retry
from futures_agent.live.rows import Rows
from futures_agent.settings.tree import DatabaseSettings
from futures_agent.store.database import Durability, open_writer
from futures_agent.store.trades import OrderRow, TradeRow, count_trades, put_trades

_log = logging.getLogger(__name__)
BUFFER_S = 0.5
_LOOK_EVERY_S = 60.0  # whether the database still has what was written
_LONGEST_PAUSE_S = 30.0
_BUSY_TIMEOUT_MS = 2_000  # the jobs' transactions are short; the rows can wait


class Projection:
    """Writes rows from a thread of its own.

    Parameters
    ----------
    database : Path
    settings : DatabaseSettings
    mode : str
        Whose trades these are.
    everything : callable
        Returns all rows that should be there; called from the thread.
    """

    def __init__(
        self, database: Path, settings: DatabaseSettings, mode: str, everything: Callable[[], Rows]
    ) -> None:
        self._database = database
        self._settings = DatabaseSettings(settings.cache_mb, _BUSY_TIMEOUT_MS, settings.writer_lock_wait_s)
        self._mode = mode
        self._everything = everything
        self._trades: dict[str, TradeRow] = {}
        self._orders: dict[str, OrderRow] = {}
        self._written = 0  # trades that the database must have
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ending = threading.Event()
        self.fault = "not written yet"
        self._thread = threading.Thread(target=self._run, name="projection", daemon=True)

    def start(self) -> None:
        """Write everything, then what is put."""
        self._thread.start()

    def put(self, trades: list[TradeRow], orders: list[OrderRow]) -> None:
        """Have rows written soon; a newer one of a trade or order replaces one that still waits."""
        with self._lock:
            self._trades.update((row.trade_id, row) for row in trades)
            self._orders.update((row.client_order_id, row) for row in orders)
        self._wake.set()

    def close(self, wait_s: float) -> None:
        """Write what waits, if the database takes it within `wait_s`; the next start writes what is left."""
        self._ending.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(wait_s)

    def _run(self) -> None:
        pause_s, whole = 1.0, True
        looked_mono = time.monotonic()
        while True:
            try:
                self._write(whole=whole)
                self.fault, pause_s, whole = "", 1.0, False
            except AgentError as error:
                if str(error) != self.fault:
                    _log.warning("trades wait for the database: %s", error)
                self.fault = str(error)
                if self._ending.is_set():
                    return
                self._ending.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                whole = True  # it may come back as another one
                continue
            if self._ending.is_set() and not self._waiting:
                return
            self._wake.wait(_LOOK_EVERY_S)
            if self._wake.is_set():
                self._wake.clear()
                self._ending.wait(BUFFER_S)
            if time.monotonic() - looked_mono >= _LOOK_EVERY_S:
                looked_mono = time.monotonic()
                whole = self._has_lost_rows()

    @property
    def _waiting(self) -> bool:
        with self._lock:
            return bool(self._trades or self._orders)

    def _write(self, *, whole: bool) -> None:
        with self._lock:
            trades, orders = list(self._trades.values()), list(self._orders.values())
        if whole:
            all_trades, all_orders = self._everything()
            trades = list({row.trade_id: row for row in (*all_trades, *trades)}.values())
            orders = list({row.client_order_id: row for row in (*all_orders, *orders)}.values())
        if not (trades or orders or whole):
            return
        with contextlib.closing(self._open()) as db:
            if not whole and count_trades(db, self._mode) < self._written:
                raise Retry(f"{self._database}: it has lost trades, or was replaced by an older one")
            put_trades(db, trades, orders)
            self._written = count_trades(db, self._mode)
        with self._lock:
            for trade in trades:
                if self._trades.get(trade.trade_id) == trade:
                    del self._trades[trade.trade_id]
            for order in orders:
                if self._orders.get(order.client_order_id) == order:
                    del self._orders[order.client_order_id]

    def _has_lost_rows(self) -> bool:
        try:
            with contextlib.closing(self._open()) as db:
                return count_trades(db, self._mode) < self._written
        except AgentError as error:
            self.fault = str(error)
            return True

    def _open(self) -> apsw.Connection:
        # Made by the jobs, who own it: a file of the trader's would keep them out.
        if not self._database.exists():
            raise Retry(f"{self._database}: no database; data-sync makes it")
        return open_writer(self._database, self._settings, durability=Durability.TRADES)

"""What the trader says about itself: one small file, written again every other second."""

from __future__ import annotations

from pathlib import Path

import msgspec
import psutil

from futures_agent.files import write_atomically
from futures_agent.live.control import Pause

FILE = "status.json"


class PositionShown(msgspec.Struct, frozen=True, kw_only=True):
    """One open position."""

    symbol: str
    side: str  # LONG, SHORT
    quantity: float
    entry_price: float
    mark_price: float
    unrealized_pnl: float  # quote units
    stop_price: float  # 0: none is confirmed
    target_price: float  # 0: none
    since_ms: int
    protected: bool
    doing: str  # such as "open", "placing the stop"
    trade_id: str


class OrderShown(msgspec.Struct, frozen=True, kw_only=True):
    """One order of ours that is open, or of which nobody knows yet what became."""

    symbol: str
    client_id: str
    purpose: str  # entry, stop, target, exit
    side: str  # BUY, SELL
    state: str
    quantity: float
    price: float
    since_ms: int


class LiveStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The trader at one moment."""

    pid: int
    mode: str
    version: str
    started_ms: int  # host time
    written_ms: int  # host time
    exchange_now_ms: int
    phase: str  # starting, reconciling, warming up, trading, stopping
    strategy: str
    symbols: int
    excluded: dict[str, str]  # symbol: why the strategy does not decide on it
    ages_s: dict[str, float]  # of the heartbeat's parts
    stale: list[str]  # parts that are older than they may be
    last_close_ms: int  # newest decision close; 0: none yet
    equity: float
    wallet: float
    positions: list[PositionShown]
    orders: list[OrderShown]
    paused: Pause | None
    kill_switch: bool
    daily_loss_hit: bool
    opens_nothing: str  # why nothing is opened now; empty: it may
    incidents: int  # since the start
    fills: int
    rejections: dict[str, int]
    database: str  # "ok", or why trades wait to be written to it


def write_status(directory: Path, status: LiveStatus) -> None:
    """Write it for everybody who may read the directory (Retry, Refuse: the disk does not take it)."""
    write_atomically(directory / FILE, msgspec.json.encode(status) + b"\n", durable=False)


def read_status(directory: Path) -> LiveStatus | None:
    """Return what the trader wrote last; None where there is nothing that can be read."""
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=LiveStatus)
    except (OSError, msgspec.DecodeError):
        return None


def is_running(status: LiveStatus) -> bool:
    """Say whether the process that wrote it still runs."""
    try:
        return psutil.Process(status.pid).create_time() * 1000 <= status.started_ms + 1000
    except psutil.Error:
        return False

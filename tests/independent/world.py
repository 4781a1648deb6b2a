"""What the outside checker is given: plain numbers and texts, no type of the product."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple


class Bar(NamedTuple):
    """One candle; `time` is its open, ms UTC, volume is in base units."""

    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Contract(NamedTuple):
    """The exchange's rules for one symbol."""

    tick: float
    step: float
    min_quantity: float
    max_quantity: float
    min_notional: float
    liquidation_fee: float


class Trade(NamedTuple):
    """One row of a result's trade list."""

    symbol: str
    side: str
    quantity: float
    entry_time: int
    entry_price: float
    exit_time: int
    exit_price: float
    exit_reason: str
    stop_price: float
    target_price: float
    gross_pnl: float
    fees: float
    liquidation_fee: float
    funding: float
    net_pnl: float
    slippage: float

    @property
    def sign(self) -> int:
        return {"long": 1, "short": -1}[self.side]


class Point(NamedTuple):
    """One row of a result's equity curve; `time` is the close of the bar, ms UTC."""

    time: int
    equity: float
    notional: float
    positions: int


class World(NamedTuple):
    """A whole result, and everything it was made from but the strategy."""

    bar_ms: int
    bars: dict[str, list[Bar]]  # in the order in which the symbols take their turn
    finer_ms: int
    finer: dict[str, list[Bar]]
    funding: dict[str, list[tuple[int, float]]]
    contracts: dict[str, Contract]
    risk: dict[str, float]  # by the names of the settings, as are the costs
    costs: dict[str, float]
    initial_equity: float
    trades: list[Trade]
    equity: list[Point]


def row_at(bars: list[Bar], time: int) -> int:
    """Return the row of the first bar that opens at `time` or later."""
    return bisect_left(bars, (time,))

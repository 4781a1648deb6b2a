"""What a simulation leaves behind: trades, the equity curve, and why entries were refused."""

from __future__ import annotations

from enum import IntEnum

import msgspec
import numpy as np
from numpy.typing import NDArray


class ExitReason(IntEnum):
    """Why a position was closed."""

    SIGNAL = 1  # the strategy said so (an opposite signal reverses)
    STOP = 2
    TARGET = 3
    LIQUIDATION = 4
    END = 5  # still open at the end of the run; closed at the last close
    DATA_ENDED = 6  # the symbol's candles end before the run does (delisted); closed at its last close


# One closed trade. Times are ms UTC (the open time of the bar that filled it); money is in quote units.
TRADE = np.dtype(
    [
        ("symbol", np.int32),  # index into the simulation's symbols
        ("side", np.int8),  # +1 long, -1 short
        ("quantity", np.float64),  # base units, > 0
        ("entry_time", np.int64),
        ("entry_price", np.float64),
        ("exit_time", np.int64),
        ("exit_price", np.float64),
        ("exit_reason", np.int8),
        ("stop_price", np.float64),  # as placed at entry; 0 = none
        ("target_price", np.float64),  # as placed at entry; 0 = none
        ("gross_pnl", np.float64),  # price move × quantity
        ("fees", np.float64),  # entry + exit + liquidation fee, ≥ 0
        ("liquidation_fee", np.float64),  # in fees already
        ("funding", np.float64),  # received (+) or paid (−)
        ("net_pnl", np.float64),  # gross_pnl − fees + funding
        ("slippage", np.float64),  # what fills worse than the market's price cost; in gross_pnl already
        ("reasons", np.int64),  # of the entry, see Strategy.reasons
    ]
)

# The portfolio after each decision bar.
EQUITY = np.dtype(
    [
        ("timestamp", np.int64),  # close of the bar, ms UTC
        ("equity", np.float64),  # cash + unrealised
        ("notional", np.float64),  # Σ |position| × close
        ("positions", np.int32),
    ]
)


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """One simulated run of a strategy over a panel of candles."""

    symbols: tuple[str, ...]
    timeframe: str  # decision timeframe, e.g. "H1"
    initial_equity: float
    trades: NDArray[np.void]  # TRADE, in order of exit
    equity: NDArray[np.void]  # EQUITY, one per decision bar time
    rejections: dict[str, int]  # named reason -> entries refused
    candles: int  # candles stepped through, all timeframes
    tripped_ms: int | None = None  # close at which the drawdown kill switch tripped, ms UTC
    warnings: tuple[str, ...] = ()

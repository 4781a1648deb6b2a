"""Isolated margin: where a position is taken away.

Each position is backed by its own margin, entry notional / leverage. What a liquidation loses beyond that
margin is the exchange's (its insurance fund), so one symbol cannot drag the shared account down with it.
The exchange judges by the mark price, which wicks less than the traded prices that candles hold.
"""

from __future__ import annotations

from futures_agent.compiled import kernel

# `maintMarginPercent` of Binance USDⓈ-M exchangeInfo. The lowest brackets of liquid symbols ask for less
# (0.4 % for BTCUSDT): a simulated position is liquidated rather early than late.
MAINTENANCE_MARGIN = 0.025


@kernel
def liquidation_price(side: int, entry_price: float, leverage: float) -> float:
    """Return the price at which margin + unrealised PnL has fallen to the maintenance margin.

    Solves E/L + s·(P − E) = P·m for P. Not positive where a long cannot be liquidated (leverage ≤ 1).
    """
    return (entry_price - side * entry_price / leverage) / (1.0 - side * MAINTENANCE_MARGIN)


@kernel
def bankruptcy_price(side: int, entry_price: float, leverage: float) -> float:
    """Return the price at which the loss equals the margin; no liquidation fills beyond it."""
    return entry_price - side * entry_price / leverage

"""The venue's fills as round trips, and how they differ from a backtest's trades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from futures_agent.backtest.records import ExitReason
from futures_agent.clock import HOUR_MS, utc_text

CENT = 0.01
_BY_PURPOSE = {"S": ExitReason.STOP, "T": ExitReason.TARGET, "X": ExitReason.SIGNAL}


class RoundTrip(NamedTuple):
    """One position at the venue, from flat to flat; prices are averages, money in quote units."""

    symbol: str
    side: int
    quantity: Decimal
    entry_bar_ms: int
    entry_price: Decimal
    exit_bar_ms: int
    exit_price: Decimal
    reason: ExitReason
    gross: Decimal
    fees: Decimal
    funding: Decimal


def round_trips(
    fills: Sequence[Any], incomes: Sequence[Any], names: dict[tuple[str, int], str]
) -> list[RoundTrip]:
    """Return the closed positions that the venue's `fills` make, by entry.

    Parameters
    ----------
    fills, incomes : sequence
        The account's, oldest first.
    names : dict
        (symbol, order id) → client id, by which the exit's reason is told.
    """
    trips, open_parts = [], {}
    for fill in fills:
        sign = 1 if fill.side == "BUY" else -1
        parts = open_parts.setdefault(fill.symbol, [])
        parts.append((fill, sign))
        if sum((sign * part.quantity for part, sign in parts), Decimal(0)) == 0:
            trips.append(_trip(fill.symbol, parts, incomes, names))
            open_parts[fill.symbol] = []
    return sorted(trips, key=lambda trip: (trip.entry_bar_ms, trip.symbol))


def _trip(symbol: str, parts: list[Any], incomes: Sequence[Any], names: dict[Any, str]) -> RoundTrip:
    side = parts[0][1]
    entries = [fill for fill, sign in parts if sign == side]
    exits = [fill for fill, sign in parts if sign != side]
    quantity = sum((fill.quantity for fill in entries), Decimal(0))
    begin_ms, end_ms = entries[0].time_ms, exits[-1].time_ms
    # A bar's own funding is settled before what its open brings: who enters at the hour does not pay it.
    paid = (
        income.amount
        for income in incomes
        if income.type == "FUNDING_FEE" and income.symbol == symbol and begin_ms < income.time_ms <= end_ms
    )
    client_id = names[symbol, exits[-1].order_id]
    purpose = client_id.rpartition("-")[2][:1]
    reason = _BY_PURPOSE.get(purpose, ExitReason.LIQUIDATION)
    return RoundTrip(
        symbol=symbol,
        side=side,
        quantity=quantity,
        entry_bar_ms=begin_ms - begin_ms % HOUR_MS,
        entry_price=sum((fill.price * fill.quantity for fill in entries), Decimal(0)) / quantity,
        exit_bar_ms=end_ms - end_ms % HOUR_MS,
        exit_price=sum((fill.price * fill.quantity for fill in exits), Decimal(0)) / quantity,
        reason=reason,
        gross=sum((fill.realized_pnl for fill in exits), Decimal(0)),
        fees=sum((fill.fee for fill, _ in parts), Decimal(0)),
        funding=sum(paid, Decimal(0)),
    )


def differences(trips: Sequence[RoundTrip], trades: NDArray[np.void], symbols: Sequence[str]) -> list[str]:
    """Return what differs, one line each; empty where every trade is the same.

    Parameters
    ----------
    trades : ndarray of TRADE
        Closed ones of the backtest; those that its end closed are left out.
    """
    wanted = trades[trades["exit_reason"] != ExitReason.END]
    order = sorted(
        range(len(wanted)), key=lambda row: (wanted[row]["entry_time"], symbols[wanted[row]["symbol"]])
    )
    expected = [wanted[row] for row in order]
    found = []
    if len(expected) != len(trips):
        found.append(f"{len(trips)} round trips at the venue, {len(expected)} trades in the backtest")
    for trip, trade in zip(trips, expected, strict=False):
        facts = {
            "symbol": (trip.symbol, symbols[trade["symbol"]]),
            "side": (trip.side, int(trade["side"])),
            "entry": (trip.entry_bar_ms, int(trade["entry_time"])),
            "exit": (trip.exit_bar_ms, int(trade["exit_time"])),
            "reason": (trip.reason.name, ExitReason(trade["exit_reason"]).name),
            "quantity": (float(trip.quantity), float(trade["quantity"])),
            "entry price": (float(trip.entry_price), float(trade["entry_price"])),
            "exit price": (float(trip.exit_price), float(trade["exit_price"])),
        }
        wrong = [f"{name} {mine} ≠ {theirs}" for name, (mine, theirs) in facts.items() if mine != theirs]
        for name, mine, theirs in (
            ("gross", trip.gross, trade["gross_pnl"]),
            ("fees", trip.fees, trade["fees"]),
            ("funding", trip.funding, trade["funding"]),
        ):
            if abs(float(mine) - float(theirs)) >= CENT:
                wrong.append(f"{name} {mine} ≠ {theirs:.6f}")
        if wrong:
            found.append(f"{trip.symbol} entered {utc_text(trip.entry_bar_ms)}: {', '.join(wrong)}")
    return found


def equity_differences(told: Mapping[int, float], equity: NDArray[np.void]) -> list[str]:
    """Return the first close at which the trader took the account for worth something else, if any.

    Parameters
    ----------
    told : mapping
        Equity by close, ms UTC, as the trader logged it.
    equity : ndarray of EQUITY
        Of the backtest.
    """
    for row in equity[:-1]:  # at the last close the backtest's end closes what is open
        close_ms, worth = int(row["timestamp"]), float(row["equity"])
        if close_ms not in told:
            return [f"nothing was decided at {utc_text(close_ms)}"]
        if abs(told[close_ms] - worth) >= CENT:
            return [f"equity at {utc_text(close_ms)}: {told[close_ms]:.6f} ≠ {worth:.6f}"]
    return []

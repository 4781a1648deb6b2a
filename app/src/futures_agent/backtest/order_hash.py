"""One digest for everything a simulation bought and sold: two runs that traded alike have the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from futures_agent.backtest.records import ExitReason, Simulation


def order_list(simulation: Simulation) -> Iterator[str]:
    """Yield one line per trade, in order of exit: both its orders as they filled, and what was placed.

    Prices and quantities are written with as many digits as tell one float64 from the next, so that equal
    lines mean equal bits, on any platform.
    """
    reasons = {int(reason): reason.name for reason in ExitReason}
    for trade in simulation.trades:
        yield " ".join(
            (
                simulation.symbols[int(trade["symbol"])],
                "LONG" if trade["side"] > 0 else "SHORT",
                f"quantity={_digits(trade['quantity'])}",
                f"entry={int(trade['entry_time'])}@{_digits(trade['entry_price'])}",
                f"stop={_digits(trade['stop_price'])}",
                f"target={_digits(trade['target_price'])}",
                f"exit={int(trade['exit_time'])}@{_digits(trade['exit_price'])}",
                reasons[int(trade["exit_reason"])],
            )
        )


def order_list_hash(simulation: Simulation) -> str:
    """Return the SHA-256 of the lines of `order_list`, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for line in order_list(simulation):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _digits(value: float) -> str:
    return repr(float(value))

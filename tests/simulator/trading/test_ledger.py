"""The ledger keeps its newest lines, and the sums and the digest of all of them."""

from __future__ import annotations

import hashlib
from decimal import Decimal

from futures_agent.simulator.trading.ledger import Ledger


def filled(ledger: Ledger) -> Ledger:
    """Return `ledger` with seven entries in it."""
    for number in range(5):
        ledger.record(number, 1, "COMMISSION", asset="USDT", amount=Decimal("-0.1"))
    for side, quantity in (("BUY", "0.3"), ("SELL", "0.1")):
        ledger.record(9, 1, "FILL", symbol="A", position_side="BOTH", side=side, quantity=Decimal(quantity))
    return ledger


def test_the_newest_lines_are_kept_and_everything_counts() -> None:
    written: list[bytes] = []
    short, whole = filled(Ledger(lines_kept=2, write=written.append)), filled(Ledger())
    assert (len(short), short.kept) == (len(whole), 2) == (7, 2)
    assert short.lines() == whole.lines(after=5) == written[5:]
    assert short.lines(after=6) == whole.lines(after=6) == written[6:]
    assert short.lines(after=3) == written[5:]
    assert written == whole.lines()
    assert [entry["n"] for entry in short.entries()] == [6, 7]
    assert not list(short.entries("COMMISSION"))
    assert short.digest() == hashlib.sha256(b"".join(line + b"\n" for line in written)).hexdigest()
    assert (
        short.balances()[1, "USDT"]["COMMISSION"] == short.balances()[1, "USDT"]["wallet"] == Decimal("-0.5")
    )
    assert short.position_sizes() == {(1, "A", "BOTH"): Decimal("0.2")}


def test_sums_are_handed_out_as_copies() -> None:
    ledger = filled(Ledger())
    ledger.balances()[1, "USDT"]["wallet"] = Decimal(7)
    ledger.position_sizes().clear()
    assert ledger.balances()[1, "USDT"]["wallet"] == Decimal("-0.5")
    assert ledger.position_sizes()

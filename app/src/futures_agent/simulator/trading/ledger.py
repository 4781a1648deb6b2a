"""The venue's own record of everything that happened: append-only, exact, the same bytes every time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from futures_agent.simulator.trading.records import ZERO

# Every way money moves; a wallet is the sum of these over its account and asset.
MONEY_KINDS = ("TRANSFER", "REALIZED_PNL", "COMMISSION", "FUNDING_FEE", "INSURANCE_CLEAR")


class Ledger:
    """Entries as JSON lines, oldest first.

    Every entry has `n` (from 1), `t` (ms UTC), `a` (account id, 0 the venue) and `kind`. Those of
    MONEY_KINDS carry `asset`, `amount` (commissions paid are negative) and `wallet`, the balance after it.
    """

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._digest = hashlib.sha256()

    def __len__(self) -> int:
        return len(self._lines)

    def record(self, time_ms: int, account_id: int, kind: str, **fields: Any) -> None:
        """Append one entry; `fields` are JSON values, decimals or structs."""
        entry = {"n": len(self._lines) + 1, "t": time_ms, "a": account_id, "kind": kind, **fields}
        line = msgspec.json.encode(entry)
        self._lines.append(line)
        self._digest.update(line + b"\n")

    def digest(self) -> str:
        """Return the SHA-256 of all lines, hexadecimal."""
        return self._digest.hexdigest()

    def lines(self, after: int = 0) -> list[bytes]:
        """Return the lines of the entries numbered above `after`, without line ends."""
        return self._lines[after:]

    def entries(self, kind: str = "") -> Iterator[dict[str, Any]]:
        """Return the entries, of one kind or all; decimals are texts."""
        for line in self._lines:
            entry = msgspec.json.decode(line)
            if not kind or entry["kind"] == kind:
                yield entry

    def balances(self) -> dict[tuple[int, str], dict[str, Decimal]]:
        """Return, by (account id, asset), what each of MONEY_KINDS adds up to, and `wallet`, their sum."""
        sums: dict[tuple[int, str], dict[str, Decimal]] = {}
        for entry in self.entries():
            if entry["kind"] in MONEY_KINDS:
                key = (entry["a"], entry["asset"])
                row = sums.setdefault(key, dict.fromkeys((*MONEY_KINDS, "wallet"), ZERO))
                row[entry["kind"]] += Decimal(entry["amount"])
                row["wallet"] += Decimal(entry["amount"])
        return sums

    def position_sizes(self) -> dict[tuple[int, str, str], Decimal]:
        """Return, by (account id, symbol, position side), what the fills add up to; > 0 is long."""
        sizes: dict[tuple[int, str, str], Decimal] = {}
        for entry in self.entries("FILL"):
            key = (entry["a"], entry["symbol"], entry["position_side"])
            signed = Decimal(entry["quantity"]) * (1 if entry["side"] == "BUY" else -1)
            sizes[key] = sizes.get(key, ZERO) + signed
        return sizes

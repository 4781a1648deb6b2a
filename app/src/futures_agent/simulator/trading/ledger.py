"""The venue's own record of everything that happened: append-only, exact, the same bytes every time."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec

from futures_agent.simulator.trading.records import ZERO

# Every way money moves; a wallet is the sum of these over its account and asset.
MONEY_KINDS = ("TRANSFER", "REALIZED_PNL", "COMMISSION", "FUNDING_FEE", "INSURANCE_CLEAR")
LINES_KEPT = 10_000  # some 3 MB


class Ledger:
    """Entries as JSON lines, oldest first; the newest are kept, and the sums and the digest of all.

    Every entry has `n` (from 1), `t` (ms UTC), `a` (account id, 0 the venue) and `kind`. Those of
    MONEY_KINDS carry `asset`, `amount` (commissions paid are negative) and `wallet`, the balance after it.

    Parameters
    ----------
    lines_kept : int
        How many of the newest lines stay in memory.
    write : callable, optional
        Takes every line, without its end, as it is appended.
    """

    def __init__(self, *, lines_kept: int = LINES_KEPT, write: Callable[[bytes], None] | None = None) -> None:
        self._newest: deque[bytes] = deque(maxlen=lines_kept)
        self._write = write
        self._count = 0
        self._digest = hashlib.sha256()
        self._sums: dict[tuple[int, str], dict[str, Decimal]] = {}
        self._sizes: dict[tuple[int, str, str], Decimal] = {}

    def __len__(self) -> int:
        """Return the number of entries, those among them that are not kept."""
        return self._count

    @property
    def kept(self) -> int:
        """How many of the entries, the newest ones, are in memory."""
        return len(self._newest)

    def record(self, time_ms: int, account_id: int, kind: str, **fields: Any) -> None:
        """Append one entry; `fields` are JSON values, decimals or structs."""
        self._count += 1
        line = msgspec.json.encode({"n": self._count, "t": time_ms, "a": account_id, "kind": kind, **fields})
        self._newest.append(line)
        self._digest.update(line + b"\n")
        if self._write is not None:
            self._write(line)
        if kind in MONEY_KINDS:
            self._add_money(account_id, kind, fields["asset"], fields["amount"])
        elif kind == "FILL":
            signed = fields["quantity"] if fields["side"] == "BUY" else -fields["quantity"]
            key = (account_id, fields["symbol"], fields["position_side"])
            self._sizes[key] = self._sizes.get(key, ZERO) + signed

    def digest(self) -> str:
        """Return the SHA-256 of all lines, each with its line end, hexadecimal."""
        return self._digest.hexdigest()

    def lines(self, after: int = 0) -> list[bytes]:
        """Return the kept lines of the entries numbered above `after`, without line ends."""
        forgotten = self._count - len(self._newest)
        return list(islice(self._newest, max(after - forgotten, 0), None))

    def entries(self, kind: str = "") -> Iterator[dict[str, Any]]:
        """Return the kept entries, of one kind or all; decimals are texts."""
        for line in self._newest:
            entry = msgspec.json.decode(line)
            if not kind or entry["kind"] == kind:
                yield entry

    def balances(self) -> dict[tuple[int, str], dict[str, Decimal]]:
        """Return, by (account id, asset), what each of MONEY_KINDS adds up to, and `wallet`, their sum.

        Of all entries, kept or not; the same holds for `position_sizes`.
        """
        return {key: dict(row) for key, row in self._sums.items()}

    def position_sizes(self) -> dict[tuple[int, str, str], Decimal]:
        """Return, by (account id, symbol, position side), what the fills add up to; > 0 is long."""
        return dict(self._sizes)

    def _add_money(self, account_id: int, kind: str, asset: str, amount: Decimal) -> None:
        row = self._sums.setdefault((account_id, asset), dict.fromkeys((*MONEY_KINDS, "wallet"), ZERO))
        row[kind] += amount
        row["wallet"] += amount

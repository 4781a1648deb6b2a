"""Names of trades and orders: the same decision always gets the same ones.

`cfa-TRADE-PURPOSE ATTEMPT`, such as `cfa-1f0a2b3c-h8k2lz-S1`; at most 36 characters of what the exchange
allows in client ids.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

from futures_agent.clock import MINUTE_MS

PREFIX = "cfa-"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Purpose(StrEnum):
    """What an order is for."""

    ENTRY = "E"
    STOP = "S"
    TARGET = "T"
    EXIT = "X"


def trade_id_of(symbol: str, decided_ms: int) -> str:
    """Return the name of the trade decided for `symbol` at a bar's close."""
    return f"{_symbol_digest(symbol)}-{_base36(decided_ms // MINUTE_MS)}"


def adopted_id_of(symbol: str, found_ms: int) -> str:
    """Return the name of a trade that nobody decided: a position that was found."""
    return f"{_symbol_digest(symbol)}-a{_base36(found_ms)}"


def client_id_of(trade_id: str, purpose: Purpose, attempt: int) -> str:
    return f"{PREFIX}{trade_id}-{purpose}{attempt}"


def purpose_of(client_id: str) -> Purpose | None:
    """Return what an order of ours is for; None for an order of others."""
    if not client_id.startswith(PREFIX):
        return None
    letter = client_id.rpartition("-")[2][:1]
    return Purpose(letter) if letter in set(Purpose) else None


def is_ours(client_id: str) -> bool:
    return client_id.startswith(PREFIX)


def system_exit(client_id: str) -> str:
    """Return why the exchange itself traded for us; empty where it did not.

    Source: Binance USDⓈ-M "Event: Order Update", special client order ids.
    """
    for prefix, reason in _SYSTEM:
        if client_id.startswith(prefix):
            return reason
    return ""


_SYSTEM = (("autoclose-", "LIQUIDATION"), ("adl_autoclose", "ADL"), ("settlement_autoclose-", "SETTLEMENT"))


def _symbol_digest(symbol: str) -> str:
    return hashlib.blake2b(symbol.encode(), digest_size=4).hexdigest()


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"

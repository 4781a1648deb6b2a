"""The name of a trade: it follows from symbol and deciding close, so that one decision is one trade."""

from __future__ import annotations

import hashlib

from futures_agent.clock import MINUTE_MS

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def trade_id_of(symbol: str, decided_ms: int) -> str:
    """Return the id of the trade that the close at `decided_ms` (ms UTC) opens on `symbol`.

    Returns
    -------
    str
        Eight hexadecimal digits of the symbol, `-`, and the minutes since 1970 in base 36: symbols may hold
        characters that no client order id can.
    """
    minutes, text = decided_ms // MINUTE_MS, ""
    while minutes:
        minutes, digit = divmod(minutes, 36)
        text = _DIGITS[digit] + text
    return f"{hashlib.blake2b(symbol.encode(), digest_size=4).hexdigest()}-{text or '0'}"

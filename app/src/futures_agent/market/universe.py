"""Which contracts are followed: what the exchange says of each, and why one is left out.

Pure: the exchange's list is handed over.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from enum import Enum

import msgspec

from futures_agent.clock import utc_text
from futures_agent.market.instrument import Instrument

# Statuses on the way out; what is neither here, TRADING nor waiting may come back (TRADING_HALT, news).
_LEAVING = frozenset("PRE_DELIVERING DELIVERING DELIVERED PRE_SETTLE SETTLING CLOSE".split())
_WAITING = "PENDING_TRADING"


class Standing(Enum):
    """What a symbol is to the agent; all but TRADING are excluded from coverage, their history is kept."""

    TRADING = "trading"
    PENDING = "pending"  # listed, not trading yet
    HALTED = "halted"
    DORMANT = "dormant"  # trading, but nobody trades it
    DELISTED = "delisted"
    RENAMED = "renamed"  # goes on under another name
    UNSUITABLE = "unsuitable"  # no USDT-quoted coin perpetual with usable filters
    UNKNOWN = "unknown"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol, what it is to the agent, and since when it is seen to be so."""

    symbol: str
    standing: Standing
    reason: str = ""  # empty while trading
    since_ms: int = 0  # exchange time

    @property
    def excluded(self) -> bool:
        """Whether it is left out of coverage."""
        return self.standing is not Standing.TRADING

    @property
    def why(self) -> str:
        """Why it is left out, and since when, for a person."""
        return f"{self.standing.value} since {utc_text(self.since_ms)}: {self.reason}"


def standing_of(
    symbol: str,
    instruments: Mapping[str, Instrument],
    untradable: Mapping[str, str],
    *,
    known: Container[str],
    renames: Mapping[str, str],
) -> Member:
    """Return what `symbol` is, by the exchange's own list.

    Parameters
    ----------
    instruments, untradable : mapping
        The exchange's contracts, and why it is that some of them cannot be traded.
    known : container of str
        Symbols that were listed before: one of these that is gone was delisted, another is a mistake.
    renames : mapping
        Old name → new name.
    """

    def member(standing: Standing, reason: str = "") -> Member:
        return Member(symbol=symbol, standing=standing, reason=reason)

    listed = instruments.get(symbol)
    if listed is not None and listed.tradable:
        return member(Standing.TRADING)
    if renames.get(symbol) in instruments:
        return member(Standing.RENAMED, f"now {renames[symbol]}")
    reason = untradable.get(symbol, "")
    if listed is None:
        if reason:
            return member(Standing.UNSUITABLE, reason)
        if symbol in known:
            return member(Standing.DELISTED, "no longer listed; if it was renamed, set data.renames")
        return member(Standing.UNKNOWN, "unknown to the exchange")
    if listed.status == "TRADING":
        return member(Standing.UNSUITABLE, reason)
    if listed.status == _WAITING:
        return member(Standing.PENDING, reason)
    return member(Standing.DELISTED if listed.status in _LEAVING else Standing.HALTED, reason)

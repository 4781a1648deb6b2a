"""The order book's best prices: what `bookTicker` tells, and what limit orders meet with `path="ticks"`."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple
from zlib import crc32

import numpy as np

from futures_agent.simulator.listing import Listing
from futures_agent.simulator.noise import uniform
from futures_agent.simulator.trading.records import ZERO

_TYPICAL_NOTIONAL = 20_000  # quote units, the most that waits at a best price


class Best(NamedTuple):
    """The best prices, quote units, and what waits there, base units."""

    bid: Decimal
    ask: Decimal
    bid_quantity: Decimal = ZERO
    ask_quantity: Decimal = ZERO

    def taken_by(self, sign: int) -> tuple[Decimal, Decimal]:
        """Return price and quantity that a buyer (+1) or a seller (−1) meets."""
        return (self.ask, self.ask_quantity) if sign > 0 else (self.bid, self.bid_quantity)


def best_of(listing: Listing, last: Decimal, half_spread: Decimal, now_ms: int) -> Best:
    """Return the best prices half a spread (a share) to either side of `last` > 0, on the tick."""
    tick, step = (Decimal(1).scaleb(-decimals) for decimals in (listing.grid.price, listing.grid.volume))
    draws = uniform(crc32(listing.symbol.encode()), np.array([2 * now_ms, 2 * now_ms + 1]))
    typical = _TYPICAL_NOTIONAL / float(last)
    bid_quantity, ask_quantity = (
        Decimal(f"{max(typical * float(share), float(step)):.{listing.grid.volume}f}") for share in draws
    )
    return Best(
        bid=max((last * (1 - half_spread)).quantize(tick, ROUND_FLOOR), tick),
        ask=(last * (1 + half_spread)).quantize(tick, ROUND_CEILING),
        bid_quantity=bid_quantity,
        ask_quantity=ask_quantity,
    )

"""What is to be done about one symbol, and from when on: a function of its state alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from futures_agent.exchange.orders import Request
from futures_agent.live.records import Record, Sent


class Want(NamedTuple):
    """Something to be done from `at_ms` on; `make` returns its record for the time that it is then."""

    at_ms: int
    make: Callable[[int], Record]


Wants = Iterator[Want]


def send(at_ms: int, trade_id: str, request: Request) -> Want:
    """Want `request` sent from `at_ms` on."""
    return Want(at_ms, lambda now_ms: Sent(at_ms=now_ms, request=request, trade_id=trade_id))


def backoff_ms(first_ms: int, times: int, limit_ms: int) -> int:
    """Return the wait after the `times`-th attempt: `first_ms` doubled each time, up to a limit."""
    return min(first_ms << min(max(times - 1, 0), 16), limit_ms)

"""Faults on demand: what the next requests are answered instead of the truth."""

from __future__ import annotations

import json
import threading
from typing import Annotated

from msgspec import Meta, Struct

from futures_agent.clock import MINUTE_MS

_BANNED = (
    "Way too much request weight used; IP banned until {until}. "
    "Please use the websocket for live updates to avoid bans."
)
_TOO_MANY = (
    "Too many requests; current limit is {limit} requests per minute. "
    "Please use the websocket for live updates to avoid polling the API."
)
_TIMED_OUT = (
    "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
)
# What the exchange says with each status (code, text); a status missing here gets an HTML page, as
# gateways and firewalls send them.
_TEXTS = {
    408: (-1007, _TIMED_OUT),
    418: (-1003, _BANNED),
    429: (-1003, _TOO_MANY),
    500: (-1000, "An unknown error occured while processing the request."),
    503: (-1001, "Internal error; unable to process your request. Please try again."),
}


def exchange_error(code: int, text: str) -> bytes:
    """Return the body of an error answer."""
    return json.dumps({"code": code, "msg": text}, separators=(",", ":"), ensure_ascii=False).encode()


def refusal_body(status: int, *, limit: int, until_ms: int) -> bytes:
    """Return the exchange's body for `status`; `limit` (weight per minute) and `until_ms` go into it."""
    if status not in _TEXTS:
        return f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>".encode()
    code, text = _TEXTS[status]
    return exchange_error(code, text.format(limit=limit, until=until_ms))


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answer the next `count` requests with `status`.

    Attributes
    ----------
    path : str
        Only requests to this path; empty for all.
    body : str
        Sent as it is; empty for the exchange's own text of that status.
    retry_after_s : int, optional
        Adds a Retry-After header.
    """

    status: Annotated[int, Meta(ge=400, le=599)]
    count: Annotated[int, Meta(ge=1)] = 1
    path: str = ""
    body: str = ""
    retry_after_s: int | None = None

    def text(self, *, limit: int, now_ms: int) -> bytes:
        """Return the body to send."""
        until_ms = now_ms + (2 * MINUTE_MS if self.retry_after_s is None else self.retry_after_s * 1000)
        return self.body.encode() or refusal_body(self.status, limit=limit, until_ms=until_ms)


class FaultPlan:
    """The faults still to come, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[tuple[Fault, int]] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._pending.append((fault, fault.count))

    def clear(self) -> None:
        with self._lock:
            self._pending.clear()

    def pending(self) -> int:
        """Return how many answers are still to be spoilt."""
        with self._lock:
            return sum(left for _, left in self._pending)

    def take(self, path: str) -> Fault | None:
        """Return the fault that hits a request to `path`, and use it up."""
        with self._lock:
            for at, (fault, left) in enumerate(self._pending):
                if fault.path in ("", path):
                    if left == 1:
                        del self._pending[at]
                    else:
                        self._pending[at] = (fault, left - 1)
                    return fault
        return None

"""Faults on demand: what the next requests are answered instead of the truth."""

from __future__ import annotations

import json
import threading
from typing import Annotated, Any, Literal

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
    """Spoil the answers to the next `count` requests.

    Attributes
    ----------
    how : str
        `refused` answers `status` instead of the truth. The others spoil the true answer: it comes
        `late` by `delay_ms`, the connection ends in the middle of it (`broken off`), its JSON is
        `cut short`, numbers and texts are swapped (`wrong types`), or the newest row of a list is
        missing (`last row absent`) or not the final one (`last row different`).
    path : str
        Only requests to this path; empty for all.
    body : str
        Sent as it is; empty for the exchange's own text of that status.
    retry_after_s : int, optional
        Adds a Retry-After header.
    delay_ms : float
        Host milliseconds before a `late` answer.
    """

    how: Literal[
        "refused", "late", "broken off", "cut short", "wrong types", "last row absent", "last row different"
    ] = "refused"
    status: Annotated[int, Meta(ge=400, le=599)] = 503
    count: Annotated[int, Meta(ge=1)] = 1
    path: str = ""
    body: str = ""
    retry_after_s: int | None = None
    delay_ms: Annotated[float, Meta(ge=0, le=600_000)] = 1_000.0

    def text(self, *, limit: int, now_ms: int) -> bytes:
        """Return the body to send."""
        until_ms = now_ms + (2 * MINUTE_MS if self.retry_after_s is None else self.retry_after_s * 1000)
        return self.body.encode() or refusal_body(self.status, limit=limit, until_ms=until_ms)

    def spoilt(self, body: bytes) -> bytes:
        """Return the true answer `body` as this fault leaves it."""
        if self.how == "cut short":
            return body[: len(body) // 2]
        if self.how == "wrong types":
            return json.dumps(_swapped(json.loads(body))).encode()
        if self.how.startswith("last row"):
            rows = json.loads(body)
            last = rows.pop() if isinstance(rows, list) and rows else None
            if last is not None and self.how == "last row different":
                rows.append(_unfinished(last))
            return json.dumps(rows).encode()
        return body


def _swapped(value: Any) -> Any:
    """Return `value` with every number as a text and every text as a number or null."""
    if isinstance(value, list):
        return [_swapped(each) for each in value]
    if isinstance(value, dict):
        return {key: _swapped(each) for key, each in value.items()}
    if isinstance(value, str):
        return float(value) if value.replace(".", "", 1).isdecimal() else None
    return str(value)


def _unfinished(row: list[Any]) -> list[Any]:
    """Return a kline row as it was early in its candle: nothing moved since the open, half of the volume."""
    opening, volume, decimals = row[1], row[5], len(row[5].partition(".")[2])
    return [row[0], opening, opening, opening, opening, f"{float(volume) / 2:.{decimals}f}", *row[6:]]


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

    def left(self, fault: Fault) -> int:
        """Return how many answers `fault`, the very object that was added, is still to spoil."""
        with self._lock:
            return sum(left for pending, left in self._pending if pending is fault)

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

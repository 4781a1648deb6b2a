"""Faults of REST answers: what a client gets instead of the truth, and whether its request was carried out.

Source: the exchange's pages on HTTP return codes and error codes; the wording of some from live answers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from msgspec import Meta

from futures_agent.clock import MINUTE_MS
from futures_agent.simulator.fault_plan import Spell
from futures_agent.simulator.refusal import refusal

EXCHANGE_INFO, KLINES = "/fapi/v1/exchangeInfo", "/fapi/v1/klines"
_ORDER_PATHS = frozenset(("/fapi/v1/order", "/fapi/v1/algoOrder", "/fapi/v1/batchOrders"))
# The exchange's code with each status; a status missing here gets an HTML page, as gateways and
# firewalls send them.
_CODE_OF = {408: -1007, 418: -1003, 429: -1003, 500: -1000, 503: -1001}
# The code beside the text of the first two is not documented: clients must go by the text.
_NAMED: dict[str, tuple[int, int, str]] = {
    "unknown error": (503, -1000, "Unknown error, please check your request or try again later."),
    "service unavailable": (503, -1001, "Service Unavailable."),
    "internal error": (503, -1001, str(refusal(-1001))),
    "throttled": (503, -1008, str(refusal(-1008))),
    "timed out": (408, -1007, str(refusal(-1007))),
    "gateway": (504, 0, ""),
    "firewall": (403, 0, ""),
}
# What stands in the texts of codes that are ordered as faults.
_VALUES: dict[int, tuple[object, ...]] = {-1003: (2400,), -1015: (1200, "MINUTE")}
# Faults that can come before the request is carried out, or after it, by choice.
_EITHER = frozenset(("refused", "unknown error", "timed out", "gateway", "silence", "reset"))
_NEVER_EXECUTED = frozenset(("service unavailable", "internal error", "throttled", "firewall", "limited"))
_ABOUT_CONTRACTS = frozenset(("filter missing", "filter unknown"))


def exchange_error(code: int, text: str) -> bytes:
    """Return the body of an error answer."""
    return json.dumps({"code": code, "msg": text}, separators=(",", ":"), ensure_ascii=False).encode()


def refusal_body(status: int, *, limit: int, until_ms: int) -> bytes:
    """Return the exchange's body for `status`; `limit` (weight per minute) and `until_ms` go into it."""
    if status not in _CODE_OF:
        return f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>".encode()
    code, banned = _CODE_OF[status], status == 418
    values = (until_ms if banned else limit,) if code == -1003 else ()
    return exchange_error(code, str(refusal(code, *values, other=banned)))


@dataclass(frozen=True)
class Asked:
    """A request, as far as faults choose by it."""

    method: str
    path: str
    query: str = ""
    body: str = ""
    api_key: str | None = None

    @property
    def params(self) -> dict[str, str]:
        """Its parameters; the query wins."""
        return dict(parse_qsl(self.body)) | dict(parse_qsl(self.query))

    @property
    def opens_risk(self) -> bool:
        """Whether it places or changes an order that is not bound to reduce a position."""
        if self.path not in _ORDER_PATHS or self.method not in ("POST", "PUT"):
            return False
        if "batchOrders" not in self.params:
            return not _reduces(self.params)
        try:
            orders = json.loads(self.params["batchOrders"])
        except ValueError:
            return True
        return not all(isinstance(order, dict) and _reduces(order) for order in orders)


class Fault(Spell, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spoil the answers to some requests.

    Attributes
    ----------
    how : str
        Instead of the truth come: `refused` any `status`, `code` or `body`; `unknown error`, `service
        unavailable`, `internal error` the three kinds of 503; `throttled` 503 with -1008, only to orders
        that do not reduce; `timed out` 408 with -1007; `gateway` 504 and `firewall` 403 with a page of
        HTML; `limited` 429, and 418 to those who go on; `silence` nothing for `delay_ms`, then the
        connection ends; `reset` a TCP reset.

        The true answer comes `late` by `delay_ms`; its connection ends in the middle (`broken off`); its
        JSON is `cut short`; numbers and texts are swapped (`wrong types`), or only times are texts (`text
        times`); the newest row of a list is missing (`last row absent`) or not the final one (`last row
        different`); `headers missing` lacks those about limits; exchangeInfo lacks the filter named in
        `filter` (`filter missing`) or holds one, a field and an order type that nobody knows (`filter
        unknown`), of `symbol` or of all contracts.
    method, path, symbol, key : str
        Only requests of that method, to that path, about that contract, by that API key; empty for all.
    status, code : int
        Of `refused`; a code brings its own text, and its own status where it has one.
    body : str
        Sent as it is; empty for the exchange's own text.
    executed : bool
        The request is carried out and only its answer lost; of `refused`, `unknown error`, `timed out`,
        `gateway`, `silence` and `reset`.
    retry_after_s : int, optional
        Adds a Retry-After header.
    delay_ms : float, optional
        Host milliseconds before a `late` answer (a second unless told), or of `silence` (a minute).
    """

    how: Literal[
        "refused",
        "unknown error",
        "service unavailable",
        "internal error",
        "throttled",
        "timed out",
        "gateway",
        "firewall",
        "limited",
        "silence",
        "reset",
        "late",
        "broken off",
        "cut short",
        "wrong types",
        "text times",
        "last row absent",
        "last row different",
        "headers missing",
        "filter missing",
        "filter unknown",
    ] = "refused"
    method: Literal["", "GET", "POST", "PUT", "DELETE"] = ""
    path: str = ""
    symbol: str = ""
    key: str = ""
    status: Annotated[int, Meta(ge=400, le=599)] = 503
    code: Annotated[int, Meta(lt=0)] | None = None
    body: str = ""
    executed: bool = False
    retry_after_s: int | None = None
    delay_ms: Annotated[float, Meta(ge=0, le=600_000)] | None = None
    filter: str = "LOT_SIZE"

    def __post_init__(self) -> None:
        if self.executed and self.how in _NEVER_EXECUTED:
            raise ValueError(f"`{self.how}` means that the request was not executed; leave `executed` out")
        if self.code is not None:
            try:
                _refusal_by(self.code)
            except (KeyError, IndexError):
                raise ValueError(
                    f"code {self.code} has no text that stands alone; give `status` and `body`"
                ) from None

    def hits(self, asked: Asked) -> bool:
        """Say whether a request is an occasion for this fault."""
        if self.how in _ABOUT_CONTRACTS:
            return asked.path == EXCHANGE_INFO
        return (
            self.path in ("", asked.path)
            and self.method in ("", asked.method)
            and self.key in ("", asked.api_key)
            and (not self.symbol or asked.params.get("symbol") == self.symbol)
            and (self.how != "throttled" or asked.opens_risk)
            and (self.how != "last row different" or asked.path == KLINES)
        )

    @property
    def replaces(self) -> bool:
        """Whether something else is answered than the truth, if anything at all."""
        return self.how in _EITHER or self.how in _NEVER_EXECUTED

    @property
    def wait_ms(self) -> float:
        """Host milliseconds that a `late` answer or a `silence` takes."""
        usual = 60_000.0 if self.how == "silence" else 1_000.0
        return usual if self.delay_ms is None else self.delay_ms

    def answer(self, *, limit: int, now_ms: int) -> tuple[int, bytes]:
        """Return status and body that a client gets instead of the truth.

        Parameters
        ----------
        limit : int
            Request weight per minute, which some texts tell.
        now_ms : int
            Venue time, ms UTC.
        """
        until_ms = now_ms + (2 * MINUTE_MS if self.retry_after_s is None else self.retry_after_s * 1000)
        status, code, text = _NAMED.get(self.how, (self.status, 0, ""))
        if self.how == "refused" and self.code is not None:
            status, code, text = _refusal_by(self.code)
        if self.body:
            return status, self.body.encode()
        if code:
            return status, exchange_error(code, text)
        return status, refusal_body(status, limit=limit, until_ms=until_ms)

    def spoilt(self, body: bytes) -> bytes:
        """Return the true answer `body` as this fault leaves it."""
        if self.how == "cut short":
            return body[: len(body) // 2]
        if self.how == "wrong types":
            return json.dumps(_swapped(json.loads(body))).encode()
        if self.how == "text times":
            return json.dumps(_with_text_times(json.loads(body)), ensure_ascii=False).encode()
        if self.how in _ABOUT_CONTRACTS:
            return json.dumps(self._changed_contracts(json.loads(body)), ensure_ascii=False).encode()
        if self.how.startswith("last row"):
            rows = json.loads(body)
            last = rows.pop() if isinstance(rows, list) and rows else None
            if last is not None and self.how == "last row different":
                rows.append(_unfinished(last))
            return json.dumps(rows).encode()
        return body

    def _changed_contracts(self, document: dict[str, Any]) -> dict[str, Any]:
        for entry in document["symbols"]:
            if self.symbol not in ("", entry["symbol"]):
                continue
            if self.how == "filter missing":
                entry["filters"] = [each for each in entry["filters"] if each["filterType"] != self.filter]
            else:
                entry["filters"].append({"filterType": "MAX_NOVELTY", "novelty": ["1", None]})
                entry["noveltyLevel"] = {"since": 1}
                entry["orderTypes"].append("NOVELTY")
        return document


class ClockSkew(Spell, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The time that the venue tells, and holds timestamps against, is off by `skew_ms` (> 0: ahead)."""

    how: Literal["clock skew"] = "clock skew"
    count: Annotated[int, Meta(ge=1)] | None = None
    skew_ms: Annotated[int, Meta(ge=-600_000, le=600_000)] = 2_000


class EngineDelay(Spell, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Orders reach the matching engine, which judges their age again (-5028), late by `delay_ms`."""

    how: Literal["engine delay"] = "engine delay"
    delay_ms: Annotated[int, Meta(ge=0, le=600_000)] = 10_000


def _refusal_by(code: int) -> tuple[int, int, str]:
    told = refusal(code, *_VALUES.get(code, ()))
    return told.status, code, str(told)


def _reduces(order: dict[str, Any]) -> bool:
    if "true" in (str(order.get(name, "")).lower() for name in ("reduceOnly", "closePosition")):
        return True
    return (order.get("positionSide"), order.get("side")) in (("LONG", "SELL"), ("SHORT", "BUY"))


def _swapped(value: Any) -> Any:
    """Return `value` with every number as a text and every text as a number or null."""
    if isinstance(value, list):
        return [_swapped(each) for each in value]
    if isinstance(value, dict):
        return {key: _swapped(each) for key, each in value.items()}
    if isinstance(value, str):
        return float(value) if value.replace(".", "", 1).isdecimal() else None
    return str(value)


def _with_text_times(value: Any) -> Any:
    """Return `value` with its times (ms UTC, later than 2001) as texts."""
    if isinstance(value, list):
        return [_with_text_times(each) for each in value]
    if isinstance(value, dict):
        return {key: _with_text_times(each) for key, each in value.items()}
    return str(value) if isinstance(value, int) and 10**12 <= value < 10**13 else value


def _unfinished(row: list[Any]) -> list[Any]:
    """Return a kline row as it was early in its candle: nothing moved since the open, half of the volume."""
    opening, volume, decimals = row[1], row[5], len(row[5].partition(".")[2])
    return [row[0], opening, opening, opening, opening, f"{float(volume) / 2:.{decimals}f}", *row[6:]]

"""The way every REST request takes: latency, weight, faults, the endpoint, the headers, the tally."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from futures_agent.simulator.fault_store import StoreLag
from futures_agent.simulator.fault_streams import CandlesMissing
from futures_agent.simulator.faults import Asked, Fault, exchange_error, refusal_body
from futures_agent.simulator.refusal import VenueError, refusal
from futures_agent.simulator.venue import Venue
from futures_agent.simulator.weights import Verdict, WeightLimiter

Params = Mapping[str, str]
_JSON = "application/json;charset=UTF-8"
_UNANSWERED = frozenset(("silence", "reset"))


@dataclass(frozen=True)
class Sent:
    """One request as it came; `query` and `body` still percent-encoded.

    Attributes
    ----------
    params : mapping
        The parameters of the query.
    client : str
        Address it came from.
    api_key : str, optional
        The header X-MBX-APIKEY.
    """

    params: Params
    query: str = ""
    body: str = ""
    client: str = ""
    api_key: str | None = None


class Served(Protocol):
    """Whatever answers requests of one method to one path."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def weight(self) -> Callable[[Params], int]: ...

    @property
    def pool(self) -> str: ...

    def perform(self, venue: Venue, sent: Sent, now_ms: int, headers: dict[str, str]) -> bytes: ...


@dataclass(frozen=True)
class Endpoint:
    """One endpoint that belongs to no account.

    Attributes
    ----------
    method, path : str
    weight : callable
        Request weight for these parameters, counted whether they are good or not.
    answer : callable
        (venue, parameters, venue time in ms UTC) → JSON body; raises VenueError to refuse.
    pool : str
        Counts requests in this pool of the venue's rather than by weight.
    """

    method: str
    path: str
    weight: Callable[[Params], int]
    answer: Callable[[Venue, Params, int], bytes]
    pool: str = ""

    def perform(self, venue: Venue, sent: Sent, now_ms: int, headers: dict[str, str]) -> bytes:
        """Return the body of the answer; may add to the `headers` of a good one.

        Raises
        ------
        VenueError
            The venue refuses.
        """
        return self.answer(venue, sent.params, now_ms)


def rest_routes(venue: Venue, endpoints: Sequence[Served]) -> list[Route]:
    """Return the routes of `endpoints`; every other path and method is refused the exchange's way."""
    known = {(endpoint.method, endpoint.path): endpoint for endpoint in endpoints}

    async def respond(request: Request) -> Response:
        return await _respond(venue, known.get((request.method, request.url.path)), request)

    return [Route("/{path:path}", respond, methods=["GET", "POST", "PUT", "DELETE"])]


async def _respond(venue: Venue, endpoint: Served | None, request: Request) -> Response:
    sent = await _read(request)
    # Half of the latency on the way in, half on the way out: a client that assumes so measures the
    # clock's offset rightly.
    await travel(venue.latency_ms / 2)
    path, now_ms = request.url.path, venue.clock.now_ms()
    limiter = venue.pools[endpoint.pool] if endpoint and endpoint.pool else venue.limiter
    verdict, headers = _admit(venue, limiter, endpoint, sent, now_ms)
    asked = Asked(request.method, path, sent.query, sent.body, sent.api_key)
    fault = None
    if verdict.status == 200:
        fault = venue.faults.engage(Fault, now_ms, lambda each: each.hits(asked))
        if fault and fault.how == "limited":
            verdict = limiter.exhaust(sent.client, now_ms)
    if verdict.status != 200:
        status, body = verdict.status, _refusal(venue, verdict, limiter.limit, headers)
    elif fault and fault.replaces:
        if fault.executed:
            _perform(venue, endpoint, asked, sent, now_ms, {})  # nothing of its answer may tell
        status, body = _instead(venue, fault, now_ms, headers)
    else:
        status, body = _perform(venue, endpoint, asked, sent, now_ms, headers)
        if fault and status == 200:
            body = fault.spoilt(body)
    venue.tally.count(path, 0 if fault and fault.how in _UNANSWERED else status)
    await travel(venue.latency_ms / 2)
    if fault and fault.how == "late":
        await travel(fault.wait_ms)
    return _response(venue, fault, body, status, headers)


def _admit(
    venue: Venue, limiter: WeightLimiter, endpoint: Served | None, sent: Sent, now_ms: int
) -> tuple[Verdict, dict[str, str]]:
    """Count a request; return what the limiter says, and the headers that tell of it."""
    if limiter is venue.limiter:
        verdict = limiter.admit(sent.client, endpoint.weight(sent.params) if endpoint else 1, now_ms)
        return verdict, {"X-MBX-USED-WEIGHT-1M": str(verdict.used)}
    # What it uses of a pool, the exchange does not tell.
    return venue.limiter.ban(sent.client, now_ms) or limiter.admit(sent.client, 1, now_ms), {}


def _perform(
    venue: Venue, endpoint: Served | None, asked: Asked, sent: Sent, now_ms: int, headers: dict[str, str]
) -> tuple[int, bytes]:
    """Return status and body of the true answer, as far as the venue's store knows it."""
    try:
        if endpoint is None:
            raise refusal(-5000, asked.path, asked.method)
        venue.advance(now_ms)
        body = endpoint.perform(venue, sent, now_ms, headers)
        return 200, _as_known(venue, asked, body, now_ms)
    except VenueError as error:
        return error.status, exchange_error(error.code, str(error))


def _as_known(venue: Venue, asked: Asked, body: bytes, now_ms: int) -> bytes:
    """Return the true answer `body` without what the venue's stores lack.

    Raises
    ------
    VenueError
        -2013 where that is all it tells.
    """
    gap = venue.faults.engage(
        CandlesMissing, now_ms, lambda each: each.hits(asked.path, asked.params) and each.hides(body)
    )
    if gap:
        body = gap.without(body)
    lag = venue.faults.engage(StoreLag, now_ms, lambda each: each.hits(asked) and each.hides(body, now_ms))
    return lag.without(body, now_ms) if lag else body


def _instead(venue: Venue, fault: Fault, now_ms: int, headers: dict[str, str]) -> tuple[int, bytes]:
    """Return status and body of what is answered instead of the truth."""
    if fault.retry_after_s is not None:
        headers["Retry-After"] = str(fault.retry_after_s)
    return fault.answer(limit=venue.limiter.limit, now_ms=now_ms)


def _response(
    venue: Venue, fault: Fault | None, body: bytes, status: int, headers: dict[str, str]
) -> Response:
    if fault and fault.how in _UNANSWERED:
        return _Unanswered(venue, fault.wait_ms / 1000 if fault.how == "silence" else 0)
    if fault and fault.how == "headers missing":
        headers = {name: value for name, value in headers.items() if not name.startswith("X-MBX-")}
    kind = _BrokenOff if fault and fault.how == "broken off" else Response
    return kind(body, status, headers, media_type="text/html" if body[:1] == b"<" else _JSON)


async def _read(request: Request) -> Sent:
    raw = b"" if request.method == "GET" else await request.body()
    return Sent(
        params=request.query_params,
        query=request.scope["query_string"].decode("latin-1"),
        body=raw.decode("latin-1"),
        client=request.client.host if request.client else "",
        api_key=request.headers.get("X-MBX-APIKEY"),
    )


class _BrokenOff(Response):
    """An answer whose connection ends in the middle of the body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        half = bytes(self.body[: len(self.body) // 2])
        await send({"type": "http.response.body", "body": half, "more_body": True})


class _Unanswered(Response):
    """No answer: nothing for a while, then the connection is torn."""

    def __init__(self, venue: Venue, silent_s: float) -> None:
        super().__init__()
        self._venue = venue
        self._silent_s = silent_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(_gone(receive), self._silent_s)
        if self._venue.connections.reset(tuple(scope["client"])):
            await _gone(receive)


async def _gone(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _refusal(venue: Venue, verdict: Verdict, limit: int, headers: dict[str, str]) -> bytes:
    if venue.retry_after:
        headers["Retry-After"] = str(verdict.retry_after_s)
    return refusal_body(verdict.status, limit=limit, until_ms=verdict.banned_until_ms)


async def travel(duration_ms: float) -> None:
    """Let `duration_ms` of host time pass."""
    if duration_ms > 0:
        await asyncio.sleep(duration_ms / 1000)


def mandatory(params: Params, name: str) -> str:
    """Return a parameter that must be there.

    Raises
    ------
    VenueError
        -1102 when it is missing or empty.
    """
    if not params.get(name):
        raise refusal(-1102, name)
    return params[name]


def whole_number(params: Params, name: str) -> int | None:
    """Return an optional parameter as a whole number, None where it was not sent.

    Raises
    ------
    VenueError
        -1105 when it is empty, -1102 when it is not a number.
    """
    text = params.get(name)
    if text is None:
        return None
    if text == "":
        raise refusal(-1105, name)
    if not text.removeprefix("-").isdecimal() or len(text) > 18 or not text.isascii():
        raise refusal(-1102, name)
    return int(text)

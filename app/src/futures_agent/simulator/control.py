"""Control of a running simulator under /sim/…, from this machine only and outside the exchange's limits.

GET    /sim/clock                         → {"now_ms", "scale"}
POST   /sim/clock    {"now_ms"?, "step_ms"?, "scale"?}, applied in this order; with
                     {"wait_quiet": true, "within_s"?, "settle_s"?} only once all clients are quiet, and
                     answered when they are quiet again
GET    /sim/stats    requests, answers by status and path, weight per window
DELETE /sim/stats    forgets them, all weight, order counts and bans
POST   /sim/latency  {"latency_ms"}
POST   /sim/limits   {"weight_limit"?, "orders_per_10s"?, "orders_per_min"?, "retry_after"?}
GET    /sim/faults   every fault with its state, and how often it is to strike and did
POST   /sim/faults   {"how"?, …}, see fault_script.read_fault
DELETE /sim/faults   clears them
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from futures_agent.clock import DAY_MS
from futures_agent.simulator.fault_script import read_fault
from futures_agent.simulator.streams.quiet import NotQuiet, wait_until_quiet
from futures_agent.simulator.venue import Venue


class ClockChange(Struct, frozen=True, forbid_unknown_fields=True):
    """A change of the venue's clock, at most to the year 2100 and by ten years."""

    now_ms: Annotated[int, Meta(ge=0, le=4_102_444_800_000)] | None = None
    step_ms: Annotated[int, Meta(ge=0, le=3650 * DAY_MS)] | None = None
    scale: Annotated[float, Meta(ge=0, le=100_000)] | None = None
    wait_quiet: bool = False  # see streams.quiet
    within_s: Annotated[float, Meta(gt=0, le=600)] = 10.0  # host seconds, each time
    settle_s: Annotated[float, Meta(ge=0, le=60)] = 0.0


class LatencyChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Host milliseconds added to each answer from now on."""

    latency_ms: Annotated[float, Meta(ge=0, le=600_000)]


class LimitsChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits from now on."""

    weight_limit: Annotated[int, Meta(gt=0)] | None = None
    orders_per_10s: Annotated[int, Meta(gt=0)] | None = None
    orders_per_min: Annotated[int, Meta(gt=0)] | None = None
    retry_after: bool | None = None


def control_routes(venue: Venue) -> list[Route]:
    """Return the routes that steer `venue`."""
    actions: dict[tuple[str, str], Callable[[Venue, bytes], Any]] = {
        ("GET", "clock"): _clock,
        ("POST", "clock"): _change_clock,
        ("GET", "stats"): _stats,
        ("DELETE", "stats"): _forget_stats,
        ("POST", "latency"): _change_latency,
        ("POST", "limits"): _change_limits,
        ("GET", "faults"): _faults,
        ("POST", "faults"): _add_fault,
        ("DELETE", "faults"): _clear_faults,
    }

    async def respond(request: Request) -> Response:
        action = actions.get((request.method, request.path_params["name"]))
        if not is_local(request):
            status, answer = 403, {"error": "control is for this machine only"}
        elif action is None:
            status, answer = 404, {"error": f"no control {request.method} {request.url.path}"}
        else:
            try:
                answer = action(venue, await request.body())
                status, answer = 200, await answer if isawaitable(answer) else answer
            except msgspec.MsgspecError as error:
                status, answer = 400, {"error": str(error)}
            except NotQuiet as error:
                status, answer = 503, {"error": str(error)}
        return Response(msgspec.json.encode(answer), status, media_type="application/json")

    return [Route("/sim/{name}", respond, methods=["GET", "POST", "DELETE"])]


def is_local(request: Request) -> bool:
    """Say whether a request comes from this machine, and not from a foreign page in one of its browsers."""
    sender = request.client.host if request.client else ""
    page = urlsplit(request.headers.get("origin", "")).hostname
    hosts = (sender, request.url.hostname or "", *([page] if page else []))
    return all(map(_is_loopback, hosts))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, which must not merely begin like an address
        return host == "localhost"


def stats_of(venue: Venue) -> dict[str, Any]:
    """Return requests, answers by status and path, and the weight used per client and venue minute."""
    windows = venue.limiter.windows()
    return {
        "requests": venue.tally.requests,
        "by_status": {str(status): count for status, count in sorted(venue.tally.by_status.items())},
        "by_path": dict(sorted(venue.tally.by_path.items())),
        "refused_429": venue.tally.by_status[429],
        "banned_418": venue.tally.by_status[418],
        "peak_weight": max((window.weight for window in windows), default=0),
        "windows": windows,
        "peak_requests": {
            name: max((window.weight for window in pool.windows()), default=0)
            for name, pool in venue.pools.items()
        },
        "pending_faults": venue.faults.pending(),
        "connections": len(venue.streams.connections),
        "stream_messages": dict(sorted(venue.streams.sent.items())),
    }


def _clock(venue: Venue, body: bytes) -> Any:
    return _shown(venue)


def _shown(venue: Venue) -> dict[str, Any]:
    return {"now_ms": venue.clock.now_ms(), "scale": venue.clock.scale}


async def _change_clock(venue: Venue, body: bytes) -> Any:
    return await change_clock(venue, msgspec.json.decode(body, type=ClockChange))


async def change_clock(venue: Venue, change: ClockChange) -> dict[str, Any]:
    """Change the clock, and return what it shows then.

    Raises
    ------
    NotQuiet
        It was to wait until all clients are quiet, and they were not in time: before the change, which then
        was not made, or after it.
    """
    if change.wait_quiet:
        await wait_until_quiet(venue.streams, within_s=change.within_s, settle_s=change.settle_s)
    if change.now_ms is not None:
        venue.clock.set(change.now_ms)
    if change.step_ms is not None:
        venue.clock.step(change.step_ms)
    if change.scale is not None:
        venue.clock.set_scale(change.scale)
    if change.wait_quiet:
        await wait_until_quiet(venue.streams, within_s=change.within_s, settle_s=change.settle_s)
    return _shown(venue)


def _stats(venue: Venue, body: bytes) -> Any:
    return stats_of(venue)


def _forget_stats(venue: Venue, body: bytes) -> Any:
    venue.tally.clear()
    venue.streams.sent.clear()
    venue.order_counts.forget()
    for limiter in (venue.limiter, *venue.pools.values()):
        limiter.forget()
    return stats_of(venue)


def _change_latency(venue: Venue, body: bytes) -> Any:
    venue.latency_ms = msgspec.json.decode(body, type=LatencyChange).latency_ms
    return {"latency_ms": venue.latency_ms}


def _change_limits(venue: Venue, body: bytes) -> Any:
    change = msgspec.json.decode(body, type=LimitsChange)
    if change.weight_limit is not None:
        venue.limiter.limit = change.weight_limit
    if change.orders_per_10s is not None:
        venue.order_counts.limit_10s = change.orders_per_10s
    if change.orders_per_min is not None:
        venue.order_counts.limit_1m = change.orders_per_min
    if change.retry_after is not None:
        venue.retry_after = change.retry_after
    return {
        "weight_limit": venue.limiter.limit,
        "orders_per_10s": venue.order_counts.limit_10s,
        "orders_per_min": venue.order_counts.limit_1m,
        "retry_after": venue.retry_after,
    }


def _faults(venue: Venue, body: bytes) -> Any:
    return {"faults": venue.faults.rows(venue.clock.now_ms())}


def _add_fault(venue: Venue, body: bytes) -> Any:
    number = venue.faults.add(read_fault(body, venue.clock.now_ms()))
    return {"number": number, "pending_faults": venue.faults.pending()}


def _clear_faults(venue: Venue, body: bytes) -> Any:
    venue.faults.clear()
    return {"pending_faults": 0}

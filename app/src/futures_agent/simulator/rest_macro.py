"""FRED and the Fear & Greed Index beside the exchange, under the paths they have at home.

Their documents and error texts are theirs; the clock, the latency, the faults and the tally are the venue's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from futures_agent.simulator.faults import Asked, Fault
from futures_agent.simulator.macro import WITHOUT_HISTORY, Vintage, today_of
from futures_agent.simulator.rest import travel
from futures_agent.simulator.venue import Venue

FRED_PATH, INDEX_PATH = "/fred/series/observations", "/fng/"
UNREGISTERED_KEY = "0" * 32
_KEY = re.compile(r"[a-z0-9]{32}")
_LAST_DAY = date(9999, 12, 31)
_MOST_VINTAGES = 2000
_CLASSES = ((25, "Extreme Fear"), (45, "Fear"), (56, "Neutral"), (76, "Greed"), (101, "Extreme Greed"))


class _BadRequest(Exception):
    """What FRED says of a request it cannot serve."""


def macro_routes(venue: Venue) -> list[Route]:
    """Return the routes of both services."""

    async def respond(request: Request) -> Response:
        await travel(venue.latency_ms)
        path, now_ms = request.url.path, venue.clock.now_ms()
        asked = Asked("GET", path, request.url.query)
        fault = venue.faults.engage(Fault, now_ms, lambda each: each.how == "refused" and each.hits(asked))
        if fault:
            status, body = fault.answer(limit=venue.fred_limiter.limit, now_ms=now_ms)
        elif path == FRED_PATH:
            status, document = _fred(venue, request.query_params, now_ms)
            body = json.dumps(document).encode()
        else:
            status, body = 200, json.dumps(_index(venue, request.query_params, now_ms)).encode()
        venue.tally.count(path, status)
        return Response(body, status, media_type="application/json")

    return [Route(path, respond, methods=["GET"]) for path in (FRED_PATH, INDEX_PATH)]


def _fred(venue: Venue, params: Mapping[str, str], now_ms: int) -> tuple[int, dict[str, Any]]:
    """Answer the observations of a series; the default document, XML, is not served."""
    key = params.get("api_key", "")
    if venue.fred_limiter.admit(key, 1, now_ms).status != 200:
        return 429, {"error_code": 429, "error_message": "Too Many Requests.  Exceeded Rate Limit"}
    try:
        return 200, _observations(venue, params, today_of(now_ms))
    except _BadRequest as error:
        return 400, {"error_code": 400, "error_message": f"Bad Request.  {error}"}


def _observations(venue: Venue, params: Mapping[str, str], today: date) -> dict[str, Any]:
    key, series = params.get("api_key", ""), params.get("series_id", "")
    if not _KEY.fullmatch(key):
        raise _BadRequest("api_key is not a 32 character alpha-numeric lower-case string.")
    if key == UNREGISTERED_KEY:
        raise _BadRequest("The value for variable api_key is not registered.")
    if params.get("file_type") != "json":
        raise _BadRequest("The simulated FRED answers file_type=json only.")
    first = _day(params, "observation_start", date(1776, 7, 4))
    start, end = _day(params, "realtime_start", today), _day(params, "realtime_end", today)
    vintages = venue.macro.vintages(series, first, today)
    if vintages is None:
        raise _BadRequest("The series does not exist.")
    if series in WITHOUT_HISTORY and (start, end) != (today, today):
        raise _BadRequest("The series does not exist in ALFRED but may exist in FRED.")
    if len({vintage.published for vintage in vintages if start <= vintage.published <= end}) > _MOST_VINTAGES:
        raise _BadRequest("This exceeds the maximum number of vintage dates allowed (2000).")
    rows = _in_real_time(vintages, start, end)
    return {
        "realtime_start": start.isoformat(),
        "realtime_end": end.isoformat(),
        "observation_start": first.isoformat(),
        "observation_end": _LAST_DAY.isoformat(),
        "units": "lin",
        "output_type": 1,
        "file_type": "json",
        "order_by": "observation_date",
        "sort_order": "asc",
        "count": len(rows),
        "offset": 0,
        "limit": 100_000,
        "observations": rows,
    }


def _in_real_time(vintages: list[Vintage], start: date, end: date) -> list[dict[str, str]]:
    """Return the values that were current some time in [start, end], their validity cut to it."""
    rows = []
    for at, vintage in enumerate(vintages):
        later = vintages[at + 1] if at + 1 < len(vintages) else None
        replaced = later is not None and later.day == vintage.day
        until = later.published - timedelta(1) if later is not None and replaced else _LAST_DAY
        if vintage.published <= end and until >= start:
            rows.append(
                {
                    "realtime_start": max(vintage.published, start).isoformat(),
                    "realtime_end": min(until, end).isoformat(),
                    "date": vintage.day.isoformat(),
                    "value": "." if vintage.value is None else str(vintage.value),
                }
            )
    return rows


def _day(params: Mapping[str, str], name: str, usual: date) -> date:
    try:
        return date.fromisoformat(params[name]) if name in params else usual
    except ValueError:
        raise _BadRequest(f"Variable {name} is not a YYYY-MM-DD formatted date (e.g. 2000-02-24).") from None


def _index(venue: Venue, params: Mapping[str, str], now_ms: int) -> dict[str, Any]:
    """Answer the newest values of the Fear & Greed Index, newest first."""
    text = params.get("limit", "1")
    today = datetime.fromtimestamp(now_ms / 1000, tz=UTC).date()
    data = [
        {
            "value": str(value),
            "value_classification": next(name for below, name in _CLASSES if value < below),
            "timestamp": str(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())),
        }
        for day, value in venue.macro.fear_greed(today, int(text) if text.isdecimal() else 1)
    ]
    if data:
        data[0]["time_until_update"] = str(86_400 - now_ms // 1000 % 86_400)
    return {"name": "Fear and Greed Index", "data": data, "metadata": {"error": None}}

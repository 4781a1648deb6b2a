"""The page of a running simulator, at /sim/ and for this machine only.

The tables are drawn here and asked for again each second; a small script sends what a person presses to the
controls under /sim/, the ones that tests use as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from futures_agent.simulator.board import board_of
from futures_agent.simulator.control import is_local
from futures_agent.simulator.fault_script import FAULT_KINDS
from futures_agent.simulator.page_forms import fault_form
from futures_agent.simulator.page_tables import board_html
from futures_agent.simulator.venue import Venue

_ASSETS = Path(__file__).with_name("assets")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


def page_routes(venue: Venue) -> list[Route]:
    """Return the routes of the page, to stand before those of the controls."""

    def local(answer: Callable[[], Response]) -> Callable[[Request], Response]:
        def respond(request: Request) -> Response:
            if not is_local(request):
                return Response("the page is for this machine only\n", 403, media_type="text/plain")
            return answer()

        return respond

    def state() -> Response:
        return Response(msgspec.json.encode(board_of(venue)), media_type="application/json")

    return [
        Route("/sim", local(lambda: RedirectResponse("/sim/")), methods=["GET"]),
        Route("/sim/", local(lambda: HTMLResponse(page_html(venue))), methods=["GET"]),
        Route("/sim/board", local(lambda: HTMLResponse(board_html(board_of(venue)))), methods=["GET"]),
        Route("/sim/state", local(state), methods=["GET"]),
    ]


def page_html(venue: Venue) -> str:
    """Return the whole page as it is now."""
    parts = {
        "style": _asset("page.css"),
        "script": _asset("page.js"),
        "board": board_html(board_of(venue)),
        "faults": fault_form(FAULT_KINDS),
    }
    # One pass: what is filled in is never searched for placeholders itself.
    return _PLACEHOLDER.sub(lambda match: parts[match[1]], _asset("page.html"))


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")

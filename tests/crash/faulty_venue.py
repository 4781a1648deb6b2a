"""The faults of the exchange that the trader's lives are lived under."""

from __future__ import annotations

import json
import random
from typing import Any

_ORDER, _ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
_EVENTS = ("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ALGO_UPDATE")

Terms = dict[str, Any]


def _lost(how: str, **more: Any) -> list[Terms]:
    """Return an order's answer that is lost, of an entry, exit or target as of a stop."""
    return [{"how": how, "method": "POST", "path": path, **more} for path in (_ORDER, _ALGO)]


def _told(how: str, **more: Any) -> list[Terms]:
    return [{"how": how, "event": event, **more} for event in _EVENTS]


# By name, each with the forms that chance chooses from.
FAULTS: dict[str, list[Terms]] = {
    "executed, 503 unknown": _lost("unknown error", executed=True),
    "not executed, 503 unknown": _lost("unknown error"),
    "503 unavailable": _lost("service unavailable"),
    "503 internal": _lost("internal error"),
    "503 throttled": [{"how": "throttled", "count": count} for count in (1, 3)],
    "executed, 408": _lost("timed out", executed=True),
    "not executed, 408": _lost("timed out"),
    "executed, 504": _lost("gateway", executed=True),
    "executed, reset": _lost("reset", executed=True),
    "not executed, reset": _lost("reset"),
    "executed, silence": _lost("silence", executed=True, delay_ms=700),
    "late answer": _lost("late", delay_ms=600),
    "broken off": _lost("broken off"),
    "cut short": _lost("cut short"),
    "query 503": [{"how": "unknown error", "method": "GET", "count": count} for count in (1, 3)],
    "event dropped": _told("event dropped"),
    "event repeated": _told("event repeated", delay_ms=400, count=5),
    "event late": _told("event late", delay_ms=1_500, count=3),
    "events swapped": _told("events swapped", count=5),
    "listen key expired": [{"how": "listen key expired"}],
    "listen key dead": [{"how": "listen key expired", "announced": False}],
    "store lag": [{"how": "store lag", "lag_ms": lag_ms, "for_s": 20} for lag_ms in (800, 3_000)],
    "stale status": [{"how": "stale status", "lag_ms": lag_ms, "for_s": 20} for lag_ms in (800, 3_000)],
    "streams torn": [{"how": "streams closed", "route": route} for route in ("private", "")],
}
# They need a trader that is connected, or an account that is asked about.
_LATER_S = {"listen key expired": 2, "listen key dead": 2, "streams torn": 2}


def draw(chance: random.Random) -> list[tuple[str, bytes]]:
    """Return the faults of one life: their names, and the lines that order them."""
    drawn = []
    for name in chance.sample(sorted(FAULTS), chance.randint(2, 4)):
        terms = dict(chance.choice(FAULTS[name]))
        if name in _LATER_S:
            terms["at"] = f"+{chance.randint(1, 3) * _LATER_S[name]}"
        drawn.append((name, json.dumps(terms).encode()))
    return drawn

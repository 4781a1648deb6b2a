"""Rows about REST answers: lost ones, refusals, limits, times, and answers that cannot be read."""

from __future__ import annotations

from typing import Any

from faults.table import Case, Moment, Scene

_ORDER, _ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
_ENTRY: dict[str, Any] = {"method": "POST", "path": _ORDER, "type": "MARKET"}
_TARGET: dict[str, Any] = {"method": "POST", "path": _ORDER, "type": "LIMIT"}
_STOP: dict[str, Any] = {"method": "POST", "path": _ALGO}
_EXIT = _ENTRY  # by its moment
_CANCEL: dict[str, Any] = {"method": "DELETE", "path": _ORDER}
_CANCEL_STOP: dict[str, Any] = {"method": "DELETE", "path": _ALGO}
_DROP: dict[str, Any] = {"how": "event dropped", "event": "ORDER_TRADE_UPDATE", "for_s": 60, "count": None}

_LOST: dict[str, dict[str, Any]] = {
    "503 unknown": {"how": "unknown error"},
    "408": {"how": "timed out"},
    "504": {"how": "gateway"},
    "silence": {"how": "silence", "delay_ms": 3000},
    "reset": {"how": "reset"},
}
_NOT_EXECUTED: dict[str, dict[str, Any]] = {
    "503 unavailable": {"how": "service unavailable"},
    "503 internal": {"how": "internal error"},
}
_SENDING: tuple[tuple[str, Scene, Moment, dict[str, Any], str], ...] = (
    ("entry", "exit", "entry", _ENTRY, "SIGNAL"),
    ("stop", "stop", "entry", _STOP, "STOP"),
    ("target", "target", "entry", _TARGET, "TARGET"),
    ("exit", "exit", "exit", _EXIT, "SIGNAL"),
)


def _lost_answers() -> list[Case]:
    """The answer does not come; the request was carried out, or was not."""
    rows = []
    for name, fault in _LOST.items():
        done = {"executed": True}
        rows += [
            Case(f"entry done, {name}", "exit", (("entry", fault | _ENTRY | done),), ("SIGNAL", "OPEN")),
            Case(
                f"entry not done, {name}",
                "exit",
                (("entry", fault | _ENTRY),),
                ("NOT_PLACED", "OPEN"),
                ("NOT_PLACED",),
            ),
            Case(f"stop done, {name}", "stop", (("entry", fault | _STOP | done),), ("STOP", "OPEN")),
            Case(
                f"stop not done, {name}",
                "stop",
                (("entry", fault | _STOP),),
                ("STOP", "OPEN"),
                ("NOT_PLACED",),
            ),
            Case(f"target done, {name}", "target", (("entry", fault | _TARGET | done),), ("TARGET", "OPEN")),
            Case(
                f"target not done, {name}",
                "target",
                (("entry", fault | _TARGET),),
                ("TARGET", "OPEN"),
                ("NOT_PLACED",),
            ),
            Case(f"exit done, {name}", "exit", (("exit", fault | _EXIT | done),), ("SIGNAL", "OPEN")),
            Case(
                f"exit not done, {name}",
                "exit",
                (("exit", fault | _EXIT),),
                ("SIGNAL", "OPEN"),
                ("NOT_PLACED",),
            ),
            Case(f"cancel done, {name}", "exit", (("exit", fault | _CANCEL | done),), ("SIGNAL", "OPEN")),
            Case(f"cancel not done, {name}", "exit", (("exit", fault | _CANCEL),), ("SIGNAL", "OPEN")),
        ]
    return rows


def _not_executed() -> list[Case]:
    """The exchange says that it did nothing: sent again."""
    rows = []
    for name, fault in _NOT_EXECUTED.items():
        for what, scene, moment, order, reason in _SENDING:
            rows.append(Case(f"{what}, {name}", scene, ((moment, fault | order),), (reason, "OPEN")))
    slow = {"how": "engine delay", "delay_ms": 10_000}
    rows += [
        Case("entry, -5028 too old at the engine", "exit", (("entry", slow),), ("SIGNAL", "OPEN")),
        Case("exit, -5028 too old at the engine", "exit", (("exit", slow),), ("SIGNAL", "OPEN")),
    ]
    return rows


def _refused(
    what: str, code: int, scene: Any, trades: tuple[str, ...], incidents: tuple[str, ...], **more: Any
) -> Case:
    order = {"entry": _ENTRY, "stop": _STOP, "target": _TARGET, "exit": _EXIT, "cancel": _CANCEL}[what]
    moment = "exit" if what in ("exit", "cancel") else "entry"
    count = more.pop("count", 1)
    strike = {"how": "refused", "code": code, "count": count} | order
    times = {1: "", None: " for ever"}.get(count, f" {count} times")
    if count is None:
        strike["for_s"] = 300
    return Case(f"{what} refused {code}{times}", scene, ((moment, strike),), trades, incidents, **more)  # type: ignore[arg-type]


_REFUSALS = [
    _refused("entry", -2019, "exit", ("REFUSED", "OPEN"), ("ENTRY_REFUSED",)),
    _refused("entry", -2027, "exit", ("REFUSED", "OPEN"), ("ENTRY_REFUSED",)),
    _refused("entry", -4131, "exit", ("REFUSED", "OPEN"), ("ENTRY_REFUSED",)),
    _refused("entry", -1021, "exit", ("SIGNAL", "OPEN"), ()),
    _refused("stop", -2021, "exit", ("STOP", "OPEN"), ("STOP_REFUSED",)),
    _refused("stop", -4120, "exit", ("SIGNAL", "OPEN"), ("STOP_REFUSED",)),
    _refused("stop", -4120, "exit", ("UNPROTECTED", "OPEN"), ("STOP_REFUSED", "UNPROTECTED"), count=2),
    _refused("stop", -4130, "exit", ("SIGNAL", "OPEN"), (), naked_s=5.0),
    _refused("stop", -1021, "exit", ("SIGNAL", "OPEN"), ()),
    _refused("target", -2019, "exit", ("SIGNAL", "OPEN"), ("TARGET_REFUSED",)),
    _refused("target", -2022, "exit", ("SIGNAL", "OPEN"), ()),
    _refused("exit", -2022, "exit", ("SIGNAL", "OPEN"), ()),
    _refused("exit", -4131, "exit", ("SIGNAL", "OPEN"), ("EXIT_REFUSED",)),
    _refused("exit", -4131, "exit", ("SIGNAL", "OPEN"), ("EXIT_REFUSED",), count=4),
    _refused("cancel", -2011, "exit", ("SIGNAL", "OPEN"), ()),
]


def _limits() -> list[Case]:
    """Limits: nothing is sent until they are over; then whatever is due.

    An entry that could not be sent in time is none, and a position that had to wait for its stop is closed
    as soon as anything can be sent.
    """
    rows = []
    for name, fault, wait_s in (
        ("429", {"how": "refused", "status": 429}, 60),
        ("429 with Retry-After", {"how": "refused", "status": 429, "retry_after_s": 20}, 20),
        ("429 to all", {"how": "limited"}, 60),
        ("418", {"how": "refused", "status": 418, "retry_after_s": 90}, 90),
        ("-1015 too many orders", {"how": "refused", "code": -1015}, 60),
    ):
        rows += [
            Case(
                f"entry, {name}",
                "exit",
                (("entry", fault | _ENTRY),),
                ("SIGNAL|LAPSED", "OPEN"),
                ("LAPSED?",),
            ),
            Case(
                f"stop, {name}",
                "exit",
                (("entry", fault | _STOP),),
                ("UNPROTECTED", "OPEN"),
                ("UNPROTECTED", "STOP_REFUSED?"),  # the stop may come last, when there is no position
                naked_s=wait_s + 10,
            ),
            Case(f"exit, {name}", "exit", (("exit", fault | _EXIT),), ("SIGNAL", "OPEN")),
        ]
    wall, throttled = {"how": "firewall"}, {"how": "throttled", "count": None, "for_s": 300}
    rows += [
        Case("entry, 403", "exit", (("entry", wall | _ENTRY),), ("REFUSED", "OPEN"), ("ENTRY_REFUSED",)),
        Case(
            "stop, 403",
            "exit",
            (("entry", wall | _STOP),),
            ("UNPROTECTED", "OPEN"),
            ("STOP_REFUSED", "UNPROTECTED"),
            naked_s=310.0,
        ),
        Case("exit, 403", "exit", (("exit", wall | _EXIT),), ("SIGNAL", "OPEN"), ("EXIT_REFUSED",)),
        Case("-1008 once", "exit", (("entry", {"how": "throttled"}),), ("SIGNAL", "OPEN")),
        Case("-1008 for minutes", "exit", (("entry", throttled),), ("LAPSED", "OPEN"), ("LAPSED",)),
    ]
    return rows


def _times() -> list[Case]:
    rows = []
    for skew_ms in (-2000, 2000):
        for moment in ("start", "entry", "held", "exit"):
            strike = {"how": "clock skew", "skew_ms": skew_ms}
            if moment != "start":
                strike["for_s"] = 200
            rows.append(
                Case(
                    f"clock skew {skew_ms:+d} ms at {moment}",
                    "exit",
                    ((moment, strike),),  # type: ignore[arg-type]
                    ("SIGNAL", "OPEN"),
                )
            )
    return rows


_READS = {
    "account": "/fapi/v1/accountConfig",
    "terms": "/fapi/v1/symbolConfig",
    "order limits": "/fapi/v1/rateLimit/order",
    "contracts": "/fapi/v1/exchangeInfo",
    "positions": "/fapi/v3/positionRisk",
    "open orders": "/fapi/v1/openOrders",
    "open stops": "/fapi/v1/openAlgoOrders",
    "balances": "/fapi/v3/balance",
    "candles": "/fapi/v1/klines",
    "listen key": "/fapi/v1/listenKey",
}


def _reads() -> list[Case]:
    """A read at the start fails: asked again, and nothing is decided meanwhile."""
    rows = []
    kinds = ("internal error", "gateway", "cut short", "broken off", "reset", "wrong types", "late")
    for number, (what, path) in enumerate(_READS.items()):
        for how in (kinds[number % len(kinds)], kinds[(number + 3) % len(kinds)]):
            rows.append(
                Case(f"{what} at start: {how}", "hold", (("start", {"how": how, "path": path}),), ("OPEN",))
            )
    for what in ("positions", "open orders", "open stops", "balances"):
        for how in ("internal error", "cut short", "wrong types", "text times"):
            strike = {"how": how, "path": _READS[what]}
            rows.append(Case(f"{what} at restart: {how}", "exit", (("restart", strike),), ("SIGNAL", "OPEN")))
    rows += [
        Case("unknown filter and fields", "hold", (("start", {"how": "filter unknown"}),), ("OPEN",)),
        Case(
            "limit headers missing",
            "exit",
            (("start", {"how": "headers missing", "count": None}),),
            ("SIGNAL", "OPEN"),
        ),
        Case(
            "order answers with texts for numbers",
            "exit",
            (("entry", {"how": "wrong types"} | _ENTRY),),
            ("SIGNAL", "OPEN"),
        ),
        Case(
            "order answer cut short", "exit", (("entry", {"how": "cut short"} | _ENTRY),), ("SIGNAL", "OPEN")
        ),
        Case("stop answer cut short", "exit", (("entry", {"how": "cut short"} | _STOP),), ("SIGNAL", "OPEN")),
        Case(
            "answers after their events",
            "exit",
            (("start", {"how": "late", "delay_ms": 200, "method": "POST", "count": None}),),
            ("SIGNAL", "OPEN"),
        ),
    ]
    return rows


def _queries() -> list[Case]:
    """Only a query can tell, and it fails as well."""
    lost = {"how": "unknown error", "executed": True} | _ENTRY
    quiet = _DROP | {"event": "ORDER_TRADE_UPDATE"}
    told = [
        ("query fails", {"how": "internal error", "method": "GET", "path": _ORDER, "count": 3}),
        ("query unreadable", {"how": "wrong types", "method": "GET", "path": _ORDER, "count": 2}),
        ("store lags", {"how": "store lag", "lag_ms": 3000, "for_s": 60}),
        ("store lags by more than is waited", {"how": "store lag", "lag_ms": 12_000, "for_s": 60}),
        ("status is stale", {"how": "stale status", "lag_ms": 3000, "for_s": 60}),
    ]
    return [
        Case(
            f"entry lost, no events, {name}",
            "exit",
            (("entry", lost), ("entry", quiet), ("entry", fault)),
            ("SIGNAL", "OPEN"),
            naked_s=20.0,
        )
        for name, fault in told
    ]


REST_CASES: tuple[Case, ...] = (
    *_lost_answers(),
    *_not_executed(),
    *_REFUSALS,
    *_limits(),
    *_times(),
    *_reads(),
    *_queries(),
)

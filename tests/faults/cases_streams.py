"""Rows about streams: events that do not come, come twice, late or swapped; dead connections; candles."""

from __future__ import annotations

from typing import Any

from faults.table import Case, Moment
from faults.world import OPEN_MS
from futures_agent.clock import HOUR_MS

_EVENTS = {"orders": "ORDER_TRADE_UPDATE", "account": "ACCOUNT_UPDATE", "stops": "ALGO_UPDATE"}
_CLOSE = "btcusdt@kline_1h"
_KLINES = "/fapi/v1/klines"


def _events() -> list[Case]:
    rows = []
    for what, event in _EVENTS.items():
        for how, more in (
            ("event dropped", {"count": None, "for_s": 30}),
            ("event repeated", {"count": None, "for_s": 30}),
            ("event late", {"count": None, "for_s": 30, "delay_ms": 4000}),
            ("events swapped", {}),
        ):
            for scene, moment, reason in (
                ("exit", "entry", "SIGNAL"),
                ("exit", "exit", "SIGNAL"),
                ("stop", "entry", "STOP"),
            ):
                if what == "stops" and (how, scene, moment) == ("events swapped", "exit", "exit"):
                    continue  # after an exit nothing of another kind need follow
                fault: dict[str, Any] = {"how": how, "event": event, **more}
                if scene == "stop" and how != "events swapped":
                    fault["for_s"] = 3_000  # until the stop was reached
                rows.append(
                    Case(
                        f"{what} {how} ({scene} at {moment})",
                        scene,  # type: ignore[arg-type]
                        ((moment, fault),),  # type: ignore[arg-type]
                        (reason, "OPEN"),
                        naked_s=5.0,
                    )
                )
    return rows


def _connections() -> list[Case]:
    rows = []
    moments: tuple[Moment, ...] = ("entry", "held", "exit")
    for how in ("closed", "ended", "silent", "half-open"):
        for route in ("private", "market"):
            rows += [
                Case(
                    f"{route} streams {how} at {moment}",
                    "exit",
                    ((moment, {"how": f"streams {how}", "route": route}),),
                    ("SIGNAL", "OPEN"),
                    # Until a dead connection is noticed nobody hears of the fill but from the answer.
                    naked_s=5.0,
                )
                for moment in moments
            ]
    for announced in (True, False):
        word = "announced" if announced else "without a word"
        fault = {"how": "listen key expired", "announced": announced}
        rows += [
            Case(
                f"listen key dies {word} at {moment}",
                "exit",
                ((moment, fault),),
                ("SIGNAL", "OPEN"),
                naked_s=5.0,
            )
            for moment in moments
        ]
    twice = {"how": "listen key expired"}
    rows += [
        Case("listen key dies twice", "exit", (("held", twice), ("exit", twice)), ("SIGNAL", "OPEN")),
        Case(
            "listen key refused",
            "hold",
            (("start", {"how": "refused", "code": -1125, "path": "/fapi/v1/listenKey"}),),
            ("OPEN",),
        ),
        Case(
            "all streams torn, stop reached meanwhile",
            "stop",
            (("held", {"do": "cut_streams"}),),
            ("STOP", "OPEN"),
        ),
    ]
    return rows


def _candles() -> list[Case]:
    missing, late = {"how": "close missing", "stream": _CLOSE}, {"how": "close late", "stream": _CLOSE}
    gap = {
        "how": "candles missing",
        "symbol": "BTCUSDT",
        "first_ms": OPEN_MS - HOUR_MS,
        "last_ms": OPEN_MS - HOUR_MS,
    }
    return [
        Case("x:true missing at entry", "exit", (("entry", missing),), ("SIGNAL", "OPEN")),
        Case("x:true missing at exit", "exit", (("exit", missing),), ("SIGNAL", "OPEN")),
        Case("x:true late at entry", "exit", (("entry", late | {"delay_ms": 3000}),), ("SIGNAL", "OPEN")),
        Case(
            "x:true too late at entry", "exit", (("entry", late | {"delay_ms": 60_000}),), ("SIGNAL", "OPEN")
        ),
        Case(
            "x:true missing, REST lacks the last row",
            "exit",
            (("entry", missing), ("entry", {"how": "last row absent", "path": _KLINES})),
            ("SIGNAL", "OPEN"),
        ),
        Case(
            "x:true missing, REST fails twice",
            "exit",
            (("entry", missing), ("entry", {"how": "internal error", "path": _KLINES, "count": 2})),
            ("SIGNAL", "OPEN"),
        ),
        Case("a candle is nowhere", "exit", (("entry", gap),), ("OPEN",)),
        Case(
            "market stream torn at the close",
            "exit",
            (("entry", {"how": "streams closed", "route": "market"}),),
            ("SIGNAL", "OPEN"),
        ),
    ]


STREAM_CASES: tuple[Case, ...] = (*_events(), *_connections(), *_candles())

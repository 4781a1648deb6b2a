"""Rows about fills, accounts and contracts, what people do by hand, and several faults at once."""

from __future__ import annotations

from typing import Any

from faults.table import Case

_SYMBOL = "BTCUSDT"
_ORDER, _ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
_ENTRY: dict[str, Any] = {"method": "POST", "path": _ORDER, "type": "MARKET"}
_STOP: dict[str, Any] = {"method": "POST", "path": _ALGO}
_PARTIAL = {"how": "partial fill", "share": "0.5"}
_REJECTED = {"how": "stop rejected"}
_REDUCE_ONLY = {"how": "reduce only"}
_PRIVATE_CUT = {"how": "streams closed", "route": "private"}


def _foreign(side: str, quantity: str, **more: Any) -> dict[str, Any]:
    return {"how": "foreign order", "symbol": _SYMBOL, "side": side, "quantity": quantity, **more}


def _status(status: str, **more: Any) -> dict[str, Any]:
    return {"how": "contract status", "symbol": _SYMBOL, "status": status, **more}


_FILLS = (
    Case("entry filled in part", "exit", (("entry", _PARTIAL),), ("SIGNAL", "OPEN")),
    Case("exit filled in part", "exit", (("exit", _PARTIAL),), ("SIGNAL", "OPEN")),
    Case("exit filled in part three times", "exit", (("exit", _PARTIAL | {"count": 3}),), ("SIGNAL", "OPEN")),
    Case("stop filled in part", "stop", (("held", _PARTIAL),), ("STOP", "OPEN")),
    Case("target filled in part", "target", (("held", _PARTIAL),), ("TARGET", "OPEN")),
    Case("stop rejected when it triggers", "stop", (("held", _REJECTED),), ("STOP", "OPEN")),
)

_FORCED = (
    Case(
        "liquidation",
        "exit",
        (("held", {"how": "liquidation", "symbol": _SYMBOL}),),
        ("LIQUIDATION", "OPEN"),
        ("LIQUIDATED",),
    ),
    Case(
        "auto-deleveraging",
        "exit",
        (("held", {"how": "deleveraging", "symbol": _SYMBOL}),),
        ("ADL", "OPEN"),
        ("LIQUIDATED",),
    ),
    Case(
        "liquidation while the trader is down",
        "exit",
        (("restart", {"how": "liquidation", "symbol": _SYMBOL}),),
        ("LIQUIDATION", "OPEN"),
        ("LIQUIDATED",),
    ),
    Case(
        "a gap through the stop",
        "hold",
        (("held", {"how": "price jump", "symbol": _SYMBOL, "share": "-0.2"}),),
        ("STOP",),
    ),
    Case(
        "mark price runs away and comes back",
        "exit",
        (
            ("held", {"how": "mark offset", "symbol": _SYMBOL, "share": "-0.04"}),
            ("exit", {"how": "mark offset", "symbol": _SYMBOL, "share": "0"}),
        ),
        ("SIGNAL", "OPEN"),
    ),
)

_CONTRACTS = (
    Case(
        "halt at the exit",
        "exit",
        (("exit", _status("TRADING_HALT")), ("exit", _status("TRADING", at="+300"))),
        ("SIGNAL", "OPEN"),
        ("EXIT_REFUSED",),
    ),
    Case(
        "halt at the entry",
        "exit",
        (("entry", _status("TRADING_HALT")), ("entry", _status("TRADING", at="+300"))),
        ("REFUSED", "OPEN"),
        ("ENTRY_REFUSED",),
    ),
    Case(
        "delisted with a position",
        "exit",
        (("held", _status("SETTLING")),),
        ("SETTLEMENT", "REFUSED"),
        ("ENTRY_REFUSED", "LIQUIDATED", "TARGET_REFUSED?"),  # its orders end before its positions
    ),
    Case(
        "tick grows",
        "exit",
        (("entry", {"how": "tick size", "symbol": _SYMBOL, "decimals": 0}),),
        ("UNPROTECTED", "OPEN"),  # known once the exchange refused
        ("STOP_REFUSED", "UNPROTECTED"),
    ),
    Case(
        "step grows with a position",
        "exit",
        (("held", {"how": "step size", "symbol": _SYMBOL, "decimals": 2}),),
        ("SIGNAL", "OPEN"),
    ),
    Case(
        "funding every hour",
        "exit",
        (("held", {"how": "funding interval", "symbol": _SYMBOL, "hours": 1}),),
        ("SIGNAL", "OPEN"),
    ),
)

_ACCOUNTS = (
    Case(
        "only reduce at entry",
        "exit",
        (("entry", _REDUCE_ONLY | {"for_s": 600}),),
        ("REFUSED", "OPEN"),
        ("ENTRY_REFUSED",),
    ),
    Case(
        "only reduce with a position",
        "exit",
        (("held", _REDUCE_ONLY),),
        ("SIGNAL", "REFUSED"),
        ("ENTRY_REFUSED",),
    ),
    Case(
        "only reduce with a position, its stop reached",
        "stop",
        (("held", _REDUCE_ONLY),),
        ("STOP", "REFUSED"),
        ("ENTRY_REFUSED",),
    ),
    Case(
        "only reduce, -4107",
        "exit",
        (("held", _REDUCE_ONLY | {"code": -4107, "for_s": 4000}),),
        ("SIGNAL", "OPEN"),
    ),
    Case(
        "cooling off", "exit", (("held", {"how": "cooling off"}),), ("SIGNAL", "REFUSED"), ("ENTRY_REFUSED",)
    ),
)

_BY_HAND = (
    Case(
        "stop cancelled by hand", "exit", (("held", {"do": "cancel_stops"}),), ("SIGNAL", "OPEN"), naked_s=2.0
    ),
    Case(
        "stop cancelled by hand, not told",
        "exit",
        (
            ("held", {"how": "event dropped", "event": "ALGO_UPDATE"}),
            ("held", {"do": "cancel_stops"}),
        ),
        ("SIGNAL", "OPEN"),
        naked_s=190.0,  # until the next look at the account
    ),
    Case("target cancelled by hand", "target", (("held", {"do": "cancel_orders"}),), ("TARGET", "OPEN")),
    Case(
        "stop cancelled while the trader is down",
        "exit",
        (("restart", {"do": "cancel_stops"}),),
        ("SIGNAL", "OPEN"),
        ("UNPROTECTED?",),
        naked_s=5.0,
    ),
    Case(
        "position opened by hand before the start, adopted",
        "hold",
        (("start", _foreign("BUY", "0.010")),),
        ("OPEN",),
        ("FOREIGN_FILL?", "UNEXPLAINED_POSITION?"),
        naked_s=5.0,
    ),
    Case(
        "position opened by hand before the start, closed",
        "hold",
        (("start", _foreign("BUY", "0.010")),),
        ("UNEXPLAINED", "OPEN"),
        ("FOREIGN_FILL?", "UNEXPLAINED_POSITION?"),
        naked_s=5.0,
        live={"unexplained": "close"},
    ),
    Case(
        "position opened by hand while the trader is down, and closed by the exit",
        "exit",
        (("restart", _foreign("BUY", "0.010")),),
        ("SIGNAL", "OPEN"),
        ("FOREIGN_FILL?", "UNEXPLAINED_POSITION?"),
    ),
    Case(
        "added to by hand",
        "exit",
        (("held", _foreign("BUY", "0.010")),),
        ("SIGNAL", "OPEN"),
        ("FOREIGN_FILL",),
    ),
    Case(
        "reduced by hand",
        "exit",
        (("held", _foreign("SELL", "0.010")),),
        ("SIGNAL", "OPEN"),
        ("FOREIGN_FILL",),
    ),
    Case(
        "closed by hand",
        "exit",
        (("held", _foreign("SELL", "0.030")),),
        ("FOREIGN", "OPEN"),
        ("FOREIGN_FILL",),
    ),
    Case(
        "turned by hand",
        "hold",
        (("held", _foreign("SELL", "0.050")),),
        ("FOREIGN", "OPEN"),
        ("FOREIGN_FILL",),
        naked_s=5.0,
    ),
    Case(
        "an order of others rests",
        "exit",
        (("held", _foreign("BUY", "0.010", price="50000")),),
        ("SIGNAL",),
        ("FOREIGN_ORDER",),
        stray_orders=1,
    ),
)

_TOGETHER = (
    Case(
        "entry lost and the stream torn",
        "exit",
        (("entry", {"how": "unknown error", "executed": True} | _ENTRY), ("entry", _PRIVATE_CUT)),
        ("SIGNAL", "OPEN"),
        naked_s=5.0,
    ),
    Case(
        "entry filled in part and the stop refused",
        "exit",
        (("entry", _PARTIAL), ("entry", {"how": "refused", "code": -4120} | _STOP)),
        ("SIGNAL", "OPEN"),
        ("STOP_REFUSED",),
    ),
    Case(
        "stop lost and the stream torn",
        "exit",
        (("entry", {"how": "timed out", "executed": True} | _STOP), ("entry", _PRIVATE_CUT)),
        ("SIGNAL", "OPEN"),
        naked_s=5.0,
    ),
    Case(
        "stop not done and queries fail",
        "exit",
        (
            ("entry", {"how": "timed out"} | _STOP),
            ("entry", {"how": "internal error", "method": "GET", "count": 40, "for_s": 20}),
        ),
        ("UNPROTECTED", "OPEN"),
        ("NOT_PLACED", "UNPROTECTED"),
        naked_s=6.0,
    ),
    Case(
        "exit lost and the listen key dead",
        "exit",
        (
            ("exit", {"how": "unknown error", "executed": True} | _ENTRY),
            ("exit", {"how": "listen key expired", "announced": False}),
        ),
        ("SIGNAL", "OPEN"),
    ),
    Case(
        "stop filled in part and the exit refused",
        "stop",
        (("held", _PARTIAL), ("held", {"how": "refused", "code": -4131} | _ENTRY)),
        ("STOP", "OPEN"),
        ("EXIT_REFUSED",),
        naked_s=5.0,
    ),
    Case(
        "liquidation not told",
        "exit",
        (
            ("held", {"how": "event dropped", "event": "ORDER_TRADE_UPDATE", "count": 2}),
            ("held", {"how": "event dropped", "event": "ACCOUNT_UPDATE", "count": 2}),
            ("held", {"how": "liquidation", "symbol": _SYMBOL}),
        ),
        ("LIQUIDATION", "OPEN"),
        ("LIQUIDATED",),
    ),
    Case(
        "closed by hand and the stream torn",
        "exit",
        (("held", _PRIVATE_CUT), ("held", _foreign("SELL", "0.030"))),
        ("FOREIGN", "OPEN"),
        ("FOREIGN_FILL",),
    ),
    Case(
        "x:true missing and the account only reduces",
        "exit",
        (
            ("entry", {"how": "close missing", "stream": "btcusdt@kline_1h"}),
            ("entry", _REDUCE_ONLY | {"for_s": 600}),
        ),
        ("REFUSED", "OPEN"),
        ("ENTRY_REFUSED",),
    ),
    Case(
        "clock skew, and nobody tells that the entry came at a wrong time",
        "exit",
        (
            ("entry", {"how": "clock skew", "skew_ms": -2000, "for_s": 120}),
            ("entry", {"how": "gateway", "executed": True} | _ENTRY),
        ),
        ("NOT_PLACED", "OPEN"),
        ("NOT_PLACED",),
    ),
)

ACCOUNT_CASES: tuple[Case, ...] = (
    *_FILLS,
    *_FORCED,
    *_CONTRACTS,
    *_ACCOUNTS,
    *_BY_HAND,
    *_TOGETHER,
)

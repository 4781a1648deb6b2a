"""The terms of an account over REST: leverage, margin type, position mode, isolated margin, listen key."""

from __future__ import annotations

from typing import Any

from futures_agent.simulator.order_lookups import listing_of
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.rest_signed import Access, AccountEndpoint, Call, done, weighs
from futures_agent.simulator.trading.events import plain
from futures_agent.simulator.trading.records import ZERO

_POSITION_SIDES = ("BOTH", "LONG", "SHORT")
_MARGIN_TYPES = ("ISOLATED", "CROSSED")
_ADD, _REDUCE = "1", "2"


def change_leverage(call: Call) -> dict[str, Any]:
    """Change the leverage of one contract, for what is held and for what comes."""
    symbol = listing_of(call).symbol
    call.params.needed("leverage")
    leverage = call.params.whole("leverage") or 0
    most = call.venue.exchange.set_leverage(call.account, symbol, leverage, call.now_ms)
    return {"leverage": leverage, "maxNotionalValue": plain(most), "symbol": symbol}


def change_margin_type(call: Call) -> dict[str, Any]:
    """Change one contract between isolated and crossed margin."""
    symbol = listing_of(call).symbol
    call.params.needed("marginType")
    margin_type = call.params.choice("marginType", _MARGIN_TYPES, "")
    call.venue.exchange.set_margin_type(call.account, symbol, margin_type, call.now_ms)
    return done()


def change_position_mode(call: Call) -> dict[str, Any]:
    """Change between one-way mode and hedge mode."""
    call.params.needed("dualSidePosition")
    dual_side = bool(call.params.flag("dualSidePosition"))
    call.venue.exchange.set_position_mode(call.account, dual_side, call.now_ms)
    return done()


def change_position_margin(call: Call) -> dict[str, Any]:
    """Add margin to an isolated position, or take some back."""
    symbol = listing_of(call).symbol
    side = call.params.choice("positionSide", _POSITION_SIDES, "BOTH", -4060)
    call.params.needed("amount")
    amount = call.params.decimal("amount") or ZERO
    call.params.needed("type")
    kind = call.params.choice("type", (_ADD, _REDUCE), "")
    if amount <= 0:
        raise refusal(-4055)
    signed = amount if kind == _ADD else -amount
    call.venue.exchange.change_position_margin(call.account, symbol, signed, call.now_ms, position_side=side)
    return {
        "amount": float(amount),
        "code": 200,
        "msg": "Successfully modify position margin.",
        "type": int(kind),
    }


def change_fee_burn(call: Call) -> dict[str, Any]:
    """Leave fees where they are: in the margin asset, not in BNB."""
    call.params.needed("feeBurn")
    if call.params.flag("feeBurn"):
        raise refusal(-1130, "feeBurn")
    return done()


def open_listen_key(call: Call) -> dict[str, Any]:
    """Answer the account's listen key, good for an hour from now; made where there is none."""
    return {"listenKey": call.venue.exchange.start_listen_key(call.account, call.now_ms)}


def extend_listen_key(call: Call) -> dict[str, Any]:
    """Keep the account's listen key for an hour from now."""
    return {"listenKey": call.venue.exchange.keep_listen_key(call.account, call.now_ms)}


def close_listen_key(call: Call) -> dict[str, Any]:
    """Close the account's listen key."""
    call.venue.exchange.close_listen_key(call.account, call.now_ms)
    return {}


_LISTEN_KEY = "/fapi/v1/listenKey"
TERMS_ENDPOINTS = (
    AccountEndpoint("POST", "/fapi/v1/leverage", change_leverage, weighs(1), "symbol leverage", Access.TRADE),
    AccountEndpoint(
        "POST", "/fapi/v1/marginType", change_margin_type, weighs(1), "symbol marginType", Access.TRADE
    ),
    AccountEndpoint(
        "POST",
        "/fapi/v1/positionSide/dual",
        change_position_mode,
        weighs(1),
        "dualSidePosition",
        Access.TRADE,
    ),
    AccountEndpoint(
        "POST",
        "/fapi/v1/positionMargin",
        change_position_margin,
        weighs(1),
        "symbol positionSide amount type",
        Access.TRADE,
    ),
    AccountEndpoint("POST", "/fapi/v1/feeBurn", change_fee_burn, weighs(1), "feeBurn", Access.TRADE),
    AccountEndpoint("POST", _LISTEN_KEY, open_listen_key, weighs(1), "listenKey", Access.KEY),
    AccountEndpoint("PUT", _LISTEN_KEY, extend_listen_key, weighs(1), "listenKey", Access.KEY),
    AccountEndpoint("DELETE", _LISTEN_KEY, close_listen_key, weighs(1), "listenKey", Access.KEY),
)

"""From the parameters of a request to an order: which belong to which kind, and what each may say.

Source: the exchange's pages of the order endpoints. What a contract's filters forbid, `trading.filters`
judges; what the state of the account forbids, the exchange itself.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from futures_agent.clock import SECOND_MS
from futures_agent.simulator.listing import Listing
from futures_agent.simulator.parameters import Parameters
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.records import ZERO, AlgoRequest, OrderRequest

ORDER_NAMES = (
    "symbol side positionSide type timeInForce quantity price reduceOnly newClientOrderId newOrderRespType "
    "priceMatch selfTradePreventionMode goodTillDate stopPrice activationPrice callbackRate closePosition"
)
ALGO_NAMES = (
    "algoType symbol side positionSide type timeInForce quantity price triggerPrice workingType priceMatch "
    "closePosition priceProtect reduceOnly activatePrice callbackRate clientAlgoId newOrderRespType "
    "selfTradePreventionMode goodTillDate"
)

Quote = Callable[[], tuple[Decimal, Decimal]]
_SIDES = ("BUY", "SELL")
_POSITION_SIDES = ("BOTH", "LONG", "SHORT")
_TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD")
_RESPONSES = ("ACK", "RESULT")
_SELF_TRADE_MODES = ("EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "NONE")
_WORKING_TYPES = ("CONTRACT_PRICE", "MARK_PRICE")
_PRICE_MATCHES = frozenset(
    f"{side}{level}" for side in ("OPPONENT", "QUEUE") for level in ("", "_5", "_10", "_20")
)
_SUSPENDED_MATCHES = ("OPPONENT_10", "OPPONENT_20")
_CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
_LIMITED = ("STOP", "TAKE_PROFIT")
_CLOSING = ("STOP_MARKET", "TAKE_PROFIT_MARKET")
_LEAST_CALLBACK, _LARGEST_CALLBACK = Decimal("0.1"), Decimal(20)  # per cent
_SOONEST_GOOD_TILL_MS = 600 * SECOND_MS
_LAST_GOOD_TILL_MS = 253_402_300_799_000


def read_order(
    params: Parameters, listing: Listing, account: Account, now_ms: int, quote: Quote
) -> OrderRequest:
    """Return the regular order that `params` ask for.

    Parameters
    ----------
    listing : Listing
        The contract that the parameter `symbol` names.
    now_ms : int
        ms UTC, for goodTillDate.
    quote : callable
        Returns the best bid and the best ask; called for priceMatch alone.

    Raises
    ------
    VenueError
        The first parameter that is missing, malformed, or goes ill with the others.
    """
    side, position_side = _sides(params, account)
    kind = params.needed("type")
    if kind in _CONDITIONAL:
        raise refusal(-4120)
    if kind not in ("LIMIT", "MARKET"):
        raise refusal(-1116)
    params.forbid("stopPrice", "activationPrice", "callbackRate")
    if params.flag("closePosition"):
        raise refusal(-4136, kind, "true")
    price, match = ZERO, "NONE"
    if kind == "LIMIT":
        time_in_force = params.needed("timeInForce")
        if time_in_force not in _TIMES_IN_FORCE:
            raise refusal(-1115)
        price, match = _limit_price(params, listing, side, quote)
    else:
        params.forbid("price", "timeInForce")
        if params.text("priceMatch") not in (None, "NONE"):
            raise refusal(-5038)
        time_in_force = "GTC"
    quantity = _needed_decimal(params, "quantity")
    params.choice("newOrderRespType", _RESPONSES, "ACK", -1136)
    return OrderRequest(
        symbol=listing.symbol,
        side=side,
        type=kind,
        quantity=quantity,
        position_side=position_side,
        price=price,
        time_in_force=time_in_force,
        reduce_only=_reduce_only(params, account),
        client_order_id=params.client_id("newClientOrderId") or "",
        self_trade_prevention=_self_trade_mode(params),
        price_match=match,
        good_till_ms=_good_till(params, time_in_force, now_ms),
    )


def read_algo(
    params: Parameters, listing: Listing, account: Account, now_ms: int, quote: Quote
) -> AlgoRequest:
    """Return the conditional order that `params` ask for; arguments and faults as of `read_order`."""
    params.choice("algoType", ("CONDITIONAL",), "")
    params.needed("algoType")
    side, position_side = _sides(params, account)
    kind = params.needed("type")
    if kind not in _CONDITIONAL:
        raise refusal(-1116)
    time_in_force = _algo_time_in_force(params, kind)
    price, match = ZERO, "NONE"
    if kind in _LIMITED:
        price, match = _limit_price(params, listing, side, quote)
    else:
        params.forbid("price")
        if params.text("priceMatch") not in (None, "NONE"):
            raise refusal(-5038)
    trigger_price = activate_price = callback_rate = ZERO
    if kind == "TRAILING_STOP_MARKET":
        params.forbid("triggerPrice")
        callback_rate = _needed_decimal(params, "callbackRate")
        activate_price = params.decimal("activatePrice") or ZERO
        if not _LEAST_CALLBACK <= callback_rate <= _LARGEST_CALLBACK:
            raise refusal(-2007)
    else:
        params.forbid("activatePrice", "callbackRate")
        trigger_price = _needed_decimal(params, "triggerPrice")
        if trigger_price <= 0:
            raise refusal(-4001)
    close_position = bool(params.flag("closePosition"))
    if close_position:
        _check_closing(params, kind, side, position_side)
    params.choice("newOrderRespType", _RESPONSES, "ACK", -1136)
    return AlgoRequest(
        symbol=listing.symbol,
        side=side,
        type=kind,
        quantity=ZERO if close_position else _needed_decimal(params, "quantity"),
        position_side=position_side,
        price=price,
        trigger_price=trigger_price,
        time_in_force=time_in_force,
        working_type=params.choice("workingType", _WORKING_TYPES, "CONTRACT_PRICE"),
        close_position=close_position,
        price_protect=bool(params.flag("priceProtect")),
        reduce_only=not close_position and _reduce_only(params, account),
        activate_price=activate_price,
        callback_rate=callback_rate,
        client_algo_id=params.client_id("clientAlgoId") or "",
        self_trade_prevention=_self_trade_mode(params),
        price_match=match,
        good_till_ms=_good_till(params, time_in_force, now_ms),
    )


def is_reducing(request: OrderRequest | AlgoRequest) -> bool:
    """Say whether an order can only reduce a position: by its flag, or in hedge mode by its sides."""
    if isinstance(request, AlgoRequest) and request.close_position:
        return True
    return request.reduce_only or (request.side, request.position_side) in (
        ("SELL", "LONG"),
        ("BUY", "SHORT"),
    )


def read_side(params: Parameters) -> str:
    """Return BUY or SELL.

    Raises
    ------
    VenueError
        -1102 without it, -1117 when it is something else.
    """
    side = params.needed("side")
    if side not in _SIDES:
        raise refusal(-1117)
    return side


def _sides(params: Parameters, account: Account) -> tuple[str, str]:
    side = read_side(params)
    position_side = params.choice("positionSide", _POSITION_SIDES, "BOTH", -4060)
    if account.dual_side == (position_side == "BOTH"):
        raise refusal(-4061)
    return side, position_side


def _needed_decimal(params: Parameters, name: str) -> Decimal:
    params.needed(name)
    return params.decimal(name) or ZERO


def _reduce_only(params: Parameters, account: Account) -> bool:
    if account.dual_side:  # the sides say it already
        params.forbid("reduceOnly")
    return bool(params.flag("reduceOnly", -4062))


def _self_trade_mode(params: Parameters) -> str:
    return params.choice("selfTradePreventionMode", _SELF_TRADE_MODES, "EXPIRE_MAKER")


def _limit_price(params: Parameters, listing: Listing, side: str, quote: Quote) -> tuple[Decimal, str]:
    """Return the price of a limit order and where it came from: sent, or taken from the book.

    The venue's book has a level on every tick beyond the best prices.
    """
    match = params.text("priceMatch")
    if match in (None, "NONE"):
        return _needed_decimal(params, "price"), "NONE"
    params.forbid("price")
    if match not in _PRICE_MATCHES or match in _SUSPENDED_MATCHES:
        raise refusal(-5037)
    kind, _, level = match.partition("_")
    at_ask = (side == "BUY") == (kind == "OPPONENT")
    bid, ask = quote()
    away = (int(level or 1) - 1) * Decimal(1).scaleb(-listing.grid.price)
    return (ask + away if at_ask else bid - away), match


def _good_till(params: Parameters, time_in_force: str, now_ms: int) -> int:
    """Return until when the order is good, ms UTC on the second; 0 unless it is GTD."""
    if time_in_force != "GTD":
        params.forbid("goodTillDate")
        return 0
    params.needed("goodTillDate")
    until_ms = params.whole("goodTillDate") or 0
    if not now_ms + _SOONEST_GOOD_TILL_MS < until_ms < _LAST_GOOD_TILL_MS:
        raise refusal(-1130, "goodTillDate")
    return until_ms - until_ms % SECOND_MS


def _algo_time_in_force(params: Parameters, kind: str) -> str:
    time_in_force = params.text("timeInForce") or "GTC"
    allowed = _TIMES_IN_FORCE if kind in _LIMITED else ("GTC", "GTE_GTC")
    if time_in_force not in allowed:
        raise refusal(-1115)
    return time_in_force


def _check_closing(params: Parameters, kind: str, side: str, position_side: str) -> None:
    """Refuse what contradicts closePosition."""
    if kind not in _CLOSING:
        raise refusal(-4136, kind, "true")
    if params.get("quantity") is not None:
        raise refusal(-4137)
    if params.flag("reduceOnly", -4062) is False:
        raise refusal(-4138)
    params.forbid("reduceOnly")
    if (side, position_side) in (("BUY", "LONG"), ("SELL", "SHORT")):
        raise refusal(-4061)

"""Orders and trades as the REST endpoints show them, field by field.

Source: the exchange's pages of the order endpoints, as they stand since the coin- and USD-margined venues
share one engine: the answer to placing, changing or cancelling an order no longer tells its average price.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from futures_agent.simulator.trading.events import plain
from futures_agent.simulator.trading.records import ZERO, AlgoOrder, Fill, Order

_TRAILING = "TRAILING_STOP_MARKET"
_DECIMALS_OF_AVERAGES = Decimal("1e-8")


def order_answer(order: Order, *, legacy_avg_price: bool = False) -> dict[str, Any]:
    """Return the answer to placing, changing or cancelling `order`.

    Parameters
    ----------
    legacy_avg_price : bool
        With avgPrice and cumQuote, as it was before.
    """
    document = {
        "clientOrderId": order.client_order_id,
        "cumQty": plain(order.executed),
        "executedQty": plain(order.executed),
        "orderId": order.order_id,
        "origQty": plain(order.quantity),
        "price": plain(order.price),
        "reduceOnly": order.reduce_only,
        "side": order.side,
        "positionSide": order.position_side,
        "status": order.status,
        "stopPrice": plain(order.stop_price),
        "closePosition": order.close_position,
        "symbol": order.symbol,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "origType": order.orig_type,
        "updateTime": order.updated_ms,
        "workingType": order.working_type,
        "priceProtect": order.price_protect,
        "priceMatch": order.price_match,
        "selfTradePreventionMode": order.self_trade_prevention,
        "goodTillDate": order.good_till_ms,
    }
    return document | _averages(order) if legacy_avg_price else document


def acknowledgement(order: Order, *, legacy_avg_price: bool = False) -> dict[str, Any]:
    """Return the answer to placing `order` that was given before anything of it traded."""
    document = order_answer(order, legacy_avg_price=legacy_avg_price)
    document |= {"status": "NEW", "executedQty": "0", "cumQty": "0", "updateTime": order.created_ms}
    return document | {"avgPrice": "0", "cumQuote": "0"} if legacy_avg_price else document


def order_details(order: Order, algo: AlgoOrder | None = None) -> dict[str, Any]:
    """Return what the query endpoints tell of `order`, and of the conditional order that it came from."""
    document = order_answer(order) | _averages(order) | {"time": order.created_ms}
    if algo is not None and algo.type == _TRAILING:
        document |= {"activatePrice": plain(algo.activate_price), "priceRate": plain(algo.callback_rate)}
    return document


def algo_answer(algo: AlgoOrder) -> dict[str, Any]:
    """Return the answer to placing a conditional order."""
    trailing = algo.type == _TRAILING
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_algo_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.type,
        "symbol": algo.symbol,
        "side": algo.side,
        "positionSide": algo.position_side,
        "timeInForce": algo.time_in_force,
        "quantity": plain(algo.quantity),
        "algoStatus": algo.status,
        "triggerPrice": plain(algo.trigger_price),
        "price": plain(algo.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": algo.self_trade_prevention,
        "workingType": algo.working_type,
        "priceMatch": algo.price_match,
        "closePosition": algo.close_position,
        "priceProtect": algo.price_protect,
        "reduceOnly": algo.reduce_only,
        "activatePrice": plain(algo.activate_price) if trailing else "",
        "callbackRate": plain(algo.callback_rate) if trailing else "",
        "createTime": algo.created_ms,
        "updateTime": algo.updated_ms,
        "triggerTime": algo.trigger_ms,
        "goodTillDate": algo.good_till_ms,
    }


def open_algo(algo: AlgoOrder) -> dict[str, Any]:
    """Return one row of openAlgoOrders."""
    return algo_answer(algo) | {
        "actualOrderId": _actual_id(algo),
        "actualQty": plain(algo.actual_quantity),
        "isActivated": algo.is_activated,
    }


def algo_details(algo: AlgoOrder) -> dict[str, Any]:
    """Return a conditional order as querying one, or all, shows it."""
    document = algo_answer(algo) | {
        "actualOrderId": _actual_id(algo),
        "actualPrice": plain(algo.actual_price.quantize(_DECIMALS_OF_AVERAGES)),
        "tpOrderType": "",
    }
    if algo.actual_order_id:
        document |= {"actualType": algo.actual_type, "actualQty": plain(algo.actual_quantity)}
    return document


def trade(fill: Fill) -> dict[str, Any]:
    """Return one row of userTrades."""
    return {
        "buyer": fill.side == "BUY",
        "commission": plain(fill.fee),
        "commissionAsset": fill.fee_asset,
        "id": fill.trade_id,
        "maker": fill.maker,
        "orderId": fill.order_id,
        "price": plain(fill.price),
        "qty": plain(fill.quantity),
        "quoteQty": plain(fill.quote),
        "baseQty": "0",
        "marginAsset": fill.fee_asset,
        "realizedPnl": plain(fill.realized_pnl),
        "side": fill.side,
        "positionSide": fill.position_side,
        "symbol": fill.symbol,
        "pair": fill.symbol.partition("_")[0],
        "time": fill.time_ms,
    }


def _averages(order: Order) -> dict[str, str]:
    average = order.avg_price.quantize(_DECIMALS_OF_AVERAGES) if order.executed else ZERO
    return {"avgPrice": plain(average), "cumQuote": plain(order.quote)}


def _actual_id(algo: AlgoOrder) -> str:
    return str(algo.actual_order_id) if algo.actual_order_id else ""

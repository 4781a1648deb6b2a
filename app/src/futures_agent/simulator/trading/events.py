"""The messages of the user-data stream, field by field as the exchange sends them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from futures_agent.simulator.listing import Listing
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.margin import ISOLATED, AccountMargin, MarkPrice
from futures_agent.simulator.trading.records import ZERO, AlgoOrder, Fill, Order, Position


def plain(value: Decimal) -> str:
    """Return a decimal as the exchange writes it: no exponent, no zeros at the end."""
    return f"{value.normalize():f}" if value else "0"


def order_trade_update(now_ms: int, order: Order, execution: str, fill: Fill | None = None) -> dict[str, Any]:
    """Return ORDER_TRADE_UPDATE; `execution` is NEW, CANCELED, EXPIRED, TRADE, AMENDMENT or CALCULATED."""
    detail = {
        "s": order.symbol,
        "c": order.client_order_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": plain(order.quantity),
        "p": plain(order.price),
        "ap": plain(order.avg_price),
        "sp": plain(order.stop_price),
        "x": execution,
        "X": order.status,
        "i": order.order_id,
        "l": plain(fill.quantity) if fill else "0",
        "z": plain(order.executed),
        "L": plain(fill.price) if fill else "0",
    }
    if fill:
        detail |= {"N": fill.fee_asset, "n": plain(fill.fee)}
    detail |= {
        "T": now_ms,
        "t": fill.trade_id if fill else 0,
        "b": "0",
        "a": "0",
        "m": fill.maker if fill else False,
        "R": order.reduce_only,
        "wt": order.working_type,
        "ot": order.orig_type,
        "ps": order.position_side,
        "cp": order.close_position,
        "pP": order.price_protect,
        "si": 0,
        "ss": 0,
        "rp": plain(fill.realized_pnl) if fill else "0",
        "V": order.self_trade_prevention,
        "pm": order.price_match,
        "gtd": order.good_till_ms,
        "er": str(order.expiry_reason),
    }
    return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": now_ms, "o": detail}


def trade_lite(now_ms: int, order: Order, fill: Fill) -> dict[str, Any]:
    """Return TRADE_LITE, the fast copy of a fill."""
    return {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": now_ms,
        "s": order.symbol,
        "q": plain(order.quantity),
        "p": plain(order.price),
        "m": fill.maker,
        "c": order.client_order_id,
        "S": order.side,
        "L": plain(fill.price),
        "l": plain(fill.quantity),
        "t": fill.trade_id,
        "i": order.order_id,
    }


def account_update(
    now_ms: int,
    account: Account,
    reason: str,
    asset: str,
    margin: AccountMargin,
    positions: list[Position],
    mark: MarkPrice,
    *,
    change: Decimal = ZERO,
    symbol: str = "",
) -> dict[str, Any]:
    """Return ACCOUNT_UPDATE; `change` is what moved the wallet apart from PnL and commission."""
    balance = {"a": asset, "wb": plain(margin.wallet), "cw": plain(margin.cross_wallet), "bc": plain(change)}
    detail: dict[str, Any] = {
        "m": reason,
        "B": [balance],
        "P": [_position(account, each, mark) for each in positions],
    }
    if symbol:
        detail["S"] = symbol
    return {"e": "ACCOUNT_UPDATE", "E": now_ms, "T": now_ms, "a": detail}


def _position(account: Account, position: Position, mark: MarkPrice) -> dict[str, Any]:
    isolated = account.margin_type(position.symbol) == ISOLATED
    return {
        "s": position.symbol,
        "pa": plain(position.amount),
        "ep": plain(position.entry_price),
        "bep": plain(position.break_even_price),
        "cr": plain(position.realized_pnl),
        "up": plain(position.unrealized_pnl(mark(position.symbol))),
        "mt": "isolated" if isolated else "cross",
        "iw": plain(position.isolated_wallet),
        "ps": position.side,
    }


def algo_update(now_ms: int, algo: AlgoOrder) -> dict[str, Any]:
    """Return ALGO_UPDATE; what became of the order is in it from the trigger on."""
    detail: dict[str, Any] = {
        "caid": algo.client_algo_id,
        "aid": algo.algo_id,
        "at": "CONDITIONAL",
        "o": algo.type,
        "s": algo.symbol,
        "S": algo.side,
        "ps": algo.position_side,
        "f": algo.time_in_force,
        "q": plain(algo.quantity),
        "X": algo.status,
        "ai": str(algo.actual_order_id) if algo.actual_order_id else "",
    }
    if algo.actual_order_id:
        detail |= {"ap": plain(algo.actual_price), "aq": plain(algo.actual_quantity), "act": algo.actual_type}
    detail |= {
        "tp": plain(algo.trigger_price),
        "p": plain(algo.price),
        "V": algo.self_trade_prevention,
        "wt": algo.working_type,
        "pm": algo.price_match,
        "cp": algo.close_position,
        "pP": algo.price_protect,
        "R": algo.reduce_only,
        "tt": algo.trigger_ms,
        "gtd": algo.good_till_ms,
    }
    if algo.reason:
        detail["rm"] = algo.reason
    return {"e": "ALGO_UPDATE", "T": now_ms, "E": now_ms, "o": detail | {"ia": algo.is_activated}}


def leverage_changed(now_ms: int, symbol: str, leverage: int) -> dict[str, Any]:
    """Return ACCOUNT_CONFIG_UPDATE about a symbol's leverage."""
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": {"s": symbol, "l": leverage}}


def margin_type_changed(
    now_ms: int, account: Account, positions: list[Position], mark: MarkPrice
) -> dict[str, Any]:
    """Return ACCOUNT_UPDATE about positions, flat ones, whose symbol has another margin type now."""
    rows = [_position(account, each, mark) for each in positions]
    detail = {"m": "MARGIN_TYPE_CHANGE", "B": [], "P": rows}  # no balance has changed
    return {"e": "ACCOUNT_UPDATE", "E": now_ms, "T": now_ms, "a": detail}


def margin_call(
    now_ms: int, rows: list[dict[str, Any]], cross_wallet: Decimal | None = None
) -> dict[str, Any]:
    """Return MARGIN_CALL; `rows` from `margin_call_row`, the cross wallet only with those of crossed ones."""
    crossed = {} if cross_wallet is None else {"cw": plain(cross_wallet)}
    return {"e": "MARGIN_CALL", "E": now_ms, **crossed, "p": rows}


def margin_call_row(
    account: Account, position: Position, mark_price: Decimal, maintenance: Decimal
) -> dict[str, Any]:
    """Return one position of a MARGIN_CALL."""
    return {
        "s": position.symbol,
        "ps": position.side,
        "pa": plain(position.amount),
        "mt": account.margin_type(position.symbol),
        "iw": plain(position.isolated_wallet),
        "mp": plain(mark_price),
        "up": plain(position.unrealized_pnl(mark_price)),
        "mm": plain(maintenance),
    }


def force_order(now_ms: int, symbol: str, side: str, quantity: Decimal, price: Decimal) -> dict[str, Any]:
    """Return the public forceOrder of a liquidation."""
    detail = {
        "s": symbol,
        "S": side,
        "o": "LIMIT",
        "f": "IOC",
        "q": plain(quantity),
        "p": plain(price),
        "ap": plain(price),
        "X": "FILLED",
        "l": plain(quantity),
        "z": plain(quantity),
        "T": now_ms,
    }
    return {"e": "forceOrder", "E": now_ms, "o": detail, "st": 1}


def contract_info(now_ms: int, listing: Listing, status: str) -> dict[str, Any]:
    """Return the public contractInfo of a contract whose state has changed."""
    return {
        "e": "contractInfo",
        "E": now_ms,
        "s": listing.symbol,
        "ps": listing.pair,
        "ct": listing.contract_type,
        "dt": listing.delivery_ms,
        "ot": listing.onboard_ms,
        "cs": status,
        "st": 1,
    }


def listen_key_expired(now_ms: int, listen_key: str) -> dict[str, Any]:
    """Return listenKeyExpired: nothing follows it until there is a new key."""
    return {"e": "listenKeyExpired", "E": now_ms, "listenKey": listen_key}

"""The terms an account trades on: permissions, one-way mode, isolated margin, leverage.

What is as it should be is not sent again: two queries tell all of it, so that a restart costs little weight.
Source: Binance USDⓈ-M "Account" and "Trade" REST pages.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from futures_agent.errors import Refuse, Retry
from futures_agent.exchange.account_payloads import AccountConfig, SymbolConfig, decoded
from futures_agent.exchange.order_limits import OrderLimit
from futures_agent.exchange.outcome import Outcome
from futures_agent.exchange.signed import SignedClient, raise_if_key_fails
from futures_agent.exchange.signing import Value
from futures_agent.exchange.transport import Reply

_log = logging.getLogger(__name__)
_ISOLATED = "ISOLATED"
_ALREADY_SO = frozenset({-4046, -4059})  # no need to change margin type; position side
_INTERVAL_MS = {"SECOND": 1_000, "MINUTE": 60_000}


class _RateLimit(msgspec.Struct, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


def require_account(client: SignedClient, *, testnet: bool) -> None:
    """Make sure that the key may trade and nothing worse, in one-way mode with one margin asset.

    Raises
    ------
    Refuse
        The key, its permissions or the account's modes are not fit, and cannot be changed from here.
    Retry
        No answer.
    """
    where = "Demo Trading" if testnet else "the exchange"
    config = decoded(client.data("/fapi/v1/accountConfig", {}, 5), AccountConfig)
    if not config.can_trade:
        raise Refuse(f"the API key may not trade: enable futures for it at {where}, or use another key")
    if config.can_withdraw:
        raise Refuse(
            f"the API key may move money out of the account: take that permission away at {where}, "
            "or use another key"
        )
    if config.multi_assets_margin:
        raise Refuse(f"the account is in multi-assets mode: switch it to single-asset mode at {where}")
    if config.dual_side_position:
        _require_done(client, "/fapi/v1/positionSide/dual", {"dualSidePosition": False}, "one-way mode")


def adopt_order_limits(client: SignedClient) -> None:
    """Keep to the limits of orders that the account has (Retry: no answer)."""
    rows = decoded(client.data("/fapi/v1/rateLimit/order", {}, 1), list[_RateLimit])
    limits = [
        OrderLimit(row.limit, row.interval_num * _INTERVAL_MS[row.interval])
        for row in rows
        if row.rate_limit_type == "ORDERS" and row.interval in _INTERVAL_MS and row.limit > 0
    ]
    if limits:
        client.orders.limits = limits


def unfit_symbols(client: SignedClient, symbols: Sequence[str], leverage: int) -> dict[str, str]:
    """Set isolated margin and `leverage` where they are not set, and return why that failed, by symbol.

    It fails while a symbol has open orders or a position of other terms, and for what is not listed.

    Raises
    ------
    Refuse
        The key is not accepted.
    Retry
        No answer; calling again goes on where this ended.
    """
    rows = decoded(client.data("/fapi/v1/symbolConfig", {}, 5), list[SymbolConfig])
    found = {row.symbol: row for row in rows}
    unfit = {}
    for symbol in symbols:
        row = found.get(symbol)
        why = "the exchange does not list it" if row is None else ""
        for path, params in () if row is None else _changes(row, leverage):
            why = why or _refusal(client, path, {"symbol": symbol, **params})
        if why:
            unfit[symbol] = f"isolated margin at {leverage}x cannot be set: {why}"
            _log.warning("%s: %s; no position is opened", symbol, unfit[symbol])
    return unfit


def _changes(row: SymbolConfig, leverage: int) -> Iterable[tuple[str, Mapping[str, Value]]]:
    if row.margin_type.upper() != _ISOLATED:
        yield "/fapi/v1/marginType", {"marginType": _ISOLATED}
    if row.leverage != leverage:
        yield "/fapi/v1/leverage", {"leverage": leverage}


def _refusal(client: SignedClient, path: str, params: Mapping[str, Value]) -> str:
    """Change a setting; return why it was refused, or nothing."""
    reply = client.change("POST", path, params, 1)
    raise_if_key_fails(reply)
    if reply.outcome is Outcome.OK or reply.code in _ALREADY_SO:
        return ""
    if reply.outcome is Outcome.REJECTED:
        return f"{reply.message} ({reply.code})"
    raise Retry(f"{path}: {_said(reply)}; trying later may help")


def _require_done(client: SignedClient, path: str, params: Mapping[str, Any], wanted: str) -> None:
    why = _refusal(client, path, params)
    if why:
        raise Refuse(f"the account cannot be put into {wanted}: {why}; close what is open, then start again")


def _said(reply: Reply) -> str:
    return f"HTTP {reply.status}: {reply.message}" if reply.status else reply.message

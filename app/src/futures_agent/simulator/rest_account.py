"""One account over REST: what it holds, on which terms, and what happened to it."""

from __future__ import annotations

from typing import Any

from futures_agent.simulator.account_documents import AccountDocuments, adl_quantile
from futures_agent.simulator.order_documents import order_details, trade
from futures_agent.simulator.order_lookups import limit_of, listing_of, paged, symbol_if_sent
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.rest import Params
from futures_agent.simulator.rest_market import rate_limits
from futures_agent.simulator.rest_signed import AccountEndpoint, Call, weighs, weighs_by_symbol
from futures_agent.simulator.trading.events import plain
from futures_agent.simulator.trading.margin import Bracket
from futures_agent.simulator.trading.records import Income
from futures_agent.simulator.trading.retention import KEPT_MS

_USUAL_TRADES, _USUAL_INCOMES = 500, 100
_USUAL_FORCED, _LARGEST_FORCED = 50, 100
_INCOME_TYPES = frozenset(
    "TRANSFER WELCOME_BONUS REALIZED_PNL FUNDING_FEE COMMISSION INSURANCE_CLEAR REFERRAL_KICKBACK "
    "COMMISSION_REBATE API_REBATE CONTEST_REWARD CROSS_COLLATERAL_TRANSFER OPTIONS_PREMIUM_FEE "
    "OPTIONS_SETTLE_PROFIT INTERNAL_TRANSFER AUTO_EXCHANGE DELIVERED_SETTELMENT COIN_SWAP_DEPOSIT "
    "COIN_SWAP_WITHDRAW POSITION_LIMIT_INCREASE_FEE STRATEGY_UMFUTURES_TRANSFER FEE_RETURN BFUSD_REWARD "
    "SPECIAL_FUNDING_FEE".split()
)
_FORCED = {"LIQUIDATION": "autoclose-", "ADL": "adl_autoclose"}  # how client ids of such orders begin
_RPI_COMMISSION = "0.00005"


def account(call: Call) -> dict[str, Any]:
    """Answer balances, margins, and the positions of contracts that have one, or an order."""
    return _documents(call).account(every_contract=False)


def account_of_all(call: Call) -> dict[str, Any]:
    """Answer balances, margins, and the position of every contract."""
    return _documents(call).account(every_contract=True)


def balance(call: Call) -> list[dict[str, Any]]:
    """Answer the balances by asset."""
    return _documents(call).balances()


def position_risk(call: Call) -> list[dict[str, Any]]:
    """Answer the positions of contracts that have one, or an order."""
    return _documents(call).position_risks(symbol_if_sent(call), every_contract=False)


def position_risk_of_all(call: Call) -> list[dict[str, Any]]:
    """Answer the position of every contract."""
    return _documents(call).position_risks(symbol_if_sent(call), every_contract=True)


def account_config(call: Call) -> dict[str, Any]:
    """Answer permissions and modes."""
    return _documents(call).permissions()


def symbol_config(call: Call) -> list[dict[str, Any]]:
    """Answer margin type and leverage of one contract or of all."""
    documents = _documents(call)
    return [documents.symbol_terms(symbol) for symbol in _symbols(call)]


def position_mode(call: Call) -> dict[str, Any]:
    """Answer whether long and short positions are held side by side."""
    return {"dualSidePosition": call.account.dual_side}


def assets_mode(call: Call) -> dict[str, Any]:
    """Answer that each asset is margin for its own contracts alone."""
    return {"multiAssetsMargin": False}


def fee_burn(call: Call) -> dict[str, Any]:
    """Answer that fees are not paid in BNB."""
    return {"feeBurn": False}


def leverage_bracket(call: Call) -> list[dict[str, Any]]:
    """Answer the leverage brackets of one contract or of all."""
    brackets = call.venue.exchange.state.brackets
    return [
        {"symbol": symbol, "brackets": [_bracket(each) for each in brackets.of(symbol)]}
        for symbol in _symbols(call)
    ]


def commission_rate(call: Call) -> dict[str, Any]:
    """Answer the fees of one contract, shares of the notional."""
    config = call.venue.exchange.state.config
    return {
        "symbol": listing_of(call).symbol,
        "makerCommissionRate": plain(config.maker_fee),
        "takerCommissionRate": plain(config.taker_fee),
        "rpiCommissionRate": _RPI_COMMISSION,
    }


def user_trades(call: Call) -> list[dict[str, Any]]:
    """Answer a page of the fills of one contract."""
    symbol, order_id = listing_of(call).symbol, call.params.whole("orderId")
    if call.params.text("fromId") and (call.params.text("startTime") or call.params.text("endTime")):
        raise refusal(-1128)
    fills = [
        fill for fill in call.account.fills if fill.symbol == symbol and order_id in (None, fill.order_id)
    ]
    page = paged(
        call,
        fills,
        first_id="fromId",
        id_of=lambda fill: fill.trade_id,
        time_of=lambda fill: fill.time_ms,
        kept_ms=KEPT_MS,
        usual_limit=_USUAL_TRADES,
    )
    return [trade(fill) for fill in page]


def income(call: Call) -> list[dict[str, Any]]:
    """Answer a page of what changed the wallets."""
    symbol, kind = symbol_if_sent(call), call.params.text("incomeType")
    if kind is not None and kind not in _INCOME_TYPES:
        raise refusal(-1130, "incomeType")
    incomes = [
        each for each in call.account.incomes if symbol in (None, each.symbol) and kind in (None, each.type)
    ]
    page = paged(
        call,
        incomes,
        time_of=lambda each: each.time_ms,
        kept_ms=KEPT_MS,
        usual_limit=_USUAL_INCOMES,
        longest_ms=KEPT_MS,
    )
    return [_income(each) for each in page]


def adl_quantiles(call: Call) -> list[dict[str, Any]]:
    """Answer how early each position would be closed for others' losses."""
    symbol, exchange = symbol_if_sent(call), call.venue.exchange
    by_symbol: dict[str, dict[str, int]] = {}
    for position in call.account.held():
        if symbol in (None, position.symbol):
            quantile = adl_quantile(exchange.position_margin(call.account, position))
            by_symbol.setdefault(position.symbol, {})[position.side] = quantile
    return [{"symbol": name, "adlQuantile": quantiles} for name, quantiles in by_symbol.items()]


def trading_status(call: Call) -> dict[str, Any]:
    """Answer that no quantitative rule has been broken; the venue judges none."""
    symbol_if_sent(call)
    return {"indicators": {}, "updateTime": call.now_ms}


def forced_orders(call: Call) -> list[dict[str, Any]]:
    """Answer the orders by which the exchange closed positions of this account."""
    symbol, kind = symbol_if_sent(call), call.params.choice("autoCloseType", _FORCED, "")
    prefixes = (_FORCED[kind],) if kind else tuple(_FORCED.values())
    limit = limit_of(call.params, _USUAL_FORCED, _LARGEST_FORCED)
    start_ms, end_ms = call.params.whole("startTime"), call.params.whole("endTime")
    first_ms = max(call.now_ms - KEPT_MS, start_ms or 0)
    orders = [
        order
        for order in call.account.orders.values()
        if order.client_order_id.startswith(prefixes)
        and symbol in (None, order.symbol)
        and first_ms <= order.created_ms <= (call.now_ms if end_ms is None else end_ms)
    ]
    return [order_details(order) for order in orders[-limit:]]


def order_limits(call: Call) -> list[dict[str, Any]]:
    """Answer how many orders the account may send."""
    limits = [limit for limit in rate_limits(call.venue) if limit["rateLimitType"] == "ORDERS"]
    return limits[::-1]


def _documents(call: Call) -> AccountDocuments:
    return AccountDocuments(call.venue.exchange, call.account)


def _symbols(call: Call) -> list[str]:
    symbol = symbol_if_sent(call)
    return list(call.venue.market.listings) if symbol is None else [symbol]


def _bracket(bracket: Bracket) -> dict[str, Any]:
    return {
        "bracket": bracket.number,
        "initialLeverage": bracket.leverage,
        "notionalCap": int(bracket.cap),
        "notionalFloor": int(bracket.floor),
        "maintMarginRatio": float(bracket.rate),
        "cum": float(bracket.cum),
    }


def _income(change: Income) -> dict[str, Any]:
    return {
        "symbol": change.symbol,
        "incomeType": change.type,
        "income": plain(change.amount),
        "asset": change.asset,
        "info": change.info,
        "time": change.time_ms,
        "tranId": change.tran_id,
        "tradeId": change.trade_id,
    }


def _weighs_by_kind(params: Params) -> int:
    return 20 if params.get("autoCloseType") else 50


ACCOUNT_ENDPOINTS = (
    AccountEndpoint("GET", "/fapi/v3/account", account, weighs(5)),
    AccountEndpoint("GET", "/fapi/v2/account", account_of_all, weighs(5)),
    AccountEndpoint("GET", "/fapi/v3/balance", balance, weighs(5)),
    AccountEndpoint("GET", "/fapi/v2/balance", balance, weighs(5)),
    AccountEndpoint("GET", "/fapi/v3/positionRisk", position_risk, weighs(5), "symbol"),
    AccountEndpoint("GET", "/fapi/v2/positionRisk", position_risk_of_all, weighs(5), "symbol"),
    AccountEndpoint("GET", "/fapi/v1/accountConfig", account_config, weighs(5)),
    AccountEndpoint("GET", "/fapi/v1/symbolConfig", symbol_config, weighs(5), "symbol"),
    AccountEndpoint("GET", "/fapi/v1/positionSide/dual", position_mode, weighs(30)),
    AccountEndpoint("GET", "/fapi/v1/multiAssetsMargin", assets_mode, weighs(30)),
    AccountEndpoint("GET", "/fapi/v1/feeBurn", fee_burn, weighs(30)),
    AccountEndpoint("GET", "/fapi/v1/leverageBracket", leverage_bracket, weighs(1), "symbol"),
    AccountEndpoint("GET", "/fapi/v1/commissionRate", commission_rate, weighs(20), "symbol"),
    AccountEndpoint(
        "GET", "/fapi/v1/userTrades", user_trades, weighs(5), "symbol orderId startTime endTime fromId limit"
    ),
    AccountEndpoint(
        "GET", "/fapi/v1/income", income, weighs(30), "symbol incomeType startTime endTime limit"
    ),
    AccountEndpoint("GET", "/fapi/v1/adlQuantile", adl_quantiles, weighs(5), "symbol"),
    AccountEndpoint("GET", "/fapi/v1/apiTradingStatus", trading_status, weighs_by_symbol(1, 10), "symbol"),
    AccountEndpoint(
        "GET",
        "/fapi/v1/forceOrders",
        forced_orders,
        _weighs_by_kind,
        "symbol autoCloseType startTime endTime limit",
    ),
    AccountEndpoint("GET", "/fapi/v1/rateLimit/order", order_limits, weighs(1)),
)

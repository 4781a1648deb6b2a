"""Balances and positions as the REST endpoints show them, field by field.

Source: the exchange's pages of the account endpoints, versions 3 (only contracts with a position or an
order, no leverage) and 2 (every contract, with leverage and margin type).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.events import plain
from futures_agent.simulator.trading.exchange import Exchange
from futures_agent.simulator.trading.margin import (
    ISOLATED,
    AccountMargin,
    PositionMargin,
    order_margin,
    order_values,
)
from futures_agent.simulator.trading.records import ZERO, Position

_TOTALS_ASSET = "USDT"  # with single-asset margin, totals tell this asset alone
_DIGITS = Decimal("1e-8")
_FLAT = PositionMargin(ZERO, ZERO, ZERO, ZERO, ZERO, ZERO)


class AccountDocuments:
    """What one account looks like now.

    Parameters
    ----------
    exchange : Exchange
    account : Account
    """

    def __init__(self, exchange: Exchange, account: Account) -> None:
        self._exchange = exchange
        self._account = account

    def account(self, *, every_contract: bool) -> dict[str, Any]:
        """Return GET /fapi/v3/account, or with every contract GET /fapi/v2/account."""
        totals = self._exchange.margin(self._account, _TOTALS_ASSET)
        document: dict[str, Any] = {
            "totalInitialMargin": money(totals.position_initial + totals.order_initial),
            "totalMaintMargin": money(totals.maintenance),
            "totalWalletBalance": money(totals.wallet),
            "totalUnrealizedProfit": money(totals.unrealized_pnl),
            "totalMarginBalance": money(totals.margin_balance),
            "totalPositionInitialMargin": money(totals.position_initial),
            "totalOpenOrderInitialMargin": money(totals.order_initial),
            "totalCrossWalletBalance": money(totals.cross_wallet),
            "totalCrossUnPnl": money(totals.cross_unrealized_pnl),
            "availableBalance": money(totals.available),
            "maxWithdrawAmount": money(_withdrawable(totals)),
            "assets": [self._asset(asset) for asset in self._account.wallets],
            "positions": [
                self._account_position(position, every_contract=every_contract)
                for position in self._positions(every_contract=every_contract)
            ],
        }
        if not every_contract:
            return document
        permissions = self.permissions()
        del permissions["dualSidePosition"]
        return {**permissions, "feeBurn": False, **document}

    def balances(self) -> list[dict[str, Any]]:
        """Return GET /fapi/v3/balance."""
        return [self._balance(asset) for asset in self._account.wallets]

    def permissions(self) -> dict[str, Any]:
        """Return GET /fapi/v1/accountConfig."""
        return {
            "feeTier": 0,
            "canTrade": self._account.can_trade,
            "canDeposit": True,
            "canWithdraw": self._account.config.can_withdraw,
            "dualSidePosition": self._account.dual_side,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def symbol_terms(self, symbol: str) -> dict[str, Any]:
        """Return one row of GET /fapi/v1/symbolConfig."""
        return {
            "symbol": symbol,
            "marginType": self._account.margin_type(symbol),
            "isAutoAddMargin": False,
            "leverage": self._account.leverage(symbol),
            "maxNotionalValue": self._max_notional(symbol),
        }

    def position_risks(self, symbol: str | None, *, every_contract: bool) -> list[dict[str, Any]]:
        """Return GET /fapi/v3/positionRisk, or with every contract /fapi/v2/positionRisk."""
        return [
            self._position_risk(position, every_contract=every_contract)
            for position in self._positions(every_contract=every_contract)
            if symbol in (None, position.symbol)
        ]

    def _asset(self, asset: str) -> dict[str, Any]:
        sums = self._exchange.margin(self._account, asset)
        return {
            "asset": asset,
            "walletBalance": money(sums.wallet),
            "unrealizedProfit": money(sums.unrealized_pnl),
            "marginBalance": money(sums.margin_balance),
            "maintMargin": money(sums.maintenance),
            "initialMargin": money(sums.position_initial + sums.order_initial),
            "positionInitialMargin": money(sums.position_initial),
            "openOrderInitialMargin": money(sums.order_initial),
            "crossWalletBalance": money(sums.cross_wallet),
            "crossUnPnl": money(sums.cross_unrealized_pnl),
            "availableBalance": money(sums.available),
            "maxWithdrawAmount": money(_withdrawable(sums)),
            "marginAvailable": True,
            "updateTime": self._wallet_changed_ms(asset),
        }

    def _balance(self, asset: str) -> dict[str, Any]:
        sums = self._exchange.margin(self._account, asset)
        return {
            "accountAlias": f"sim{self._account.account_id:05d}",
            "asset": asset,
            "balance": money(sums.wallet),
            "crossWalletBalance": money(sums.cross_wallet),
            "crossUnPnl": money(sums.cross_unrealized_pnl),
            "availableBalance": money(sums.available),
            "maxWithdrawAmount": money(_withdrawable(sums)),
            "marginAvailable": True,
            "updateTime": self._wallet_changed_ms(asset),
        }

    def _account_position(self, position: Position, *, every_contract: bool) -> dict[str, Any]:
        now, orders = self._margin(position), self._orders_margin(position)
        document = {
            "symbol": position.symbol,
            "positionSide": position.side,
            "positionAmt": plain(position.amount),
            "unrealizedProfit": money(now.unrealized_pnl),
            "isolatedMargin": money(now.isolated_margin),
            "notional": money(now.notional),
            "isolatedWallet": money(position.isolated_wallet),
            "initialMargin": money(now.initial + orders),
            "maintMargin": money(now.maintenance),
            "updateTime": position.updated_ms,
        }
        if every_contract:
            document |= {
                "positionInitialMargin": money(now.initial),
                "openOrderInitialMargin": money(orders),
                "leverage": str(self._account.leverage(position.symbol)),
                "isolated": self._account.margin_type(position.symbol) == ISOLATED,
                "entryPrice": plain(position.entry_price),
                "breakEvenPrice": _rounded(position.break_even_price),
                "maxNotional": self._max_notional(position.symbol),
                "bidNotional": "0",
                "askNotional": "0",
            }
        return document

    def _position_risk(self, position: Position, *, every_contract: bool) -> dict[str, Any]:
        now, orders = self._margin(position), self._orders_margin(position)
        document: dict[str, Any] = {
            "symbol": position.symbol,
            "positionSide": position.side,
            "positionAmt": plain(position.amount),
            "entryPrice": plain(position.entry_price),
            "breakEvenPrice": _rounded(position.break_even_price),
            "markPrice": money(self._exchange.mark_price(position.symbol)),
            "unRealizedProfit": money(now.unrealized_pnl),
            "liquidationPrice": _rounded(now.liquidation_price),
            "isolatedMargin": money(now.isolated_margin),
            "notional": money(now.notional),
            "isolatedWallet": money(position.isolated_wallet),
            "updateTime": position.updated_ms,
        }
        if every_contract:
            margin_type = self._account.margin_type(position.symbol)
            return document | {
                "leverage": str(self._account.leverage(position.symbol)),
                "maxNotionalValue": self._max_notional(position.symbol),
                "marginType": "isolated" if margin_type == ISOLATED else "cross",
                "isAutoAddMargin": "false",
            }
        return document | {
            "marginAsset": self._exchange.state.margin_assets[position.symbol],
            "initialMargin": money(now.initial + orders),
            "maintMargin": money(now.maintenance),
            "positionInitialMargin": money(now.initial),
            "openOrderInitialMargin": money(orders),
            "adl": adl_quantile(now),
            "bidNotional": "0",
            "askNotional": "0",
        }

    def _positions(self, *, every_contract: bool) -> Iterator[Position]:
        """Return the positions of every contract, or of those with a position or an order; flat ones too."""
        sides = ("LONG", "SHORT") if self._account.dual_side else ("BOTH",)
        with_orders = {(order.symbol, order.position_side) for order in self._account.open_orders.values()}
        for symbol in self._exchange.state.margin_assets:
            for side in sides:
                position = self._account.positions.get((symbol, side))
                held = position is not None and bool(position.amount)
                if every_contract or held or (symbol, side) in with_orders:
                    yield position or Position(symbol=symbol, side=side)

    def _margin(self, position: Position) -> PositionMargin:
        return self._exchange.position_margin(self._account, position) if position.amount else _FLAT

    def _orders_margin(self, position: Position) -> Decimal:
        mark = self._exchange.mark_price(position.symbol)
        orders = self._account.orders_of(position.symbol, position.side)
        return order_margin(self._account, position.symbol, position.side, order_values(orders, mark), mark)

    def _max_notional(self, symbol: str) -> str:
        brackets = self._exchange.state.brackets
        return plain(brackets.max_notional(symbol, self._account.leverage(symbol)))

    def _wallet_changed_ms(self, asset: str) -> int:
        """Return when the wallet last changed, ms UTC; 0 for never."""
        return self._account.wallet_changed_ms.get(asset, 0)


def money(amount: Decimal) -> str:
    """Return an amount of money as the exchange writes it."""
    return f"{amount:.8f}" if amount else "0"


def adl_quantile(margin: PositionMargin) -> int:
    """Return how early, 0 to 4, a position is closed for others' losses: by its profit per margin."""
    if margin.unrealized_pnl <= 0 or not margin.initial:
        return 0
    return min(1 + int(margin.unrealized_pnl / margin.initial), 4)


def _withdrawable(sums: AccountMargin) -> Decimal:
    """Return what could be taken out: what is available, unrealised profit excepted."""
    return max(min(sums.available, sums.available - sums.cross_unrealized_pnl), ZERO)


def _rounded(price: Decimal) -> str:
    return plain(price.quantize(_DIGITS))

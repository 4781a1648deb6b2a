"""What a person wants to see of a running simulator: the clock, the accounts, the faults, the traffic."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import Struct

from futures_agent.simulator.trading.account import Account, Restriction
from futures_agent.simulator.trading.exchange import Exchange
from futures_agent.simulator.trading.records import AlgoOrder, Fill, Order, Position
from futures_agent.simulator.venue import Venue

SHOWN_FILLS = 20  # of each account, newest first


class BalanceRow(Struct, frozen=True, kw_only=True):
    """One margin asset of an account, in that asset."""

    asset: str
    wallet: Decimal
    unrealized_pnl: Decimal
    equity: Decimal
    available: Decimal
    maintenance: Decimal  # margin; equity below it is liquidated


class PositionRow(Struct, frozen=True, kw_only=True):
    """One position that is not flat; prices in quote units, amount in base units, < 0 short."""

    symbol: str
    side: str
    amount: Decimal
    entry_price: Decimal
    mark_price: Decimal
    liquidation_price: Decimal  # 0 where it cannot be liquidated
    notional: Decimal
    unrealized_pnl: Decimal
    leverage: int
    margin_type: str


class AccountRow(Struct, frozen=True, kw_only=True):
    """One account; orders oldest first, fills newest first."""

    key: str
    hedge_mode: bool
    can_trade: bool
    restrictions: dict[str, Restriction]  # by symbol, empty for every one; in force
    balances: list[BalanceRow]
    positions: list[PositionRow]
    orders: list[Order]
    conditional_orders: list[AlgoOrder]
    fills: list[Fill]
    fills_in_all: int


class LedgerRow(Struct, frozen=True, kw_only=True):
    """The ledger: how many entries there are, the newest `kept` of them in memory, and all in `file`."""

    entries: int
    kept: int
    digest: str  # SHA-256 of all lines, hexadecimal
    file: str  # empty where there is none
    fault: str  # why the file is incomplete; empty where it is not


class Board(Struct, frozen=True, kw_only=True):
    """The whole page; times in ms UTC of the venue."""

    now_ms: int
    scale: float
    requests: int
    by_status: dict[str, int]
    faults: list[dict[str, Any]]  # see `FaultPlan.rows`
    accounts: list[AccountRow]
    ledger: LedgerRow


def board_of(venue: Venue) -> Board:
    """Return what stands on the board now, everything due until now having happened."""
    with venue.lock:
        now_ms = venue.clock.now_ms()
        venue.advance(now_ms)
        accounts = [account_row(venue.exchange, account) for account in venue.exchange.accounts]
        ledger = _ledger(venue)
    return Board(
        now_ms=now_ms,
        scale=venue.clock.scale,
        requests=venue.tally.requests,
        by_status={str(status): count for status, count in sorted(venue.tally.by_status.items())},
        faults=venue.faults.rows(now_ms),
        accounts=accounts,
        ledger=ledger,
    )


def account_row(exchange: Exchange, account: Account) -> AccountRow:
    """Return one account as it is at the exchange's time."""
    return AccountRow(
        key=account.key,
        hedge_mode=account.dual_side,
        can_trade=account.can_trade,
        restrictions={
            symbol: each
            for symbol, each in account.restrictions.items()
            if each.until_ms is None or exchange.now_ms < each.until_ms
        },
        balances=[_balance(exchange, account, asset) for asset in sorted(account.wallets)],
        positions=[_position(exchange, account, position) for position in account.held()],
        orders=list(account.open_orders.values()),
        conditional_orders=list(account.open_algos.values()),
        fills=account.fills[: -SHOWN_FILLS - 1 : -1],
        fills_in_all=account.fills_in_all,
    )


def _ledger(venue: Venue) -> LedgerRow:
    ledger, file = venue.exchange.ledger, venue.ledger_file
    return LedgerRow(
        entries=len(ledger),
        kept=ledger.kept,
        digest=ledger.digest(),
        file=str(file.path) if file else "",
        fault=file.fault if file else "",
    )


def _balance(exchange: Exchange, account: Account, asset: str) -> BalanceRow:
    margin = exchange.margin(account, asset)
    return BalanceRow(
        asset=asset,
        wallet=margin.wallet,
        unrealized_pnl=margin.unrealized_pnl,
        equity=margin.margin_balance,
        available=margin.available,
        maintenance=margin.maintenance,
    )


def _position(exchange: Exchange, account: Account, position: Position) -> PositionRow:
    margin = exchange.position_margin(account, position)
    return PositionRow(
        symbol=position.symbol,
        side=position.side,
        amount=position.amount,
        entry_price=position.entry_price,
        mark_price=exchange.mark_price(position.symbol),
        liquidation_price=margin.liquidation_price,
        notional=margin.notional,
        unrealized_pnl=margin.unrealized_pnl,
        leverage=account.leverage(position.symbol),
        margin_type=account.margin_type(position.symbol),
    )

"""What all parts of the exchange share: time, accounts, prices, the ledger, who listens, numbers."""

from __future__ import annotations

import heapq
import random
import string
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, auto
from typing import Any, NamedTuple
from zlib import crc32

from futures_agent.simulator.market import Market
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.config import TradingConfig
from futures_agent.simulator.trading.interference import Interference
from futures_agent.simulator.trading.ledger import Ledger
from futures_agent.simulator.trading.margin import AccountMargin, Brackets, account_margin
from futures_agent.simulator.trading.prices import Prices
from futures_agent.simulator.trading.records import Income

OnEvent = Callable[[Account, dict[str, Any]], None]
OnMarket = Callable[[dict[str, Any]], None]

_MONEY_UNIT = Decimal("0.00000001")
_FIRST_ALGO_ID = 1_000_000_000_000_000
_ID_LETTERS = string.ascii_letters + string.digits


def money(amount: Decimal) -> Decimal:
    """Return `amount` as it is booked, on eight decimals."""
    return amount.quantize(_MONEY_UNIT)


class Due(Enum):
    """What a time is waited for."""

    TRIGGERED = auto()  # a triggered conditional order reaches the book; its id
    GOOD_TILL = auto()  # an order's date; (symbol, order id), or an algo id
    COUNTDOWN = auto()  # countdownCancelAll; symbol
    LISTEN_KEY = auto()  # it may have expired
    REST = auto()  # the rest of a partly filled order may trade


class Waiting(NamedTuple):
    """One entry of the schedule; whether it still holds is looked at when its time has come."""

    time_ms: int
    number: int
    due: Due
    account: Account
    what: Any


class Numbers:
    """Ids that only grow, and chance; both follow from the seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._next: dict[str, int] = {}
        self.random = random.Random(seed)

    def order_id(self, symbol: str) -> int:
        return self._count(f"order/{symbol}", 1_000_000, 9_000_000)

    def trade_id(self, symbol: str) -> int:
        return self._count(f"trade/{symbol}", 1_000_000, 9_000_000)

    def algo_id(self) -> int:
        return self._count("algo", _FIRST_ALGO_ID, 9_000_000)

    def tran_id(self) -> int:
        return self._count("tran", 9_000_000_000, 1_000_000)

    def text(self, length: int) -> str:
        """Return letters and digits, such as client ids and listen keys that the venue makes up."""
        return "".join(self.random.choices(_ID_LETTERS, k=length))

    def _count(self, what: str, base: int, spread: int) -> int:
        if what not in self._next:
            self._next[what] = base + crc32(f"{self._seed}/{what}".encode()) % spread
        self._next[what] += 1
        return self._next[what]


class State:
    """The shared state; times are ms UTC and never go back.

    Attributes
    ----------
    now_ms : int
        Everything up to here has happened.
    statuses : dict of symbol to str
        Of contracts that are not what their listing says (halted, settling).
    waiting : list of Waiting
        What is to happen at a known time, a heap.
    """

    def __init__(
        self, market: Market, config: TradingConfig, seed: int, start_ms: int, ledger: Ledger
    ) -> None:
        self.market = market
        self.config = config
        self.prices = Prices(market, config)
        self.brackets = Brackets(config.brackets)
        self.ledger = ledger
        self.numbers = Numbers(seed)
        self.interference = Interference()
        self.now_ms = start_ms
        self.statuses: dict[str, str] = {}
        self.margin_assets = {symbol: each.quote_asset for symbol, each in market.listings.items()}
        self.accounts = [Account(number, each) for number, each in enumerate(config.accounts, 1)]
        self.on_event: list[OnEvent] = []
        self.on_market: list[OnMarket] = []
        self.waiting: list[Waiting] = []
        self._scheduled = 0

    def schedule(self, time_ms: int, due: Due, account: Account, what: Any = None) -> None:
        """Wait for `time_ms`."""
        self._scheduled += 1
        heapq.heappush(self.waiting, Waiting(time_ms, self._scheduled, due, account, what))

    def status(self, symbol: str) -> str:
        """Return the contract's state now, such as TRADING.

        Raises
        ------
        VenueError
            -1121: there is no such contract.
        """
        listing = self.market.listings.get(symbol)
        if listing is None:
            raise refusal(-1121)
        return self.statuses.get(symbol) or listing.status_at(self.now_ms)

    def last(self, symbol: str) -> Decimal:
        return self.prices.last(symbol, self.now_ms)

    def mark(self, symbol: str) -> Decimal:
        return self.prices.mark(symbol, self.now_ms)

    def margin(self, account: Account, asset: str) -> AccountMargin:
        return account_margin(account, asset, self.margin_assets, self.brackets, self.mark)

    def emit(self, account: Account, payload: dict[str, Any]) -> None:
        """Tell whoever listens to the account's user data."""
        for listener in self.on_event:
            listener(account, payload)

    def tell_market(self, payload: dict[str, Any]) -> None:
        """Tell whoever listens to public events of contracts (forceOrder, contractInfo)."""
        for listener in self.on_market:
            listener(payload)

    def book(
        self,
        account: Account,
        kind: str,
        amount: Decimal,
        asset: str,
        *,
        symbol: str = "",
        info: str = "",
        trade_id: int = 0,
    ) -> None:
        """Add `amount` to a wallet, as one ledger entry of `ledger.MONEY_KINDS` and one income."""
        account.wallets[asset] = balance = account.wallet(asset) + amount
        account.wallet_changed_ms[asset] = self.now_ms
        tran_id = self.numbers.tran_id()
        trade = str(trade_id) if trade_id else ""
        account.incomes.append(
            Income(
                symbol=symbol,
                type=kind,
                amount=amount,
                asset=asset,
                info=info,
                time_ms=self.now_ms,
                tran_id=tran_id,
                trade_id=trade,
            )
        )
        self.ledger.record(
            self.now_ms,
            account.account_id,
            kind,
            symbol=symbol,
            asset=asset,
            amount=amount,
            wallet=balance,
            tran_id=tran_id,
            trade_id=trade,
            info=info,
        )

"""The exchange: the one door to its accounts, orders and money.

Whoever calls in holds the venue's lock, says what time it is, and finds everything done that was to
happen until then.
"""

from __future__ import annotations

from decimal import Decimal

from futures_agent.simulator.market import Market
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.sentiment import Sentiment
from futures_agent.simulator.trading import events, listen_keys, preferences
from futures_agent.simulator.trading.account import Account, Restriction
from futures_agent.simulator.trading.admission import CLOSED_STATUSES
from futures_agent.simulator.trading.clearing import Clearing
from futures_agent.simulator.trading.config import TradingConfig
from futures_agent.simulator.trading.funding import Funding
from futures_agent.simulator.trading.interference import Interference
from futures_agent.simulator.trading.ledger import Ledger
from futures_agent.simulator.trading.liquidation import Liquidation
from futures_agent.simulator.trading.margin import AccountMargin, PositionMargin, position_margin
from futures_agent.simulator.trading.matching import Matching
from futures_agent.simulator.trading.records import (
    ZERO,
    AlgoOrder,
    AlgoRequest,
    Order,
    OrderRequest,
    Position,
)
from futures_agent.simulator.trading.retention import find_algo, find_order
from futures_agent.simulator.trading.state import Due, OnEvent, OnMarket, State, money
from futures_agent.simulator.trading.timeline import Timeline
from futures_agent.simulator.trading.triggers import Triggers


class Exchange:
    """One trading venue.

    Parameters
    ----------
    market : Market
        Whose candles prices follow.
    sentiment : Sentiment
        Whose funding payments positions settle.
    config : TradingConfig
    seed : int
        Ids, delays and listen keys follow from it.
    start_ms : int
        When it opens, ms UTC; deposits are stamped so.
    ledger : Ledger, optional
        An empty one; of its own without it.
    """

    def __init__(
        self,
        market: Market,
        sentiment: Sentiment,
        config: TradingConfig,
        seed: int,
        start_ms: int,
        ledger: Ledger | None = None,
    ) -> None:
        self._state = State(market, config, seed, start_ms, Ledger() if ledger is None else ledger)
        self._clearing = Clearing(self._state)
        self._matching = Matching(self._state, self._clearing)
        self._triggers = Triggers(self._state, self._matching)
        self._liquidation = Liquidation(self._state, self._clearing, self._matching, self._triggers)
        funding = Funding(self._state, self._clearing, sentiment)
        self._timeline = Timeline(self._state, self._matching, self._triggers, self._liquidation, funding)
        for account in self.accounts:
            for asset, amount in account.config.balances.items():
                self._state.book(account, "TRANSFER", amount, asset, info="DEPOSIT")

    # What can be looked at.

    @property
    def now_ms(self) -> int:
        """Everything up to here has happened, ms UTC."""
        return self._state.now_ms

    @property
    def accounts(self) -> list[Account]:
        return self._state.accounts

    @property
    def ledger(self) -> Ledger:
        return self._state.ledger

    @property
    def state(self) -> State:
        """Prices, brackets, statuses, interference."""
        return self._state

    def account_of(self, key: str) -> Account | None:
        """Return the account of an API key."""
        return next((account for account in self.accounts if account.key == key), None)

    def subscribe(self, on_event: OnEvent, on_market: OnMarket | None = None) -> None:
        """Call `on_event(account, payload)` for user data, `on_market(payload)` for public events."""
        self._state.on_event.append(on_event)
        if on_market is not None:
            self._state.on_market.append(on_market)

    def interfere(self, interference: Interference) -> None:
        """Let `interference` decide where the exchange misbehaves."""
        self._state.interference = interference

    def status(self, symbol: str) -> str:
        """Return the contract's state (VenueError -1121: there is none)."""
        return self._state.status(symbol)

    def last_price(self, symbol: str) -> Decimal:
        return self._state.last(symbol)

    def mark_price(self, symbol: str) -> Decimal:
        return self._state.mark(symbol)

    def margin(self, account: Account, asset: str = "USDT") -> AccountMargin:
        """Return the account's sums in one margin asset, at the current mark prices."""
        return self._state.margin(account, asset)

    def position_margin(self, account: Account, position: Position) -> PositionMargin:
        """Return notional, PnL, margins and liquidation price of one position."""
        whole = self.margin(account, self._state.margin_assets[position.symbol])
        return position_margin(
            account, position, whole, self._state.brackets, self.mark_price(position.symbol)
        )

    # Time.

    def advance(self, to_ms: int) -> None:
        """Let everything happen before `to_ms`, and what is due then; a past time changes nothing."""
        self._timeline.advance(to_ms)

    def _at(self, now_ms: int, symbol: str) -> None:
        """Bring the exchange, and what is at stake in `symbol`, up to `now_ms`.

        Raises
        ------
        VenueError
            -1121: there is no such contract.
        """
        self._state.status(symbol)
        self._timeline.advance(now_ms)
        self._timeline.settle(symbol)

    # Regular orders.

    def place(self, account: Account, request: OrderRequest, now_ms: int) -> Order:
        """Place a regular order.

        Raises
        ------
        VenueError
            The order is refused; nothing has changed.
        """
        self._at(now_ms, request.symbol)
        return self._matching.place(account, request)

    def order(self, account: Account, symbol: str, order_id: int = 0, client_order_id: str = "") -> Order:
        """Return an order in whatever state, by its id, else the newest of its client's id.

        Raises
        ------
        VenueError
            -2013: there is none, or it is forgotten.
        """
        found = find_order(account, symbol, self.now_ms, order_id=order_id, client_order_id=client_order_id)
        if found is None:
            raise refusal(-2013)
        return found

    def cancel(
        self, account: Account, symbol: str, now_ms: int, *, order_id: int = 0, client_order_id: str = ""
    ) -> Order:
        """Cancel an open order.

        Raises
        ------
        VenueError
            -2011: no such order is open.
        """
        self._at(now_ms, symbol)
        order = _open_order(account, symbol, order_id, client_order_id, -2011)
        self._matching.cancel(account, order)
        return order

    def cancel_all(self, account: Account, symbol: str, now_ms: int) -> list[Order]:
        """Cancel the open regular orders of `symbol`, and return them."""
        self._at(now_ms, symbol)
        orders = account.orders_of(symbol)
        for order in orders:
            self._matching.cancel(account, order)
        return orders

    def modify(
        self,
        account: Account,
        symbol: str,
        quantity: Decimal,
        price: Decimal,
        now_ms: int,
        *,
        order_id: int = 0,
        client_order_id: str = "",
    ) -> Order:
        """Change quantity and price of an open LIMIT order.

        Raises
        ------
        VenueError
            -2013: no such order is open; else see `Matching.amend`.
        """
        self._at(now_ms, symbol)
        order = _open_order(account, symbol, order_id, client_order_id, -2013)
        self._matching.amend(account, order, quantity, price)
        return order

    def countdown_cancel_all(self, account: Account, symbol: str, countdown_ms: int, now_ms: int) -> None:
        """Cancel the open regular orders of `symbol` in `countdown_ms` unless called again; 0 disarms."""
        self._state.status(symbol)
        self.advance(now_ms)
        account.countdowns.pop(symbol, None)
        if countdown_ms:
            account.countdowns[symbol] = self.now_ms + countdown_ms
            self._state.schedule(self.now_ms + countdown_ms, Due.COUNTDOWN, account, symbol)

    # Conditional orders.

    def place_algo(self, account: Account, request: AlgoRequest, now_ms: int) -> AlgoOrder:
        """Place a conditional order.

        Raises
        ------
        VenueError
            The order is refused; nothing has changed.
        """
        self._at(now_ms, request.symbol)
        return self._triggers.place(account, request)

    def algo(self, account: Account, algo_id: int = 0, client_algo_id: str = "") -> AlgoOrder:
        """Return a conditional order in whatever state, by its id, else the newest of its client's id.

        Raises
        ------
        VenueError
            -2013: there is none, or it is forgotten.
        """
        found = find_algo(account, self.now_ms, algo_id=algo_id, client_algo_id=client_algo_id)
        if found is None:
            raise refusal(-2013)
        return found

    def cancel_algo(
        self, account: Account, now_ms: int, *, algo_id: int = 0, client_algo_id: str = ""
    ) -> AlgoOrder:
        """Cancel a conditional order that has not triggered.

        Raises
        ------
        VenueError
            -2011: no such order is open; -4117: it is triggering.
        """
        self.advance(now_ms)
        found = _open_algo(account, algo_id, client_algo_id)
        self._at(now_ms, found.symbol)
        found = _open_algo(account, algo_id, client_algo_id)
        self._triggers.cancel(account, found)
        return found

    def cancel_all_algos(self, account: Account, symbol: str, now_ms: int) -> list[AlgoOrder]:
        """Cancel the conditional orders of `symbol` that have not triggered, and return them."""
        self._at(now_ms, symbol)
        algos = [algo for algo in account.algos_of(symbol) if algo.status == "NEW"]
        for algo in algos:
            self._triggers.cancel(account, algo)
        return algos

    # The account.

    def set_leverage(self, account: Account, symbol: str, leverage: int, now_ms: int) -> Decimal:
        """Change a symbol's leverage; return the largest notional. See `preferences.set_leverage`."""
        self.advance(now_ms)
        return preferences.set_leverage(self._state, account, symbol, leverage)

    def set_margin_type(self, account: Account, symbol: str, margin_type: str, now_ms: int) -> None:
        """Change a symbol to CROSSED or ISOLATED. See `preferences.set_margin_type`."""
        self.advance(now_ms)
        preferences.set_margin_type(self._state, account, symbol, margin_type)

    def set_position_mode(self, account: Account, dual_side: bool, now_ms: int) -> None:
        """Change to hedge mode or one-way mode. See `preferences.set_position_mode`."""
        self.advance(now_ms)
        preferences.set_position_mode(self._state, account, dual_side=dual_side)

    def change_position_margin(
        self, account: Account, symbol: str, amount: Decimal, now_ms: int, *, position_side: str = "BOTH"
    ) -> None:
        """Add to an isolated position's margin, or take from it (`preferences.change_isolated_margin`)."""
        self._at(now_ms, symbol)
        position = account.position(symbol, position_side)
        preferences.change_isolated_margin(self._state, self._clearing, account, position, amount)

    def transfer(self, account: Account, asset: str, amount: Decimal, now_ms: int) -> None:
        """Deposit `amount`, or withdraw where it is negative.

        Raises
        ------
        VenueError
            -2018: there is not that much to withdraw.
        """
        self.advance(now_ms)
        if -amount > max(self.margin(account, asset).available, ZERO):
            raise refusal(-2018)
        reason = "DEPOSIT" if amount > 0 else "WITHDRAW"
        self._state.book(account, "TRANSFER", money(amount), asset, info=reason)
        self._clearing.tell_account(account, reason, asset, [], change=amount)

    def start_listen_key(self, account: Account, now_ms: int) -> str:
        """Return the account's listen key, a new one where it has none, good for an hour from now."""
        self.advance(now_ms)
        return listen_keys.start_listen_key(self._state, account)

    def keep_listen_key(self, account: Account, now_ms: int) -> str:
        """Extend the account's listen key by an hour (VenueError -1125: it has none)."""
        self.advance(now_ms)
        return listen_keys.keep_listen_key(self._state, account)

    def close_listen_key(self, account: Account, now_ms: int) -> None:
        """End the account's listen key."""
        self.advance(now_ms)
        listen_keys.close_listen_key(account)

    # What a venue does to its clients.

    def expire_listen_key(self, account: Account, now_ms: int) -> None:
        """Let the account's listen key expire now."""
        self.advance(now_ms)
        listen_keys.expire_listen_key(self._state, account, early=True)

    def set_status(self, symbol: str, status: str, now_ms: int) -> None:
        """Change a contract's state, such as TRADING_HALT; SETTLING and CLOSE end all that is open in it."""
        self._at(now_ms, symbol)
        self._state.statuses[symbol] = status
        self._state.ledger.record(self.now_ms, 0, "STATUS", symbol=symbol, status=status)
        if status in CLOSED_STATUSES:
            self._liquidation.settle_contract(symbol)
        self._state.tell_market(
            events.contract_info(self.now_ms, self._state.market.listings[symbol], status)
        )

    def restrict(self, account: Account, symbol: str, restriction: Restriction | None, now_ms: int) -> None:
        """Let an account only reduce what it holds in `symbol` (empty: everywhere); None lifts that."""
        self.advance(now_ms)
        account.restrictions.pop(symbol, None)
        if restriction is not None:
            account.restrictions[symbol] = restriction
        self._state.ledger.record(
            self.now_ms,
            account.account_id,
            "RESTRICTION",
            symbol=symbol,
            code=restriction.code if restriction else 0,
            until_ms=restriction.until_ms if restriction else None,
        )

    def liquidate(self, account: Account, symbol: str, now_ms: int, *, position_side: str = "BOTH") -> None:
        """Liquidate a position now, whatever its margin, at the mark price."""
        self._at(now_ms, symbol)
        position = self._held(account, symbol, position_side)
        self._liquidation.liquidate(account, position, self.mark_price(symbol))

    def deleverage(self, account: Account, symbol: str, now_ms: int, *, position_side: str = "BOTH") -> None:
        """Close a position now by auto-deleveraging, at the mark price."""
        self._at(now_ms, symbol)
        self._liquidation.deleverage(account, self._held(account, symbol, position_side))

    @staticmethod
    def _held(account: Account, symbol: str, position_side: str) -> Position:
        position = account.position(symbol, position_side)
        if not position.amount:
            raise refusal(-2024)
        return position


def _open_order(account: Account, symbol: str, order_id: int, client_order_id: str, code: int) -> Order:
    orders = account.open_orders
    found = [orders.get((symbol, order_id))] if order_id else orders.named(client_order_id, symbol)
    if not found or found[0] is None:
        raise refusal(code)
    return found[0]


def _open_algo(account: Account, algo_id: int, client_algo_id: str) -> AlgoOrder:
    found = [account.open_algos.get(algo_id)] if algo_id else account.open_algos.named(client_algo_id)
    if not found or found[0] is None:
        raise refusal(-2011)
    return found[0]

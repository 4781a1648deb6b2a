"""The exchange: the one door to its accounts, orders and money.

Whoever calls in holds the venue's lock, says what time it is, and finds everything done that was to
happen until then.
"""

from __future__ import annotations

from decimal import Decimal

from futures_agent.simulator.market import Market
from futures_agent.simulator.refusal import refusal
from futures_agent.simulator.sentiment import Sentiment
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.clearing import Clearing
from futures_agent.simulator.trading.config import TradingConfig
from futures_agent.simulator.trading.interference import Interference
from futures_agent.simulator.trading.ledger import Ledger
from futures_agent.simulator.trading.margin import AccountMargin, PositionMargin, position_margin
from futures_agent.simulator.trading.matching import Matching
from futures_agent.simulator.trading.records import Order, OrderRequest, Position
from futures_agent.simulator.trading.state import OnEvent, OnMarket, State


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
    """

    def __init__(
        self, market: Market, sentiment: Sentiment, config: TradingConfig, seed: int, start_ms: int
    ) -> None:
        self._state = State(market, config, seed, start_ms)
        self._clearing = Clearing(self._state)
        self._matching = Matching(self._state, self._clearing)
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
        """Let everything happen up to `to_ms`; a time that is past already changes nothing."""
        self._state.now_ms = max(self._state.now_ms, to_ms)

    # Regular orders.

    def place(self, account: Account, request: OrderRequest, now_ms: int) -> Order:
        """Place a regular order.

        Raises
        ------
        VenueError
            The order is refused; nothing has changed.
        """
        self.advance(now_ms)
        return self._matching.place(account, request)

    def order(self, account: Account, symbol: str, order_id: int = 0, client_order_id: str = "") -> Order:
        """Return an order in whatever state, by its id or else by its client's, then the newest of that id.

        Raises
        ------
        VenueError
            -2013: there is none.
        """
        if order_id:
            found = account.orders.get((symbol, order_id))
        else:
            found = next(
                (
                    order
                    for order in reversed(account.orders.values())
                    if order.symbol == symbol and order.client_order_id == client_order_id
                ),
                None,
            )
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
        self.advance(now_ms)
        order = self._open_order(account, symbol, order_id, client_order_id, -2011)
        self._matching.cancel(account, order)
        return order

    def cancel_all(self, account: Account, symbol: str, now_ms: int) -> list[Order]:
        """Cancel the open regular orders of `symbol`."""
        self.advance(now_ms)
        self._state.status(symbol)
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
            -2013: no such order is open; or see `Matching.amend`.
        """
        self.advance(now_ms)
        order = self._open_order(account, symbol, order_id, client_order_id, -2013)
        self._matching.amend(account, order, quantity, price)
        return order

    def _open_order(
        self, account: Account, symbol: str, order_id: int, client_order_id: str, code: int
    ) -> Order:
        for order in account.orders_of(symbol):
            if order.order_id == order_id or (not order_id and order.client_order_id == client_order_id):
                return order
        raise refusal(code)

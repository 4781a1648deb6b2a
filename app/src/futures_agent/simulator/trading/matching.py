"""Matching: from an order to its fills, at the prices that the backtest's fill rules give.

The market is everybody's counterparty: what one account does moves no price of another's.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from msgspec.structs import replace

from futures_agent.clock import HOUR_MS
from futures_agent.execution.fills import market_fill
from futures_agent.execution.slippage import slippage_share
from futures_agent.simulator.refusal import VenueError, refusal
from futures_agent.simulator.trading import events
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.admission import admit, crosses, require_carried, require_margin
from futures_agent.simulator.trading.book import Best, best_of
from futures_agent.simulator.trading.clearing import Clearing
from futures_agent.simulator.trading.margin import opening_quantity
from futures_agent.simulator.trading.records import (
    ZERO,
    AlgoOrder,
    Order,
    OrderRequest,
    Position,
    closes,
)
from futures_agent.simulator.trading.state import Due, State

# Why an order expired (`er` of ORDER_TRADE_UPDATE).
NOT_CARRIED = 0  # none of the documented reasons says it
NOT_IMMEDIATE, REDUCE_ONLY_KNOCKED_OUT, LIQUIDATED, DELISTED, MARKET_REST = 2, 4, 5, 7, 9
_RETRY_MS = 1_000  # the rest of a partly filled resting order trades that much later


class _Terms(NamedTuple):
    """What `execution.slippage` needs to know."""

    half_spread: float
    impact: float
    timeframe_ms: int


class Matching:
    """Executes orders.

    Attributes
    ----------
    on_position_change : callable
        Called with the account and the position after each fill.
    on_closed : callable
        Called with the account and an order that rests no more, whatever became of it.
    """

    def __init__(self, state: State, clearing: Clearing) -> None:
        config = state.config
        self._state = state
        self._clearing = clearing
        self._terms = _Terms(float(config.half_spread), float(config.impact), config.timeframe.ms)
        self._exact = config.path == "bar"
        self._paused_until: dict[tuple[str, int], int] = {}
        self._inside: set[tuple[str, int]] = set()  # orders that came to rest inside the spread
        self.on_position_change: Callable[[Account, Position], None] = lambda account, position: None
        self.on_closed: Callable[[Account, Order], None] = lambda account, order: None

    def place(
        self,
        account: Account,
        request: OrderRequest,
        *,
        algo: AlgoOrder | None = None,
        level: Decimal | None = None,
        on_accept: Callable[[Order], None] = lambda order: None,
    ) -> Order:
        """Accept and execute an order; `algo` is the conditional order it comes from.

        Parameters
        ----------
        level : Decimal, optional
            The market's price where that is not the last one: what triggered it within a candle.
        on_accept : callable
            Called with the accepted order before it trades.

        Raises
        ------
        VenueError
            The order is refused; nothing has changed.
        """
        state = self._state
        price = state.last(request.symbol) if level is None else level
        mark_price = state.mark(request.symbol) if level is None else level
        best = self._best(request.symbol, price)
        quantity = admit(state, account, request, price, mark_price, best, triggered=algo is not None)
        if request.time_in_force == "FOK":
            planned = self._order(request, quantity, 0, algo)
            share = state.interference.fill_share(account, planned, state.now_ms)
            if share < 1 or not crosses(request, best) or self._fitting(planned, price, best) < quantity:
                raise refusal(-5021)
        order = self._order(request, quantity, state.numbers.order_id(request.symbol), algo)
        if not order.client_order_id:
            order.client_order_id = state.numbers.text(22)
        account.orders[order.symbol, order.order_id] = order
        account.open_orders[order.symbol, order.order_id] = order
        self._changed(account, order, "NEW")
        on_accept(order)
        if order.good_till_ms:
            state.schedule(order.good_till_ms, Due.GOOD_TILL, account, (order.symbol, order.order_id))
        if order.type == "MARKET":
            self._take(account, order, price, best)
            self._expire_rest(account, order, MARKET_REST)
        elif crosses(order, best):
            self._take(account, order, price, best)
        if order.time_in_force in ("IOC", "FOK"):
            self._expire_rest(account, order, NOT_IMMEDIATE)
        self._queue(order, price)
        return order

    def cancel(self, account: Account, order: Order) -> None:
        """Take an open order out of the book."""
        self._close(account, order, "CANCELED", 0)

    def expire(self, account: Account, order: Order, reason: int) -> None:
        """Take an open order out of the book on the exchange's own account."""
        self._close(account, order, "EXPIRED", reason)

    def amend(self, account: Account, order: Order, quantity: Decimal, price: Decimal) -> None:
        """Change a resting order; it is cancelled where nothing would remain or GTX would cross.

        Raises
        ------
        VenueError
            Not a LIMIT order, nothing would change, too many amendments, or the margin does not suffice.
        """
        state = self._state
        if order.type != "LIMIT":
            raise refusal(-5025)
        if state.status(order.symbol) != "TRADING":
            raise refusal(-5024)
        if (quantity, price) == (order.quantity, order.price):
            raise refusal(-5027)
        if order.amendments >= state.market.listings[order.symbol].max_amendments:
            raise refusal(-5026)
        last = state.last(order.symbol)
        best = self._best(order.symbol, last)
        changed = replace(order, quantity=quantity, price=price)
        crossing = crosses(changed, best)
        if quantity <= order.executed or (order.time_in_force == "GTX" and crossing):
            self.cancel(account, order)
            return
        if not (order.reduce_only or closes(order)):
            require_margin(state, account, changed, changed.remaining, price, instead_of=order)
            if crossing:
                require_carried(state, account, changed, changed.remaining, last)
        order.quantity, order.price = quantity, price
        order.amendments += 1
        # An amended order queues anew.
        account.open_orders[order.symbol, order.order_id] = account.open_orders.pop(
            (order.symbol, order.order_id)
        )
        self._changed(account, order, "AMENDMENT")
        if crossing:
            self._take(account, order, last, best)
        self._queue(order, last)

    def fill_resting(self, account: Account, order: Order) -> None:
        """The market has gone through a resting order: it trades at its own price, as maker.

        What it would open is judged again, as prices have moved since it was admitted: where the account
        cannot carry it, the order only closes, and what remains of it expires.
        """
        carried = self._carried(account, order)
        whole = carried == order.remaining
        if carried:
            self._trade(account, order, order.price, maker=True, most=carried)
        if not whole:
            self._expire_rest(account, order, NOT_CARRIED)

    def _carried(self, account: Account, order: Order) -> Decimal:
        if order.reduce_only or order.close_position or closes(order):
            return order.remaining
        try:
            require_carried(self._state, account, order, order.remaining, order.price)
        except VenueError:
            opening = opening_quantity(
                account, order.symbol, order.position_side, order.sign, order.remaining
            )
            return order.remaining - opening
        return order.remaining

    def rests(self, order: Order) -> bool:
        """Say whether an open order would trade if the market went through it now."""
        return self._paused_until.get((order.symbol, order.order_id), 0) <= self._state.now_ms

    def level_of(self, order: Order) -> Decimal:
        """Return the last price beyond which a resting order trades; 0 where it does not now.

        It is the order's own, but inside the spread the other side's best price has to come to it.
        """
        if not self.rests(order):
            return ZERO
        if (order.symbol, order.order_id) not in self._inside:
            return order.price
        return order.price / (1 + order.sign * self._state.config.half_spread)

    def close_by_force(
        self,
        account: Account,
        position: Position,
        price: Decimal,
        client_order_id: str,
        extra_fee: Decimal,
        status: str,
    ) -> Order:
        """Close a whole position at `price`, by an order of the exchange's own."""
        state = self._state
        side = "SELL" if position.amount > 0 else "BUY"
        request = OrderRequest(
            symbol=position.symbol,
            side=side,
            type="LIMIT",
            price=price,
            quantity=abs(position.amount),
            position_side=position.side,
            time_in_force="IOC",
            client_order_id=client_order_id,
        )
        order = self._order(request, request.quantity, state.numbers.order_id(position.symbol), None)
        account.orders[order.symbol, order.order_id] = order
        self._changed(account, order, "NEW")
        fill = self._clearing.fill(account, order, price, order.quantity, maker=False, extra_fee=extra_fee)
        self._record(account, order)
        payload = events.order_trade_update(state.now_ms, order, "CALCULATED", fill)
        payload["o"]["X"] = status
        state.emit(account, payload)
        self._clearing.tell_account(account, "ORDER", fill.fee_asset, [position])
        self.on_position_change(account, position)
        return order

    def _queue(self, order: Order, last: Decimal) -> None:
        """Remember whether an order that is open came to rest on the far side of the last price."""
        key = order.symbol, order.order_id
        inside = order.is_open and not self._exact and order.sign * (order.price - last) > 0
        (self._inside.add if inside else self._inside.discard)(key)

    def _best(self, symbol: str, last: Decimal) -> Best:
        """Return the book that an order meets: the backtest, and so `path="bar"`, knows one price alone."""
        if self._exact or not last:
            return Best(last, last)
        listing = self._state.market.listings[symbol]
        return best_of(listing, last, self._state.config.half_spread, self._state.now_ms)

    def _take(self, account: Account, order: Order, last: Decimal, best: Best) -> None:
        """Trade at the market's price, worse by the slippage, as far as a limit order's own price reaches.

        What it does not reach waits for the book to fill up again.
        """
        fitting = self._fitting(order, last, best)
        quantity = min(fitting, order.remaining)
        price = self._slipped(order, last, quantity)
        if order.type == "LIMIT":
            price = min(price, order.price) if order.sign > 0 else max(price, order.price)
        if quantity < order.remaining:
            self._pause(account, order)
        self._trade(account, order, price, maker=False, most=quantity)

    def _fitting(self, order: Order, last: Decimal, best: Best) -> Decimal:
        """Return how much the book offers at the price of a limit order that crosses, or better.

        That is what moves the price, by the law of `execution.slippage`, up to the next tick beyond its own,
        and what waits at the best price in any case.
        """
        if self._exact or order.type == "MARKET" or not self._terms.impact:
            return order.remaining
        grid = self._state.market.listings[order.symbol].grid
        beyond = order.price + order.sign * Decimal(1).scaleb(-grid.price)
        room = order.sign * float(beyond / last - 1) - self._terms.half_spread
        if self._slippage(order.symbol, order.remaining) < room + self._terms.half_spread:
            return order.remaining
        hourly = self._volume(order.symbol) * HOUR_MS / self._terms.timeframe_ms
        moved = Decimal(hourly * (max(room, 0.0) / self._terms.impact) ** 2)
        step = Decimal(1).scaleb(-grid.volume)
        return max(moved.quantize(step, ROUND_FLOOR), best.taken_by(order.sign)[1])

    def _slippage(self, symbol: str, quantity: Decimal) -> float:
        return slippage_share(self._terms, float(quantity), self._volume(symbol))

    def _volume(self, symbol: str) -> float:
        return self._state.prices.volume(symbol, self._state.now_ms)

    def _slipped(self, order: Order, last: Decimal, quantity: Decimal) -> Decimal:
        price = market_fill(order.sign, float(last), self._slippage(order.symbol, quantity))
        if self._exact:
            return Decimal(repr(price))
        tick = Decimal(1).scaleb(-self._state.market.listings[order.symbol].grid.price)
        worse = ROUND_CEILING if order.sign > 0 else ROUND_FLOOR
        return Decimal(f"{price:.12g}").quantize(tick, worse)  # without what binary arithmetic added

    def _pause(self, account: Account, order: Order) -> None:
        """Let what is left of an order trade a little later."""
        retry_ms = self._paused_until[order.symbol, order.order_id] = self._state.now_ms + _RETRY_MS
        self._state.schedule(retry_ms, Due.REST, account)

    def _trade(
        self, account: Account, order: Order, price: Decimal, *, maker: bool, most: Decimal | None = None
    ) -> None:
        state = self._state
        position = account.position(order.symbol, order.position_side)
        quantity = order.remaining if most is None else most
        if order.reduce_only or order.close_position or closes(order):
            held = abs(position.amount) if position.amount * order.sign < 0 else ZERO
            quantity = min(quantity, held)
        share = state.interference.fill_share(account, order, state.now_ms)
        if share < 1:
            step = Decimal(1).scaleb(-state.market.listings[order.symbol].grid.volume)
            quantity = (quantity * share).quantize(step, ROUND_FLOOR)
            self._pause(account, order)
        if not quantity:
            return
        fill = self._clearing.fill(account, order, price, quantity, maker=maker)
        if order.status == "FILLED":
            self._forget(account, order)
        self._record(account, order)
        state.emit(account, events.trade_lite(state.now_ms, order, fill))
        state.emit(account, events.order_trade_update(state.now_ms, order, "TRADE", fill))
        self._clearing.tell_account(account, "ORDER", fill.fee_asset, [position])
        if order.status == "FILLED":
            self.on_closed(account, order)
        self.on_position_change(account, position)

    def _expire_rest(self, account: Account, order: Order, reason: int) -> None:
        if order.is_open:
            self.expire(account, order, reason)

    def _close(self, account: Account, order: Order, status: str, reason: int) -> None:
        order.status, order.expiry_reason = status, reason
        order.updated_ms = self._state.now_ms
        self._forget(account, order)
        self._changed(account, order, status)
        self.on_closed(account, order)

    def _forget(self, account: Account, order: Order) -> None:
        account.open_orders.pop((order.symbol, order.order_id), None)
        self._inside.discard((order.symbol, order.order_id))
        self._paused_until.pop((order.symbol, order.order_id), None)

    def _changed(self, account: Account, order: Order, execution: str) -> None:
        order.updated_ms = self._state.now_ms
        self._record(account, order)
        self._state.emit(account, events.order_trade_update(self._state.now_ms, order, execution))

    def _record(self, account: Account, order: Order) -> None:
        self._state.ledger.record(
            self._state.now_ms,
            account.account_id,
            "ORDER",
            symbol=order.symbol,
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            side=order.side,
            position_side=order.position_side,
            type=order.type,
            status=order.status,
            quantity=order.quantity,
            price=order.price,
            executed=order.executed,
            reason=order.expiry_reason,
        )

    def _order(
        self, request: OrderRequest, quantity: Decimal, order_id: int, algo: AlgoOrder | None
    ) -> Order:
        now_ms = self._state.now_ms
        order = Order(
            order_id=order_id,
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            side=request.side,
            type=request.type,
            position_side=request.position_side,
            quantity=quantity,
            price=request.price if request.type == "LIMIT" else ZERO,
            time_in_force=request.time_in_force,
            reduce_only=request.reduce_only,
            close_position=False,
            created_ms=now_ms,
            updated_ms=now_ms,
            orig_type=request.type,
            price_match=request.price_match,
            self_trade_prevention=request.self_trade_prevention,
            good_till_ms=request.good_till_ms,
        )
        if algo is not None:
            order.orig_type, order.stop_price, order.algo_id = algo.type, algo.trigger_price, algo.algo_id
            order.working_type, order.price_protect = algo.working_type, algo.price_protect
            order.close_position = algo.close_position
        return order

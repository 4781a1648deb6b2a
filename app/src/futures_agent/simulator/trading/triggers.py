"""Conditional orders: NEW → TRIGGERING → TRIGGERED → FINISHED, and every way out of it.

Triggered, a conditional order becomes a regular one with an id of its own, under the client's id of the
conditional order. Orders with `closePosition` are bound to the position and expire with it; all others stay
until they are cancelled, also when nothing is left to protect.
"""

from __future__ import annotations

from decimal import Decimal

from futures_agent.simulator.refusal import VenueError, refusal
from futures_agent.simulator.trading import events
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.admission import (
    require_permission,
    require_side,
    require_trading,
    sign_of,
)
from futures_agent.simulator.trading.matching import REDUCE_ONLY_KNOCKED_OUT, Matching
from futures_agent.simulator.trading.records import (
    ZERO,
    AlgoOrder,
    AlgoRequest,
    Order,
    OrderRequest,
    Position,
    closes,
)
from futures_agent.simulator.trading.state import Due, State

TRAILING = "TRAILING_STOP_MARKET"
_NO_POSITION = -2022


def is_stop(algo: AlgoOrder | AlgoRequest) -> bool:
    """Say whether it triggers when the price goes against its side's favour: STOP, STOP_MARKET."""
    return algo.type.startswith("STOP")


def triggers_below(algo: AlgoOrder | AlgoRequest) -> bool:
    """Say whether it triggers at or below its price: a stop that sells, a take-profit that buys."""
    return is_stop(algo) == (algo.side == "SELL")


class Triggers:
    """Keeps the conditional orders of all accounts; their orders go to `matching`."""

    def __init__(self, state: State, matching: Matching) -> None:
        self._state = state
        self._matching = matching
        matching.on_closed = self._order_closed
        matching.on_position_change = self._position_changed

    def place(self, account: Account, request: AlgoRequest) -> AlgoOrder:
        """Accept a conditional order; margin is not looked at before it triggers.

        Raises
        ------
        VenueError
            The order is refused; nothing has changed.
        """
        state = self._state
        self._admit(account, request)
        fields = {name: getattr(request, name) for name in request.__struct_fields__}
        algo = AlgoOrder(
            **fields, algo_id=state.numbers.algo_id(), created_ms=state.now_ms, updated_ms=state.now_ms
        )
        algo.client_algo_id = algo.client_algo_id or state.numbers.text(22)
        if algo.close_position:
            algo.time_in_force = "GTE_GTC"
        if algo.type == TRAILING and not algo.activate_price:
            algo.is_activated, algo.extreme_price = True, self.working_price(algo)
        account.algos[algo.algo_id] = account.open_algos[algo.algo_id] = algo
        if algo.good_till_ms:
            state.schedule(algo.good_till_ms, Due.GOOD_TILL, account, algo.algo_id)
        self._changed(account, algo, "NEW")
        return algo

    def cancel(self, account: Account, algo: AlgoOrder) -> None:
        """Cancel an order that has not triggered.

        Raises
        ------
        VenueError
            -4117: it is on its way to the order book.
        """
        if algo.status == "TRIGGERING":
            raise refusal(-4117)
        self._close(account, algo, "CANCELED")

    def expire(self, account: Account, algo: AlgoOrder, reason: str = "") -> None:
        """End an order on the exchange's own account."""
        self._close(account, algo, "EXPIRED", reason)

    def working_price(self, algo: AlgoOrder | AlgoRequest) -> Decimal:
        """Return the price that the order watches, now."""
        of = self._state.mark if algo.working_type == "MARK_PRICE" else self._state.last
        return of(algo.symbol)

    def activate(self, account: Account, algo: AlgoOrder, price: Decimal) -> None:
        """The price at which a trailing stop starts to trail has come."""
        algo.is_activated, algo.extreme_price = True, price
        self._changed(account, algo, "NEW")

    def fire(self, account: Account, algo: AlgoOrder, level: Decimal) -> None:
        """The trigger price has come: the order sets out for the book.

        With `path="bar"` it is there at once, and trades at `level`.
        """
        state = self._state
        algo.trigger_ms = state.now_ms
        self._changed(account, algo, "TRIGGERING")
        if state.config.path == "bar":
            self.engage(account, algo, level)
        else:
            delay_ms = state.numbers.random.randint(*state.config.trigger_delay_ms)
            state.schedule(state.now_ms + delay_ms, Due.TRIGGERED, account, algo.algo_id)

    def engage(self, account: Account, algo: AlgoOrder, level: Decimal | None = None) -> None:
        """The triggered order reaches the book, which takes it or not."""
        reason = self._state.interference.reject_trigger(account, algo, self._state.now_ms)
        if reason:
            self._close(account, algo, "REJECTED", reason)
            return
        quantity = algo.quantity
        if algo.close_position:
            held = account.position(algo.symbol, algo.position_side).amount
            quantity = abs(held) if held * algo.sign < 0 else ZERO
        if not quantity:
            self.expire(account, algo, "Position is not sufficient.")
            return

        def accepted(order: Order) -> None:
            algo.actual_order_id, algo.actual_type = order.order_id, order.type
            account.open_algos.pop(algo.algo_id)
            self._changed(account, algo, "TRIGGERED")

        limited = algo.type in ("STOP", "TAKE_PROFIT")
        request = OrderRequest(
            symbol=algo.symbol,
            side=algo.side,
            type="LIMIT" if limited else "MARKET",
            quantity=quantity,
            position_side=algo.position_side,
            price=algo.price if limited else ZERO,
            time_in_force=algo.time_in_force if limited else "GTC",
            reduce_only=algo.reduce_only or algo.close_position,
            client_order_id=algo.client_algo_id,
            self_trade_prevention=algo.self_trade_prevention,
            price_match=algo.price_match,
        )
        try:
            self._matching.place(account, request, algo=algo, level=level, on_accept=accepted)
        except VenueError as error:
            self._close(account, algo, "EXPIRED" if error.code == _NO_POSITION else "REJECTED", str(error))

    def _admit(self, account: Account, request: AlgoRequest) -> None:
        state = self._state
        require_trading(state, request.symbol, opening=not (request.reduce_only or request.close_position))
        require_side(account, request.position_side)
        require_permission(state, account, request, opening=True)
        if account.open_algos.named(request.client_algo_id):
            raise refusal(-4116)
        if len(account.open_algos) >= state.config.max_algo_orders:
            raise refusal(-4045)
        if (fault := state.interference.refuse_algo(account, request, state.now_ms)) is not None:
            raise fault
        if request.close_position:
            self._admit_closing(account, request)
        held = account.position(request.symbol, request.position_side).amount
        if request.time_in_force == "GTE_GTC" and not held:
            raise refusal(-4509)
        price = self.working_price(request)
        if not price:
            raise refusal(-2020)
        if request.type == TRAILING:
            if request.activate_price and sign_of(request.side) * (request.activate_price - price) >= 0:
                raise refusal(-2021)
        elif triggers_below(request) == (price <= request.trigger_price) or price == request.trigger_price:
            raise refusal(-2021)

    @staticmethod
    def _admit_closing(account: Account, request: AlgoRequest) -> None:
        held = account.position(request.symbol, request.position_side).amount
        if held * sign_of(request.side) >= 0:
            raise refusal(-4509)
        for algo in account.algos_of(request.symbol):
            same = (algo.side, algo.position_side) == (request.side, request.position_side)
            if algo.close_position and same and is_stop(algo) == is_stop(request):
                raise refusal(-4130)

    def _order_closed(self, account: Account, order: Order) -> None:
        """The order that a conditional one became rests no more: the conditional one is FINISHED."""
        algo = account.algos.get(order.algo_id)
        if algo is not None:
            algo.actual_price, algo.actual_quantity = order.avg_price, order.executed
            self._changed(account, algo, "FINISHED")

    def _position_changed(self, account: Account, position: Position) -> None:
        """End what is bound to a position that is gone, or has turned."""
        for order in account.orders_of(position.symbol):
            bound = order.reduce_only or closes(order)
            if bound and order.position_side == position.side and position.amount * order.sign >= 0:
                self._matching.expire(account, order, REDUCE_ONLY_KNOCKED_OUT)
        for algo in account.algos_of(position.symbol):
            bound = algo.close_position and algo.status == "NEW"
            if bound and algo.position_side == position.side and position.amount * algo.sign >= 0:
                self.expire(account, algo)

    def _close(self, account: Account, algo: AlgoOrder, status: str, reason: str = "") -> None:
        algo.reason = reason
        account.open_algos.pop(algo.algo_id, None)
        self._changed(account, algo, status)

    def _changed(self, account: Account, algo: AlgoOrder, status: str) -> None:
        state = self._state
        algo.status, algo.updated_ms = status, state.now_ms
        state.ledger.record(
            state.now_ms,
            account.account_id,
            "ALGO",
            symbol=algo.symbol,
            algo_id=algo.algo_id,
            client_algo_id=algo.client_algo_id,
            type=algo.type,
            side=algo.side,
            position_side=algo.position_side,
            quantity=algo.quantity,
            trigger_price=algo.trigger_price,
            status=status,
            order_id=algo.actual_order_id,
            reason=algo.reason,
        )
        state.emit(account, events.algo_update(state.now_ms, algo))

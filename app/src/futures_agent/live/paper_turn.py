"""One step of the paper account in the making: orders, fills and what follows from them in one symbol.

Prices come from `execution/`, whose rules the backtest follows too. A fill at market keeps its exact price,
which lies between two ticks as the average of several fills does. Nothing here changes the account: what
happened is collected, and counts when the step is on the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from futures_agent.exchange.orders import (
    FillSeen,
    FundingSeen,
    OrderSeen,
    PlaceMarket,
    PlaceStop,
    PlaceTarget,
    PositionSeen,
    Seen,
    StopSeen,
    WalletSeen,
)
from futures_agent.execution.fills import (
    AMBIGUOUS,
    LIQUIDATION,
    NONE,
    STOP,
    bar_exit,
    finer_exit,
    market_fill,
)
from futures_agent.execution.margin import bankruptcy_price, liquidation_price
from futures_agent.execution.slippage import slippage_share
from futures_agent.live.paper_account import ASSET, ZERO, Account, Step
from futures_agent.live.paper_rules import exact
from futures_agent.settings.tree import CostSettings

_MONEY = Decimal("1e-8")  # what is booked has eight decimals
_ENTRY = Decimal("1e-12")


class Costs(NamedTuple):
    """What trading costs: shares of notional and price, as `execution.slippage` and the fees take them."""

    half_spread: float
    impact: float
    timeframe_ms: int  # of the bars whose volume counts
    maker_fee: Decimal
    taker_fee: Decimal


def costs_of(costs: CostSettings, timeframe_ms: int) -> Costs:
    return Costs(
        half_spread=costs.slippage_bps / 10_000,
        impact=costs.impact_bps / 10_000,
        timeframe_ms=timeframe_ms,
        maker_fee=exact(costs.maker_fee_bps / 10_000),
        taker_fee=exact(costs.taker_fee_bps / 10_000),
    )


class Bar(NamedTuple):
    """What the fill rules read of a candle; a single price is a bar in which nothing else was traded."""

    timestamp: int
    open: float
    high: float
    low: float


class Finer(NamedTuple):
    """The finer bars within a bar."""

    bars: Sequence[Bar]
    step_ms: int


class _Bracket(NamedTuple):
    """The fields of `execution.fills.BRACKET`."""

    side: int
    stop_price: float
    target_price: float
    liquidation_price: float
    bankruptcy_price: float


class Turn:
    """What one event does to one symbol.

    Parameters
    ----------
    account : Account
        As it is before.
    symbol : str
    volume : float
        Of the symbol's last closed bar, base units.
    at_ms, told_ms : int
        When it happens in the market, and the stamp of what is told of it.
    """

    def __init__(
        self, account: Account, symbol: str, costs: Costs, volume: float, at_ms: int, told_ms: int
    ) -> None:
        self.book = account.book(symbol).copy()
        self.seen: list[Seen] = []
        self._symbol, self._costs, self._volume = symbol, costs, volume
        self._at_ms, self._told_ms = at_ms, told_ms
        self._wallet, self._leverage, self._last_id = account.wallet, account.leverage, account.last_id

    @property
    def step(self) -> Step:
        return Step(at_ms=self._at_ms, seen=tuple(self.seen))

    # Requests; that they are admissible has been found out.

    def place_market(self, request: PlaceMarket, quantity: Decimal, last: Decimal) -> OrderSeen:
        """Trade `quantity` at the price `last`, worse by the slippage."""
        order = self._accept(
            request.client_id, request.side, "MARKET", quantity, reduce_only=request.reduce_only
        )
        order = self._take(order, float(last))
        self._end_bound()
        return order

    def place_target(self, request: PlaceTarget, quantity: Decimal, last: Decimal) -> OrderSeen:
        """Rest a limit order; where the market is beyond it already, it takes at no worse than that."""
        order = self._accept(
            request.client_id, request.side, "LIMIT", quantity, price=request.price, reduce_only=True
        )
        if request.side * (request.price - last) >= 0:
            order = self._take(order, float(last))
            self._end_bound()
        return order

    def place_stop(self, request: PlaceStop) -> StopSeen:
        stop = StopSeen(
            symbol=self._symbol,
            client_id=request.client_id,
            algo_id=self._new_id(),
            order_id=0,
            side=request.side,
            type="STOP_MARKET",
            status="NEW",
            trigger_price=request.trigger_price,
            quantity=ZERO,
            close_position=True,
            reduce_only=False,
            updated_ms=self._told_ms,
        )
        self._tell(stop)
        return stop

    def cancel(self, order: OrderSeen) -> OrderSeen:
        return self._order(order, status="CANCELED")

    def cancel_stop(self, stop: StopSeen) -> StopSeen:
        return self._stop(stop, status="CANCELED")

    # What the market does.

    def judge(self, bar: Bar, since_ms: int, liquidation_fee: float, finer: Finer | None = None) -> None:
        """Let a bar do to the position what it does: stop it, bring it to its target, liquidate it.

        Parameters
        ----------
        since_ms : int
            What was placed or opened later does not meet this bar.
        liquidation_fee : float
            Share of the notional, on top of the taker's fee.
        finer : Finer, optional
            Decides a bar that reaches both sides.
        """
        while self.book.side and self.book.position.updated_ms <= since_ms:
            side = self.book.side
            stop = next((each for each in self.book.stops.values() if each.updated_ms <= since_ms), None)
            targets = [each for each in self.book.orders.values() if each.updated_ms <= since_ms]
            target = min(targets, key=lambda each: side * each.price, default=None)
            bracket = self._bracket(stop, target)
            reason, level = bar_exit(bracket, bar)
            if reason == AMBIGUOUS:
                bars, step_ms = finer or ((), 0)
                reason, level = finer_exit(bracket, bars, 0, len(bars), bar.timestamp, step_ms)
            if reason == NONE:
                return
            if reason == LIQUIDATION:
                self._liquidate(level, liquidation_fee)
            elif reason == STOP and stop is not None:
                self._trigger(stop, level)
            elif target is not None:
                self._fill(target, target.price, maker=True)
            self._end_bound()

    def fund(self, held: Decimal, mark_price: Decimal, rate: Decimal) -> None:
        """Pay or receive funding for `held`: −amount · mark price · rate; longs pay while it is positive."""
        amount = _money(-held * mark_price * rate)
        if amount:
            # Of its instant, whenever it is learnt: payments of one hour are taken for one.
            self._tell(FundingSeen(symbol=self._symbol, amount=amount, asset=ASSET, time_ms=self._at_ms))
            self._book_money(amount)

    def _bracket(self, stop: StopSeen | None, target: OrderSeen | None) -> _Bracket:
        side, entry = self.book.side, float(self.book.position.entry_price)
        return _Bracket(
            side=side,
            stop_price=float(stop.trigger_price) if stop else 0.0,
            target_price=float(target.price) if target else 0.0,
            liquidation_price=liquidation_price(side, entry, float(self.book.leverage)),
            bankruptcy_price=bankruptcy_price(side, entry, float(self.book.leverage)),
        )

    def _trigger(self, stop: StopSeen, level: float) -> None:
        stop = self._stop(stop, status="TRIGGERING")
        order = self._accept(
            stop.client_id, stop.side, "MARKET", abs(self.book.position.amount), reduce_only=True
        )
        stop = self._stop(stop, status="TRIGGERED", order_id=order.order_id)
        self._take(order, level)
        self._stop(stop, status="FINISHED")

    def _liquidate(self, level: float, liquidation_fee: float) -> None:
        for order in list(self.book.orders.values()):
            self._order(order, status="EXPIRED")
        order = self._accept(
            f"autoclose-{self._last_id + 1}",
            -self.book.side,
            "LIMIT",
            abs(self.book.position.amount),
            price=exact(level),
        )
        self._fill(order, exact(level), extra_fee=exact(liquidation_fee))

    def _end_bound(self) -> None:
        """End what is bound to a position that is gone, or has turned."""
        side = self.book.side
        for order in list(self.book.orders.values()):
            if order.reduce_only and side != -order.side:
                self._order(order, status="EXPIRED")
        for stop in list(self.book.stops.values()):
            if side != -stop.side:
                self._stop(stop, status="EXPIRED")

    # Bookings.

    def _take(self, order: OrderSeen, market: float) -> OrderSeen:
        """Trade at the market's price, worse by the slippage; a limit order no worse than at its own."""
        slippage = slippage_share(self._costs, float(order.quantity), self._volume)
        price = exact(market_fill(order.side, market, slippage))
        if order.type == "LIMIT":
            price = min(price, order.price) if order.side > 0 else max(price, order.price)
        return self._fill(order, price)

    def _fill(
        self, order: OrderSeen, price: Decimal, *, maker: bool = False, extra_fee: Decimal = ZERO
    ) -> OrderSeen:
        """Trade what is left of `order`, of a reducing one what there is to reduce."""
        position = self.book.position
        quantity = order.quantity - order.executed
        if order.reduce_only:
            quantity = min(quantity, abs(position.amount))
        amount, entry_price, realized = moved(position, order.side * quantity, price)
        quote = quantity * price
        fee = _money(quote * (self._costs.maker_fee if maker else self._costs.taker_fee))
        fee += _money(quote * extra_fee)
        self._tell(
            FillSeen(
                symbol=self._symbol,
                client_id=order.client_id,
                order_id=order.order_id,
                trade_id=self._new_id(),
                side=order.side,
                price=price,
                quantity=quantity,
                fee=fee,
                fee_asset=ASSET,
                realized_pnl=realized,
                maker=maker,
                time_ms=self._told_ms,
            )
        )
        executed = order.executed + quantity
        filled = self._order(
            order,
            status="FILLED" if executed == order.quantity else "PARTIALLY_FILLED",
            executed=executed,
            avg_price=price if not order.executed else (order.avg_price * order.executed + quote) / executed,
        )
        self._tell(
            PositionSeen(
                symbol=self._symbol, amount=amount, entry_price=entry_price, updated_ms=self._told_ms
            )
        )
        self._book_money(realized - fee)
        return filled

    def _accept(
        self,
        client_id: str,
        side: int,
        kind: str,
        quantity: Decimal,
        *,
        price: Decimal = ZERO,
        reduce_only: bool = False,
    ) -> OrderSeen:
        order = OrderSeen(
            symbol=self._symbol,
            client_id=client_id,
            order_id=self._new_id(),
            side=side,
            type=kind,
            status="NEW",
            quantity=quantity,
            executed=ZERO,
            avg_price=ZERO,
            price=price,
            reduce_only=reduce_only,
            updated_ms=self._told_ms,
        )
        self._tell(order)
        return order

    def _order(self, order: OrderSeen, **changes: object) -> OrderSeen:
        order = replace(order, updated_ms=self._told_ms, **changes)
        self._tell(order)
        return order

    def _stop(self, stop: StopSeen, **changes: object) -> StopSeen:
        stop = replace(stop, updated_ms=self._told_ms, **changes)
        self._tell(stop)
        return stop

    def _book_money(self, change: Decimal) -> None:
        self._wallet += change
        self._tell(WalletSeen(asset=ASSET, balance=self._wallet, time_ms=self._told_ms))

    def _tell(self, seen: Seen) -> None:
        self.seen.append(seen)
        self.book.apply(seen, self._leverage)

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id


def moved(position: PositionSeen, signed: Decimal, price: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Return amount and entry price of a position after a trade of `signed` at `price`, and the realised PnL.

    Against the position the entry stays and PnL is realised; beyond flat, the rest opens at `price`. Along
    it the entry is the average.
    """
    held, entry = position.amount, position.entry_price
    after = held + signed
    if held * signed < 0:
        closed = min(abs(held), abs(signed))
        realized = _money((price - entry) * (closed if held > 0 else -closed))
        if held * after > 0:
            return after, entry, realized
        return after, price if after else ZERO, realized
    if not held:
        return after, price, ZERO
    return after, ((held * entry + signed * price) / after).quantize(_ENTRY), ZERO


def _money(amount: Decimal) -> Decimal:
    return amount.quantize(_MONEY)

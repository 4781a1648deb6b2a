"""A small venue for the desk: positions, orders, stops, and every fill it ever made. No network here."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from futures_agent.exchange.orders import (
    Answer,
    Cancel,
    CancelStop,
    FillSeen,
    OrderSeen,
    PlaceMarket,
    PlaceStop,
    PlaceTarget,
    PositionSeen,
    QueryOrder,
    QueryStop,
    Snapshot,
    StopSeen,
    WalletSeen,
)
from futures_agent.exchange.outcome import Outcome

ZERO = Decimal(0)
FEE = Decimal("0.001")


def revised(seen, **changes):
    """Return `seen` with fields changed."""
    fields = {name: getattr(seen, name) for name in seen.__struct_fields__}
    return type(seen)(**{**fields, **changes})


@dataclass
class FakeVenue:
    """One account. `told` collects what the user stream would say, in order.

    `parts` is the chance that a market order fills in parts, `expires_stops` whether a closePosition stop
    ends with its position (else it is left over), `lag_ms` how long queries do not find a new order.
    """

    random: Random
    parts: float = 0.0
    expires_stops: bool = True
    lag_ms: int = 0
    prices: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, Decimal] = field(default_factory=dict)
    entry_prices: dict[str, Decimal] = field(default_factory=dict)
    orders: dict[str, OrderSeen] = field(default_factory=dict)
    stops: dict[str, StopSeen] = field(default_factory=dict)
    placed_ms: dict[str, int] = field(default_factory=dict)
    fills: list[FillSeen] = field(default_factory=list)
    partly: list[str] = field(default_factory=list)  # market orders that go on filling
    told: list = field(default_factory=list)
    number: int = 1000
    opened: dict[str, int] = field(default_factory=dict)  # client id -> times accepted, of opening orders
    wallet: Decimal = Decimal(10_000)
    pending_fees: Decimal = ZERO

    def next_number(self):
        self.number += 1
        return self.number

    # Requests

    def execute(self, request, now_ms):
        """Do what is asked and return the answer of a venue whose answers always arrive."""
        match request:
            case PlaceMarket():
                return self._market(request, now_ms)
            case PlaceTarget():
                return self._target(request, now_ms)
            case PlaceStop():
                return self._stop(request, now_ms)
            case Cancel():
                order = self.orders.get(request.client_id)
                if order is None or not order.is_open:
                    return self._refuse(request, -2011)
                self._change(order, now_ms, status="CANCELED")
                return self._ok(request, self.orders[request.client_id])
            case CancelStop():
                stop = self.stops.get(request.client_id)
                if stop is None or stop.status != "NEW":
                    return self._refuse(request, -2011)
                self._change_stop(stop, now_ms, status="CANCELED")
                return self._ok(request, None)
            case QueryOrder():
                return self._query(request, self.orders, now_ms)
            case QueryStop():
                return self._query(request, self.stops, now_ms)

    def _ok(self, request, seen):
        return Answer(request=request, outcome=Outcome.OK, seen=seen)

    def _refuse(self, request, code):
        return Answer(request=request, outcome=Outcome.REJECTED, code=code, message="refused")

    def _query(self, request, kept, now_ms):
        found = kept.get(request.client_id)
        if found is None or now_ms - self.placed_ms[request.client_id] < self.lag_ms:
            return self._refuse(request, -2013)
        return self._ok(request, found)

    def _market(self, request, now_ms):
        held = self.positions.get(request.symbol, ZERO)
        if request.reduce_only and held * request.side >= 0:
            return self._refuse(request, -2022)
        known = self.orders.get(request.client_id)
        if known is not None and known.is_open:
            return self._refuse(request, -4116)
        if not request.reduce_only:
            self.opened[request.client_id] = self.opened.get(request.client_id, 0) + 1
        self._open(request, "MARKET", request.reduce_only, ZERO, now_ms)
        first = self.orders[request.client_id]
        self._fill_market(request.client_id, now_ms)
        # The answer is an acknowledgement: it tells nothing of fills.
        return self._ok(request, first if self.random.random() < 0.5 else self.orders[request.client_id])

    def _open(self, request, kind, reduce_only, price, now_ms):
        seen = OrderSeen(
            symbol=request.symbol,
            client_id=request.client_id,
            order_id=self.next_number(),
            side=request.side,
            type=kind,
            status="NEW",
            quantity=request.quantity,
            executed=ZERO,
            avg_price=ZERO,
            price=price,
            reduce_only=reduce_only,
            updated_ms=now_ms,
        )
        self.orders[request.client_id] = seen
        self.placed_ms[request.client_id] = now_ms
        self.told.append(seen)

    def _fill_market(self, client_id, now_ms):
        """Fill a market order, or a part of it."""
        order = self.orders[client_id]
        left = self._most(order)
        steps = int(left / Decimal("0.1"))
        if steps > 1 and self.random.random() < self.parts:
            self.fill(client_id, Decimal("0.1") * self.random.randint(1, steps - 1), now_ms)
            self.partly.append(client_id)
            return
        if left:
            self.fill(client_id, left, now_ms)
        self._end_market(client_id, now_ms)

    def _most(self, order):
        left = order.quantity - order.executed
        held = self.positions.get(order.symbol, ZERO)
        return min(left, max(-held * order.side, ZERO)) if order.reduce_only else left

    def _end_market(self, client_id, now_ms):
        order = self.orders[client_id]
        if order.is_open:
            self._change(order, now_ms, status="EXPIRED")

    def go_on(self, now_ms):
        """Let market orders that were filled in part go on, or expire with a rest."""
        waiting, self.partly = self.partly, []
        for client_id in waiting:
            if self.random.random() < 0.3:
                self._end_market(client_id, now_ms)
            elif self._most(self.orders[client_id]):
                self._fill_market(client_id, now_ms)
            else:
                self._end_market(client_id, now_ms)

    def _target(self, request, now_ms):
        if self.positions.get(request.symbol, ZERO) * request.side >= 0:
            return self._refuse(request, -2022)
        self._open(request, "LIMIT", True, request.price, now_ms)
        return self._ok(request, self.orders[request.client_id])

    def _stop(self, request, now_ms):
        held = self.positions.get(request.symbol, ZERO)
        if held * request.side >= 0:
            return self._refuse(request, -4509)
        if any(s.status == "NEW" and s.symbol == request.symbol for s in self.stops.values()):
            return self._refuse(request, -4130)
        if (self.prices[request.symbol] - request.trigger_price) * request.side >= 0:
            return self._refuse(request, -2021)
        seen = self.place_stop(request.symbol, request.client_id, request.side, request.trigger_price, now_ms)
        return self._ok(request, seen)

    def place_stop(self, symbol, client_id, side, trigger_price, now_ms):
        seen = StopSeen(
            symbol=symbol,
            client_id=client_id,
            algo_id=self.next_number(),
            order_id=0,
            side=side,
            type="STOP_MARKET",
            status="NEW",
            trigger_price=trigger_price,
            quantity=ZERO,
            close_position=True,
            reduce_only=False,
            updated_ms=now_ms,
        )
        self.stops[client_id] = seen
        self.placed_ms[client_id] = now_ms
        self.told.append(seen)
        return seen

    # What happens by itself

    def fill(self, client_id, quantity, now_ms, *, liquidity="taker"):
        """Fill `quantity` of an order at the symbol's price, or at its limit."""
        order = self.orders[client_id]
        price = order.price if order.type == "LIMIT" and order.price else self.prices[order.symbol]
        executed = order.executed + quantity
        average = (order.avg_price * order.executed + price * quantity) / executed
        self._change(
            order,
            now_ms,
            executed=executed,
            avg_price=average,
            status="FILLED" if executed == order.quantity else "PARTIALLY_FILLED",
        )
        fee = price * quantity * FEE
        seen = FillSeen(
            symbol=order.symbol,
            client_id=client_id,
            order_id=order.order_id,
            trade_id=self.next_number(),
            side=order.side,
            price=price,
            quantity=quantity,
            fee=fee,
            fee_asset="USDT",
            realized_pnl=ZERO,
            maker=liquidity == "maker",
            time_ms=now_ms,
        )
        self.fills.append(seen)
        self.told.append(seen)
        held = self.positions.get(order.symbol, ZERO)
        self.positions[order.symbol] = held + order.side * quantity
        if held * order.side >= 0:
            self.entry_prices[order.symbol] = price
        self.told.append(self._position(order.symbol, now_ms))
        if not self.positions[order.symbol]:
            self._flat(order.symbol, now_ms)

    def _flat(self, symbol, now_ms):
        for stop in list(self.stops.values()):
            if stop.symbol == symbol and stop.status == "NEW" and self.expires_stops:
                self._change_stop(stop, now_ms, status="EXPIRED")
        for order in list(self.orders.values()):
            if order.symbol == symbol and order.is_open and order.type == "LIMIT" and order.reduce_only:
                self._change(order, now_ms, status="EXPIRED")

    def move(self, symbol, price, now_ms):
        """Set the price; stops trigger, targets fill."""
        self.prices[symbol] = price
        for stop in list(self.stops.values()):
            crossed = (price - stop.trigger_price) * stop.side >= 0
            if stop.symbol == symbol and stop.status == "NEW" and crossed:
                self._trigger(stop, now_ms)
        for order in list(self.orders.values()):
            through = (order.price - price) * order.side > 0
            if order.symbol == symbol and order.is_open and order.type == "LIMIT" and through:
                most = self._most(order)
                if most:
                    self.fill(order.client_id, most, now_ms, liquidity="maker")

    def _trigger(self, stop, now_ms):
        self._change_stop(stop, now_ms, status="TRIGGERING")
        held = self.positions.get(stop.symbol, ZERO)
        if held * stop.side >= 0:
            self._change_stop(self.stops[stop.client_id], now_ms, status="EXPIRED")
            return
        request = PlaceMarket(
            symbol=stop.symbol,
            client_id=stop.client_id,
            side=stop.side,
            quantity=abs(held),
            reduce_only=True,
        )
        self._open(request, "MARKET", True, ZERO, now_ms)
        number = self.orders[stop.client_id].order_id
        self._change_stop(self.stops[stop.client_id], now_ms, status="TRIGGERED", order_id=number)
        left = abs(held)
        if self.random.random() < self.parts and left > Decimal("0.1"):
            left = Decimal("0.1")
        self.fill(stop.client_id, left, now_ms)
        self._end_market(stop.client_id, now_ms)
        self._change_stop(self.stops[stop.client_id], now_ms, status="FINISHED")

    def liquidate(self, symbol, now_ms):
        """Take the position away, as the exchange does."""
        held = self.positions.get(symbol, ZERO)
        if held:
            request = PlaceMarket(
                symbol=symbol,
                client_id=f"autoclose-{self.next_number()}",
                side=-1 if held > 0 else 1,
                quantity=abs(held),
                reduce_only=True,
            )
            self._open(request, "MARKET", True, ZERO, now_ms)
            self.fill(request.client_id, abs(held), now_ms)

    def trade_by_hand(self, symbol, now_ms):
        """Trade at market, as a person would beside the agent."""
        request = PlaceMarket(
            symbol=symbol,
            client_id=f"web_{self.next_number()}",
            side=self.random.choice((-1, 1)),
            quantity=Decimal("0.1") * self.random.randint(1, 12),
        )
        self._open(request, "MARKET", False, ZERO, now_ms)
        self.fill(request.client_id, request.quantity, now_ms)

    def stop_by_hand(self, symbol, now_ms):
        """Place a stop on either side, where none of that side is."""
        side = self.random.choice((-1, 1))
        if not any(s.status == "NEW" and (s.symbol, s.side) == (symbol, side) for s in self.stops.values()):
            price = self.prices[symbol] + side * Decimal(5)
            self.place_stop(symbol, f"web_{self.next_number()}", side, price, now_ms)

    def cancel_stops(self, symbol, now_ms):
        """Cancel stops as a person would."""
        for stop in list(self.stops.values()):
            if stop.symbol == symbol and stop.status == "NEW":
                self._change_stop(stop, now_ms, status="CANCELED")

    def _change(self, order, now_ms, **changes):
        self.orders[order.client_id] = revised(order, updated_ms=now_ms, **changes)
        self.told.append(self.orders[order.client_id])

    def _change_stop(self, stop, now_ms, **changes):
        self.stops[stop.client_id] = revised(stop, updated_ms=now_ms, **changes)
        self.told.append(self.stops[stop.client_id])

    def _position(self, symbol, now_ms):
        return PositionSeen(
            symbol=symbol,
            amount=self.positions.get(symbol, ZERO),
            entry_price=self.entry_prices.get(symbol, ZERO),
            updated_ms=now_ms,
        )

    # Queries of the account

    def open_positions(self, now_ms):
        return tuple(self._position(symbol, now_ms) for symbol, held in self.positions.items() if held)

    def open_orders(self):
        return tuple(order for order in self.orders.values() if order.is_open)

    def open_stops(self):
        return tuple(stop for stop in self.stops.values() if stop.is_open)

    def nameless_fills(self):
        """Return all fills as the list of fills tells them: without client ids."""
        return tuple(revised(fill, client_id="") for fill in self.fills)

    def snapshot(self, now_ms):
        return Snapshot(
            taken_ms=now_ms,
            positions=self.open_positions(now_ms),
            orders=self.open_orders(),
            stops=self.open_stops(),
            wallet=WalletSeen(asset="USDT", balance=self.wallet, time_ms=now_ms),
        )

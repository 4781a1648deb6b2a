"""Whatever the order in which news come, and however often: in the end the desk knows the same."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from futures_agent.exchange.orders import (
    Answer,
    FillSeen,
    OrderSeen,
    PlaceMarket,
    PlaceStop,
    PositionSeen,
    Snapshot,
    StopSeen,
    WalletSeen,
)
from futures_agent.exchange.outcome import Outcome
from futures_agent.live.desk import Desk
from futures_agent.live.ids import client_id_of, trade_id_of
from futures_agent.live.records import Answered, EntryWanted, Happened, Reconciled, Sent, Started
from futures_agent.settings.tree import LiveSettings

T0 = 1_700_000_040_000
SYMBOL = "BTCUSDT"
TRADE = trade_id_of(SYMBOL, T0)
ENTRY, STOP = client_id_of(TRADE, "E", 1), client_id_of(TRADE, "S", 1)
ZERO, ONE = Decimal(0), Decimal(1)


def order(client_id, order_id, side, status, executed, price):
    return OrderSeen(
        symbol=SYMBOL,
        client_id=client_id,
        order_id=order_id,
        side=side,
        type="MARKET",
        status=status,
        quantity=ONE,
        executed=Decimal(executed),
        avg_price=Decimal(price),
        price=ZERO,
        reduce_only=side < 0,
        updated_ms=T0,
    )


def fill(client_id, order_id, trade_id, side, quantity, price):
    return FillSeen(
        symbol=SYMBOL,
        client_id=client_id,
        order_id=order_id,
        trade_id=trade_id,
        side=side,
        price=Decimal(price),
        quantity=Decimal(quantity),
        fee=Decimal("0.1"),
        fee_asset="USDT",
        realized_pnl=ZERO,
        maker=False,
        time_ms=T0 + trade_id,
    )


def stop(status, order_id=0):
    return StopSeen(
        symbol=SYMBOL,
        client_id=STOP,
        algo_id=3,
        order_id=order_id,
        side=-1,
        type="STOP_MARKET",
        status=status,
        trigger_price=Decimal(990),
        quantity=ZERO,
        close_position=True,
        reduce_only=False,
        updated_ms=T0,
    )


def position(amount, ms):
    return PositionSeen(symbol=SYMBOL, amount=Decimal(amount), entry_price=Decimal(1000), updated_ms=T0 + ms)


PLACED = PlaceMarket(symbol=SYMBOL, client_id=ENTRY, side=1, quantity=ONE)
GUARD = PlaceStop(symbol=SYMBOL, client_id=STOP, side=-1, trigger_price=Decimal(990))
WHOLE_LIFE = (
    order(ENTRY, 1, 1, "NEW", 0, 0),
    order(ENTRY, 1, 1, "PARTIALLY_FILLED", "0.4", 1000),
    fill(ENTRY, 1, 11, 1, "0.4", 1000),
    order(ENTRY, 1, 1, "FILLED", 1, 1006),
    fill("", 1, 12, 1, "0.6", 1010),  # from the list of fills: without its name
    position(1, 12),
    stop("NEW"),
    stop("TRIGGERING"),
    stop("TRIGGERED", 2),
    order(STOP, 2, -1, "NEW", 0, 0),
    order(STOP, 2, -1, "PARTIALLY_FILLED", "0.5", 990),
    fill("", 2, 13, -1, "0.5", 990),
    order(STOP, 2, -1, "FILLED", 1, 989),
    fill(STOP, 2, 14, -1, "0.5", 988),
    stop("FINISHED", 2),
    position(0, 14),
    Answer(request=PLACED, outcome=Outcome.OK, seen=order(ENTRY, 1, 1, "NEW", 0, 0)),
    Answer(request=GUARD, outcome=Outcome.UNKNOWN),
)
TWICE = st.lists(st.integers(0, len(WHOLE_LIFE) - 3), max_size=10)


@settings(max_examples=300, deadline=None)
@given(order_of=st.permutations(range(len(WHOLE_LIFE))), again=TWICE)
def test_a_trade_is_the_same_whatever_came_first(order_of, again):
    desk = Desk(LiveSettings(), {})
    empty = Snapshot(
        taken_ms=T0,
        positions=(),
        orders=(),
        stops=(),
        wallet=WalletSeen(asset="USDT", balance=ONE, time_ms=T0),
    )
    desk.apply(Started(at_ms=T0, mode="paper", version="0"))
    desk.apply(Reconciled(at_ms=T0, snapshot=empty, fills=()))
    desk.apply(
        EntryWanted(
            at_ms=T0,
            trade_id=TRADE,
            symbol=SYMBOL,
            side=1,
            quantity=ONE,
            stop_distance=10.0,
            target_distance=0.0,
            decided_ms=T0,
            reasons=0,
        )
    )
    desk.apply(Sent(at_ms=T0, request=PLACED, trade_id=TRADE))
    desk.apply(Sent(at_ms=T0, request=GUARD, trade_id=TRADE))
    for at_ms, which in enumerate((*order_of, *again), start=T0):
        news = WHOLE_LIFE[which]
        if isinstance(news, Answer):
            desk.apply(Answered(at_ms=at_ms, answer=news))
        else:
            desk.apply(Happened(at_ms=at_ms, seen=news))
    (trade,) = desk.trades
    assert (trade.closed, trade.exit_reason) == (True, "STOP")
    assert (trade.entered, trade.entry_price, trade.entry_ms) == (1, 1006, T0 + 11)
    assert (trade.exited, trade.exit_price, trade.exit_ms) == (1, 989, T0 + 14)
    assert (trade.gross_pnl, trade.fees) == (-17, {"USDT": Decimal("0.4")})
    assert desk.holdings == []
    # Only an old position, told last, may ask for one more look.
    told = desk.lines[SYMBOL].told
    assert desk.may_open(SYMBOL) is (told.amount == 0)
    assert desk.due(T0 + 10**6) == []

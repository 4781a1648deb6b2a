"""The account at a close: money as it was before, and fills that a candle announces."""

from __future__ import annotations

from decimal import Decimal

import pytest

from futures_agent.exchange.orders import (
    Answer,
    FillSeen,
    OrderSeen,
    PlaceMarket,
    PlaceStop,
    PlaceTarget,
    Snapshot,
    StopSeen,
    WalletSeen,
)
from futures_agent.exchange.outcome import Outcome
from futures_agent.live.desk import Desk
from futures_agent.live.records import (
    Answered,
    EntryWanted,
    Happened,
    Reconciled,
    Record,
    Sent,
    Started,
)
from futures_agent.live.view import AccountView, Cash
from futures_agent.settings.tree import LiveSettings

SYMBOL, TRADE = "BTCUSDT", "aaaaaaaa-1"
D = Decimal


def wallet(balance: str, time_ms: int) -> Happened:
    return Happened(at_ms=time_ms, seen=WalletSeen(asset="USDT", balance=D(balance), time_ms=time_ms))


def fill(
    trade_id: int, time_ms: int, pnl: str, *, side: int = -1, name: str = "S1", fee: str = "0.5"
) -> FillSeen:
    return FillSeen(
        symbol=SYMBOL,
        client_id=f"cfa-{TRADE}-{name}",
        order_id=trade_id,
        trade_id=trade_id,
        side=side,
        price=D(100),
        quantity=D(2),
        fee=D(fee),
        fee_asset="USDT",
        realized_pnl=D(pnl),
        maker=False,
        time_ms=time_ms,
    )


def cash(*records: Record) -> Cash:
    one = Cash("USDT")
    for record in records:
        one.hear(record)
    return one


def test_without_a_word_there_is_nothing() -> None:
    assert (cash().balance, cash().before(10)) == (0, 0)


def test_what_a_close_settles_is_not_in_the_balance_before_it() -> None:
    one = cash(wallet("1000", 50), wallet("998", 100), wallet("997", 100))
    assert one.balance == 997
    assert one.before(100) == 1000
    assert one.before(101) == 997


def test_a_fill_counts_before_the_wallet_that_it_changed_is_told() -> None:
    one = cash(wallet("1000", 50), Happened(at_ms=99, seen=fill(1, 99, "-20")))
    assert one.before(100) == D("979.5")
    one.hear(wallet("979.5", 99))
    assert one.before(100) == D("979.5")
    assert one.fills == 1
    one.hear(Happened(at_ms=101, seen=fill(1, 99, "-20")))  # again
    assert one.fills == 1


def test_another_assets_wallet_and_fees_are_not_ours() -> None:
    other = WalletSeen(asset="BNB", balance=D(7), time_ms=60)
    paid = FillSeen(
        **{**{n: getattr(fill(1, 99, "5"), n) for n in FillSeen.__struct_fields__}, "fee_asset": "BNB"}
    )
    one = cash(wallet("1000", 50), Happened(at_ms=60, seen=other), Happened(at_ms=99, seen=paid))
    assert one.balance == 1000
    assert one.before(100) == 1005


def test_the_oldest_word_stands_in_for_what_was_before() -> None:
    assert cash(wallet("1000", 50)).before(10) == 1000


def holding() -> Desk:
    """Return a desk that holds 2 long with a stop at 95 and a target at 110."""
    desk = Desk(LiveSettings(), {})
    account = Snapshot(
        taken_ms=1,
        positions=(),
        orders=(),
        stops=(),
        wallet=WalletSeen(asset="USDT", balance=D(1000), time_ms=1),
    )
    entry = PlaceMarket(symbol=SYMBOL, client_id=f"cfa-{TRADE}-E1", side=1, quantity=D(2))
    stop = PlaceStop(symbol=SYMBOL, client_id=f"cfa-{TRADE}-S1", side=-1, trigger_price=D(95))
    target = PlaceTarget(symbol=SYMBOL, client_id=f"cfa-{TRADE}-T1", side=-1, quantity=D(2), price=D(110))
    records: list[Record] = [
        Started(at_ms=0, mode="testnet", version="1"),
        Reconciled(at_ms=2, snapshot=account, fills=()),
        EntryWanted(
            at_ms=3,
            trade_id=TRADE,
            symbol=SYMBOL,
            side=1,
            quantity=D(2),
            stop_distance=5.0,
            target_distance=10.0,
            decided_ms=3,
            reasons=0,
        ),
        Sent(at_ms=3, request=entry, trade_id=TRADE),
        Happened(at_ms=4, seen=fill(7, 4, "0", side=1, name="E1")),
        Answered(at_ms=4, answer=Answer(request=entry, outcome=Outcome.OK)),
        Sent(at_ms=5, request=stop, trade_id=TRADE),
        Answered(at_ms=5, answer=Answer(request=stop, outcome=Outcome.OK, seen=stop_seen("NEW"))),
        Sent(at_ms=6, request=target, trade_id=TRADE),
        Answered(at_ms=6, answer=Answer(request=target, outcome=Outcome.OK, seen=target_seen("NEW", "0"))),
    ]
    for record in records:
        desk.apply(record)
    return desk


def stop_seen(status: str) -> StopSeen:
    return StopSeen(
        symbol=SYMBOL,
        client_id=f"cfa-{TRADE}-S1",
        algo_id=1,
        order_id=0,
        side=-1,
        type="STOP_MARKET",
        status=status,
        trigger_price=D(95),
        quantity=D(0),
        close_position=True,
        reduce_only=False,
        updated_ms=6,
    )


def target_seen(status: str, executed: str) -> OrderSeen:
    return OrderSeen(
        symbol=SYMBOL,
        client_id=f"cfa-{TRADE}-T1",
        order_id=9,
        side=-1,
        type="LIMIT",
        status=status,
        quantity=D(2),
        executed=D(executed),
        avg_price=D(0),
        price=D(110),
        reduce_only=True,
        updated_ms=7,
    )


def view(desk: Desk, marks: dict[str, float] | None = None) -> AccountView:
    return AccountView(desk, cash(wallet("1000", 1)), marks or {})


def test_what_is_held_is_told_as_the_decider_wants_it() -> None:
    one = view(holding(), {SYMBOL: 104.0})
    account = one.account_at(100)
    assert account.wallet == 1000.0
    (held,) = account.holdings.values()
    assert (held.side, held.quantity, held.entry_price, held.decided_ms, held.mark_price) == (
        1,
        2.0,
        100.0,
        3,
        104.0,
    )
    assert one.equity == 1008.0
    assert one.held_symbols == [SYMBOL]
    assert one.is_at_rest
    assert not one.may_open(SYMBOL)
    assert one.may_open("ETHUSDT")
    assert one.unexplained == []
    assert one.funding_wanted_ms == 4


@pytest.mark.parametrize(
    ("high", "low", "awaited"),
    [(109.0, 96.0, False), (109.0, 95.0, True), (110.0, 96.0, False), (110.1, 96.0, True)],
)
def test_a_bar_that_reached_stop_or_target_awaits_their_fill(high: float, low: float, awaited: bool) -> None:
    assert view(holding()).awaits(SYMBOL, high, low) is awaited
    assert not view(holding()).awaits("ETHUSDT", high, low)


def test_a_stop_that_has_triggered_and_not_filled_is_awaited() -> None:
    desk = holding()
    desk.apply(Happened(at_ms=8, seen=stop_seen("TRIGGERING")))
    assert view(desk).awaits(SYMBOL, 101.0, 94.0)


def test_an_order_that_filled_without_its_price_is_awaited_whatever_the_bar() -> None:
    desk = holding()
    desk.apply(Happened(at_ms=8, seen=target_seen("FILLED", "2")))
    assert view(desk).awaits(SYMBOL, 101.0, 99.0)
    desk.apply(Happened(at_ms=8, seen=fill(11, 8, "20", name="T1")))
    assert not view(desk).awaits(SYMBOL, 101.0, 99.0)


def test_of_one_millisecond_a_wallet_has_in_it_what_its_amount_says() -> None:
    one = cash(
        wallet("1000", 50),
        Happened(at_ms=99, seen=fill(1, 99, "-20")),
        Happened(at_ms=99, seen=fill(2, 99, "-30")),
        wallet("979.5", 99),  # the first fill's
    )
    assert one.before(100) == D("949")
    one.hear(wallet("949", 99))
    assert one.before(100) == D("949")


def test_a_wallet_that_something_else_moved_has_in_it_what_came_before() -> None:
    one = cash(wallet("1000", 50), Happened(at_ms=99, seen=fill(1, 99, "-20")), wallet("2000", 99))
    assert one.before(100) == 2000

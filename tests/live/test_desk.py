"""The desk, transition by transition: what is sent after what was heard, and when."""

from __future__ import annotations

from decimal import Decimal
from zlib import crc32

import pytest

from futures_agent.exchange.orders import (
    Answer,
    Cancel,
    CancelStop,
    FillSeen,
    FundingSeen,
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
from futures_agent.live.desk import Desk
from futures_agent.live.ids import client_id_of, trade_id_of
from futures_agent.live.records import (
    Answered,
    Concluded,
    EntryWanted,
    ExitWanted,
    Happened,
    Incident,
    Reconciled,
    Sent,
    Started,
)
from futures_agent.market.instrument import Instrument
from futures_agent.settings.tree import LiveSettings

T0 = 1_700_000_040_000  # a whole minute
SYMBOL = "BTCUSDT"
TRADE = trade_id_of(SYMBOL, T0)
E1, S1, S2, T1, X1, X2 = (f"cfa-{TRADE}-{each}" for each in ("E1", "S1", "S2", "T1", "X1", "X2"))
ONE = Decimal(1)
BTC = Instrument(
    symbol=SYMBOL,
    status="TRADING",
    tick_size=0.1,
    step_size=0.001,
    min_quantity=0.001,
    max_quantity=120.0,
    min_notional=50.0,
    price_precision=2,
    quantity_precision=3,
    liquidation_fee=0.0125,
    onboard_ms=0,
    tradable=True,
)


class Bench:
    """A desk at a time; everything it wants recorded is recorded at once, what it sends is kept."""

    def __init__(self, **settings):
        self.desk = Desk(LiveSettings(**settings), {SYMBOL: BTC}, lambda symbol: 1000.0)
        self.now = T0
        self.sent, self.incidents, self.records = [], [], []
        self.fill_id = 500
        self.apply(Started(at_ms=self.now, mode="paper", version="0"))
        self.reconcile()

    def apply(self, record):
        self.records.append(record)
        self.desk.apply(record)

    def work(self):
        """Do what is due now and return what was sent."""
        before = len(self.sent)
        while due := self.desk.due(self.now):
            for record in due:
                self.apply(record)
                if isinstance(record, Sent):
                    self.sent.append(record.request)
                if isinstance(record, Incident):
                    self.incidents.append(record.kind)
        return self.sent[before:]

    def at(self, ms):
        """Go on to `ms` after the deciding close and return what is sent until then, with its time."""
        sent = [(self.now - T0, request) for request in self.work()]
        while (due := self.desk.next_due_ms()) is not None and due <= T0 + ms:
            self.now = max(due, self.now)
            sent += [(self.now - T0, request) for request in self.work()]
        self.now = T0 + ms
        return sent

    def want_entry(self, side=1, target=20.0, **fields):
        values = {
            "at_ms": self.now,
            "trade_id": TRADE,
            "symbol": SYMBOL,
            "side": side,
            "quantity": ONE,
            "stop_distance": 10.0,
            "target_distance": target,
            "decided_ms": T0,
            "reasons": 1,
        }
        self.apply(EntryWanted(**{**values, **fields}))
        return self.work()

    def want_exit(self, why="SIGNAL"):
        self.apply(ExitWanted(at_ms=self.now, symbol=SYMBOL, why=why))
        return self.work()

    def answer(self, request, outcome=Outcome.OK, code=None, seen=None):
        answer = Answer(request=request, outcome=outcome, code=code, seen=seen)
        self.apply(Answered(at_ms=self.now, answer=answer))
        return self.work()

    def refuse(self, request, code):
        return self.answer(request, Outcome.REJECTED, code)

    def tell(self, *seen):
        for each in seen:
            self.apply(Happened(at_ms=self.now, seen=each))
        return self.work()

    def fill(self, client_id, side=1, quantity=ONE, price="1000", **fields):
        self.fill_id += 1
        values = {
            "symbol": SYMBOL,
            "client_id": client_id,
            "order_id": crc32(client_id.encode()),
            "trade_id": self.fill_id,
            "side": side,
            "price": Decimal(price),
            "quantity": Decimal(quantity),
            "fee": Decimal("0.5"),
            "fee_asset": "USDT",
            "realized_pnl": Decimal(0),
            "maker": False,
            "time_ms": self.now,
        }
        return FillSeen(**{**values, **fields})

    def reconcile(self, positions=(), orders=(), stops=(), fills=(), taken_ms=None):
        taken = self.now if taken_ms is None else taken_ms
        snapshot = Snapshot(
            taken_ms=taken,
            positions=tuple(
                PositionSeen(
                    symbol=symbol, amount=Decimal(amount), entry_price=Decimal(990), updated_ms=taken
                )
                for symbol, amount in positions
            ),
            orders=tuple(orders),
            stops=tuple(stops),
            wallet=WalletSeen(asset="USDT", balance=Decimal(500), time_ms=taken),
        )
        self.apply(Reconciled(at_ms=self.now, snapshot=snapshot, fills=tuple(fills)))
        return self.work()

    def reconcile_twice(self, **account):
        """Let two snapshots say the same, a second apart, at a time when nothing moves."""
        sent = []
        for _ in range(2):
            sent += [request for _, request in self.at(self.now - T0 + 1500)]
            sent += self.reconcile(**account)
        return sent

    def enter(self, side=1, price="1000", **fields):
        """Get into a position whose stop rests; return what was sent for it."""
        (entry,) = self.want_entry(side, **fields)
        (stop,) = self.tell(self.fill(E1, side, price=price))
        self.answer(entry)
        return [entry, stop, *self.answer(stop)]

    @property
    def trade(self):
        (trade,) = self.desk.trades
        return trade


def order(client_id, status="NEW", executed=0, side=1, quantity=ONE, **fields):
    values = {
        "symbol": SYMBOL,
        "client_id": client_id,
        "order_id": crc32(client_id.encode()),
        "side": side,
        "type": "MARKET",
        "status": status,
        "quantity": quantity,
        "executed": Decimal(executed),
        "avg_price": Decimal(0),
        "price": Decimal(0),
        "reduce_only": False,
        "updated_ms": T0,
    }
    return OrderSeen(**{**values, **fields})


def stop(client_id, status="NEW", side=-1, **fields):
    values = {
        "symbol": SYMBOL,
        "client_id": client_id,
        "algo_id": 77,
        "order_id": 0,
        "side": side,
        "type": "STOP_MARKET",
        "status": status,
        "trigger_price": Decimal(990),
        "quantity": Decimal(0),
        "close_position": True,
        "reduce_only": False,
        "updated_ms": T0,
    }
    return StopSeen(**{**values, **fields})


@pytest.fixture
def bench():
    return Bench()


# The life of a trade


@pytest.mark.parametrize(
    ("side", "stop_price", "target_price"), [(1, "990.1", "1020.1"), (-1, "1010.1", "980.1")]
)
def test_entry_then_stop_then_target(bench, side, stop_price, target_price):
    sent = bench.enter(side, price="1000.07")
    assert sent == [
        PlaceMarket(symbol=SYMBOL, client_id=E1, side=side, quantity=ONE),
        PlaceStop(symbol=SYMBOL, client_id=S1, side=-side, trigger_price=Decimal(stop_price)),
        PlaceTarget(symbol=SYMBOL, client_id=T1, side=-side, quantity=ONE, price=Decimal(target_price)),
    ]
    assert bench.answer(sent[2]) == []
    assert bench.desk.next_due_ms() is None
    assert bench.incidents == []
    (held,) = bench.desk.holdings
    assert (held.symbol, held.amount, held.entry_price) == (SYMBOL, side, Decimal("1000.07"))


def test_no_target_where_none_was_decided(bench):
    assert len(bench.enter(target=0.0)) == 2


@pytest.mark.parametrize(
    ("client_id", "price", "reason", "left"),
    [(S1, "990", "STOP", [Cancel(symbol=SYMBOL, client_id=T1)]),
     (T1, "1020", "TARGET", [CancelStop(symbol=SYMBOL, client_id=S1)])],
)  # fmt: skip
def test_what_is_left_of_a_bracket_is_cancelled(bench, client_id, price, reason, left):
    bench.answer(bench.enter()[2])
    sent = bench.tell(bench.fill(client_id, -1, price=price))
    if reason == "STOP":
        sent += bench.tell(order(S1, "FILLED", 1, side=-1), stop(S1, "FINISHED"))
    assert sent == left
    seen = order(T1, "CANCELED", side=-1) if reason == "STOP" else None
    bench.answer(sent[0], seen=seen)
    trade = bench.trade
    assert trade.closed
    assert (trade.exit_reason, trade.exit_price) == (reason, Decimal(price))
    assert trade.gross_pnl == Decimal(price) - 1000
    assert trade.net_pnl("USDT") == Decimal(price) - 1001
    assert bench.desk.may_open(SYMBOL)


def test_a_signal_closes_at_market_and_cancels_the_bracket(bench):
    bench.answer(bench.enter()[2])
    sent = bench.want_exit()
    assert sent == [
        PlaceMarket(symbol=SYMBOL, client_id=X1, side=-1, quantity=ONE, reduce_only=True),
        Cancel(symbol=SYMBOL, client_id=T1),  # the stop stays until the position is gone
    ]
    bench.answer(sent[1], seen=order(T1, "CANCELED", side=-1))
    assert bench.tell(bench.fill(X1, -1, price="1003")) == [CancelStop(symbol=SYMBOL, client_id=S1)]
    bench.answer(bench.sent[-1])
    assert bench.trade.exit_reason == "SIGNAL"
    assert bench.desk.may_open(SYMBOL)


def test_an_entry_in_parts_gets_its_stop_a_second_after_the_first(bench):
    (entry,) = bench.want_entry()
    bench.answer(entry, seen=order(E1))
    assert bench.tell(bench.fill(E1, quantity="0.4")) == []
    assert bench.at(999) == []
    ((when, request),) = bench.at(1000)
    assert (when, type(request)) == (1000, PlaceStop)
    assert bench.answer(request) == []  # the target waits for the whole
    (target,) = bench.tell(bench.fill(E1, quantity="0.6", price="1010"))
    assert target.quantity == 1
    assert target.price == Decimal("1026.0")  # average 1006
    assert request.trigger_price == 990


def test_an_entry_that_expired_in_part_is_a_smaller_trade(bench):
    (entry,) = bench.want_entry()
    bench.answer(entry, seen=order(E1))
    (placed,) = bench.tell(bench.fill(E1, quantity="0.4"), order(E1, "EXPIRED", "0.4"))
    (target,) = bench.answer(placed)
    assert target.quantity == Decimal("0.4")


def test_an_exit_in_parts_and_what_a_stop_left(bench):
    bench.answer(bench.enter()[2])
    bench.tell(stop(S1, "TRIGGERING"), stop(S1, "TRIGGERED", order_id=9))
    bench.tell(bench.fill(S1, -1, quantity="0.3", price="989", order_id=9))
    sent = bench.tell(order(S1, "EXPIRED", "0.3", side=-1, order_id=9), stop(S1, "FINISHED", order_id=9))
    assert sent[0] == PlaceMarket(
        symbol=SYMBOL, client_id=X1, side=-1, quantity=Decimal("0.7"), reduce_only=True
    )
    bench.answer(sent[1], seen=order(T1, "CANCELED", side=-1))
    bench.tell(bench.fill(X1, -1, quantity="0.7", price="988"))
    assert bench.trade.exit_reason == "STOP"
    assert bench.trade.exit_price == Decimal("988.3")
    assert bench.trade.closed


@pytest.mark.parametrize("order_of_events", ["fill first", "order first", "answer first", "no event"])
def test_answers_and_events_in_any_order_make_the_same_trade(bench, order_of_events):
    (entry,) = bench.want_entry()
    fill, filled = bench.fill(E1), order(E1, "FILLED", 1, avg_price=Decimal(1000))
    steps = {
        "fill first": [(bench.tell, fill), (bench.tell, filled), (bench.answer, entry)],
        "order first": [(bench.tell, filled), (bench.tell, fill), (bench.answer, entry)],
        "answer first": [(bench.answer, entry), (bench.tell, filled), (bench.tell, fill)],
        "no event": [(bench.answer, entry)],
    }[order_of_events]
    sent = [request for step, what in steps for request in step(what)]
    if order_of_events == "no event":
        assert bench.at(2500)[0] == (2500, QueryOrder(symbol=SYMBOL, client_id=E1))
        sent = bench.answer(bench.sent[-1], seen=filled)
        assert bench.desk.reconcile_wanted_ms() == T0 + 4500  # the fill itself is missing
    assert [type(request) for request in sent] == [PlaceStop]
    bench.tell(fill, filled)
    bench.reconcile([(SYMBOL, 1)], fills=[bench.fill("", trade_id=fill.trade_id)])
    assert (bench.trade.entered, bench.trade.entry_price) == (1, 1000)
    assert bench.trade.fees == {"USDT": Decimal("0.5")}


def test_older_news_of_an_order_change_nothing(bench):
    bench.answer(bench.enter()[2])
    before = bench.desk.orders
    states = [(each.client_id, each.state, each.executed) for each in before]
    bench.tell(order(E1), order(E1, "PARTIALLY_FILLED", "0.3"), stop(S1))
    assert states == [(each.client_id, each.state, each.executed) for each in bench.desk.orders]


def test_a_decision_is_taken_once_and_only_where_nothing_is(bench):
    bench.enter()
    assert bench.want_entry() == []
    other = Bench()
    (entry,) = other.want_entry()
    other.refuse(entry, -2019)
    assert other.incidents == ["ENTRY_REFUSED"]
    assert other.trade.outcome == "REFUSED"
    assert other.desk.may_open(SYMBOL)
    assert other.want_entry() == []  # the same deciding bar
    assert "ENTRY_IGNORED" in other.incidents


# Requests without a clear answer


def test_an_entry_that_was_not_executed_is_sent_again_as_it_was(bench):
    (entry,) = bench.want_entry()
    times = []
    for _ in range(4):
        bench.answer(entry, Outcome.NOT_EXECUTED)
        ((when, again),) = bench.at(bench.now - T0 + 2000)
        assert again == entry
        times.append(when)
    assert times == [200, 2400, 4800, 7600]  # 200, 400, 800, 1600 ms after the one before
    bench.answer(entry, Outcome.NOT_EXECUTED)
    assert bench.at(20_000) == []
    assert bench.trade.outcome == "LAPSED"


def test_a_decision_that_was_not_sent_in_time_lapses():
    bench = Bench()
    bench.apply(
        EntryWanted(
            at_ms=T0,
            trade_id=TRADE,
            symbol=SYMBOL,
            side=1,
            quantity=ONE,
            stop_distance=1.0,
            target_distance=0.0,
            decided_ms=T0,
            reasons=0,
        )
    )
    bench.now = T0 + 120_000
    assert bench.work() == []
    assert bench.trade.outcome == "LAPSED"


def test_an_unknown_entry_is_queried_and_never_sent_again(bench):
    (entry,) = bench.want_entry()
    bench.answer(entry, Outcome.UNKNOWN)
    times = []
    for half in range(1, 120):
        for when, request in bench.at(half * 500):
            assert request == QueryOrder(symbol=SYMBOL, client_id=E1)
            times.append(when)
            bench.refuse(request, -2013)
    assert times[:6] == [500, 1000, 2000, 4000, 8000, 16000]
    assert not bench.desk.may_open(SYMBOL)  # no snapshot has shown that nothing moved
    assert bench.desk.reconcile_wanted_ms() == T0 + 30_000
    bench.reconcile(taken_ms=T0 + 29_999)
    assert not bench.trade.closed
    bench.reconcile()
    assert bench.trade.outcome == "NOT_PLACED"
    assert bench.desk.may_open(SYMBOL)
    assert [r.client_id for r in bench.records if isinstance(r, Concluded)] == [E1]


def test_what_was_taken_as_not_placed_and_fills_after_all_is_protected(bench):
    (entry,) = bench.want_entry()
    bench.answer(entry, Outcome.UNKNOWN)
    for second in range(1, 40):
        for _, request in bench.at(second * 1000):
            bench.refuse(request, -2013)
    bench.reconcile()
    assert bench.trade.closed
    (placed,) = bench.tell(order(E1, "FILLED", 1, avg_price=Decimal(1000)))
    assert isinstance(placed, PlaceStop)
    bench.tell(bench.fill(E1))
    assert (bench.trade.closed, bench.trade.entered, bench.trade.outcome) == (False, 1, "")


def test_a_late_fill_belongs_to_the_trade_that_was_taken_to_be_over(bench):
    (entry,) = bench.want_entry()
    bench.refuse(entry, -2019)
    assert bench.trade.closed
    (placed,) = bench.tell(bench.fill(E1))
    assert placed.trigger_price == 990
    assert (bench.trade.trade_id, bench.trade.closed, bench.trade.adopted) == (TRADE, False, False)


def test_an_order_nobody_finds_is_given_up_beside_a_position_nobody_explains(bench):
    (entry,) = bench.want_entry()
    bench.answer(entry, Outcome.UNKNOWN)
    for half in range(1, 64):
        for _, request in bench.at(half * 500):
            bench.refuse(request, -2013)
    for _ in range(4):  # the first two show that it does not move, the others what it is
        bench.now += 10_000
        for request in bench.reconcile([(SYMBOL, "3")]):
            bench.refuse(request, -2013)
    assert [trade.outcome for trade in bench.desk.trades] == ["NOT_PLACED", ""]
    assert bench.desk.holdings[0].amount == 3


def test_an_unknown_entry_that_a_query_finds_goes_on(bench):
    (entry,) = bench.want_entry()
    bench.answer(entry, Outcome.UNKNOWN)
    ((_, query),) = bench.at(500)
    bench.refuse(query, -2013)
    ((_, query),) = bench.at(1500)
    (placed,) = bench.answer(query, seen=order(E1, "FILLED", 1, avg_price=Decimal("1000.5")))
    assert placed.trigger_price == Decimal("990.5")


def test_a_duplicate_means_that_the_first_arrived(bench):
    (entry,) = bench.want_entry()
    bench.refuse(entry, -4116)
    assert bench.at(600) == [(500, QueryOrder(symbol=SYMBOL, client_id=E1))]


def test_what_was_sent_before_a_restart_is_unknown(bench):
    bench.want_entry()
    desk = Desk(LiveSettings(), {SYMBOL: BTC})
    for record in bench.records:
        desk.apply(record)
    desk.apply(Started(at_ms=T0 + 1000, mode="paper", version="0"))
    assert not desk.may_open("ETHUSDT")  # nothing opens before the venue was asked
    (query,) = desk.due(T0 + 1500)
    assert query.request == QueryOrder(symbol=SYMBOL, client_id=E1)
    assert desk.due(T0 + 1499) == []


def test_a_decision_from_before_a_restart_waits_until_the_venue_was_asked(bench):
    bench.want_entry()
    decision = next(record for record in bench.records if isinstance(record, EntryWanted))
    desk = Desk(LiveSettings(), {SYMBOL: BTC})
    for record in (
        *bench.records[: bench.records.index(decision) + 1],
        Started(at_ms=T0, mode="paper", version="0"),
    ):
        desk.apply(record)
    assert desk.due(T0 + 1000) == []
    desk.apply(bench.records[1])  # the reconciliation
    (entry,) = desk.due(T0 + 1000)
    assert entry.request.client_id == E1


def test_an_answer_that_never_comes_is_asked_for(bench):
    bench.want_entry()
    assert bench.at(31_000) == [(30_500, QueryOrder(symbol=SYMBOL, client_id=E1))]
    bench.refuse(bench.sent[-1], -2013)
    assert bench.at(32_000) == [(31_500, QueryOrder(symbol=SYMBOL, client_id=E1))]


# Stops


def filled(bench):
    (entry,) = bench.want_entry()
    (placed,) = bench.tell(bench.fill(E1))
    bench.answer(entry)
    return placed


def test_a_stop_beyond_the_price_closes_at_market_at_once(bench):
    sent = bench.refuse(filled(bench), -2021)
    assert sent == [PlaceMarket(symbol=SYMBOL, client_id=X1, side=-1, quantity=ONE, reduce_only=True)]
    bench.tell(bench.fill(X1, -1, price="985"))
    assert bench.trade.exit_reason == "STOP"


@pytest.mark.parametrize("code", [-4120, -4509, -2019])
def test_a_refused_stop_is_tried_once_more_then_the_position_closed(bench, code):
    (second,) = bench.refuse(filled(bench), code)
    assert second.client_id == S2
    assert bench.incidents == ["STOP_REFUSED"]
    (leave,) = bench.refuse(second, code)
    assert leave == PlaceMarket(symbol=SYMBOL, client_id=X1, side=-1, quantity=ONE, reduce_only=True)
    bench.tell(bench.fill(X1, -1))
    assert bench.trade.exit_reason == "UNPROTECTED"
    assert bench.incidents == ["STOP_REFUSED", "STOP_REFUSED", "UNPROTECTED"]


def test_a_stop_that_stays_unconfirmed_closes_the_position(bench):
    bench.answer(filled(bench), Outcome.UNKNOWN)
    sent = []
    for tenth in range(1, 70):
        for when, request in bench.at(tenth * 100):
            sent.append((when, type(request)))
            if isinstance(request, QueryStop):
                sent += [(when, type(each)) for each in bench.refuse(request, -2013)]
    assert sent == [
        (500, QueryStop),
        (500, PlaceStop),
        (1000, QueryStop),
        (2000, QueryStop),
        (4000, QueryStop),
        (5000, PlaceMarket),
    ]
    assert bench.incidents == ["UNPROTECTED"]


def test_a_stop_that_no_query_finds_is_followed_by_another(bench):
    """If the first one comes to light, the venue has refused the second; so nothing is lost by it."""
    bench.answer(filled(bench), Outcome.UNKNOWN)
    ((_, query),) = bench.at(500)
    (again,) = bench.refuse(query, -2013)
    assert (again.client_id, again.trigger_price) == (S2, 990)
    assert bench.refuse(again, -4130) == []
    bench.at(1500)
    (target,) = bench.reconcile([(SYMBOL, 1)], stops=[stop(S1)])
    assert isinstance(target, PlaceTarget)  # so it counts as protected
    assert bench.incidents == []


def test_a_stop_that_exists_already_is_looked_for_and_adopted(bench):
    assert bench.refuse(filled(bench), -4130) == []
    assert bench.desk.reconcile_wanted_ms() is not None
    bench.at(1500)
    (target,) = bench.reconcile([(SYMBOL, 1)], stops=[stop("of-a-person")])
    assert isinstance(target, PlaceTarget)  # so it counts as protected
    assert bench.incidents == ["ORPHAN_ORDER"]
    bench.answer(target)
    sent = bench.tell(bench.fill(T1, -1, price="1020"))
    assert sent == [CancelStop(symbol=SYMBOL, client_id="of-a-person")]


@pytest.mark.parametrize("status", ["CANCELED", "EXPIRED"])
def test_a_stop_that_was_taken_away_is_placed_again(bench, status):
    bench.answer(bench.enter()[2])
    bench.tell(stop(S1, status))
    ((when, again),) = bench.at(1000)
    assert (when, again.client_id, again.trigger_price) == (1000, S2, 990)


def test_a_second_stop_is_cancelled(bench):
    bench.answer(bench.enter()[2])
    assert bench.tell(stop("other")) == [CancelStop(symbol=SYMBOL, client_id="other")]
    assert bench.answer(bench.sent[-1]) == []
    assert bench.reconcile([(SYMBOL, 1)], orders=[order(T1, side=-1, type="LIMIT")], stops=[stop(S1)]) == []


def test_stops_without_a_position_are_cancelled(bench):
    assert bench.reconcile(stops=[stop("cfa-00000000-zz-S1"), stop("of-a-person")]) == [
        CancelStop(symbol=SYMBOL, client_id="cfa-00000000-zz-S1"),
        CancelStop(symbol=SYMBOL, client_id="of-a-person"),
    ]
    assert not bench.desk.may_open(SYMBOL)
    for request in list(bench.sent):
        bench.answer(request)
    assert bench.desk.may_open(SYMBOL)


def test_a_cancellation_that_finds_nothing_is_followed_by_a_query(bench):
    bench.answer(bench.enter()[2])
    (cancel,) = bench.tell(bench.fill(T1, -1, price="1020"))
    (query,) = bench.refuse(cancel, -2011)
    assert query == QueryStop(symbol=SYMBOL, client_id=S1)
    bench.answer(query, seen=stop(S1, "EXPIRED"))
    assert bench.desk.may_open(SYMBOL)


def test_an_unanswered_cancellation_is_repeated(bench):
    bench.answer(bench.enter()[2])
    (cancel,) = bench.tell(bench.fill(T1, -1, price="1020"))
    bench.answer(cancel, Outcome.UNKNOWN)
    assert bench.at(1000) == [(1000, cancel)]


# Exits


def test_an_exit_refused_for_want_of_a_position_waits_for_the_venue(bench):
    bench.answer(bench.enter()[2])
    leave, cancel = bench.want_exit()
    bench.answer(cancel, seen=order(T1, "CANCELED", side=-1))
    assert bench.refuse(leave, -2022) == []
    assert bench.at(20_000) == []  # the stop still rests
    assert bench.desk.reconcile_wanted_ms() is not None
    (again,) = bench.reconcile([(SYMBOL, 1)], stops=[stop(S1)])
    assert again.client_id == X2


def test_a_refused_exit_is_tried_again(bench):
    bench.answer(bench.enter()[2])
    leave, _ = bench.want_exit()
    bench.refuse(leave, -2027)
    assert [(when, r.client_id) for when, r in bench.at(1000) if isinstance(r, PlaceMarket)] == [(1000, X2)]
    assert "EXIT_REFUSED" in bench.incidents


def test_an_unknown_exit_is_followed_by_another_that_can_only_close(bench):
    bench.answer(bench.enter(target=0.0)[-1])
    (leave,) = bench.want_exit()
    bench.answer(leave, Outcome.UNKNOWN)
    sent = bench.at(6000)
    assert [(w, r.client_id, r.reduce_only) for w, r in sent if isinstance(r, PlaceMarket)] == [
        (5000, X2, True)
    ]
    assert bench.tell(bench.fill(X1, -1)) == [CancelStop(symbol=SYMBOL, client_id=S1)]
    assert bench.refuse(sent[-1][1], -2022) == []


@pytest.mark.parametrize(
    ("client_id", "reason"),
    [("autoclose-1", "LIQUIDATION"), ("adl_autoclose", "ADL"), ("settlement_autoclose-x", "SETTLEMENT")],
)
def test_the_exchange_takes_the_position_away(bench, client_id, reason):
    bench.answer(bench.enter(target=0.0)[-1])
    bench.tell(order(client_id, side=-1))
    sent = bench.tell(bench.fill(client_id, -1, price="950"))
    assert sent == [CancelStop(symbol=SYMBOL, client_id=S1)]
    bench.answer(sent[0])
    assert (bench.trade.exit_reason, bench.trade.closed) == (reason, True)
    assert bench.incidents == ["LIQUIDATED"]


# Comparing with the venue


def test_an_unexplained_position_is_adopted_under_a_stop_when_two_snapshots_show_it(bench):
    bench.at(1500)
    assert bench.reconcile([(SYMBOL, "-2")]) == []
    assert not bench.desk.may_open(SYMBOL)
    assert bench.desk.reconcile_wanted_ms() == T0 + 2500
    bench.at(2600)
    (placed,) = bench.reconcile([(SYMBOL, "-2")])
    assert (placed.side, placed.trigger_price) == (1, Decimal("1020.0"))  # 2 % from the mark
    assert bench.incidents == ["UNEXPLAINED_POSITION"]
    bench.answer(placed)
    assert (bench.trade.adopted, bench.trade.entry_price, bench.trade.side) == (True, 990, -1)
    assert bench.desk.is_settled
    assert not bench.desk.may_open(SYMBOL)


def test_fills_that_explain_an_adopted_position_later_do_not_count_again(bench):
    early = bench.fill("", -1, quantity="2")
    bench.reconcile_twice(positions=[(SYMBOL, "-2")])
    bench.reconcile([(SYMBOL, "-2")], fills=[early])
    bench.tell(early)
    assert bench.desk.holdings[0].amount == -2
    assert bench.trade.entered == 2


def test_an_unexplained_position_is_closed_where_that_is_configured():
    bench = Bench(unexplained="close")
    (leave,) = bench.reconcile_twice(positions=[(SYMBOL, "2")])
    assert isinstance(leave, PlaceMarket)
    assert (leave.side, leave.quantity, leave.reduce_only) == (-1, 2, True)
    bench.tell(bench.fill(leave.client_id, -1, quantity="2"))
    assert bench.trade.exit_reason == "UNEXPLAINED"
    assert bench.trade.closed


def test_missed_fills_explain_a_position_that_is_gone(bench):
    bench.answer(bench.enter(target=0.0)[-1])
    bench.at(60_000)
    missed = bench.fill("", -1, price="990", order_id=4242)
    bench.now += 100
    (query,) = bench.reconcile(fills=[missed])  # whose it was, only a query can tell
    assert query == QueryStop(symbol=SYMBOL, client_id=S1)
    bench.answer(query, seen=stop(S1, "FINISHED", order_id=4242))
    bench.tell(order(S1, "FILLED", 1, side=-1, order_id=4242))
    assert (bench.trade.closed, bench.trade.exit_reason) == (True, "STOP")
    assert bench.desk.may_open(SYMBOL)


@pytest.mark.parametrize(("found_after_ms", "incidents"), [(5000, []), (30_000, ["FOREIGN_FILL"])])
def test_a_query_that_lags_does_not_count_a_stops_fill_twice(bench, found_after_ms, incidents):
    bench.answer(bench.enter(target=0.0)[-1])
    bench.at(60_000)
    missed = bench.fill("", -1, price="990", order_id=4242)
    bench.now += 100
    (query,) = bench.reconcile(fills=[missed])
    bench.refuse(query, -2013)
    for ms in range(60_500, 60_100 + found_after_ms, 500):
        for _, again in bench.at(ms):
            assert again == query
            bench.refuse(again, -2013)
    bench.tell(stop(S1, "FINISHED", order_id=4242), order(S1, "FILLED", 1, side=-1, order_id=4242))
    assert bench.desk.holdings == []
    assert bench.incidents == incidents
    assert (bench.trade.closed, bench.trade.exit_reason, bench.trade.exited) == (True, "STOP", 1)


def test_a_position_that_vanished_without_a_fill_ends_the_trade_unexplained(bench):
    bench.answer(bench.enter(target=0.0)[-1])
    sent = bench.reconcile_twice(stops=[stop(S1)])
    assert sent == [CancelStop(symbol=SYMBOL, client_id=S1)]
    bench.answer(sent[0])
    assert (bench.trade.unexplained, bench.trade.exit_reason) == (1, "UNEXPLAINED")
    assert (bench.trade.exit_price, bench.trade.net_pnl("USDT")) == (None, None)
    assert bench.incidents == ["POSITION_GONE"]
    assert bench.desk.may_open(SYMBOL)


@pytest.mark.parametrize(("amount", "entered", "lost"), [("1.5", "1.5", "0"), ("0.4", "1", "0.6")])
def test_a_position_of_another_size_is_taken_as_it_is(bench, amount, entered, lost):
    bench.answer(bench.enter(target=0.0)[-1])
    assert bench.reconcile_twice(positions=[(SYMBOL, amount)], stops=[stop(S1)]) == []
    assert bench.desk.holdings[0].amount == Decimal(amount)
    assert (bench.trade.entered, bench.trade.unexplained) == (Decimal(entered), Decimal(lost))


def test_a_snapshot_taken_before_a_fill_says_nothing_about_it(bench):
    (entry,) = bench.want_entry(target=0.0)
    bench.answer(entry)
    bench.now += 5000
    taken = bench.now - 3000
    (placed,) = bench.tell(bench.fill(E1))
    bench.answer(placed)
    for late_ms in (0, 1000, 2000):
        assert bench.reconcile(taken_ms=taken + late_ms) == []
    assert bench.desk.holdings[0].amount == 1
    assert "POSITION_GONE" not in bench.incidents
    assert bench.desk.reconcile_wanted_ms() is not None


def test_an_entry_under_way_is_not_judged_by_a_snapshot(bench):
    bench.want_entry()
    bench.reconcile_twice(positions=[(SYMBOL, "1")])
    assert [trade.adopted for trade in bench.desk.trades] == [False]
    bench.tell(bench.fill(E1))
    assert bench.trade.entered == 1


def test_open_orders_of_ours_that_are_gone_are_queried(bench):
    bench.answer(bench.enter()[2])
    bench.at(60_000)
    sent = bench.reconcile([(SYMBOL, 1)])
    assert sent == [QueryStop(symbol=SYMBOL, client_id=S1), QueryOrder(symbol=SYMBOL, client_id=T1)]
    assert bench.answer(sent[0], seen=stop(S1)) == []  # the list was behind
    assert bench.answer(sent[1], seen=order(T1, "FILLED", 1, side=-1, avg_price=Decimal(1020))) == [
        CancelStop(symbol=SYMBOL, client_id=S1)
    ]


def test_a_stop_that_neither_list_nor_query_knows_is_replaced(bench):
    bench.answer(bench.enter(target=0.0)[-1])
    bench.at(60_000)
    (query,) = bench.reconcile([(SYMBOL, 1)])
    bench.refuse(query, -2013)
    assert [(when, r.client_id) for when, r in bench.at(61_500)] == [(61_000, S2)]


def test_a_stop_that_a_snapshot_lacks_protects_no_more_until_a_query_finds_it(bench):
    bench.answer(bench.enter(target=0.0)[-1])
    bench.at(60_000)
    bench.reconcile([(SYMBOL, 1)])
    (left,) = [(when, r) for when, r in bench.at(66_000) if isinstance(r, PlaceMarket)]
    assert (left[0], left[1].client_id) == (65_000, X1)


def test_foreign_orders_keep_a_symbol_closed_until_a_person_removes_them(bench):
    foreign = order("web_1", type="LIMIT")
    assert bench.reconcile(orders=[foreign]) == []
    assert bench.incidents == ["FOREIGN_ORDER"]
    assert not bench.desk.may_open(SYMBOL)
    assert bench.desk.may_open("ETHUSDT")
    bench.now += 5000
    bench.reconcile(orders=[foreign])
    assert bench.incidents == ["FOREIGN_ORDER"]
    bench.tell(order("web_1", "CANCELED", type="LIMIT"))
    assert bench.desk.may_open(SYMBOL)


def test_lost_orders_of_ours_are_cancelled(bench):
    lost = client_id_of("0a0a0a0a-zz", "E", 1)
    assert bench.reconcile(orders=[order(lost, type="LIMIT")]) == [Cancel(symbol=SYMBOL, client_id=lost)]


def test_a_trade_of_a_person_is_adopted(bench):
    (placed,) = bench.tell(bench.fill("web_1", 1, price="1000"))
    assert isinstance(placed, PlaceStop)
    assert bench.incidents == ["FOREIGN_FILL"]
    assert bench.trade.adopted


def test_a_person_who_turns_a_position_round_ends_the_trade(bench):
    bench.answer(bench.enter(target=0.0)[-1])
    sent = bench.tell(bench.fill("web_1", -1, quantity="3", price="1001"))
    ours, theirs = bench.desk.trades
    assert (ours.closed, ours.exit_reason, ours.gross_pnl) == (True, "FOREIGN", 1)
    assert (theirs.adopted, theirs.side, theirs.entered) == (True, -1, 2)
    assert ours.fees["USDT"] + theirs.fees["USDT"] == 1
    assert sent == [
        PlaceStop(
            symbol=SYMBOL,
            client_id=f"cfa-{theirs.trade_id}-S1",
            side=1,
            trigger_price=Decimal("1020.0"),
        ),
        CancelStop(symbol=SYMBOL, client_id=S1),
    ]


def test_a_position_told_otherwise_wants_a_reconciliation(bench):
    bench.answer(bench.enter(target=0.0)[-1])
    told = PositionSeen(symbol=SYMBOL, amount=Decimal(2), entry_price=ONE, updated_ms=bench.now)
    bench.tell(told)
    assert bench.desk.reconcile_wanted_ms() == bench.now + 2000
    assert not bench.desk.is_settled


# Money, views, checkpoints


def test_funding_is_paid_to_the_trade_that_was_open_once(bench):
    bench.answer(bench.enter(target=0.0)[-1])

    def payment(ms, amount):
        return FundingSeen(symbol=SYMBOL, amount=Decimal(amount), asset="USDT", time_ms=T0 + ms)

    bench.tell(payment(3_600_000, "-0.2"), payment(3_600_005, "-0.2"), payment(7_200_000, "0.1"))
    bench.tell(payment(-3_600_000, "9"))  # before the entry
    assert bench.trade.funding == Decimal("-0.1")


def test_the_newest_balance_counts(bench):
    newer = WalletSeen(asset="USDT", balance=Decimal(7), time_ms=bench.now + 2)
    older = WalletSeen(asset="USDT", balance=Decimal(8), time_ms=bench.now + 1)
    bench.tell(newer, older)
    assert bench.desk.wallet == newer


def test_a_checkpoint_replaces_all_that_is_over(bench):
    bench.answer(bench.enter(target=0.0)[-1])
    assert bench.desk.checkpoint(bench.now, {}) is None
    exit_fill = bench.fill(X1, -1)
    (leave,) = bench.want_exit()
    (cancel,) = bench.tell(exit_fill)
    bench.answer(cancel)
    bench.answer(leave)
    found = bench.desk.checkpoint(bench.now, {"peak": 2.0})
    desk = Desk(LiveSettings(), {SYMBOL: BTC})
    desk.apply(found)
    bench.apply(found)
    assert bench.desk == desk
    assert bench.desk.kept == {"peak": 2.0}
    bench.apply(Started(at_ms=bench.now, mode="paper", version="0"))
    bench.reconcile(fills=[exit_fill])
    assert bench.desk.holdings == []  # counted before
    assert bench.want_entry() == []  # decided before


def test_fills_are_wanted_only_where_something_is(bench):
    assert bench.desk.fills_wanted() == {}
    bench.want_entry()
    assert bench.desk.fills_wanted() == {SYMBOL: T0 - 60_000}


def test_a_restart_with_a_naked_position_is_told_and_protected(bench):
    filled(bench)
    bench.now += 60_000
    bench.apply(Started(at_ms=bench.now, mode="paper", version="0"))
    ((when, query),) = bench.at(60_500)
    assert (when, type(query)) == (60_500, QueryStop)
    assert bench.incidents == ["UNPROTECTED"]
    bench.answer(query, seen=stop(S1))
    assert [trade.exit_reason for trade in bench.desk.trades] == [""]


def test_orders_of_a_lost_decision_are_protected_all_the_same(bench):
    """A damaged journal may lack the decision whose order it holds."""
    request = PlaceMarket(symbol=SYMBOL, client_id=E1, side=1, quantity=ONE)
    bench.apply(Sent(at_ms=T0, request=request, trade_id=TRADE))
    (placed,) = bench.tell(bench.fill(E1))
    assert placed.trigger_price == Decimal("980.0")


def test_stop_and_target_wait_until_the_contract_is_known():
    """A start knows of the position before it knows the grid: a price beside it would be refused."""
    bench, grids = Bench(), dict[str, Instrument]()
    bench.want_entry()
    bench.apply(Happened(at_ms=bench.now, seen=bench.fill(E1)))
    restarted = Desk(LiveSettings(), grids, lambda symbol: 1000.0)
    for record in bench.records:
        restarted.apply(record)

    def placed():
        return [each.request for each in restarted.due(bench.now) if isinstance(each, Sent)]

    assert placed() == []
    grids[SYMBOL] = BTC
    (stop,) = placed()
    assert isinstance(stop, PlaceStop)

"""The paper broker's fills, money and refusals, to the cent."""

from __future__ import annotations

import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.errors import Refuse
from futures_agent.exchange.orders import Answer, FillSeen, FundingSeen, OrderSeen, StopSeen
from futures_agent.exchange.outcome import REFUSAL_CODES, Outcome
from futures_agent.execution.margin import bankruptcy_price, liquidation_price
from futures_agent.live.paper_rules import TEXTS
from futures_agent.market.timeframe import Timeframe
from paper_world import COSTS, EQUITY, SYMBOL, PaperWorld
from sample_markets import START_MS, instrument


@pytest.fixture
def world(tmp_path: Path) -> PaperWorld:
    return PaperWorld(tmp_path / "account")


def held(world: PaperWorld, side: int = 1, *, stop: str = "95", target: str = "110") -> PaperWorld:
    """Return `world` with a position of 10 at 100, its stop and its target; nothing told yet."""
    assert world.market(side).outcome is Outcome.OK
    assert world.stop(-side, stop).outcome is Outcome.OK
    assert world.target(-side, target).outcome is Outcome.OK
    world.told()
    return world


def only_fill(world: PaperWorld) -> FillSeen:
    (fill,) = world.fills
    return fill


# Orders at market.


def test_an_order_at_market_fills_at_the_last_price_and_pays_the_takers_fee(world: PaperWorld) -> None:
    answer = world.market(1, "2.5")
    fill = only_fill(world)
    assert (fill.price, fill.quantity, fill.fee, fill.maker) == (100, Decimal("2.5"), Decimal("0.125"), False)
    assert world.wallet == Decimal("9999.875")
    order = answer.seen
    assert isinstance(order, OrderSeen)
    assert (order.status, order.executed, order.avg_price) == ("FILLED", Decimal("2.5"), 100)
    (position,) = world.broker.snapshot().positions
    assert (position.amount, position.entry_price) == (Decimal("2.5"), 100)


@pytest.mark.parametrize(("side", "price"), [(1, "101.1"), (-1, "98.9")])
def test_slippage_is_half_the_spread_and_the_impact_by_the_last_candles_volume(
    tmp_path: Path, side: int, price: str
) -> None:
    costs = replace(COSTS, slippage_bps=10.0, impact_bps=100.0)
    world = PaperWorld(tmp_path / "account", costs=costs, last=None)
    world.candle(100, 100, 100, 100, volume=10.0)  # the order is as large as an hour's volume
    world.market(side)
    assert only_fill(world).price == pytest.approx(Decimal(price), rel=Decimal("1e-15"))


def test_what_is_told_comes_in_the_exchanges_order(world: PaperWorld) -> None:
    world.market(1)
    assert world.told() == ["OrderSeen NEW", "FillSeen", "OrderSeen FILLED", "PositionSeen", "WalletSeen"]
    world.stop(-1, "95")
    world.target(-1, "110")
    assert world.told() == ["StopSeen NEW", "OrderSeen NEW"]
    world.price(95)
    assert world.told() == [
        "StopSeen TRIGGERING",
        "OrderSeen NEW",
        "StopSeen TRIGGERED",
        "FillSeen",
        "OrderSeen FILLED",
        "PositionSeen",
        "WalletSeen",
        "StopSeen FINISHED",
        "OrderSeen EXPIRED",  # the target, whose position is gone
    ]


def test_closing_by_hand_realises_and_ends_stop_and_target(world: PaperWorld) -> None:
    held(world)
    world.price(104)
    world.market(-1, "10", "cfa-1-X1", reduce_only=True)
    assert only_fill(world).realized_pnl == 40
    assert world.wallet == Decimal(10_000) + 40 - Decimal("0.5") - Decimal("0.52")
    assert [each.status for each in world.seen if isinstance(each, StopSeen)] == ["EXPIRED"]
    snapshot = world.broker.snapshot()
    assert (snapshot.positions, snapshot.orders, snapshot.stops) == ((), (), ())


def test_a_reducing_order_takes_no_more_than_there_is_and_keeps_the_entry(world: PaperWorld) -> None:
    held(world)
    world.price(102)
    world.market(-1, "4", "cfa-1-X1", reduce_only=True)
    (position,) = world.broker.snapshot().positions
    assert (position.amount, position.entry_price) == (6, 100)
    assert len(world.broker.snapshot().stops) == len(world.broker.snapshot().orders) == 1
    answer = world.market(-1, "9", "cfa-1-X2", reduce_only=True)
    assert isinstance(answer.seen, OrderSeen)
    assert (answer.seen.quantity, answer.seen.status) == (6, "FILLED")


def test_adding_averages_the_entry_and_a_larger_opposite_order_turns_the_position(world: PaperWorld) -> None:
    world.market(1, "10", "a")
    world.price(103)
    world.market(1, "5", "b")
    (position,) = world.broker.snapshot().positions
    assert (position.amount, position.entry_price) == (15, 101)
    world.market(-1, "20", "c")
    (position,) = world.broker.snapshot().positions
    assert (position.amount, position.entry_price) == (-5, 103)
    assert world.fills[-1].realized_pnl == 30


# Stops and targets by prices.


@pytest.mark.parametrize(
    ("side", "stop", "target", "price", "filled"),
    [
        (1, "95", "110", 95.0, "95"),  # touched
        (1, "95", "110", 93.5, "93.5"),  # gapped through
        (-1, "105", "90", 105.0, "105"),
        (-1, "105", "90", 107.25, "107.25"),
    ],
)
def test_a_stop_touched_fills_at_the_price_that_came(
    world: PaperWorld, side: int, stop: str, target: str, price: float, filled: str
) -> None:
    held(world, side, stop=stop, target=target)
    world.price(price)
    fill = only_fill(world)
    assert (fill.price, fill.client_id, fill.maker) == (Decimal(filled), "cfa-1-S1", False)
    loss = 10 * abs(Decimal(filled) - 100)
    assert fill.realized_pnl == -loss
    assert world.wallet == 10_000 - loss - Decimal("0.5") - Decimal(filled) * 10 * Decimal("0.0005")
    stopped = world.query_stop("cfa-1-S1").seen
    assert isinstance(stopped, StopSeen)
    assert (stopped.status, stopped.order_id) == ("FINISHED", fill.order_id)
    order = world.query("cfa-1-S1").seen  # the order that it became carries its id
    assert isinstance(order, OrderSeen)
    assert order.status == "FILLED"


def test_a_stop_triggered_slips_like_any_order_at_market(tmp_path: Path) -> None:
    world = held(PaperWorld(tmp_path / "account", costs=replace(COSTS, slippage_bps=10.0)))
    world.price(95)
    assert only_fill(world).price == Decimal("94.905")


def test_prices_short_of_stop_and_target_do_nothing(world: PaperWorld) -> None:
    held(world)
    for price in (95.01, 110.0, 100.0):
        world.price(price)
    assert not world.seen


@pytest.mark.parametrize(
    ("side", "stop", "target", "through"), [(1, "95", "110", 110.01), (-1, "105", "90", 80.0)]
)
def test_a_target_fills_when_traded_through_at_its_own_price_as_maker(
    world: PaperWorld, side: int, stop: str, target: str, through: float
) -> None:
    held(world, side, stop=stop, target=target)
    world.price(float(target))
    assert not world.fills
    world.price(through)
    fill = only_fill(world)
    assert (fill.price, fill.maker, fill.realized_pnl) == (Decimal(target), True, 100)
    assert fill.fee == Decimal(target) * 10 * Decimal("0.0002")


def test_a_target_beyond_the_market_takes_at_once(world: PaperWorld) -> None:
    world.market(1)
    answer = world.target(-1, "99")
    assert isinstance(answer.seen, OrderSeen)
    assert (answer.seen.status, answer.seen.avg_price) == ("FILLED", 100)
    assert not world.fills[-1].maker


def test_it_takes_at_no_worse_than_its_price(tmp_path: Path) -> None:
    world = PaperWorld(tmp_path / "account", costs=replace(COSTS, slippage_bps=100.0))
    world.market(1)
    world.target(-1, "99.5")
    assert world.fills[-1].price == Decimal("99.5")


def test_the_nearer_of_two_targets_fills_first(world: PaperWorld) -> None:
    world.market(1)
    world.target(-1, "112", "5", "far")
    world.target(-1, "111", "5", "near")
    world.told()
    world.price(113)
    assert [fill.client_id for fill in world.fills] == ["near", "far"]


def test_a_target_larger_than_what_is_left_fills_with_that(world: PaperWorld) -> None:
    held(world)
    world.market(-1, "4", "cfa-1-X1", reduce_only=True)
    world.told()
    world.price(111)
    fill = only_fill(world)
    assert (fill.quantity, fill.realized_pnl) == (6, 60)
    order = world.query("cfa-1-T1").seen
    assert isinstance(order, OrderSeen)
    assert (order.status, order.executed, order.avg_price) == ("EXPIRED", 6, 110)


def test_an_older_price_is_ignored(world: PaperWorld) -> None:
    held(world)
    world.broker.on_price(SYMBOL, 90.0, world.clock.ms - 1)
    assert not world.seen


# Liquidation.


@pytest.mark.parametrize("side", [1, -1])
def test_a_position_without_a_stop_is_liquidated(world: PaperWorld, side: int) -> None:
    world.market(side)
    world.told()
    level = liquidation_price(side, 100.0, 10.0)
    world.price(level + side * 0.01)
    assert not world.seen
    world.price(level)
    fill = only_fill(world)
    assert fill.client_id.startswith("autoclose-")
    assert fill.price == Decimal(repr(level))
    assert float(fill.fee) == pytest.approx(10 * level * (0.0005 + 0.0125), abs=1e-7)
    assert not world.broker.snapshot().positions


def test_a_gap_beyond_bankruptcy_costs_the_margin_and_the_fees(world: PaperWorld) -> None:
    world.market(1)
    world.price(50)
    assert float(world.fills[-1].price) == bankruptcy_price(1, 100.0, 10.0)
    assert world.fills[-1].realized_pnl == -100


def test_a_stop_beyond_liquidation_does_not_save(world: PaperWorld) -> None:
    held(world, stop="85")
    world.price(85)
    assert world.fills[-1].client_id.startswith("autoclose-")
    assert [each.status for each in world.seen if isinstance(each, StopSeen)] == ["EXPIRED"]
    assert next(each.status for each in world.seen if isinstance(each, OrderSeen)) == "EXPIRED"  # the target


# Candles.


@pytest.mark.parametrize(
    ("bar", "price", "maker"),
    [
        ((100, 109, 95, 100), "95", False),  # a wick between two prices
        ((93, 99, 92, 98), "93", False),  # opened beyond the stop
        ((100, 111, 96, 100), "110", True),
        ((112, 113, 95, 100), "110", True),  # opened beyond the target: that came first
        ((100, 111, 94, 100), "95", False),  # both: the worse
    ],
)
def test_a_candle_shows_what_prices_left_out(
    world: PaperWorld, bar: tuple[float, ...], price: str, maker: bool
) -> None:
    held(world)
    world.candle(*bar)
    fill = only_fill(world)
    assert (fill.price, fill.maker) == (Decimal(price), maker)
    assert fill.time_ms == START_MS + HOUR_MS - 1  # within the candle


def test_a_candle_that_reaches_nothing(world: PaperWorld) -> None:
    held(world)
    world.candle(100, 110, 95.01, 105)
    assert not world.seen


@pytest.mark.parametrize(
    ("lows", "highs", "price"),
    [
        ((99, 99, 94, 99), (101, 111, 101, 101), "110"),  # the target in the second quarter came first
        ((94, 99, 99, 99), (101, 111, 101, 101), "95"),
        ((99, 94, 99, 99), (101, 111, 101, 101), "95"),  # both within one quarter: the worse
        ((99, None, 94, 99), (101, None, 101, 111), "95"),  # a quarter is missing
    ],
)
def test_finer_candles_decide_where_both_were_reached(
    world: PaperWorld, lows: tuple[Any, ...], highs: tuple[Any, ...], price: str
) -> None:
    held(world)
    for quarter, (low, high) in enumerate(zip(lows, highs, strict=True)):
        if low is not None:
            world.candle(100, high, low, 100, timeframe=Timeframe.M15, quarter=quarter)
    assert not world.seen
    world.candle(100, 111, 94, 100)
    assert only_fill(world).price == Decimal(price)


def test_other_timeframes_judge_nothing(world: PaperWorld) -> None:
    held(world)
    world.candle(100, 111, 50, 100, timeframe=Timeframe.H4)
    assert not world.seen


def test_what_is_placed_late_in_a_candle_does_not_meet_it(world: PaperWorld) -> None:
    world.price(100, after_ms=30 * MINUTE_MS)
    held(world)
    world.candle(100, 130, 70, 100)
    assert not world.seen
    world.candle(100, 101, 95, 100, hour=1)
    assert only_fill(world).price == 95


def test_a_candle_a_second_time_does_nothing(world: PaperWorld) -> None:
    world.candle(100, 101, 99, 100)
    held(world)
    world.candle(100, 111, 95.01, 100, hour=1)
    assert only_fill(world).price == 110
    world.market(1, client_id="again")
    world.stop(-1, "95", "again")
    world.told()
    world.candle(100, 111, 95.01, 100, hour=1)
    world.candle(100, 101, 70, 100, hour=0)
    assert not world.seen


def test_a_candle_missed_meets_what_it_would_have_met_after_newer_ones(tmp_path: Path) -> None:
    costs = replace(COSTS, impact_bps=100.0)
    world = PaperWorld(tmp_path / "account", costs=costs)
    held(world)
    world.candle(100, 101, 99, 100, hour=2, volume=10.0)
    world.candle(100, 101, 95, 100, hour=1, volume=1e12)
    assert only_fill(world).price == Decimal("94.05")  # by the volume of the newest
    world.market(1, client_id="b")
    assert world.fills[-1].price == 101


def test_a_candle_learnt_late_is_not_stamped_before_what_was_told(world: PaperWorld) -> None:
    held(world)
    world.clock.ms = START_MS + HOUR_MS + 5_000
    asked_ms = world.broker.snapshot().taken_ms
    world.candle(100, 101, 95, 96)
    assert [fill.price for fill in world.broker.fills_since(SYMBOL, asked_ms)] == [95]


def test_the_price_after_a_candle_is_its_close(world: PaperWorld) -> None:
    world.candle(100, 104, 99, 103)
    world.market(1)
    assert only_fill(world).price == 103


def test_a_price_newer_than_a_candles_close_stays(world: PaperWorld) -> None:
    world.price(102, after_ms=HOUR_MS)
    world.candle(100, 104, 99, 103)
    world.market(1)
    assert only_fill(world).price == 102


# Funding.


def funding(world: PaperWorld) -> list[tuple[str, str]]:
    return [
        (each.symbol, str(each.amount.normalize())) for each in world.seen if isinstance(each, FundingSeen)
    ]


@pytest.mark.parametrize(("side", "amount"), [(1, "-0.202"), (-1, "0.202")])
def test_funding_is_paid_when_its_instant_has_passed(world: PaperWorld, side: int, amount: str) -> None:
    due_ms = START_MS + HOUR_MS
    world.market(side)
    world.broker.on_funding(SYMBOL, 0.0005, 100.0, due_ms)
    world.broker.on_funding(SYMBOL, 0.0002, 100.0, due_ms)  # the estimate as it stands
    before = world.wallet
    world.price(101, after_ms=HOUR_MS - 1)
    assert not funding(world)
    world.price(101, after_ms=1)
    assert funding(world) == [(SYMBOL, amount)]
    assert world.wallet == before + Decimal(amount)
    assert [each.amount for each in world.broker.funding_since(due_ms)] == [Decimal(amount)]
    world.broker.on_funding(SYMBOL, 0.0002, 100.0, due_ms + 5)  # from the records, a few ms late
    world.price(101, after_ms=MINUTE_MS)
    assert len(funding(world)) == 1


def test_the_next_instant_tells_that_one_has_passed(world: PaperWorld) -> None:
    world.market(1)
    world.broker.on_funding(SYMBOL, 0.001, 100.0, START_MS + HOUR_MS)
    world.clock.ms = START_MS + HOUR_MS - 3  # ours is a little behind
    world.broker.on_funding(SYMBOL, 0.007, 102.0, START_MS + 9 * HOUR_MS)
    assert funding(world) == [(SYMBOL, "-1.02")]


def test_an_instant_put_off_is_not_paid(world: PaperWorld) -> None:
    world.market(1)
    world.broker.on_funding(SYMBOL, 0.001, 100.0, START_MS + HOUR_MS)
    world.broker.on_funding(SYMBOL, 0.001, 100.0, START_MS + 4 * HOUR_MS)
    world.price(100, after_ms=2 * HOUR_MS)
    assert not funding(world)
    world.price(100, after_ms=2 * HOUR_MS)
    assert funding(world) == [(SYMBOL, "-1")]


def test_who_opens_at_the_instant_does_not_pay_and_who_leaves_does(world: PaperWorld) -> None:
    due_ms = START_MS + HOUR_MS
    world.clock.ms = due_ms
    world.market(1, client_id="a")
    world.broker.on_funding(SYMBOL, 0.001, 100.0, due_ms)
    assert not funding(world)
    world.clock.ms = later_ms = due_ms + HOUR_MS
    world.market(-1, client_id="b", reduce_only=True)
    world.broker.on_funding(SYMBOL, 0.001, 100.0, later_ms)
    assert funding(world) == [(SYMBOL, "-1")]


def test_funding_missed_while_down_is_paid_by_who_held_then(world: PaperWorld) -> None:
    held(world)
    world.clock.ms = START_MS + 6 * HOUR_MS
    world.restart()
    world.candle(100, 101, 99, 100, hour=0)
    world.candle(100, 101, 95, 100, hour=1)  # stopped before 02:00
    assert only_fill(world).time_ms == world.clock.ms
    for hour in (1, 2, 3):
        world.broker.on_funding(SYMBOL, 0.001, 100.0, START_MS + hour * HOUR_MS)
    assert funding(world) == [(SYMBOL, "-1")]


def test_no_funding_where_it_is_switched_off(tmp_path: Path) -> None:
    world = PaperWorld(tmp_path / "account", costs=replace(COSTS, funding=False))
    world.market(1)
    world.broker.on_funding(SYMBOL, 0.001, 100.0, START_MS + HOUR_MS)
    world.price(100, after_ms=2 * HOUR_MS)
    assert not funding(world)


# Refusals.


def code(answer: Answer) -> int | None:
    assert answer.outcome is Outcome.REJECTED
    assert answer.message
    return answer.code


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("0", -4003), ("-1", -4003), ("1.0001", -1111), ("0.0001", -1111), ("1e6", -4005), ("0.04", -4164)],
)
def test_quantities(tmp_path: Path, quantity: str, expected: int) -> None:
    instruments = {SYMBOL: instrument(SYMBOL, max_quantity=1000.0)}
    world = PaperWorld(tmp_path / "account", instruments=instruments)
    assert code(world.market(1, quantity)) == expected
    assert not world.seen


def test_steps_least_quantities_and_ticks(tmp_path: Path) -> None:
    coarse = instrument(SYMBOL, min_quantity=2.0, step_size=0.5, tick_size=0.05)
    world = PaperWorld(tmp_path / "account", instruments={SYMBOL: coarse})
    assert code(world.market(1, "1.5")) == -4004
    assert code(world.market(1, "2.25")) == -4023
    assert world.market(1, "2.5").outcome is Outcome.OK
    assert code(world.stop(-1, "95.01")) == -4014
    assert code(world.stop(-1, "95.001")) == -1111
    assert code(world.target(-1, "0", "2.5")) == -4001
    assert world.stop(-1, "95.05").outcome is Outcome.OK


def test_the_least_notional_is_not_asked_of_reducing_orders(world: PaperWorld) -> None:
    world.market(1)
    assert world.market(-1, "0.01", "b", reduce_only=True).outcome is Outcome.OK


def test_client_ids(world: PaperWorld) -> None:
    held(world)
    assert code(world.target(-1, "120")) == -4116
    assert code(world.stop(-1, "94")) == -4116
    assert code(world.market(1, client_id="x" * 37)) == -4015
    assert code(world.market(1, client_id="no space")) == -1100
    world.cancel("cfa-1-T1")
    assert world.target(-1, "120").outcome is Outcome.OK  # unique among the open ones only


def test_what_needs_a_position(world: PaperWorld) -> None:
    assert code(world.market(-1, reduce_only=True)) == -2022
    assert code(world.target(-1, "110")) == -2022
    assert code(world.stop(-1, "95")) == -4509
    world.market(-1)
    assert code(world.market(-1, client_id="b", reduce_only=True)) == -2022
    assert code(world.stop(-1, "95")) == -4509


def test_stops(world: PaperWorld) -> None:
    world.market(1)
    assert code(world.stop(-1, "100")) == -2021
    assert code(world.stop(-1, "101")) == -2021
    assert world.stop(-1, "99.99").outcome is Outcome.OK
    assert code(world.stop(-1, "98", "second")) == -4130


def test_orders_that_are_not_there(world: PaperWorld) -> None:
    held(world)
    assert code(world.query("cfa-1-S1")) == -2013  # not a regular order before its trigger
    assert code(world.query_stop("cfa-1-T1")) == -2013
    assert code(world.cancel("cfa-1-E1")) == -2011
    assert code(world.cancel_stop("cfa-1-T1")) == -2011
    for cancel, query in ((world.cancel_stop, world.query_stop), (world.cancel, world.query)):
        client_id = "cfa-1-S1" if cancel == world.cancel_stop else "cfa-1-T1"
        assert cancel(client_id).seen == query(client_id).seen
        assert query(client_id).seen.status == "CANCELED"  # type: ignore[union-attr]
        assert code(cancel(client_id)) == -2011


def test_margin(world: PaperWorld) -> None:
    assert code(world.market(1, "1000.001")) == -2019
    assert world.market(1, "900").outcome is Outcome.OK
    assert code(world.market(1, "100", "b")) == -2019  # the fee has been paid
    assert world.market(-1, "1500", "c").outcome is Outcome.OK  # what it closes frees its margin


def test_contracts_and_prices(tmp_path: Path) -> None:
    halted = instrument("ETHUSDT", tradable=False, status="SETTLING")
    world = PaperWorld(
        tmp_path / "account", instruments={SYMBOL: instrument(SYMBOL), "ETHUSDT": halted}, last=None
    )
    assert code(world.market(1)) == -2020
    assert code(world.market(1, symbol="NONEUSDT")) == -1121
    world.broker.on_price("ETHUSDT", 100.0, world.clock.ms)
    assert code(world.market(1, symbol="ETHUSDT")) == -1122


def test_every_code_counts_as_a_refusal() -> None:
    assert set(TEXTS) <= REFUSAL_CODES


def test_what_cannot_be_prepared(world: PaperWorld) -> None:
    with pytest.raises(Refuse, match="NONEUSDT"):
        world.broker.prepare([SYMBOL, "NONEUSDT"], 3)
    with pytest.raises(Refuse, match=r"risk\.max_leverage"):
        world.broker.prepare([SYMBOL], 0)


def test_leverage_counts_for_positions_opened_from_then_on(world: PaperWorld) -> None:
    world.market(1)
    world.broker.prepare([SYMBOL], 2)
    world.market(-1, "4", "c", reduce_only=True)
    world.price(80)  # bankrupt at ten times
    assert world.fills[-1].price == 90
    world.market(1, client_id="b")
    world.price(60)
    assert len(world.fills) == 4


# Threads.


def test_concurrent_requests_and_prices_keep_the_books(world: PaperWorld) -> None:
    rounds = 25
    failed: list[Answer] = []

    def trade(name: str) -> None:
        for number in range(rounds):
            for side in (1, -1):
                answer = world.market(side, "1", f"{name}-{number}-{side}")
                if answer.outcome is not Outcome.OK:
                    failed.append(answer)

    def move() -> None:
        for number in range(rounds):
            world.broker.on_price(SYMBOL, 100.0 + number % 3, world.clock.ms)

    threads = [threading.Thread(target=trade, args=(name,)) for name in "ab"]
    threads.append(threading.Thread(target=move))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    fills = world.fills
    assert len(fills) == 4 * rounds
    assert [fill.trade_id for fill in fills] == sorted({fill.trade_id for fill in fills})
    assert world.wallet == Decimal(EQUITY) + sum(fill.realized_pnl - fill.fee for fill in fills)
    assert not world.broker.snapshot().positions

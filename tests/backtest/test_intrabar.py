"""What one bar can do to a position, one test per ambiguity, with exact money (see `exact_money`)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from exact_money import COSTS, FLAT, LONG, RISK, SHORT, assert_exit, market, only_trade
from futures_agent.backtest.records import ExitReason
from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.market.timeframe import Timeframe
from sample_markets import START_MS, bars, instrument


def test_decided_on_the_close_filled_at_the_next_open() -> None:
    trade = only_trade(market((100.5, 101, 100, 100.5), FLAT))
    assert trade["entry_time"] == START_MS + HOUR_MS
    assert trade["entry_price"] == 100.5
    assert trade["quantity"] == 10.0  # sized on the close of 100 that decided
    assert (trade["stop_price"], trade["target_price"]) == (95.5, 110.5)  # measured from the fill


def test_stop_fills_at_the_stop_as_taker() -> None:
    assert_exit(market(FLAT, (100, 101, 94, 96)), ExitReason.STOP, 2, 95.0, -50 - 0.5 - 0.475)


def test_target_fills_at_the_target_as_maker() -> None:
    assert_exit(market(FLAT, (100, 112, 99, 111)), ExitReason.TARGET, 2, 110.0, 100 - 0.5 - 0.22)


def test_gap_through_the_stop_fills_at_the_open() -> None:
    assert_exit(market(FLAT, (90, 99, 88, 97)), ExitReason.STOP, 2, 90.0, -100 - 0.5 - 0.45)


def test_gap_through_the_target_fills_at_the_target() -> None:
    # It rests in the book: the market trades through it at its price. It came before the fall to 90.
    assert_exit(market(FLAT, (115, 116, 90, 97)), ExitReason.TARGET, 2, 110.0, 100 - 0.5 - 0.22)


def test_a_target_touched_exactly_is_not_filled() -> None:
    for touching in ((100, 110, 99, 105), (110, 110, 99, 105)):  # also by the open
        assert_exit(market(FLAT, touching), ExitReason.END, 2, 105.0, 50 - 0.5 - 0.525)
        beyond = market(FLAT, touching, (105, 110.01, 99, 105))
        assert_exit(beyond, ExitReason.TARGET, 3, 110.0, 100 - 0.5 - 0.22)


def test_a_short_target_touched_exactly_is_not_filled() -> None:
    result = market(FLAT, (100, 101, 90, 95), (95, 96, 89.99, 95), plan={0: SHORT})
    assert_exit(result, ExitReason.TARGET, 3, 90.0, 100 - 0.5 - 0.18)


def test_a_target_touched_exactly_in_the_bar_of_the_stop_is_no_ambiguity() -> None:
    finer = quarters([(100, 111, 99, 105), (105, 105, 94, 95)], START_MS + 2 * HOUR_MS)
    assert_exit(market(FLAT, (100, 110, 94, 100), finer=finer), ExitReason.STOP, 2, 95.0, -50 - 0.5 - 0.475)


def test_finer_bars_that_only_touch_the_target_leave_it_to_the_stop() -> None:
    finer = quarters([(100, 110, 99, 105), (105, 105, 94, 95)], START_MS + 2 * HOUR_MS)
    assert_exit(market(FLAT, (100, 112, 94, 100), finer=finer), ExitReason.STOP, 2, 95.0, -50 - 0.5 - 0.475)


def test_a_bar_that_opens_on_the_target_and_goes_both_ways_takes_the_worse() -> None:
    assert_exit(market(FLAT, (110, 112, 94, 100)), ExitReason.STOP, 2, 95.0, -50 - 0.5 - 0.475)


def test_both_reached_takes_the_worse() -> None:
    assert_exit(market(FLAT, (100, 112, 94, 100)), ExitReason.STOP, 2, 95.0, -50 - 0.5 - 0.475)


def test_short_mirrors_it() -> None:
    result = market(FLAT, (100, 106, 99, 100), plan={0: SHORT})
    assert_exit(result, ExitReason.STOP, 2, 105.0, -50 - 0.5 - 0.525)


def test_the_entry_bar_is_checked_too() -> None:
    result = market((100, 101, 94, 100), FLAT)
    assert_exit(result, ExitReason.STOP, 1, 95.0, -50 - 0.5 - 0.475)
    assert only_trade(result)["entry_time"] == only_trade(result)["exit_time"]


def test_slippage_worsens_entry_and_stop_and_moves_the_bracket() -> None:
    trade = only_trade(market(FLAT, (100, 101, 90, 92), costs=replace(COSTS, slippage_bps=100.0)))
    assert trade["entry_price"] == 101.0
    assert (trade["stop_price"], trade["target_price"]) == (96.0, 111.0)
    assert trade["exit_price"] == pytest.approx(96.0 * 0.99)
    assert trade["fees"] == pytest.approx(10 * (101.0 + 96.0 * 0.99) * 0.0005)


def test_stop_and_target_are_on_the_tick() -> None:
    trade = only_trade(market(FLAT, plan={0: {**LONG, "stop_distance": 4.96}}, rules={"tick_size": 0.1}))
    assert trade["stop_price"] == 95.0


def quarters(rows: list[tuple[float, float, float, float]], start_ms: int) -> Any:
    return Timeframe.M15, {"BTCUSDT": bars(rows, step_ms=15 * MINUTE_MS, start_ms=start_ms)}


def test_finer_timeframe_decides_what_came_first() -> None:
    second = START_MS + 2 * HOUR_MS
    for rows, reason, price, net in (
        ([FLAT, (100, 111, 99, 105), (105, 105, 94, 95)], ExitReason.TARGET, 110.0, 100 - 0.5 - 0.22),
        ([FLAT, (100, 101, 94, 96), (96, 111, 96, 105)], ExitReason.STOP, 95.0, -50 - 0.5 - 0.475),
    ):
        result = market(FLAT, (100, 112, 94, 100), FLAT, finer=quarters(rows, second))
        assert_exit(result, reason, 2, price, net)


def test_finer_bars_of_other_hours_decide_nothing() -> None:
    at_target = [(100, 111, 99, 110)] * 8
    for hour in (0, 3):  # the two hours before the ambiguous one, and those after it
        finer = quarters(at_target, START_MS + hour * HOUR_MS)
        result = market(FLAT, (100, 112, 94, 100), finer=finer)
        assert_exit(result, ExitReason.STOP, 2, 95.0, -50 - 0.5 - 0.475)


def test_a_finer_timeframe_with_a_hole_does_not_decide_in_favour() -> None:
    last_quarter = START_MS + 2 * HOUR_MS + 45 * MINUTE_MS
    finer = quarters([(103, 111, 103, 110)], last_quarter)
    assert_exit(market(FLAT, (100, 112, 94, 110), finer=finer), ExitReason.STOP, 2, 95.0, -50 - 0.5 - 0.475)


def test_liquidation_comes_before_a_stop_beyond_it() -> None:
    plan = {0: {"entry": 1, "stop_distance": 40.0}}
    price = (100 - 100 / 3) / (1 - 0.025)  # margin 1/3 of 100, maintenance 2.5 %: 68.38, above the stop at 60
    net = 10 * (price - 100) - 0.5 - 10 * price * (0.0005 + 0.0125)
    assert_exit(market(FLAT, (90, 91, 55, 80), plan=plan), ExitReason.LIQUIDATION, 2, price, net)


def test_a_gap_beyond_bankruptcy_loses_the_margin_not_more() -> None:
    plan = {0: {"entry": 1, "stop_distance": 40.0}}
    price = 100 - 100 / 3
    net = 10 * (price - 100) - 0.5 - 10 * price * (0.0005 + 0.0125)
    assert_exit(market(FLAT, (50, 55, 45, 50), plan=plan), ExitReason.LIQUIDATION, 2, price, net)


def test_quantity_rounded_to_nothing_is_refused_by_name() -> None:
    result = market(FLAT, risk=replace(RISK, fixed_notional=0.05))
    assert len(result.trades) == 0
    assert result.rejections == {"MIN_QUANTITY": 1}
    assert result.warnings == ("no trades: 1 entry signals, refused: MIN_QUANTITY 1",)
    assert result.equity["equity"].tolist() == [10_000.0, 10_000.0]


def test_the_instrument_of_the_symbol_is_used() -> None:
    assert instrument("BTCUSDT").tick_size == 0.01
    result = market(FLAT, (100, 112, 99, 111), rules={"step_size": 3.0})
    assert only_trade(result)["quantity"] == 9.0


def test_the_entry_bar_may_reach_the_target() -> None:
    assert_exit(market((100, 111, 99, 100), FLAT), ExitReason.TARGET, 1, 110.0, 100 - 0.5 - 0.22)


def test_the_entry_bar_that_reaches_both_takes_the_worse() -> None:
    assert_exit(market((100, 112, 94, 100), FLAT), ExitReason.STOP, 1, 95.0, -50 - 0.5 - 0.475)


def test_the_entry_bar_that_reaches_both_is_decided_by_finer_bars() -> None:
    finer = quarters([(100, 111, 99, 105), (105, 105, 94, 95)], START_MS + HOUR_MS)
    assert_exit(market((100, 112, 94, 100), finer=finer), ExitReason.TARGET, 1, 110.0, 100 - 0.5 - 0.22)


def test_a_finer_bar_that_opens_beyond_the_stop_fills_at_its_open() -> None:
    finer = quarters([FLAT, (93, 111, 92, 105)], START_MS + 2 * HOUR_MS)
    assert_exit(market(FLAT, (100, 112, 92, 100), finer=finer), ExitReason.STOP, 2, 93.0, -70 - 0.5 - 0.465)


def test_a_bar_that_opens_on_the_stop_fills_there() -> None:
    assert_exit(market(FLAT, (95, 99, 93, 97)), ExitReason.STOP, 2, 95.0, -50 - 0.5 - 0.475)


def test_a_gap_beyond_bankruptcy_fills_the_stop_at_the_open_all_the_same() -> None:
    # Bankrupt at 66.67; the stop was an order before that, and fills where the market is.
    assert_exit(market(FLAT, (60, 61, 59, 60)), ExitReason.STOP, 2, 60.0, -400 - 0.5 - 0.3)


WIDE = {"entry": 1, "stop_distance": 40.0, "target_distance": 10.0}
LIQUIDATED = (100 - 100 / 3) / 0.975


def test_a_gap_between_liquidation_and_bankruptcy_fills_at_the_open() -> None:
    net = 10 * (67 - 100) - 0.5 - 10 * 67 * (0.0005 + 0.0125)
    trade = only_trade(market(FLAT, (67, 68, 60, 65), plan={0: WIDE}))
    assert (ExitReason(trade["exit_reason"]), trade["exit_price"]) == (ExitReason.LIQUIDATION, 67.0)
    assert trade["net_pnl"] == pytest.approx(net, rel=1e-12)
    assert trade["liquidation_fee"] == pytest.approx(10 * 67 * 0.0125, rel=1e-12)
    assert trade["fees"] == pytest.approx(0.5 + 10 * 67 * (0.0005 + 0.0125), rel=1e-12)


def test_liquidation_and_target_in_one_bar_take_the_worse() -> None:
    net = 10 * (LIQUIDATED - 100) - 0.5 - 10 * LIQUIDATED * (0.0005 + 0.0125)
    result = market(FLAT, (100, 111, 60, 100), plan={0: WIDE})
    assert_exit(result, ExitReason.LIQUIDATION, 2, LIQUIDATED, net)


def test_a_short_is_liquidated_above() -> None:
    price = (100 + 100 / 3) / 1.025
    net = 10 * (100 - price) - 0.5 - 10 * price * (0.0005 + 0.0125)
    result = market(FLAT, (100, 140, 99, 120), plan={0: {"entry": -1, "stop_distance": 40.0}})
    assert_exit(result, ExitReason.LIQUIDATION, 2, price, net)


def test_a_stop_less_than_a_tick_away_is_refused() -> None:
    for name in ("stop_distance", "target_distance"):
        result = market(FLAT, plan={0: {**LONG, name: 0.4}}, rules={"tick_size": 0.5})
        assert result.rejections == {"BRACKET_WITHIN_TICK": 1}


def test_a_stop_a_tick_away_never_rounds_onto_the_entry() -> None:
    trade = only_trade(
        market((100.2, 101, 100, 100), plan={0: {**LONG, "stop_distance": 0.5}}, rules={"tick_size": 0.5})
    )
    assert (trade["entry_price"], trade["stop_price"]) == (100.2, 99.5)  # 99.7 on the tick of a half


def test_impact_grows_with_the_share_in_the_bar_before() -> None:
    costs = replace(COSTS, slippage_bps=10.0, impact_bps=100.0)
    rows = [(100, 101, 99, 100), (100, 101, 94, 96)]
    trade = only_trade(market(*rows, costs=costs, volume=[1_000.0, 250.0, 40.0]))
    assert trade["entry_price"] == pytest.approx(100 * (1 + 0.001 + 0.01 * 0.1), rel=1e-12)  # 10 of 1,000
    stop = 95.2
    assert trade["stop_price"] == stop
    assert trade["exit_price"] == pytest.approx(stop * (1 - 0.001 - 0.01 * 0.2), rel=1e-12)  # 10 of 250
    assert trade["slippage"] == pytest.approx(10 * (100 * 0.002 + stop * 0.003), rel=1e-9)


def test_impact_goes_on_growing_beyond_an_hours_volume() -> None:
    costs = replace(COSTS, impact_bps=100.0)
    trade = only_trade(market(FLAT, (100, 101, 99, 100), costs=costs, volume=[2.5, 1_000.0, 0.1]))
    assert trade["entry_price"] == pytest.approx(100 * (1 + 0.01 * 2), rel=1e-12)  # 10 of 2.5
    assert trade["exit_price"] == pytest.approx(100 * (1 - 0.01 * 10), rel=1e-12)  # 10 of 0.1


def test_a_target_pays_no_slippage_even_without_volume() -> None:
    costs = replace(COSTS, slippage_bps=10.0, impact_bps=100.0)
    trade = only_trade(market(FLAT, (100, 115, 99, 111), costs=costs))
    assert trade["entry_price"] == pytest.approx(101.1)  # nobody traded: all of the impact
    assert trade["exit_price"] == trade["target_price"] == 111.1
    assert trade["slippage"] == pytest.approx(10 * 1.1)


def test_the_last_bar_has_closed_when_its_close_is_sold_into() -> None:
    costs = replace(COSTS, impact_bps=100.0)
    trade = only_trade(market(FLAT, (100, 101, 99, 100), costs=costs, volume=[1_000.0, 1_000.0, 40.0]))
    assert ExitReason(trade["exit_reason"]) is ExitReason.END
    assert trade["exit_price"] == pytest.approx(100 * (1 - 0.01 * 0.5), rel=1e-12)  # 10 of 40

"""One test per intrabar ambiguity, with exact money.

Each market decides on its first bar to enter at 100 (fixed notional 1,000: 10 units), with a stop 5 away
and a target 10 away unless said otherwise. Fees: taker 5 bps, maker 2 bps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from futures_agent.backtest.records import ExitReason, Simulation
from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.sentiment import FUNDING
from sample_markets import FREE, PLAIN_RISK, START_MS, bars, instrument, run, scripted

LONG = {"entry": 1, "stop_distance": 5.0, "target_distance": 10.0}
SHORT = {**LONG, "entry": -1}
FLAT = (100.0, 101.0, 99.0, 100.0)
COSTS = replace(FREE, maker_fee_bps=2.0, taker_fee_bps=5.0)
FUNDED = replace(COSTS, funding=True)
RISK = replace(PLAIN_RISK, max_leverage=3.0)


def market(
    *rows: tuple[float, float, float, float], plan: dict[int, dict[str, Any]] | None = None, **options: Any
) -> Simulation:
    """Simulate one symbol over a flat deciding bar and then `rows`."""
    chosen = {"risk": RISK, "costs": COSTS, **options}
    return run({"BTCUSDT": bars([FLAT, *rows])}, scripted(plan or {0: LONG}), **chosen)


def only_trade(result: Simulation) -> Any:
    assert len(result.trades) == 1
    return result.trades[0]


def assert_exit(result: Simulation, reason: ExitReason, bar: int, price: float, net_pnl: float) -> None:
    trade = only_trade(result)
    assert ExitReason(trade["exit_reason"]) is reason
    assert trade["exit_time"] == START_MS + bar * HOUR_MS
    assert trade["exit_price"] == pytest.approx(price, rel=1e-12)
    assert trade["net_pnl"] == pytest.approx(net_pnl, rel=1e-9)
    assert result.equity["equity"][-1] == pytest.approx(10_000 + net_pnl, rel=1e-12)


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


def test_both_touched_takes_the_worse() -> None:
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


def funded(exit_bar: int, *, entry_bar: int = 8, touch_stop_at: int = -1) -> Any:
    """Trade with the funding rate at 0.1 % at 00, 08 and 16 o'clock; the open is 100 + hour / 10."""
    rows = [(100 + hour / 10, 103, 99, 100.0) for hour in range(20)]
    if touch_stop_at >= 0:
        rows[touch_stop_at] = (*rows[touch_stop_at][:2], 90.0, 100.0)
    rates = np.array([(START_MS + hour * HOUR_MS, 0.001) for hour in (0, 8, 16)], FUNDING)
    plan = {entry_bar - 1: LONG, exit_bar - 1: {"exit_long": True}}
    result = run(
        {"BTCUSDT": bars(rows)},
        scripted(plan),
        risk=RISK,
        costs=FUNDED,
        funding={"BTCUSDT": rates},
    )
    assert result.warnings == ()
    return only_trade(result)


def test_funding_is_paid_by_who_held_before_the_instant() -> None:
    assert funded(exit_bar=16)["funding"] == pytest.approx(-10 * 101.6 * 0.001)  # entered at 08, left at 16
    assert funded(exit_bar=15)["funding"] == 0.0
    assert funded(entry_bar=7, exit_bar=9)["funding"] == pytest.approx(-10 * 100.8 * 0.001)


def test_a_position_stopped_within_the_bar_before_pays_no_funding() -> None:
    assert funded(exit_bar=18, touch_stop_at=15)["funding"] == 0.0


def test_funding_is_in_the_equity_from_the_instant_on() -> None:
    trade = funded(exit_bar=16)
    assert trade["net_pnl"] == pytest.approx(trade["gross_pnl"] - trade["fees"] + trade["funding"])


@pytest.mark.parametrize("entry", [LONG, SHORT])
def test_missing_rates_cost_either_side_and_are_said(entry: dict[str, Any]) -> None:
    rows = [FLAT] * 20
    result = run({"BTCUSDT": bars(rows)}, scripted({0: entry}), risk=RISK, costs=FUNDED)
    assert only_trade(result)["funding"] == pytest.approx(-2 * 10 * 100 * 0.0001)  # at 08 and 16
    assert result.warnings == (
        (
            "funding rates not recorded at 3 of 3 instants (1 of 1 symbols): 1 bps per 8 h "
            "charged to either side there"
        ),
    )


def test_the_instrument_of_the_symbol_is_used() -> None:
    assert instrument("BTCUSDT").tick_size == 0.01
    result = market(FLAT, (100, 112, 99, 111), rules={"step_size": 3.0})
    assert only_trade(result)["quantity"] == 9.0

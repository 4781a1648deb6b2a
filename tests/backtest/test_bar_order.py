"""The order of things at and around one bar's open, with exact money (see `exact_money`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from exact_money import COSTS, FLAT, LONG, RISK, SHORT, assert_exit, market, only_trade
from futures_agent.backtest.records import ExitReason
from futures_agent.clock import HOUR_MS
from futures_agent.store.sentiment import FUNDING
from sample_markets import START_MS, bars, run, scripted

FUNDED = replace(COSTS, funding=True)


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


@pytest.mark.parametrize(("hours", "payments"), [(8, [8, 16]), (4, [4, 8, 12, 16])])
def test_each_symbol_has_its_own_funding_interval(hours: int, payments: list[int]) -> None:
    rows = [(100 + hour / 10, 103, 99, 100.0) for hour in range(20)]
    instants = [(START_MS + hour * HOUR_MS, 0.001) for hour in range(0, 20, hours)]
    result = run(
        {"BTCUSDT": bars(rows)},
        scripted({0: LONG}),
        risk=RISK,
        costs=FUNDED,
        funding={"BTCUSDT": np.array(instants, FUNDING)},
    )
    assert result.warnings == ()
    expected = -sum(10 * (100 + hour / 10) * 0.001 for hour in payments)
    assert only_trade(result)["funding"] == pytest.approx(expected, rel=1e-12)


def test_funding_within_a_hole_is_paid_at_the_open_after_it() -> None:
    candles = bars([(100 + hour / 10, 103, 99, 100.0) for hour in range(20)])
    candles = candles[[hour for hour in range(20) if not 6 <= hour <= 10]]
    rates = np.array([(START_MS + hour * HOUR_MS, 0.001) for hour in (0, 8, 16)], FUNDING)
    plan = {0: LONG, 8: {"exit_long": True}}  # decided at 13, filled at 14
    result = run({"BTCUSDT": candles}, scripted(plan), risk=RISK, costs=FUNDED, funding={"BTCUSDT": rates})
    assert only_trade(result)["funding"] == pytest.approx(-10 * 101.1 * 0.001)


def test_an_exit_signal_is_filled_before_the_stop_of_the_same_bar() -> None:
    result = market(FLAT, (98, 99, 90, 92), plan={0: LONG, 1: {"exit_long": True}})
    assert_exit(result, ExitReason.SIGNAL, 2, 98.0, -20 - 0.5 - 0.49)


def test_an_exit_signal_is_filled_at_an_open_beyond_the_stop_too() -> None:
    result = market(FLAT, (92, 99, 90, 95), plan={0: LONG, 1: {"exit_long": True}})
    assert_exit(result, ExitReason.SIGNAL, 2, 92.0, -80 - 0.5 - 0.46)


def test_a_stop_in_the_deciding_bar_leaves_the_signal_nothing_to_close() -> None:
    result = market(FLAT, (100, 101, 94, 96), FLAT, plan={0: LONG, 2: {"exit_long": True}})
    assert_exit(result, ExitReason.STOP, 2, 95.0, -50 - 0.5 - 0.475)


def test_an_opposite_entry_decided_on_the_bar_of_the_stop_opens_at_the_next_open() -> None:
    result = market(FLAT, (100, 101, 94, 96), (96, 97, 95, 96), plan={0: LONG, 2: SHORT})
    trades = result.trades
    assert [ExitReason(each) for each in trades["exit_reason"]] == [ExitReason.STOP, ExitReason.END]
    assert trades["exit_time"][0] == START_MS + 2 * HOUR_MS
    assert trades["entry_time"][1] == START_MS + 3 * HOUR_MS
    assert trades["quantity"][1] == 10.416  # 1,000 at the close of 96
    first, second = -50 - 0.5 - 0.475, -2 * 10.416 * 96 * 0.0005
    assert result.equity["equity"][-1] == pytest.approx(10_000 + first + second, rel=1e-12)


def test_a_reversal_at_the_open_comes_before_the_old_stop_and_faces_its_own() -> None:
    # Reversed at 100; the rest of the bar falls through the old long's stop, then to the short's target.
    result = market(FLAT, (100, 101, 89, 92), plan={0: LONG, 1: SHORT})
    trades = result.trades
    assert [ExitReason(each) for each in trades["exit_reason"]] == [ExitReason.SIGNAL, ExitReason.TARGET]
    assert trades["exit_price"].tolist() == [100.0, 90.0]
    assert trades["net_pnl"] == pytest.approx([-1.0, 100 - 0.5 - 10 * 90 * 0.0002], rel=1e-12)


@pytest.mark.parametrize(
    ("refused", "rejections"),
    [
        ({**SHORT, "declined": True}, {"POLICY_DECLINED": 1}),
        ({**SHORT, "stop_distance": 0.001}, {"BRACKET_WITHIN_TICK": 1}),
    ],
)
def test_an_opposite_entry_that_is_refused_still_closes(
    refused: dict[str, Any], rejections: dict[str, int]
) -> None:
    result = market(FLAT, FLAT, FLAT, plan={0: LONG, 1: refused})
    assert_exit(result, ExitReason.SIGNAL, 2, 100.0, -1.0)
    assert result.rejections == rejections


def test_an_entry_on_the_side_already_held_is_not_even_refused() -> None:
    result = market(FLAT, FLAT, FLAT, plan={0: LONG, 1: {**LONG, "declined": True}})
    assert len(result.trades) == 1
    assert result.rejections == {}


def test_the_stop_of_the_last_bar_comes_before_its_close() -> None:
    assert_exit(market(FLAT, (100, 101, 90, 99)), ExitReason.STOP, 2, 95.0, -50 - 0.5 - 0.475)
    assert_exit(market(FLAT, (100, 101, 96, 99)), ExitReason.END, 2, 99.0, -10 - 0.5 - 0.495)


def test_what_is_decided_on_the_last_close_happens_no_more() -> None:
    result = market(FLAT, FLAT, plan={0: LONG, 2: {"exit_long": True}})
    assert_exit(result, ExitReason.END, 2, 100.0, -1.0)
    assert len(market(FLAT, plan={1: LONG}).trades) == 0


def test_a_price_that_fell_through_the_stop_within_a_hole_fills_at_the_open_after_it() -> None:
    candles = bars([FLAT, FLAT, (97, 98, 80, 81), (85, 90, 84, 88), FLAT])[[0, 1, 3, 4]]
    result = run({"BTCUSDT": candles}, scripted({0: LONG}), risk=RISK, costs=COSTS)
    assert_exit(result, ExitReason.STOP, 3, 85.0, -150 - 0.5 - 0.425)

"""The engine beyond single bars: signals, the shared account, faults, and the two ways of running it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from futures_agent.backtest.engine import simulate
from futures_agent.backtest.panel import build_panel
from futures_agent.backtest.records import ExitReason, Simulation
from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.compiled import kernel
from futures_agent.errors import Interrupted, Refuse
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import CostSettings, RiskSettings
from futures_agent.strategy.ema_cross import STRATEGY as EMA_CROSS
from futures_agent.strategy.strategy import Strategy
from sample_markets import (
    FREE,
    PLAIN_COSTS,
    PLAIN_RISK,
    START_MS,
    NoParams,
    bars,
    instrument,
    random_candles,
    run,
    scripted,
    with_holes,
)

FLAT = (100.0, 101.0, 99.0, 100.0)
LONG = {"entry": 1, "stop_distance": 5.0, "target_distance": 10.0}
SHORT = {**LONG, "entry": -1}


def reasons(result: Simulation) -> list[str]:
    return [ExitReason(code).name for code in result.trades["exit_reason"]]


def flat_market(count: int) -> dict[str, np.ndarray]:
    return {"BTCUSDT": bars([FLAT] * count)}


def test_an_opposite_entry_reverses_at_one_open() -> None:
    result = run(flat_market(6), scripted({0: LONG, 2: SHORT}))
    assert reasons(result) == ["SIGNAL", "END"]
    assert result.trades["side"].tolist() == [1, -1]
    assert result.trades["exit_time"][0] == result.trades["entry_time"][1] == START_MS + 3 * HOUR_MS


def test_an_entry_on_the_same_side_is_ignored() -> None:
    result = run(flat_market(6), scripted({0: LONG, 2: {**LONG, "stop_distance": 1.0}}))
    assert len(result.trades) == 1
    assert result.trades["stop_price"][0] == 95.0


@pytest.mark.parametrize(
    ("entry", "flag", "closed"),
    [(LONG, "exit_long", True), (LONG, "exit_short", False), (SHORT, "exit_short", True)],
)
def test_exit_flags_close_their_side(entry: dict[str, Any], flag: str, closed: bool) -> None:
    result = run(flat_market(6), scripted({0: entry, 2: {flag: True}}))
    assert reasons(result) == (["SIGNAL"] if closed else ["END"])


def test_a_hole_after_the_decision_lets_the_entry_lapse_but_not_the_exit() -> None:
    candles = bars([FLAT] * 8)[[0, 1, 2, 5, 6, 7]]
    result = run({"BTCUSDT": candles}, scripted({0: LONG, 2: SHORT}))
    assert reasons(result) == ["SIGNAL"]
    assert result.trades["exit_time"][0] == START_MS + 5 * HOUR_MS
    assert result.rejections == {"ENTRY_LAPSED": 1}


def test_a_position_open_at_the_end_is_closed_at_the_last_close() -> None:
    result = run({"BTCUSDT": bars([FLAT, FLAT, (100, 103, 99, 102)])}, scripted({0: LONG}))
    assert reasons(result) == ["END"]
    assert result.trades["exit_price"][0] == 102.0
    assert result.equity["positions"].tolist() == [0, 1, 0]


def test_a_delisted_symbol_ends_with_its_data_and_frees_its_place() -> None:
    candles = {"AUSDT": bars([FLAT] * 4), "BUSDT": bars([FLAT] * 10, start_ms=START_MS + 4 * HOUR_MS)}
    result = run(candles, scripted({0: LONG}), risk=replace(PLAIN_RISK, max_positions=1))
    assert result.trades["symbol"].tolist() == [0, 1]
    assert reasons(result) == ["DATA_ENDED", "END"]
    assert result.trades["exit_time"][0] == START_MS + 3 * HOUR_MS
    assert result.trades["exit_price"][0] == 100.0
    assert result.rejections == {}
    assert result.warnings == (
        "candles end before the run does, positions closed at the last close: AUSDT 2026-01-05T03:00:00Z",
    )


def test_a_symbol_that_ends_without_a_position_is_no_matter() -> None:
    candles = {"AUSDT": bars([FLAT] * 4), "BUSDT": bars([FLAT] * 10)}
    result = run(candles, scripted({0: LONG, 1: {"exit_long": True}}))
    assert reasons(result) == ["SIGNAL", "SIGNAL"]
    assert result.warnings == ()


def test_a_symbol_listed_in_mid_run_trades_from_its_second_candle_on() -> None:
    candles = {"AUSDT": bars([FLAT] * 10), "BUSDT": bars([FLAT] * 4, start_ms=START_MS + 6 * HOUR_MS)}
    result = run(candles, scripted({0: LONG}))
    assert result.trades["entry_time"].tolist() == [START_MS + HOUR_MS, START_MS + 7 * HOUR_MS]
    assert result.equity["positions"].tolist() == [0, 1, 1, 1, 1, 1, 1, 2, 2, 0]


def test_the_kill_switch_refuses_entries_and_leaves_positions_to_their_stops() -> None:
    falling = [FLAT, FLAT, (100, 101, 50, 50), (50, 51, 49, 50), (50, 51, 49, 50), (50, 51, 30, 35)]
    candles = {"AUSDT": bars(falling), "BUSDT": bars(falling)}
    wide = {"entry": 1, "stop_distance": 60.0}
    risk = replace(PLAIN_RISK, max_drawdown=0.09, max_leverage=0.5)
    result = run(candles, scripted({0: wide, 3: {**wide, "entry": -1}}), risk=risk, costs=FREE)
    assert result.equity["positions"].tolist() == [0, 2, 2, 2, 0, 0]  # down by half at 02:00, and still held
    assert reasons(result) == ["SIGNAL", "SIGNAL"]  # the shorts that were refused closed the longs
    assert result.rejections == {"RISK_KILL_SWITCH": 2}
    (warning,) = result.warnings
    assert warning.startswith(
        "the drawdown kill switch tripped at 2026-01-05T03:00:00Z and refused 2 entries"
    )
    assert result.tripped_ms == START_MS + 3 * HOUR_MS


CAPS = "risk.max_leverage, max_net_leverage or max_position_leverage"


@pytest.mark.parametrize(
    ("notional", "max_quantity", "said"),
    [
        (15_000.0, 150.0, ()),  # exactly as much as there is room for, twice
        (20_000.0, 0.0, (f"1 of 2 entries were cut: 1 by {CAPS}",)),
        (2_000.0, 12.0, ("2 of 2 entries were cut: 2 by the exchange's largest order",)),
        (20_000.0, 160.0, (f"2 of 2 entries were cut: 1 by {CAPS}, 1 by the exchange's largest order",)),
    ],
)
def test_entries_that_are_cut_are_said(notional: float, max_quantity: float, said: tuple[str, ...]) -> None:
    caps = {"max_leverage": 3.0, "max_net_leverage": 3.0, "max_position_leverage": 3.0}  # of 10,000
    candles = {"AUSDT": bars([FLAT] * 4), "BUSDT": bars([FLAT] * 4)}
    result = run(
        candles,
        scripted({0: LONG}),
        risk=replace(PLAIN_RISK, fixed_notional=notional, **caps),
        costs=FREE,
        rules={"max_quantity": max_quantity},
    )
    assert result.warnings == said


def test_a_day_that_lost_too_much_opens_nothing_more_and_the_next_one_does() -> None:
    rows = [FLAT, FLAT, (100, 101, 94, 95), *[(95, 96, 94, 95)] * 30]
    plan = {0: LONG, 5: LONG, 22: LONG, 23: LONG}
    risk = replace(PLAIN_RISK, max_daily_loss=0.004)
    result = run({"BTCUSDT": bars(rows)}, scripted(plan), risk=risk, costs=FREE)
    assert result.rejections == {"RISK_DAILY_LOSS": 2}
    # The close of the bar of 23 o'clock is midnight: what it decides belongs to the new day.
    assert result.trades["entry_time"].tolist() == [START_MS + HOUR_MS, START_MS + 24 * HOUR_MS]


def twins(count: int, *, other: int) -> dict[str, np.ndarray]:
    """Return a market, its twin, and a market that shares nothing with them."""
    return {name: random_candles(seed, count) for name, seed in (("A", 1), ("B", 1), ("C", other))}


def test_the_correlation_cap_refuses_a_twin_and_knows_no_later_closes() -> None:
    risk = replace(PLAIN_RISK, max_correlated=0, correlation_bars=20)
    candles = twins(40, other=2)
    result = run(candles, scripted({25: {"entry": 1, "stop_distance": 50.0}}), risk=risk)
    assert result.trades["symbol"].tolist() == [0, 2]
    assert result.rejections == {"RISK_CORRELATED": 1}
    for name in ("open", "high", "low", "close"):  # what fills the entries tells the gate nothing
        candles["B"][name][26:] = 90.0
        candles["C"][name][26:] = candles["A"][name][26:]
    assert run(candles, scripted({25: {"entry": 1, "stop_distance": 50.0}}), risk=risk).rejections == {
        "RISK_CORRELATED": 1
    }


def test_a_new_listing_cannot_be_told_from_a_twin() -> None:
    candles = twins(40, other=2)
    candles["C"] = candles["C"][31:]
    risk = replace(PLAIN_RISK, max_correlated=0, correlation_bars=20)
    plan = {7: {"entry": 1, "stop_distance": 50.0}}
    result = run({"A": candles["A"], "C": candles["C"]}, scripted(plan), risk=risk)
    assert result.trades["symbol"].tolist() == [0]
    assert result.rejections == {"RISK_CORRELATED": 1}
    assert len(run({"C": candles["C"]}, scripted(plan), risk=risk).trades) == 1


def test_symbols_compete_in_their_order() -> None:
    candles = {name: bars([FLAT] * 5) for name in ("CUSDT", "AUSDT", "BUSDT")}
    result = run(candles, scripted({0: LONG}), risk=replace(PLAIN_RISK, max_positions=2))
    assert [result.symbols[index] for index in result.trades["symbol"]] == ["CUSDT", "AUSDT"]
    assert result.rejections == {"RISK_MAX_POSITIONS": 1}


def test_exposure_is_shared() -> None:
    candles = {name: bars([FLAT] * 5) for name in ("AUSDT", "BUSDT", "CUSDT")}
    result = run(candles, scripted({0: LONG}), initial_equity=1_500.0)
    assert result.trades["quantity"].tolist() == [10.0, 5.0]
    assert result.rejections == {"RISK_MAX_LEVERAGE": 1}


def test_entries_are_sized_by_the_equity_that_was_known() -> None:
    rows = [FLAT, FLAT, (100, 112, 99, 111), (111, 112, 110, 111), (111, 112, 110, 111)]
    result = run(
        {"BTCUSDT": bars(rows)},
        scripted({0: LONG, 2: LONG}),
        risk=replace(PLAIN_RISK, fixed_notional=0.0, risk_per_trade=0.01, max_leverage=3.0),
        costs=FREE,
    )
    # 1 % of 10,000 over 5; then 1 % of 10,200 over 5
    assert result.trades["quantity"].tolist() == [20.0, 20.4]


def test_open_positions_are_marked_to_the_last_close() -> None:
    rows = [FLAT, FLAT, (100, 104, 99, 103), (103, 104, 99, 101), FLAT]
    equity = run({"BTCUSDT": bars(rows)}, scripted({0: LONG}), costs=FREE).equity
    assert equity["equity"].tolist() == [10_000, 10_000, 10_030, 10_010, 10_000]
    assert equity["notional"].tolist() == [0, 1_000, 1_030, 1_010, 0]


def test_every_bar_time_has_one_equity_row_stamped_with_its_close() -> None:
    candles = {"AUSDT": bars([FLAT] * 3), "BUSDT": bars([FLAT] * 2, start_ms=START_MS + 4 * HOUR_MS)}
    result = run(candles, scripted({}))
    hours = (result.equity["timestamp"] - START_MS) // HOUR_MS
    assert hours.tolist() == [1, 2, 3, 5, 6]
    assert result.candles == 5


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_account_adds_up(seed: int) -> None:
    candles = {f"S{k}USDT": with_holes(random_candles(seed + k, 400), seed + k) for k in range(3)}
    result = run(candles, EMA_CROSS, params={"fast": 3, "slow": 8}, costs=CostSettings(), risk=RiskSettings())
    trades, equity = result.trades, result.equity
    assert len(trades) > 0
    assert equity["equity"][-1] == pytest.approx(10_000 + trades["net_pnl"].sum(), rel=1e-12)
    np.testing.assert_allclose(trades["net_pnl"], trades["gross_pnl"] - trades["fees"] + trades["funding"])
    assert (trades["fees"] > 0).all()
    assert (trades["entry_time"] <= trades["exit_time"]).all()
    assert (equity["positions"] <= 8).all()
    assert (np.diff(trades["exit_time"]) >= 0).all()
    held = trades["exit_reason"] == ExitReason.STOP
    worse = trades["side"] * (trades["exit_price"] - trades["stop_price"]) <= 0
    assert worse[held].all()


def everything(**options: Any) -> Simulation:
    """Simulate holes (in finer bars too), late listings, funding, slippage and all caps at work."""
    candles, finer = {}, {}
    for k in range(6):
        series = random_candles(k, 700 - 40 * k, start_ms=START_MS + 40 * k * HOUR_MS)
        name = f"S{k}USDT"
        candles[name] = with_holes(series, k)
        finer[name] = with_holes(random_candles(k, 2_800, step_ms=15 * MINUTE_MS), k, share=0.1)
    return run(
        candles,
        options.pop("strategy", EMA_CROSS),
        params={"fast": 5, "slow": 12},
        finer=(Timeframe.M15, finer),
        risk=RiskSettings(max_positions=4, max_drawdown=0.9, max_daily_loss=0.05),
        costs=CostSettings(),
        **options,
    )


def test_compiled_and_plain_give_the_same_bits(compile_cache: Path) -> None:
    plain, compiled = everything(), everything(compile_cache=compile_cache)
    assert len(plain.trades) > 100
    assert {"RISK_MAX_POSITIONS"} <= set(plain.rejections)
    assert plain.trades.tobytes() == compiled.trades.tobytes()
    assert plain.equity.tobytes() == compiled.equity.tobytes()
    assert (plain.rejections, plain.warnings) == (compiled.rejections, compiled.warnings)


def test_a_plain_python_strategy_simply_works_under_a_compile_cache(compile_cache: Path) -> None:
    def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
        EMA_CROSS.step(state, bar, params, signal)

    users_own = everything(strategy=replace(EMA_CROSS, step=step), compile_cache=compile_cache)
    assert users_own.trades.tobytes() == everything(compile_cache=compile_cache).trades.tobytes()


@pytest.mark.parametrize("cut", [60, 200, 399])
def test_the_future_changes_no_decision(cut: int) -> None:
    candles = {f"S{k}USDT": random_candles(k, 400) for k in range(3)}
    options = {"params": {"fast": 3, "slow": 8}, "risk": RiskSettings(), "costs": CostSettings()}
    whole = run(candles, EMA_CROSS, **options)
    part = run({name: series[:cut] for name, series in candles.items()}, EMA_CROSS, **options)
    known = part.trades[part.trades["exit_reason"] != ExitReason.END]
    assert len(known) > 0
    assert known.tobytes() == whole.trades[: len(known)].tobytes()
    assert part.equity[:-1].tobytes() == whole.equity[: cut - 1].tobytes()


def test_a_strategy_sees_higher_bars_first_and_none_before_its_close() -> None:
    seen: list[tuple[int, int]] = []

    def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
        seen.append((bar.timeframe_ms // HOUR_MS, (bar.timestamp + bar.timeframe_ms - START_MS) // HOUR_MS))
        signal.entry = 1 if bar.timeframe_ms == DAY_MS else 0  # ignored: not the deciding timeframe

    follower = Strategy(
        name="follower",
        params=NoParams,
        state=np.dtype([("n", int)]),
        step=step,
        timeframes=(Timeframe.D1, Timeframe.H4),
    )
    result = run(
        {"BTCUSDT": bars([FLAT] * 25)},
        follower,
        higher={
            Timeframe.H4: {"BTCUSDT": bars([FLAT] * 6, step_ms=4 * HOUR_MS)},
            Timeframe.D1: {"BTCUSDT": bars([FLAT], step_ms=DAY_MS)},
        },
    )
    assert seen[:6] == [(1, 1), (1, 2), (1, 3), (4, 4), (1, 4), (1, 5)]
    assert seen[-4:] == [(24, 24), (4, 24), (1, 24), (1, 25)]
    assert result.candles == 32
    (warning,) = result.warnings
    assert warning.startswith("no trades: the strategy gave no entry signal (it starts cold")


def failing_on(opened: float, error: BaseException | None = None) -> Strategy:
    def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
        if bar.open == opened:
            raise error or KeyError("my bug")
        signal.entry = 1

    return Strategy(name="mine", params=NoParams, state=np.dtype([("n", int)]), step=step)


def test_a_strategy_that_raises_on_one_symbol_loses_that_symbol_only() -> None:
    candles = {"AUSDT": bars([FLAT, FLAT]), "BUSDT": bars([(50, 51, 49, 50)] * 2)}
    result = run(candles, failing_on(50.0))
    assert result.trades["symbol"].tolist() == [0]
    assert result.warnings == ("left out, strategy mine failed on BUSDT: KeyError: 'my bug'",)


def test_a_strategy_that_exits_does_not_end_the_run() -> None:
    candles = {"AUSDT": bars([FLAT, FLAT]), "BUSDT": bars([(50, 51, 49, 50)] * 2)}
    result = run(candles, failing_on(50.0, SystemExit(0)))
    assert result.warnings == ("left out, strategy mine failed on BUSDT: SystemExit: 0",)


def test_being_told_to_stop_within_a_step_is_no_failure_of_the_strategy() -> None:
    def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
        raise Interrupted("told to stop")

    with pytest.raises(Interrupted):
        run(flat_market(2), Strategy(name="s", params=NoParams, state=np.dtype([("n", int)]), step=step))


def test_a_strategy_that_raises_on_every_symbol_is_refused() -> None:
    with pytest.raises(Refuse, match=r"strategy mine failed on every symbol; the first: .*AUSDT: KeyError"):
        run({"AUSDT": bars([FLAT])}, failing_on(100.0))


def test_a_strategy_whose_step_is_none_is_refused() -> None:
    with pytest.raises(Refuse, match="strategy broken: step must be callable, found a list"):
        Strategy(name="broken", params=NoParams, state=np.dtype([("n", int)]), step=[])


@pytest.mark.parametrize(
    "signal",
    [
        {"entry": 2},
        {"entry": 257},
        {"entry": 1, "stop_distance": -1.0},
        {"entry": 1, "target_distance": float("nan")},
        {"entry": 1, "stop_distance": float("inf")},
    ],
)
def test_an_impossible_signal_is_a_failure_of_the_strategy(signal: dict[str, Any]) -> None:
    with pytest.raises(Refuse, match=r"impossible signal .* on the bar of 2026-01-05T01:00:00Z"):
        run(flat_market(3), scripted({1: signal}))


@kernel
def divide(state: Any, bar: Any, params: Any, signal: Any) -> None:
    signal.stop_distance = bar.close / (bar.open - 100.0)


def test_a_division_by_zero_fails_the_symbol_compiled_or_not(compile_cache: Path) -> None:
    strategy = Strategy(name="divider", params=NoParams, state=np.dtype([("n", int)]), step=divide)
    candles = {"AUSDT": bars([FLAT]), "BUSDT": bars([(110, 112, 109, 111)])}
    for cache in (None, compile_cache):
        result = run(candles, strategy, compile_cache=cache)
        assert "failed on AUSDT: ZeroDivisionError" in result.warnings[0]
        assert "BUSDT" not in result.warnings[0]


def test_progress_is_told_after_each_symbol() -> None:
    told: list[tuple[str, int, int]] = []
    candles = {name: bars([FLAT]) for name in ("AUSDT", "BUSDT")}
    simulate(
        build_panel(candles, {name: instrument(name) for name in candles}, Timeframe.H1),
        scripted({}),
        {},
        risk=PLAIN_RISK,
        costs=PLAIN_COSTS,
        initial_equity=1.0,
        on_progress=lambda *progress: told.append(progress),
    )
    assert told == [("signals", 1, 2), ("signals", 2, 2)]

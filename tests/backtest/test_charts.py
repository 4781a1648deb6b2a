"""What a report draws: candles and zones that come back, and the benchmark."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

import futures_agent.backtest.charts as charts_module
from futures_agent.backtest.charts import buy_and_hold, charts_of, newest_zones
from futures_agent.backtest.deciding import zone_drawer
from futures_agent.backtest.engine import simulate
from futures_agent.backtest.panel import build_panel
from futures_agent.backtest.run import BacktestRun
from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.compiled import kernel
from futures_agent.errors import Interrupted
from futures_agent.market.timeframe import Timeframe
from futures_agent.strategy.ema_cross import STRATEGY as CROSS
from futures_agent.strategy.strategy import ZONE
from sample_candles import random_walk
from sample_markets import (
    PLAIN_COSTS,
    PLAIN_RISK,
    START_MS,
    bars,
    instrument,
    random_candles,
    real_candles,
    with_holes,
)
from sample_runs import run_of
from sample_zones import DRAWING_CROSS
from unpacking import candles_in, zones_in

PRICES = ["timestamp", "open", "high", "low", "close"]


def made(candles: dict[str, np.ndarray], strategy=DRAWING_CROSS, timeframe=Timeframe.H1) -> BacktestRun:
    panel = build_panel(candles, {symbol: instrument(symbol) for symbol in candles}, timeframe)
    simulation = simulate(panel, strategy, {}, risk=PLAIN_RISK, costs=PLAIN_COSTS, initial_equity=10_000.0)
    return BacktestRun(simulation, panel, strategy, strategy.read_params({}))


@pytest.fixture(scope="module")
def run() -> BacktestRun:
    candles = {f"S{seed}USDT": with_holes(random_candles(seed, 900), seed) for seed in range(3)}
    return made({**candles, "FLATUSDT": bars([(7.0, 7.0, 7.0, 7.0)] * 30)})


def test_candles_come_back_exactly_holes_included(run):
    charts = charts_of(run)

    assert (charts.timeframe, charts.timeframe_ms) == ("H1", HOUR_MS)
    assert [chart.symbol for chart in charts.symbols] == list(run.panel.symbols)
    for index, chart in enumerate(charts.symbols):
        stored = run.panel.candles.of(index)
        assert np.array_equal(candles_in(chart, HOUR_MS)[PRICES], stored[PRICES])


def test_volumes_come_back_within_two_percent():
    candles = random_walk(3_000)
    candles["volume"][[5, 6, 900]] = 0
    (chart,) = charts_of(made({"AUSDT": candles}, CROSS)).symbols
    found = candles_in(chart, HOUR_MS)["volume"]

    assert np.allclose(found, candles["volume"], rtol=0.02, atol=0)
    assert found[[5, 6, 900]].tolist() == [0, 0, 0]


def test_recorded_candles_come_back_exactly():
    candles = dict(list(real_candles("klines_1h.parquet", 1_500).items())[:5])
    charts = charts_of(made(candles, CROSS))

    for chart in charts.symbols:
        assert np.array_equal(candles_in(chart, HOUR_MS)[PRICES], candles[chart.symbol][PRICES])
    assert sum(len(chart.candles) for chart in charts.symbols) < 7 * sum(map(len, candles.values()))


@pytest.mark.parametrize(("scale", "decimals"), [(1, 2), (1_000, 0), (1e-6, 8)])
def test_prices_have_as_many_decimals_as_they_need(scale, decimals):
    candles = random_candles(4, 50)
    for name in PRICES[1:]:
        candles[name] = np.round(np.round(candles[name], 2) * scale, 10)
    (chart,) = charts_of(made({"AUSDT": candles}, CROSS)).symbols

    assert chart.decimals == decimals
    assert np.array_equal(candles_in(chart, HOUR_MS)[PRICES], candles[PRICES])


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e11])
def test_prices_that_are_no_decimal_numbers_keep_eight_digits(scale):
    candles = random_walk(200)
    for name in PRICES[1:]:
        candles[name] *= scale
    (chart,) = charts_of(made({"AUSDT": candles}, CROSS)).symbols
    found = candles_in(chart, HOUR_MS)

    for name in PRICES[1:]:
        assert np.allclose(found[name], candles[name], rtol=1e-8, atol=0)


def test_too_many_candles_are_joined_to_coarser_ones(run, monkeypatch):
    monkeypatch.setattr(charts_module, "MAX_CANDLES", len(run.panel.candles.records) - 1)
    charts = charts_of(run)
    stored = run.panel.candles.of(0)
    found = candles_in(charts.symbols[0], 4 * HOUR_MS)

    assert charts.timeframe == "H4"
    for candle in found:
        opened = candle["timestamp"]
        parts = stored[(stored["timestamp"] >= opened) & (stored["timestamp"] < opened + 4 * HOUR_MS)]
        expected = (parts["open"][0], parts["high"].max(), parts["low"].min(), parts["close"][-1])
        assert tuple(candle[PRICES[1:]]) == expected
    assert len(found) == len(np.unique(stored["timestamp"] // (4 * HOUR_MS)))
    assert set(zones_in(charts.symbols[0], 4 * HOUR_MS)["timeframe_ms"].tolist()) == {HOUR_MS}
    assert np.isclose(found["volume"].sum(), stored["volume"].sum(), rtol=0.02)


def test_nothing_is_coarser_than_days(run, monkeypatch):
    monkeypatch.setattr(charts_module, "MAX_CANDLES", 1)
    assert charts_of(run).timeframe == "D1"


def test_symbols_can_be_all_the_traded_ones_or_none(run):
    traded = {run.simulation.symbols[index] for index in run.simulation.trades["symbol"]}

    assert {chart.symbol for chart in charts_of(run, "traded").symbols} == traded
    assert traded == set(run.panel.symbols) - {"FLATUSDT"}
    assert charts_of(run, "none").symbols == ()


def test_zones_come_back_exactly(run):
    charts = charts_of(run)
    draw = zone_drawer(run.panel, run.strategy, run.params, None)

    assert charts.zone_kinds == ("gap", "tenth high")
    for index, chart in enumerate(charts.symbols):
        drawn = draw(index)
        drawn = drawn[np.argsort(drawn["start"], kind="stable")]
        assert np.array_equal(zones_in(chart, HOUR_MS), drawn)
        assert chart.zones_left_out == 0
    assert charts.symbols[0].zone_count > 60


def test_the_newest_zones_of_each_kind_are_kept(run, monkeypatch):
    monkeypatch.setattr(charts_module, "MAX_ZONES", 100)
    everything = zone_drawer(run.panel, run.strategy, run.params, None)(0)
    chart = charts_of(run).symbols[0]
    kept = zones_in(chart, HOUR_MS)

    assert len(kept) == 100
    assert chart.zones_left_out == len(everything) - 100
    for kind in (0, 1):
        newest = np.sort(everything["start"][everything["kind"] == kind])
        found = kept["start"][kept["kind"] == kind]
        assert np.array_equal(found, newest[-len(found) :])
        assert len(found) >= min(50, len(newest))


def test_a_rare_kind_of_zone_leaves_its_room_to_the_others():
    zones = np.zeros(300, ZONE)
    zones["start"], zones["kind"] = np.arange(300), np.where(np.arange(300) < 5, 1, 0)
    kept = newest_zones(zones, 100)

    assert np.count_nonzero(kept["kind"] == 1) == 5
    assert kept["start"][kept["kind"] == 0].tolist() == list(range(205, 300))


def test_a_strategy_that_fails_on_a_symbol_draws_nothing_there(run):
    @kernel
    def failing(state, bar, params, zones, drawn):
        if bar.close == 7.0:
            raise ArithmeticError("seven")
        return DRAWING_CROSS.draw(state, bar, params, zones, drawn)

    broken = msgspec.structs.replace(run.strategy, draw=failing)
    charts = charts_of(BacktestRun(run.simulation, run.panel, broken, run.params))

    assert charts.symbols[-1].zone_count == 0
    assert charts.symbols[-1].zones_failed == "ArithmeticError: seven"
    assert charts.symbols[-1].count == 30
    assert charts.symbols[0].zone_count > 0
    assert charts.symbols[0].zones_failed == ""


@pytest.mark.parametrize(("field", "value"), [("top", np.nan), ("kind", 2), ("kind", -1), ("bottom", np.inf)])
def test_zones_that_cannot_be_drawn_are_named(run, field, value):
    @kernel
    def odd(state, bar, params, zones, drawn):
        setattr(zones[0], field, value)
        return 1

    broken = msgspec.structs.replace(run.strategy, draw=odd)
    charts = charts_of(BacktestRun(run.simulation, run.panel, broken, run.params), "traded")

    assert charts.symbols[0].zone_count == 0
    assert charts.symbols[0].zones_failed.startswith("ValueError: impossible zone (")


def test_what_ends_the_run_ends_the_report_too(run):
    @kernel
    def stopped(state, bar, params, zones, drawn):
        raise Interrupted("SIGTERM")

    broken = msgspec.structs.replace(run.strategy, draw=stopped)
    with pytest.raises(Interrupted):
        charts_of(BacktestRun(run.simulation, run.panel, broken, run.params))


def test_the_benchmark_holds_equal_shares_of_every_symbol():
    early = bars([(10, 10, 10, 12), (12, 15, 9, 9)], step_ms=DAY_MS)
    late = bars([(50, 60, 50, 55)], step_ms=DAY_MS, start_ms=START_MS + DAY_MS)
    panel = build_panel({"A": early, "B": late}, {"A": instrument("A"), "B": instrument("B")}, Timeframe.D1)
    simulation = run_of([100.0, 100.0, 100.0], initial_equity=100.0, symbols=("A", "B"))
    simulation.equity["timestamp"] = START_MS + DAY_MS * np.arange(1, 4)
    found = buy_and_hold(panel.candles, simulation, Timeframe.D1)

    # B's half is cash on the first day; both stay at their last close on the third.
    assert found.tolist() == pytest.approx([50 * 1.2 + 50, 50 * 0.9 + 50 * 1.1, 50 * 0.9 + 50 * 1.1])


def test_the_benchmark_has_one_value_per_point_of_the_curve(run):
    charts = charts_of(run)
    first = [run.panel.candles.of(index)["open"][0] for index in range(4)]
    last = [run.panel.candles.of(index)["close"][-1] for index in range(4)]

    assert np.array_equal(charts.times, run.simulation.equity["timestamp"])
    assert len(charts.benchmark) == len(charts.times)
    growth = np.mean([after / before for before, after in zip(first, last, strict=True)])
    assert charts.benchmark[-1] == pytest.approx(10_000 * growth)

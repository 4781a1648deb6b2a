"""The live trader decides as the backtest does: the same bits of signals, quantities and reasons."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from futures_agent.backtest.deciding import decide
from futures_agent.backtest.panel import Panel, build_panel, end_to_end
from futures_agent.clock import HOUR_MS
from futures_agent.errors import Refuse
from futures_agent.live.account import Account, Holding, RiskMemory
from futures_agent.live.deciding import Decided, Decider
from futures_agent.live.ids import trade_id_of
from futures_agent.live.tracker import Arrival, Close, Missing, Rules, Tracker
from futures_agent.market.timeframe import Timeframe
from futures_agent.policy.policy import Policy
from futures_agent.program.decision_log import HoldingLine
from futures_agent.risk.correlation import Closes, correlation
from futures_agent.risk.rejection import Rejection
from futures_agent.risk.state import RISK_STATE
from futures_agent.settings.tree import RiskSettings
from futures_agent.strategy.strategy import SIGNAL, Strategy
from live_replay import decider_of, replay, watch
from market_panels import generated_panel
from sample_markets import START_MS, NoParams, bars, instrument, random_candles, scripted, with_holes
from shipped import CONFIGURATIONS

# So tight that every kind of refusal comes up, and entries of one close compete for what room there is.
TIGHT = RiskSettings(
    max_positions=3, max_leverage=1.2, max_net_leverage=0.9, max_correlated=1, correlation_limit=0.2,
    correlation_bars=60, max_daily_loss=0.01, max_drawdown=0.06,
)  # fmt: skip
FLAT = Account(wallet=10_000.0, holdings={})


@pytest.fixture(scope="module")
def panel() -> Panel:
    return generated_panel(symbols=6, days=90)


@pytest.mark.parametrize(
    ("name", "risk"),
    [
        ("ema_cross", RiskSettings()),
        ("ema_cross, fast, without target", TIGHT),
        ("smc, eager", RiskSettings()),
        ("smc, eager", TIGHT),
        ("smc, with inputs", RiskSettings()),
    ],
)
def test_signals_verdicts_exits_and_the_account_are_the_backtests(
    name: str, risk: RiskSettings, panel: Panel, tmp_path: Path
) -> None:
    strategy, params = CONFIGURATIONS[name]
    signals, _ = decide(panel, strategy, strategy.read_params(params), None)
    seen = watch(panel, strategy, params, risk)
    decider = decider_of(panel, strategy, params, tmp_path, risk=risk)
    decider.risk.begin(10_000.0, int(panel.timeline[0]))
    ends = {
        symbol: int(panel.candles.of(index)["timestamp"][-1]) + panel.timeframe.ms
        for index, symbol in enumerate(panel.symbols)
    }  # the backtest's last signals meet no next bar
    expected, wrong, accepted = _by_symbol_and_close(panel, signals), [], 0
    for close_ms, made in replay(decider, panel, seen):
        assert tuple(getattr(decider.risk.state, each) for each in RISK_STATE.names) == seen.risk[close_ms]
        for line in made.decisions:
            said = (
                line.entry, line.exit_long, line.exit_short, line.stop_distance, line.target_distance,
                line.reasons,
            )  # fmt: skip
            signal = expected.pop((line.symbol, line.bar_close_ms))
            if said != (*(signal[each].item() for each in SIGNAL.names[:5]), _names(strategy, signal)):
                wrong.append(line)
        assert [each.symbol for each in made.exits] == sorted(seen.exits.get(close_ms, []))
        verdicts = [
            (line.symbol, line.rejection, float(line.quantity or 0.0))
            for line in made.decisions
            if line.rejection is not None and close_ms < ends[line.symbol]
        ]
        told = seen.verdicts.get(close_ms, [])
        for lapsed in (True, False):  # in the backtest an entry lapses when the hole is over
            assert [each for each in verdicts if (each[1] == "ENTRY_LAPSED") is lapsed] == [
                each for each in told if (each[1] == "ENTRY_LAPSED") is lapsed
            ]
        wanted = [each for each in made.entries if close_ms < ends[each.symbol]]
        assert [(each.symbol, each.quantity) for each in wanted] == [
            (symbol, Decimal(repr(quantity))) for symbol, why, quantity in verdicts if why == "ACCEPTED"
        ]
        accepted += len(wanted)
    assert not wrong
    assert not expected
    assert accepted == sum(why == "ACCEPTED" for each in seen.verdicts.values() for _, why, _ in each)
    assert accepted >= 5


def _by_symbol_and_close(panel: Panel, signals: np.ndarray) -> dict[tuple[str, int], np.void]:
    found = {}
    for index, symbol in enumerate(panel.symbols):
        first, last = panel.candles.offsets[index : index + 2]
        for row in range(first, last):
            close = int(panel.candles.records["timestamp"][row]) + panel.timeframe.ms
            found[symbol, close] = signals[row]
    return found


def _names(strategy: Any, signal: np.void) -> tuple[str, ...]:
    return strategy.reasons_of(int(signal["reasons"]))


# A script on two symbols, hour by hour.

SYMBOLS = ("BTCUSDT", "ETHUSDT")
H1 = Timeframe.H1
ENTER = {"entry": 1, "stop_distance": 5.0, "target_distance": 8.0}


def flat_hours(count: int) -> np.ndarray:
    return bars([(100.0, 101.0, 99.0, 100.0)] * count)


def close_of(hour: int) -> int:
    """Return when the bar of `hour` closes."""
    return START_MS + (hour + 1) * HOUR_MS


def decider_for(directory: Path, strategy: Strategy, **changes: Any) -> Decider:
    instruments = {symbol: instrument(symbol) for symbol in SYMBOLS}
    chosen: dict[str, Any] = {
        "risk": RiskSettings(),
        "memory": RiskMemory(directory / "risk.json"),
        "anchor_ms": START_MS,
        "mode": "paper",
        "decide_within_ms": 120_000,
    }
    decider = Decider(strategy, {}, H1, instruments, **{**chosen, **changes})
    decider.trackers = {symbol: decider.track(symbol) for symbol in SYMBOLS}
    return decider


def feed(decider: Decider, hours: np.ndarray, symbols: tuple[str, ...] = SYMBOLS) -> None:
    for symbol in symbols:
        for candle in hours:
            assert decider.on_candle(symbol, H1, candle) is Arrival.TAKEN


def said(made: Decided) -> list[tuple[str, int, str | None]]:
    """Return symbol, hour of the bar and verdict of every decision."""
    return [
        (line.symbol, (line.bar_close_ms - START_MS) // HOUR_MS - 1, line.rejection)
        for line in made.decisions
    ]


def test_an_entry_carries_all_that_an_order_needs(tmp_path: Path) -> None:
    decider = decider_for(tmp_path, scripted({0: {**ENTER, "reasons": 0}}))
    feed(decider, flat_hours(1))
    made = decider.decide(close_of(0), FLAT, close_of(0) + 900)
    first = made.entries[0]
    assert [each.symbol for each in made.entries] == list(SYMBOLS)
    assert (first.quantity, first.side, first.stop_distance, first.target_distance) == (
        Decimal("20.0"),  # 1 % of 10,000 lost over 5
        1,
        5.0,
        8.0,
    )
    assert (first.decided_ms, first.at_ms) == (close_of(0), close_of(0) + 900)
    assert first.trade_id == trade_id_of("BTCUSDT", close_of(0))
    assert decider.rejections == {}
    assert not decider.decide(close_of(0), FLAT, close_of(0) + 1_000).decisions  # it was decided


def test_candles_may_come_twice_and_in_any_order(tmp_path: Path) -> None:
    decider = decider_for(tmp_path, scripted({2: ENTER}))
    hours = flat_hours(4)
    feed(decider, hours[:1])
    decider.decide(close_of(0), FLAT, close_of(0))
    assert decider.on_candle("BTCUSDT", H1, hours[0]) is Arrival.DUPLICATE
    assert decider.on_candle("BTCUSDT", H1, hours[2]) is Arrival.AHEAD
    assert decider.on_candle("BTCUSDT", H1, hours[2]) is Arrival.DUPLICATE
    assert decider.on_candle("BTCUSDT", Timeframe.M15, hours[0]) is Arrival.UNKNOWN
    assert decider.on_candle("XRPUSDT", H1, hours[0]) is Arrival.UNKNOWN
    assert decider.missing(close_of(2)) == [
        Missing("BTCUSDT", H1, close_of(0), close_of(0)),
        Missing("ETHUSDT", H1, close_of(0), close_of(1)),
    ]
    assert decider.on_candle("BTCUSDT", H1, hours[1]) is Arrival.TAKEN
    made = decider.decide(close_of(2), FLAT, close_of(2))
    assert said(made) == [("BTCUSDT", 1, None), ("BTCUSDT", 2, "ACCEPTED")]
    assert made.close.missing == ("ETHUSDT",)
    for hour in (2, 1):
        decider.on_candle("ETHUSDT", H1, hours[hour])
    held = Account(
        wallet=10_000.0,
        holdings={"BTCUSDT": Holding(side=1, quantity=20.0, entry_price=100.0, decided_ms=close_of(2))},
    )
    later = decider.decide(close_of(2), held, close_of(2) + 60_000)
    assert [each.symbol for each in later.entries] == ["ETHUSDT"]
    assert len(later.close.holdings) == 1


def test_a_late_close_lets_positions_go_and_opens_none(tmp_path: Path) -> None:
    decider = decider_for(tmp_path, scripted({0: {**ENTER, "entry": -1}}))
    feed(decider, flat_hours(1))
    held = Holding(side=1, quantity=1.0, entry_price=100.0, decided_ms=START_MS)
    account = Account(wallet=10_000.0, holdings={"ETHUSDT": held})
    made = decider.decide(close_of(0), account, close_of(0) + 120_001)
    assert [(each.symbol, each.why) for each in made.exits] == [("ETHUSDT", "SIGNAL")]
    assert made.entries == ()
    assert decider.rejections == {"CLOSE_LATE": 2}
    assert [line.leaves for line in made.decisions] == [False, True]


def test_what_was_missed_is_too_late_and_before_a_hole_lapses(tmp_path: Path) -> None:
    decider = decider_for(tmp_path, scripted(dict.fromkeys(range(9), ENTER)))
    hours = flat_hours(6)
    feed(decider, hours[:1])
    refused = lambda symbol: Rejection.UNSETTLED  # noqa: E731
    assert said(decider.decide(close_of(0), FLAT, close_of(0), refused))[0] == ("BTCUSDT", 0, "UNSETTLED")
    for symbol in SYMBOLS:
        for hour in (1, 2, 4, 5):
            decider.on_candle(symbol, H1, hours[hour])
    decider.have_none(Missing("BTCUSDT", H1, int(hours[3]["timestamp"]), int(hours[3]["timestamp"])))
    made = decider.decide(close_of(5), FLAT, close_of(5))
    assert said(made) == [
        ("BTCUSDT", 1, "CLOSE_LATE"),
        ("BTCUSDT", 2, "ENTRY_LAPSED"),
        ("BTCUSDT", 4, "CLOSE_LATE"),
        ("BTCUSDT", 5, "ACCEPTED"),
    ]
    assert made.close.missing == ("ETHUSDT",)


def test_an_exit_that_was_missed_is_made_up_for_but_not_one_from_before_the_entry(tmp_path: Path) -> None:
    decider = decider_for(tmp_path, scripted({1: {"exit_long": True}}))
    decider.warm(decider.trackers["BTCUSDT"], {H1: flat_hours(3)})
    decider.warm(decider.trackers["ETHUSDT"], {H1: flat_hours(3)})
    feed(decider, flat_hours(4)[3:])
    before, after = (
        Holding(side=1, quantity=1.0, entry_price=100.0, decided_ms=close_of(hour)) for hour in (0, 1)
    )
    account = Account(wallet=10_000.0, holdings={"BTCUSDT": before, "ETHUSDT": after})
    made = decider.decide(close_of(3), account, close_of(3))
    assert [each.symbol for each in made.exits] == ["BTCUSDT"]


def test_a_strategy_that_fails_on_a_symbol_gives_it_up_alone(tmp_path: Path) -> None:
    def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
        state.seen += 1
        if bar.close > 150:
            raise ZeroDivisionError("no\nrange")
        signal.entry, signal.stop_distance = 1, 5.0

    strategy = Strategy(name="brittle", params=NoParams, state=np.dtype([("seen", np.int64)]), step=step)
    decider = decider_for(tmp_path, strategy)
    high = bars([(200.0, 201.0, 199.0, 200.0)] * 2)
    for hour in range(2):
        feed(decider, high[hour : hour + 1], ("BTCUSDT",))
        feed(decider, flat_hours(2)[hour : hour + 1], ("ETHUSDT",))
        made = decider.decide(close_of(hour), FLAT, close_of(hour))
        assert [each.symbol for each in made.entries] == ["ETHUSDT"]
        assert made.close.excluded == {"BTCUSDT": "ZeroDivisionError: no range"}
        assert len(made.failures) == (hour == 0)
    assert decider.trackers["BTCUSDT"].closes[-1].close == 200.0  # a position there is still marked


@pytest.mark.parametrize("distance", [-1.0, float("nan"), float("inf")])
def test_an_impossible_signal_gives_the_symbol_up(distance: float, tmp_path: Path) -> None:
    decider = decider_for(tmp_path, scripted({0: {"entry": 1, "stop_distance": distance}}))
    feed(decider, flat_hours(1))
    made = decider.decide(close_of(0), FLAT, close_of(0))
    assert made.entries == made.decisions == ()
    assert "impossible signal" in made.failures[0]


def test_positions_of_other_symbols_count(tmp_path: Path) -> None:
    decider = decider_for(tmp_path, scripted({0: ENTER}), risk=RiskSettings(max_positions=2))
    feed(decider, flat_hours(1))
    other = Holding(side=-1, quantity=10.0, entry_price=50.0, decided_ms=0, mark_price=40.0)
    account = Account(wallet=10_000.0, holdings={"XRPUSDT": other})
    made = decider.decide(close_of(0), account, close_of(0))
    assert said(made) == [("BTCUSDT", 0, "ACCEPTED"), ("ETHUSDT", 0, "RISK_MAX_POSITIONS")]
    assert decider.risk.state.equity == 10_100.0
    assert made.close.holdings == (HoldingLine("XRPUSDT", -1, 10.0, 40.0),)


def test_limits_can_change_while_it_runs(tmp_path: Path) -> None:
    decider = decider_for(tmp_path, scripted(dict.fromkeys(range(2), ENTER)))
    feed(decider, flat_hours(1))
    assert len(decider.decide(close_of(0), FLAT, close_of(0)).entries) == 2
    decider.set_limits(RiskSettings(max_positions=1, correlation_bars=500))
    feed(decider, flat_hours(2)[1:])
    made = decider.decide(close_of(1), FLAT, close_of(1))
    assert said(made) == [("BTCUSDT", 1, "ACCEPTED"), ("ETHUSDT", 1, "RISK_MAX_POSITIONS")]
    assert made.close.limits["correlation_bars"] == 168


def test_a_policy_judges_as_in_the_backtest(tmp_path: Path) -> None:
    def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
        state.change = bar.close - state.previous
        state.previous = bar.close
        signal.entry, signal.stop_distance = 1 if state.change > 0 else -1, 5.0

    def observe(state: Any, bar: Any, params: Any, observation: Any) -> None:
        observation[0] = abs(state.change)

    strategy = Strategy(
        name="eager",
        params=NoParams,
        state=np.dtype([("previous", np.float64), ("change", np.float64)]),
        step=step,
        observation=("change",),
        observe=observe,
    )
    policy = Policy(
        name="bold",
        digest="d1",
        observation=("change",),
        weights=np.array([0.3]),
        accepts=lambda w, o: o[0] > w[0],
    )
    candles = {symbol: random_candles(seed, 60) for seed, symbol in enumerate(SYMBOLS)}
    panel = build_panel(candles, {symbol: instrument(symbol) for symbol in SYMBOLS}, H1)
    signals, _ = decide(panel, strategy, strategy.read_params({}), None, policy=policy)
    decider = decider_for(tmp_path, strategy, policy=policy)
    declined = []
    for hour in range(60):
        for symbol in SYMBOLS:
            decider.on_candle(symbol, H1, candles[symbol][hour])
        made = decider.decide(close_of(hour), FLAT, close_of(hour))
        assert made.close.model == "d1"
        for line in made.decisions:
            assert line.observation is not None
            assert (line.rejection == "POLICY_DECLINED") is line.declined
            declined.append(line.declined)
    expected = signals["declined"].reshape(2, 60).T.ravel().tolist()
    assert declined == expected
    assert 10 < sum(declined) < 110


def test_the_window_of_closes_correlates_as_all_of_them() -> None:
    bars_compared = 30
    rules = Rules(scripted({}), None, H1, None, bars_compared)
    series = [with_holes(random_candles(seed, 400), seed, 0.1) for seed in range(4)]
    trackers = [Tracker(str(seed), rules) for seed in range(4)]
    for tracker, candles in zip(trackers, series, strict=True):
        for first in range(0, len(candles), 7):
            tracker.see({H1: candles[first : first + 7]}, {})
        assert len(tracker.closes) <= bars_compared + 2
    whole = end_to_end([each[["timestamp", "close"]].copy() for each in series])
    everything = Closes(
        [Close(*row) for row in whole.records.tolist()], whole.offsets[:-1], whole.offsets[1:], HOUR_MS
    )
    rows, first, end = [], [], []
    for tracker in trackers:
        first.append(len(rows))
        rows += tracker.closes
        end.append(len(rows))
    window = Closes(rows, first, end, HOUR_MS)
    told = [
        (correlation(window, a, b, bars_compared), correlation(everything, a, b, bars_compared))
        for a in range(4)
        for b in range(4)
    ]
    assert all(one == other for one, other in told)
    assert any(known for (_, known), _ in told)


def test_a_timeframe_above_the_strategys_is_refused(tmp_path: Path) -> None:
    strategy = replace(scripted({}), timeframes=(Timeframe.H4,))
    with pytest.raises(Refuse, match="must be below all that scripted follows"):
        Decider(
            strategy, {}, Timeframe.D1, {}, risk=RiskSettings(), memory=RiskMemory(tmp_path / "r"),
            anchor_ms=0, mode="paper", decide_within_ms=1,
        )  # fmt: skip

"""Whole results against the outside checker, which must find nothing; and what it finds when they are
tampered with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from futures_agent.backtest.engine import simulate
from futures_agent.backtest.panel import Panel, build_panel
from futures_agent.backtest.records import ExitReason
from futures_agent.compiled import kernel
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import CostSettings, RiskSettings
from futures_agent.strategy.ema_cross import STRATEGY as EMA_CROSS
from futures_agent.strategy.smc import STRATEGY as SMC
from futures_agent.strategy.strategy import Strategy
from independent.account_check import differences
from independent.told import world_of
from independent.world import Trade, World
from market_panels import generated_panel, recorded_panel
from sample_markets import NoParams, instrument, random_candles, with_holes
from tick_markets import tick_markets

COSTS = CostSettings()
# Nothing is stopped for good, and several rules bind.
BUSY = RiskSettings(max_drawdown=1.0, max_daily_loss=0.05, max_positions=20, correlation_limit=0.6)
# Every order goes, and a third of the entries is liquidated rather than stopped.
RECKLESS = RiskSettings(
    fixed_notional=1_000.0,
    max_leverage=20.0,
    max_net_leverage=20.0,
    max_position_leverage=20.0,
    max_correlated=100,
    max_daily_loss=1.0,
    max_drawdown=1.0,
    liquidation_buffer=0.0,
)

DICE_STATE = np.dtype([("rolled", np.int64)])


@kernel
def dice_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """Enter and leave at random, with stops and targets from very near to out of reach."""
    state.rolled = (state.rolled * 1_103_515_245 + 12_345 + int(bar.close * 100)) % 2_147_483_648
    rolled = state.rolled // 1_024
    signal.exit_long = rolled % 197 == 0
    signal.exit_short = rolled % 199 == 0
    if rolled % 23 == 0:
        signal.entry = 1 if rolled // 23 % 2 else -1
        signal.stop_distance = bar.close * (0.002 + rolled // 46 % 50 * 0.001)
        signal.target_distance = bar.close * (0.002 + rolled // 2_300 % 50 * 0.001)


DICE = Strategy(name="dice", params=NoParams, state=DICE_STATE, step=dice_step)


def eventful_panel() -> Panel:
    """Return symbols with holes, one that ends early, one listed late, one funded every four hours."""
    frames = tick_markets(4, 40)
    candles = {
        symbol: with_holes(series, place, share=0.01)
        for place, (symbol, series) in enumerate(frames[Timeframe.H1].items())
    }
    candles["S1USDT"], candles["S2USDT"] = candles["S1USDT"][:-250], candles["S2USDT"][150:]
    finer = {
        symbol: with_holes(series, place, share=0.02)
        for place, (symbol, series) in enumerate(frames[Timeframe.M15].items())
    }
    funding = {}
    for hours, symbol in ((8, "S0USDT"), (4, "S1USDT")):
        times = candles[symbol]["timestamp"]
        instants = np.arange(times[0] // 86_400_000 * 86_400_000, times[-1], hours * 3_600_000)
        rates = np.zeros(len(instants), [("timestamp", np.int64), ("rate", np.float64)])
        rates["timestamp"], rates["rate"] = instants, np.linspace(-0.003, 0.004, len(instants))
        funding[symbol] = np.delete(rates, slice(20, 26))
    return build_panel(
        candles,
        {symbol: instrument(symbol, step_size=0.01) for symbol in candles},
        Timeframe.H1,
        finer=(Timeframe.M15, finer),
        funding=funding,
    )


def world(panel: Panel, strategy: Strategy, risk: RiskSettings, cache: Path | None) -> World:
    found = simulate(
        panel, strategy, {}, risk=risk, costs=COSTS, initial_equity=10_000.0, compile_cache=cache
    )
    return world_of(panel, found, risk, COSTS)


@pytest.fixture(scope="module")
def eventful(compile_cache: Path) -> World:
    """Return a result in which positions end in every way there is."""
    return world(eventful_panel(), DICE, RECKLESS, compile_cache)


def test_every_way_out_is_recomputed(eventful: World) -> None:
    ways = [trade.exit_reason for trade in eventful.trades]
    assert set(ways) == {each.name for each in ExitReason}
    assert min(ways.count(each) for each in ("SIGNAL", "STOP", "TARGET", "LIQUIDATION")) > 10
    assert differences(eventful) == []


def test_without_finer_bars_the_worse_outcome_is_recomputed(compile_cache: Path) -> None:
    panel = replace(eventful_panel(), finer_timeframe=None)
    panel = replace(
        panel, finer=replace(panel.finer, records=panel.finer.records[:0], offsets=np.zeros(5, int))
    )
    assert differences(world(panel, DICE, RECKLESS, compile_cache)) == []


@pytest.mark.parametrize("risk", [RiskSettings(), BUSY], ids=["default", "busy"])
@pytest.mark.parametrize("strategy", [EMA_CROSS, SMC, DICE], ids=lambda each: each.name)
def test_generated_markets(strategy: Strategy, risk: RiskSettings, compile_cache: Path) -> None:
    panel = generated_panel(5, 80)
    if strategy is DICE:
        panel = replace(panel, higher={})
    found = world(panel, strategy, risk, compile_cache)
    assert len(found.trades) > 10
    assert differences(found) == []


@pytest.mark.parametrize("risk", [RiskSettings(), BUSY], ids=["default", "busy"])
@pytest.mark.parametrize("strategy", [EMA_CROSS, SMC], ids=lambda each: each.name)
def test_recorded_markets(strategy: Strategy, risk: RiskSettings, compile_cache: Path) -> None:
    found = world(recorded_panel(12, 3_000), strategy, risk, compile_cache)
    assert len(found.trades) > 20
    assert differences(found) == []


def test_plain_python_gives_the_same_trades(eventful: World) -> None:
    assert world(eventful_panel(), DICE, RECKLESS, None).trades == eventful.trades


@given(
    seed=st.integers(0, 10_000),
    limits=st.fixed_dictionaries(
        {
            "fixed_notional": st.sampled_from([0.0, 3_000.0]),
            "max_leverage": st.sampled_from([0.5, 3.0, 20.0]),
            "max_net_leverage": st.sampled_from([0.3, 20.0]),
            "max_position_leverage": st.sampled_from([0.2, 20.0]),
            "max_positions": st.integers(1, 4),
            "max_correlated": st.integers(0, 2),
            "max_daily_loss": st.sampled_from([0.01, 1.0]),
            "max_drawdown": st.sampled_from([0.05, 1.0]),
            "liquidation_buffer": st.sampled_from([0.0, 0.3]),
        }
    ),
)
@settings(max_examples=40, deadline=None)
def test_any_account_adds_up_and_keeps_its_limits(seed: int, limits: dict[str, Any]) -> None:
    candles = {
        f"S{place}USDT": with_holes(random_candles(seed + place, 150), seed + place) for place in range(4)
    }
    candles["S3USDT"] = candles["S3USDT"][:-30]
    panel = build_panel(candles, {symbol: instrument(symbol) for symbol in candles}, Timeframe.H1)
    risk = RiskSettings(correlation_bars=24, correlation_limit=0.1, **limits)
    assert differences(world(panel, DICE, risk, None)) == []


Tamper = Callable[[Trade], Trade]
BAR = 3_600_000


def scaled(name: str, factor: float) -> Tamper:
    return lambda trade: trade._replace(**{name: getattr(trade, name) * factor})


def shifted(name: str, by: float) -> Tamper:
    return lambda trade: trade._replace(**{name: getattr(trade, name) + by})


TAMPERED: dict[str, tuple[str, Tamper]] = {
    "entry price": ("SIGNAL", scaled("entry_price", 1 + 1e-6)),
    "exit price": ("STOP", scaled("exit_price", 1 - 1e-6)),
    "target price improved": ("TARGET", shifted("exit_price", 0.01)),
    "liquidation price": ("LIQUIDATION", scaled("exit_price", 0.999)),
    "quantity": ("STOP", shifted("quantity", 0.01)),
    "quantity off the step": ("STOP", shifted("quantity", 0.001)),
    "side": ("SIGNAL", lambda trade: trade._replace(side={"long": "short", "short": "long"}[trade.side])),
    "gross": ("TARGET", shifted("gross_pnl", 0.01)),
    "fees": ("TARGET", scaled("fees", 0.99)),
    "liquidation fee": ("LIQUIDATION", scaled("liquidation_fee", 0.5)),
    "funding": ("SIGNAL", shifted("funding", 0.01)),
    "net": ("STOP", shifted("net_pnl", 0.01)),
    "slippage": ("STOP", scaled("slippage", 1.01)),
    "entered a bar early": ("SIGNAL", shifted("entry_time", -BAR)),
    "entered between bars": ("SIGNAL", shifted("entry_time", 1)),
    "left a bar late": ("STOP", shifted("exit_time", BAR)),
    "left a bar early": ("TARGET", shifted("exit_time", -BAR)),
    "a stop called a signal": ("STOP", lambda trade: trade._replace(exit_reason="SIGNAL")),
    "a stop called a target": ("STOP", lambda trade: trade._replace(exit_reason="TARGET")),
    "a liquidation called a stop": ("LIQUIDATION", lambda trade: trade._replace(exit_reason="STOP")),
    "an end called a delisting": ("END", lambda trade: trade._replace(exit_reason="DATA_ENDED")),
    "a stop that would have been hit before": (
        "SIGNAL",
        lambda trade: trade._replace(stop_price=round(trade.entry_price - trade.sign * 0.01, 2)),
    ),
    "a target that would have been hit before": (
        "SIGNAL",
        lambda trade: trade._replace(target_price=round(trade.entry_price + trade.sign * 0.01, 2)),
    ),
    "a stop off the tick": ("SIGNAL", shifted("stop_price", 0.001)),
}


@pytest.mark.parametrize(("reason", "tamper"), TAMPERED.values(), ids=TAMPERED)
def test_a_tampered_trade_is_found(eventful: World, reason: str, tamper: Tamper) -> None:
    long_enough = [
        trade
        for trade in eventful.trades
        if trade.exit_reason == reason and trade.exit_time - trade.entry_time > 3 * BAR and trade.funding
    ]
    chosen = (long_enough or [trade for trade in eventful.trades if trade.exit_reason == reason])[0]
    trades = [tamper(trade) if trade is chosen else trade for trade in eventful.trades]
    assert trades != eventful.trades
    assert differences(eventful._replace(trades=trades)) != []


def test_a_trade_left_out_or_made_up_is_found(eventful: World) -> None:
    trades = eventful.trades
    assert differences(eventful._replace(trades=trades[:40] + trades[41:]))
    assert differences(eventful._replace(trades=[*trades[:41], *trades[40:]]))
    assert differences(eventful._replace(trades=trades[::-1]))


@pytest.mark.parametrize(("name", "by"), [("equity", 1e-3), ("notional", 1.0), ("positions", 1), ("time", 1)])
def test_a_tampered_curve_is_found(eventful: World, name: str, by: float) -> None:
    curve = list(eventful.equity)
    curve[300] = curve[300]._replace(**{name: getattr(curve[300], name) + by})
    assert differences(eventful._replace(equity=curve)) != []


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("max_positions", 2, "position 3 of 2"),
        ("max_leverage", 0.15, "should be"),
        ("max_net_leverage", 0.12, "should be"),
        ("max_position_leverage", 0.05, "should be"),
        ("max_drawdown", 0.01, "opened after the kill switch"),
        ("max_daily_loss", 0.001, "opened after the day's loss limit"),
        ("max_correlated", 0, "correlates with"),
        ("liquidation_buffer", 0.5, "stop too near to the liquidation price"),
        ("fixed_notional", 900.0, "should be"),
    ],
)
def test_a_limit_that_was_not_kept_is_found(eventful: World, setting: str, value: float, said: str) -> None:
    stricter = eventful._replace(risk={**eventful.risk, "correlation_limit": 0.01, setting: value})
    assert any(said in each for each in differences(stricter))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("maker_fee_bps", 1.9),
        ("taker_fee_bps", 5.1),
        ("slippage_bps", 1.1),
        ("impact_bps", 101.0),
        ("funding", False),
        ("funding_fallback_bps", 2.0),
    ],
)
def test_costs_that_were_not_charged_are_found(eventful: World, setting: str, value: float) -> None:
    assert differences(eventful._replace(costs={**eventful.costs, setting: value})) != []

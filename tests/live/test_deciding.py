"""The decider says, bar by bar, what the backtest says; compiled there, plain here."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from futures_agent.backtest.deciding import decide
from futures_agent.backtest.panel import build_panel
from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.live.deciding import Decider, first_memories
from futures_agent.live.gatekeeping import Gatekeeper
from futures_agent.live.rounds import Holding
from futures_agent.live.stepping import Brain
from futures_agent.market.candle import CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import RiskSettings
from futures_agent.simulator.generator import GeneratedCandles
from futures_agent.simulator.market import Market
from futures_agent.strategy.registry import load_strategy
from futures_agent.strategy.strategy import SIGNAL
from sample_markets import instrument
from trading_worlds import START_MS

SYMBOLS = ("BTCUSDT", "SOLUSDT", "DOGEUSDT")
DAYS = 60
FIRST_MS = START_MS - START_MS % DAY_MS - DAYS * DAY_MS
END_MS = FIRST_MS + DAYS * DAY_MS
FRAMES = (Timeframe.D1, Timeframe.H4, Timeframe.H1)
Series = dict[Timeframe, dict[str, np.ndarray]]


class NoAccount:
    """Holds nothing and is worth the same at every close."""

    held_symbols = ()

    def side_of(self, symbol: str) -> int:
        return 0

    def holdings(self) -> list[Holding]:
        return []

    def is_leaving(self, symbol: str) -> bool:
        return False

    is_entering = is_leaving

    def why_not_open(self, symbol: str) -> str:
        return ""

    def equity_at(self, close_ms: int, prices: Callable[[str], float]) -> float:
        return 10_000.0

    def awaits(self, symbol: str, high: float, low: float) -> bool:
        return False


@pytest.fixture(scope="module")
def series() -> Series:
    market = Market(
        GeneratedCandles(SYMBOLS, seed=3, start_ms=END_MS, history_days=DAYS, with_untradable=False)
    )
    found: Series = {}
    for frame in FRAMES:
        found[frame] = {}
        for symbol in SYMBOLS:
            full = market.closed(symbol, frame, END_MS)
            plain = np.zeros(len(full), CANDLE)
            for name in CANDLE.names or ():
                plain[name] = full[name]
            found[frame][symbol] = plain[plain["timestamp"] >= FIRST_MS]
    return found


def decider(name: str) -> Decider:
    strategy = load_strategy(name)
    brain = Brain(strategy, strategy.read_params({}), Timeframe.H1, lambda symbol, close_ms: {})
    gate = Gatekeeper(SYMBOLS, {each: instrument(each) for each in SYMBOLS}, RiskSettings(), HOUR_MS)
    return Decider(brain, gate, first_memories(brain, SYMBOLS), FIRST_MS, FIRST_MS + HOUR_MS)


def replayed(found: Series, name: str, disturb: Callable[[list[Any]], None]) -> dict[str, np.ndarray]:
    """Return the signals of a decider that gets the candles of each close in a disturbed order."""
    one, signals = decider(name), {symbol: [] for symbol in SYMBOLS}
    by_close: dict[int, list[Any]] = {}
    for frame, of_symbol in found.items():
        for symbol, candles in of_symbol.items():
            for candle in candles:
                by_close.setdefault(int(candle["timestamp"]) + frame.ms, []).append((symbol, frame, candle))
    account = NoAccount()
    for close_ms in range(FIRST_MS + HOUR_MS, END_MS + 1, HOUR_MS):
        arrived = by_close.get(close_ms, [])
        disturb(arrived)
        for each in arrived:
            one.on_candle(*each)
        assert one.missing(close_ms) == []
        one.close(close_ms, account, late=False)
        for symbol, memory in one.memories.items():
            assert not memory.fault
            record = np.zeros(1, SIGNAL)
            for field in SIGNAL.names or ():
                record[field] = getattr(memory.signal, field)
            signals[symbol].append(record[0])
    return {symbol: np.array(rows, SIGNAL) for symbol, rows in signals.items()}


@pytest.mark.parametrize("name", ["smc", "ema_cross"])
def test_the_same_signals_as_the_backtest_to_the_last_bit(series: Series, name: str, compile_cache) -> None:
    strategy = load_strategy(name)
    higher = {frame: series[frame] for frame in strategy.timeframes}
    instruments = {each: instrument(each) for each in SYMBOLS}
    panel = build_panel(series[Timeframe.H1], instruments, Timeframe.H1, higher=higher)
    expected, _ = decide(panel, strategy, strategy.read_params({}), compile_cache)
    rng = random.Random(5)

    def disturb(arrived: list[Any]) -> None:
        rng.shuffle(arrived)
        arrived += rng.sample(arrived, len(arrived) // 2)  # twice

    found = replayed(series, name, disturb)
    assert np.count_nonzero(expected["entry"])
    for index, symbol in enumerate(panel.symbols):
        rows = expected[panel.candles.offsets[index] : panel.candles.offsets[index + 1]]
        assert rows.tobytes() == found[symbol].tobytes()


def test_a_candle_that_comes_a_close_late_is_stepped_in_its_place(series: Series) -> None:
    on_time = replayed(series, "ema_cross", lambda arrived: None)
    one = decider("ema_cross")
    account, candles = NoAccount(), series[Timeframe.H1]
    lost = FIRST_MS + 500 * HOUR_MS
    for close_ms in range(FIRST_MS + HOUR_MS, END_MS + 1, HOUR_MS):
        for symbol in SYMBOLS:
            row = (close_ms - FIRST_MS) // HOUR_MS - 1
            if not (close_ms == lost and symbol == "SOLUSDT"):
                one.on_candle(symbol, Timeframe.H1, candles[symbol][row])
            if close_ms == lost + HOUR_MS and symbol == "SOLUSDT":
                one.on_candle(symbol, Timeframe.H1, candles[symbol][row - 1])
        if close_ms == lost:
            assert one.missing(close_ms) == [("SOLUSDT", Timeframe.H1)]
        one.close(close_ms, account, late=False)
        if close_ms == lost:
            assert one.memories["SOLUSDT"].signal is None
            assert one.missing(close_ms) == []  # asked for in vain: not asked for again
        else:
            row = (close_ms - FIRST_MS) // HOUR_MS - 1
            said = one.memories["SOLUSDT"].signal
            assert said.entry == on_time["SOLUSDT"][row]["entry"]
            assert said.stop_distance == on_time["SOLUSDT"][row]["stop_distance"]


def test_a_strategy_that_raises_on_one_symbol_excludes_it_alone(series: Series) -> None:
    one = decider("ema_cross")
    one.memories["SOLUSDT"].state = None  # type: ignore[assignment]
    for symbol in SYMBOLS:
        one.on_candle(symbol, Timeframe.H1, series[Timeframe.H1][symbol][0])
    one.close(FIRST_MS + HOUR_MS, NoAccount(), late=False)
    assert list(one.excluded) == ["SOLUSDT"]
    assert "AttributeError" in one.excluded["SOLUSDT"]
    assert one.memories["BTCUSDT"].signal is not None

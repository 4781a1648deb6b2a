"""A strategy's inputs: what a bar carries is what could be known at its close."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import apsw
import numpy as np
import pytest
from msgspec.structs import replace

from futures_agent.backtest.deciding import bars_of, decide
from futures_agent.backtest.inputs import input_readers
from futures_agent.backtest.loading import Period
from futures_agent.backtest.panel import Panel, build_panel
from futures_agent.backtest.run import run_backtest
from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.compiled import kernel
from futures_agent.errors import Refuse
from futures_agent.market.candle import CANDLE, FULL_CANDLE, candles_from_columns
from futures_agent.market.observation import Observation, day_text
from futures_agent.market.sentiment import Statistic
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import DataSettings, Settings, StrategySettings
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_writer
from futures_agent.store.instruments import upsert_instruments
from futures_agent.store.macro import macro_known_at, store_observations
from futures_agent.store.sentiment import FUNDING, known_at, upsert_funding, upsert_statistic
from futures_agent.strategy.inputs import Input
from futures_agent.strategy.strategy import Strategy
from sample_markets import START_MS, NoParams, instrument, random_candles

DAYS = 40
PERIOD = (START_MS, START_MS + DAYS * DAY_MS)
SYMBOLS = ("AUSDT", "BUSDT")
INPUTS = (
    Input("funding", "sentiment", "funding_rate", 20),
    Input("ratio", "sentiment", "long_short_ratio", 3),
    Input("mood", "macro", "FEAR_GREED", 60),
    Input("silent", "macro", "VIXCLS", 60),
)
STATE = np.dtype([("sum", np.float64), ("known", np.int64)])


@kernel
def step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """Enter by what is known of the mood, and remember all that was known."""
    if bar.mood_known:
        state.sum += bar.mood
        state.known += 1
        signal.entry = 1 if bar.mood > 0.5 else -1
        signal.stop_distance = 1.0 + (bar.funding if bar.funding_known else 0.0)
        signal.target_distance = bar.ratio if bar.ratio_known else 0.0


STRATEGY = Strategy(
    name="listening", params=NoParams, state=STATE, step=step, timeframes=(Timeframe.H4,), inputs=INPUTS
)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    """Return a database of values published late, corrected and missing, in seeded disorder."""
    db = open_writer(tmp_path_factory.mktemp("inputs") / "crypto_agent.db")
    rng = np.random.default_rng(5)
    for symbol in SYMBOLS:
        _fill_sentiment(db, symbol, rng)
    days = [day_text(START_MS + day * DAY_MS) for day in range(-5, DAYS)]
    store_observations(
        db,
        "FEAR_GREED",
        [
            Observation(
                day, float(rng.random()), START_MS + (index - 5) * DAY_MS + int(rng.integers(2 * DAY_MS))
            )
            for index, day in enumerate(days)
            for _ in range(int(rng.integers(0, 3)))  # some days revised, some without a value
        ],
        lag_ms=0,
        fetched_at_ms=PERIOD[1],
    )
    yield db
    db.close()


def _fill_sentiment(db: apsw.Connection, symbol: str, rng: np.random.Generator) -> None:
    for _ in range(3):  # the second and third time some are corrected
        times = np.arange(PERIOD[0] - DAY_MS, PERIOD[1], 8 * HOUR_MS)
        times = times[rng.random(len(times)) < 0.6]
        funding = np.array([(time, rng.normal(0, 1e-4)) for time in times], FUNDING)
        upsert_funding(db, symbol, funding, fetched_at_ms=int(rng.integers(*PERIOD)))
        hours = np.arange(PERIOD[0] - DAY_MS, PERIOD[1], HOUR_MS)
        hours = hours[rng.random(len(hours)) < 0.5]
        rows = np.array([(hour, rng.random()) for hour in hours], Statistic.LONG_SHORT.dtype)
        upsert_statistic(
            db,
            Statistic.LONG_SHORT,
            symbol,
            rows,
            published_after_ms=HOUR_MS + 5 * MINUTE_MS,
            fetched_at_ms=int(rng.integers(*PERIOD)),
        )


def panel_of(db: apsw.Connection) -> Panel:
    candles = {symbol: random_candles(seed, DAYS * 24) for seed, symbol in enumerate(SYMBOLS)}
    higher = {
        symbol: random_candles(seed, DAYS * 6, step_ms=Timeframe.H4.ms) for seed, symbol in enumerate(SYMBOLS)
    }
    return build_panel(
        candles,
        {symbol: instrument(symbol) for symbol in SYMBOLS},
        Timeframe.H1,
        higher={Timeframe.H4: higher},
        inputs=input_readers(db, STRATEGY, STRATEGY.read_params({}), PERIOD),
    )


def test_every_bar_carries_what_the_database_says_was_known_at_its_close(db: apsw.Connection) -> None:
    panel = panel_of(db)
    rng = np.random.default_rng(6)
    answers = {True: 0, False: 0}
    for index, symbol in enumerate(SYMBOLS):
        bars = bars_of(panel, STRATEGY, index)
        for row in rng.integers(0, len(bars), 300).tolist():
            bar = bars[row]
            close = int(bar["timestamp"] + bar["timeframe_ms"])
            sentiment = known_at(db, symbol, close)
            mood = macro_known_at(db, "FEAR_GREED", close)
            known: dict[str, tuple[int, float] | None] = {
                "funding": sentiment.get("funding_rate"),
                "ratio": sentiment.get("long_short_ratio"),
                "mood": mood and (int(np.datetime64(mood.date, "ms").astype(int)), mood.value),
            }
            for wanted in INPUTS[:3]:
                found = known[wanted.name]
                fresh = found is not None and close - found[0] <= wanted.max_age_ms
                answers[fresh] += 1
                assert bool(bar[f"{wanted.name}_known"]) == fresh
                assert bar[wanted.name] == (found[1] if fresh else 0.0)
    assert min(answers.values()) > 100  # both were put to the test


def test_steps_see_the_same_compiled_and_plain_and_what_is_silent_is_said(
    db: apsw.Connection, compile_cache: Path
) -> None:
    panel, params = panel_of(db), STRATEGY.read_params({})
    (plain, warnings), (compiled, _) = (
        decide(panel, STRATEGY, params, cache) for cache in (None, compile_cache)
    )
    assert plain.tobytes() == compiled.tobytes()
    assert set(plain["entry"].tolist()) == {-1, 0, 1}
    assert warnings == ["input silent was never known: decided without it"]


def test_a_run_sees_the_inputs_of_its_database(
    db: apsw.Connection, compile_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("listening")
    module.MINE = replace(STRATEGY, timeframes=())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "listening", module)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(compile_cache))
    candles = random_candles(0, DAYS * 24)
    stored = candles_from_columns(FULL_CANDLE, **{name: candles[name] for name in CANDLE.names or ()})
    upsert_candles(db, Timeframe.H1, "AUSDT", stored)
    upsert_instruments(db, [instrument("AUSDT")], START_MS)
    settings = Settings(
        data=DataSettings(symbols=("AUSDT",), timeframes=("H1",)),
        strategy=StrategySettings(name="listening:MINE"),
    )
    made = run_backtest(settings, database=Path(db.filename), period=Period(*PERIOD))
    assert set(made.panel.inputs) == {wanted.name for wanted in INPUTS}
    assert len(made.simulation.trades) > 0
    assert "input silent was never known: decided without it" in made.simulation.warnings


def test_a_panel_without_inputs_is_stepped_through_all_the_same() -> None:
    panel = build_panel(
        {"AUSDT": random_candles(1, 50)},
        {"AUSDT": instrument("AUSDT")},
        Timeframe.H1,
        higher={Timeframe.H4: {"AUSDT": random_candles(1, 12, step_ms=Timeframe.H4.ms)}},
    )
    signals, warnings = decide(panel, STRATEGY, STRATEGY.read_params({}), None)
    assert not signals["entry"].any()
    assert len(warnings) == len(INPUTS)


def test_a_column_that_is_not_there_is_refused_by_name(db: apsw.Connection) -> None:
    wrong = Strategy(
        name="wrong",
        params=NoParams,
        state=STATE,
        step=step,
        inputs=(Input("mood", "sentiment", "humour", 1),),
    )
    with pytest.raises(Refuse, match="strategy wrong: input mood: sentimento_mercado has no column 'humour'"):
        input_readers(db, wrong, wrong.read_params({}), PERIOD)

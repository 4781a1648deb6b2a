"""A backtest as the settings say, on a real database file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from futures_agent.backtest import run as run_module
from futures_agent.backtest.loading import Period
from futures_agent.backtest.records import Simulation
from futures_agent.backtest.run import compile_cache_of, run_backtest, warm_up
from futures_agent.clock import DAY_MS, parse_utc
from futures_agent.errors import Refuse
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import Settings
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_writer
from futures_agent.store.instruments import upsert_instruments
from futures_agent.store.sentiment import FUNDING, upsert_funding
from futures_agent.strategy.strategy import Strategy
from sample_markets import NoParams, instrument, random_candles

START = parse_utc("2026-01-05")
END = START + 20 * DAY_MS
PERIOD = Period(START, END)
SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with 30 days of H1 and M15 candles of two symbols, and one funding rate."""
    path = tmp_path_factory.mktemp("state") / "crypto_agent.db"
    db = open_writer(path)
    for seed, symbol in enumerate(SYMBOLS[:2]):
        quarters = random_candles(seed, 30 * 96, start_ms=START, step_ms=Timeframe.M15.ms)
        for timeframe, candles in ((Timeframe.M15, quarters), (Timeframe.H1, joined(quarters, 4))):
            full = np.zeros(len(candles), FULL_CANDLE)
            for name in candles.dtype.names:
                full[name] = candles[name]
            upsert_candles(db, timeframe, symbol, full)
    upsert_instruments(db, [instrument(symbol) for symbol in SYMBOLS], START)
    upsert_funding(db, "AUSDT", np.array([(START, 0.0001)], FUNDING))
    db.close()
    return path


def joined(candles: np.ndarray, count: int) -> np.ndarray:
    """Return the candles that `count` each of `candles` make up."""
    parts = candles.reshape(-1, count)
    whole = parts[:, 0].copy()
    whole["high"], whole["low"] = parts["high"].max(axis=1), parts["low"].min(axis=1)
    whole["close"], whole["volume"] = parts["close"][:, -1], parts["volume"].sum(axis=1)
    return whole


@pytest.fixture
def settings(compile_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Return settings for the symbols of the database, compiled into the session's cache."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(compile_cache))
    return changed(Settings(), data={"symbols": SYMBOLS}, strategy={"name": "ema_cross"})


def changed(settings: Settings, **sections: dict) -> Settings:
    return msgspec.structs.replace(
        settings,
        **{
            name: msgspec.structs.replace(getattr(settings, name), **values)
            for name, values in sections.items()
        },
    )


def run(settings: Settings, database: Path, **options: object) -> Simulation:
    return run_backtest(settings, database=database, period=PERIOD, **options).simulation


def test_the_database_is_backtested_as_the_settings_say(settings: Settings, database: Path) -> None:
    told: list[tuple[str, int, int]] = []
    result = run(settings, database, on_progress=lambda *progress: told.append(progress))
    assert result.symbols == SYMBOLS[:2]
    assert result.timeframe == "H1"
    assert result.candles == 2 * 20 * 24
    assert len(result.trades) > 5
    assert (result.equity["timestamp"][[0, -1]] == [START + Timeframe.H1.ms, END]).all()
    assert result.warnings == (
        "left out, no H1 candles in the period: CUSDT",
        (
            "funding rates not recorded at 119 of 120 instants (2 of 2 symbols): "
            "1 bps per 8 h charged to either side there"
        ),
    )
    assert told == [("load", 1, 3), ("load", 2, 3), ("load", 3, 3), ("signals", 1, 2), ("signals", 2, 2)]


def test_a_run_hands_on_what_it_was_simulated_from(settings: Settings, database: Path) -> None:
    chosen = changed(settings, strategy={"params": {"fast": 3}})
    made = run_backtest(chosen, database=database, period=PERIOD)
    assert made.panel.symbols == made.simulation.symbols
    assert made.strategy.name == chosen.strategy.name
    assert (made.params["fast"][0], made.params.dtype) == (3, made.strategy.params_dtype)


def test_only_the_symbols_named_are_traded(settings: Settings, database: Path) -> None:
    result = run(settings, database, symbols=("BUSDT",))
    assert result.symbols == ("BUSDT",)
    assert result.candles == 20 * 24
    assert result.warnings == (
        (
            "funding rates not recorded at 60 of 60 instants (1 of 1 symbols): "
            "1 bps per 8 h charged to either side there"
        ),
    )


def test_symbols_keep_the_order_in_which_they_are_named(settings: Settings, database: Path) -> None:
    assert run(settings, database, symbols=("BUSDT", "AUSDT")).symbols == ("BUSDT", "AUSDT")


def test_no_symbol_left_is_refused(settings: Settings, database: Path) -> None:
    with pytest.raises(Refuse, match="no symbols to simulate"):
        run(settings, database, symbols=())


def test_parameters_risk_and_costs_of_the_settings_count(settings: Settings, database: Path) -> None:
    other = changed(
        settings,
        strategy={"params": {"fast": 3, "slow": 9}},
        risk={"fixed_notional": 500.0},
        costs={"funding": False},
        backtest={"initial_equity": 777.0},
    )
    result = run(other, database)
    assert result.initial_equity == 777.0
    assert len(result.trades) > len(run(settings, database).trades)
    assert np.isclose(result.trades["quantity"] * result.trades["entry_price"], 500, rtol=0.03).any()
    assert not any("funding" in warning for warning in result.warnings)


def test_what_ended_the_trading_is_told_before_what_cost_a_symbol(settings: Settings, database: Path) -> None:
    told = run(changed(settings, risk={"max_drawdown": 0.001}), database).warnings
    assert told[0].startswith("the drawdown kill switch tripped at 2026-01-")
    assert told[1].startswith("left out, no H1 candles")


def test_a_run_that_begins_later_than_asked_says_so(settings: Settings, database: Path) -> None:
    asked = Period(START - 3 * DAY_MS, END)
    told = run_backtest(settings, database=database, period=asked).simulation.warnings
    assert (
        "candles begin 2026-01-05T00:00:00Z, not 2026-01-02T00:00:00Z: the run is that much shorter" in told
    )


def test_finer_candles_are_loaded_where_collected(settings: Settings, database: Path) -> None:
    finer = changed(settings, data={"timeframes": ("D1", "H1", "M15")})
    assert run(finer, database).candles == 2 * 20 * (24 + 96)


def test_a_strategys_further_timeframes_are_loaded(
    settings: Settings, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()
    follower = Strategy(
        name="follower",
        params=NoParams,
        state=np.dtype([("n", int)]),
        step=lambda state, bar, params, signal: seen.add(bar.timeframe_ms),
        timeframes=(Timeframe.H1,),
    )
    monkeypatch.setattr(run_module, "load_strategy", lambda name: follower)
    on_m15 = changed(settings, strategy={"timeframe": "M15"}, data={"timeframes": ("H1", "M15")})
    run(on_m15, database)
    assert seen == {Timeframe.H1.ms, Timeframe.M15.ms}
    with pytest.raises(Refuse, match=r"strategy follower: needs H1 candles; add H1 to data.timeframes"):
        run(changed(on_m15, data={"timeframes": ("M15",)}), database)
    with pytest.raises(Refuse, match="H1 must be below all that strategy follower follows besides"):
        run(changed(on_m15, strategy={"timeframe": "H1"}), database)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"strategy": {"name": "nothing"}}, "no strategy 'nothing'"),
        ({"strategy": {"params": {"fats": 3}}}, "strategy.params.fats"),
        ({"strategy": {"timeframe": "M15"}}, "needs M15 candles; add M15 to data.timeframes"),
        (
            {"data": {"symbols": ("XUSDT",)}},
            "no symbol is left .* 1 of 1 are left out: exchange filters unknown",
        ),
        ({"data": {"symbols": ("CUSDT",)}}, "no H1 candles of any of the 1 symbols; run data-sync"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(
    settings: Settings, database: Path, sections: dict, message: str
) -> None:
    with pytest.raises(Refuse, match=message):
        run(changed(settings, **sections), database)


def test_after_a_warm_up_nothing_is_compiled(
    settings: Settings, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    assert warm_up(settings) == tmp_path / "cache"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.nb*")}
    run(settings, database)
    assert len(before) >= 4
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.nb*")} == before


def test_the_cache_lies_below_the_state_directory_unless_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert compile_cache_of(changed(settings, paths={"state_dir": "/srv/a"})) == Path(
        "/srv/a/backtest/compiled"
    )


def test_heavy_libraries_stay_out_until_needed() -> None:
    rooms = "strategy.ema_cross strategy.registry risk.sizing execution.fills execution.funding".split()
    pure = "; ".join(f"import futures_agent.{room}" for room in rooms)
    checks = (
        ("import futures_agent.backtest.run", "numba pandas pyarrow requests starlette"),
        (pure, "numba apsw requests"),
    )
    for imports, banned in checks:
        code = f"{imports}; import sys; print(sorted(set({banned.split()!r}) & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

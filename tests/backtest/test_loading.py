"""Which symbols' candles a run gets, and why the others are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from futures_agent.backtest import loading
from futures_agent.backtest.loading import Frames, Loaded, Period, load_candles, require_known
from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc
from futures_agent.errors import Blocked, Refuse
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.instrument import Instrument
from futures_agent.market.timeframe import Timeframe
from futures_agent.market.universe import Member, Standing
from futures_agent.settings.tree import DataSettings
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_writer
from futures_agent.store.instruments import read_instruments, upsert_instruments
from futures_agent.store.universe import update_universe
from sample_markets import instrument, random_candles

START = parse_utc("2026-01-05")
NOW = START + 20 * DAY_MS  # where the stored candles end
PAST = Period(START, START + 10 * DAY_MS)
CURRENT = Period(START + 5 * DAY_MS, NOW, now_ms=NOW)
H1 = Frames(Timeframe.H1)
H1_H4 = Frames(Timeframe.H1, (Timeframe.H4,))

Store = Callable[..., None]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[apsw.Connection]:
    """Yield an empty database."""
    db = open_writer(tmp_path / "crypto_agent.db")
    yield db
    db.close()


@pytest.fixture
def store(db: apsw.Connection) -> Store:
    """Return `store(symbol, keep=…, **instrument)`: twenty days of H1 and the H4 candles they make up."""

    def store(
        symbol: str, *, keep: Callable[[np.ndarray], np.ndarray] = lambda times: times > 0, **listed: Any
    ) -> None:
        hours = random_candles(len(symbol), 20 * 24, start_ms=START, step_ms=HOUR_MS)
        hours = hours[keep(hours["timestamp"])]
        upsert_instruments(db, [instrument(symbol, **listed)], 0)
        for frame, candles in ((Timeframe.H1, hours), (Timeframe.H4, fours(hours))):
            full = np.zeros(len(candles), FULL_CANDLE)
            for name in candles.dtype.names:
                full[name] = candles[name]
            upsert_candles(db, frame, symbol, full)

    return store


def fours(hours: np.ndarray) -> np.ndarray:
    """Return the H4 candles that whole fours of `hours` make up."""
    opened, first, counts = np.unique(
        hours["timestamp"] // (4 * HOUR_MS), return_index=True, return_counts=True
    )
    parts = hours[first[counts == 4][:, None] + np.arange(4)]
    whole = parts[:, 0].copy()
    whole["timestamp"] = opened[counts == 4] * 4 * HOUR_MS
    whole["high"], whole["low"] = parts["high"].max(axis=1), parts["low"].min(axis=1)
    whole["close"], whole["volume"] = parts["close"][:, -1], parts["volume"].sum(axis=1)
    return whole


def stands(db: apsw.Connection, symbol: str, standing: Standing) -> None:
    """Record what the exchange said of `symbol`."""
    update_universe(db, [Member(symbol=symbol, standing=standing, reason="why", since_ms=NOW)], NOW)


def load(
    db: apsw.Connection,
    symbols: Sequence[str],
    period: Period = PAST,
    frames: Frames = H1,
    **settings: Any,
) -> Loaded:
    instruments: dict[str, Instrument] = read_instruments(db)
    chosen = DataSettings(excluded_max=1.0, **settings)
    return load_candles(db, chosen, symbols, instruments, frames, period)


def until(days: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda times: times < START + days * DAY_MS


def without(first_day: float, hours: int) -> Callable[[np.ndarray], np.ndarray]:
    start = START + first_day * DAY_MS
    return lambda times: (times < start) | (times >= start + hours * HOUR_MS)


def test_a_past_period_has_the_candles_that_closed_in_it_each_read_once(
    db: apsw.Connection, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("AUSDT")
    store("BBUSDT")
    reads: Counter[tuple[str, str]] = Counter()
    original = loading.read_candles

    def counted(db: Any, frame: Timeframe, symbols: Any, *bounds: int) -> Any:
        reads.update((frame.name, symbol) for symbol in symbols)
        return original(db, frame, symbols, *bounds)

    monkeypatch.setattr(loading, "read_candles", counted)
    end = PAST.end_ms + 2 * HOUR_MS  # two hours into an H4 candle
    loaded = load(db, ["BBUSDT", "AUSDT"], Period(START, end), H1_H4)
    assert (loaded.symbols, loaded.notes) == (("BBUSDT", "AUSDT"), ())
    assert set(reads.values()) == {1}
    assert len(reads) == 4
    last = {frame: int(series["AUSDT"]["timestamp"][-1]) for frame, series in loaded.candles.items()}
    assert last == {Timeframe.H1: end - HOUR_MS, Timeframe.H4: PAST.end_ms - 4 * HOUR_MS}
    assert len(loaded.candles[Timeframe.H1]["BBUSDT"]) == 10 * 24 + 2


def test_in_a_past_period_bad_candles_cost_their_symbol_alone(db: apsw.Connection, store: Store) -> None:
    store("AUSDT")
    store("HOLEUSDT", keep=without(4, hours=3))
    store("LATERUSDT", keep=without(14, hours=30))  # after the period: none of its business
    store("OTHERUSDT", keep=until(0))
    loaded = load(db, ["AUSDT", "HOLEUSDT", "LATERUSDT", "OTHERUSDT", "NEWUSDT"])
    assert loaded.symbols == ("AUSDT", "LATERUSDT")
    assert loaded.notes == (
        "left out, H1: gap of 3 candles, at most 2 allowed: HOLEUSDT",
        "left out, no H1 candles in the period: OTHERUSDT",
        "left out, exchange filters unknown: NEWUSDT",
    )


def test_timeframes_that_contradict_each_other_cost_their_symbol(db: apsw.Connection, store: Store) -> None:
    store("AUSDT")
    store("BBUSDT")
    db.execute("UPDATE ohlcv_h4 SET high = high * 2 WHERE symbol = 'BBUSDT'")
    loaded = load(db, ["AUSDT", "BBUSDT"], frames=H1_H4)
    assert loaded.symbols == ("AUSDT",)
    assert loaded.notes == (
        "left out, H4: 60 candles contradict the finer timeframe, at most 5 tolerated: BBUSDT",
    )


def test_a_symbol_that_was_delisted_in_the_period_is_kept_up_to_its_end(
    db: apsw.Connection, store: Store
) -> None:
    store("AUSDT")
    store("GONEUSDT", keep=until(4))
    store("TORNUSDT", keep=until(4))
    store("ENDUSDT", keep=until(12), tradable=False, status="SETTLING")  # after the period
    stands(db, "GONEUSDT", Standing.DELISTED)
    loaded = load(db, ["AUSDT", "GONEUSDT", "TORNUSDT", "ENDUSDT"])
    assert loaded.symbols == ("AUSDT", "GONEUSDT", "ENDUSDT")
    assert len(loaded.candles[Timeframe.H1]["GONEUSDT"]) == 4 * 24
    assert loaded.notes == (
        (
            "left out, H1 candles end 2026-01-08T23:00:00Z, before the period does, though it still trades: "
            "TORNUSDT"
        ),
        (
            "GONEUSDT is kept up to its end: H1 candles end 2026-01-08T23:00:00Z; "
            "delisted since 2026-01-25T00:00:00Z: why"
        ),
    )


def test_a_run_until_now_keeps_what_stopped_trading_and_leaves_out_what_is_stale(
    db: apsw.Connection, store: Store
) -> None:
    for symbol in ("AUSDT", "BBUSDT", "CCCUSDT"):
        store(symbol)
    store("GONEUSDT", keep=until(9))
    store("STALEUSDT", keep=until(19))
    store("BEFOREUSDT", keep=until(3))  # gone before the period began
    store("OPTIONUSDT", tradable=False)
    store("HOLEUSDT", keep=without(7, hours=5))
    for symbol in ("GONEUSDT", "BEFOREUSDT", "HOLEUSDT"):
        stands(db, symbol, Standing.DELISTED)
    stands(db, "BBUSDT", Standing.DORMANT)
    stands(db, "OPTIONUSDT", Standing.UNSUITABLE)
    asked = [
        *("STALEUSDT", "GONEUSDT", "AUSDT", "BBUSDT", "CCCUSDT"),
        *("BEFOREUSDT", "OPTIONUSDT", "HOLEUSDT"),
    ]
    loaded = load(db, asked, CURRENT, coverage_min=0.5)
    assert loaded.symbols == ("GONEUSDT", "AUSDT", "BBUSDT", "CCCUSDT")
    assert loaded.notes == (
        "left out, H1 candles missing or stale: STALEUSDT",
        "left out, no H1 candles in the period: BEFOREUSDT",
        "left out, unsuitable since 2026-01-25T00:00:00Z: why: OPTIONUSDT",
        "left out, H1: gap of 5 candles, at most 2 allowed: HOLEUSDT",
        (
            "GONEUSDT is kept up to its end: H1 candles end 2026-01-13T23:00:00Z; "
            "delisted since 2026-01-25T00:00:00Z: why"
        ),
    )


def test_a_symbol_without_a_candle_yet_is_no_fault(db: apsw.Connection, store: Store) -> None:
    store("AUSDT")
    store("NEWUSDT", keep=until(0), onboard_ms=NOW)
    loaded = load(db, ["AUSDT", "NEWUSDT"], CURRENT)
    assert loaded.symbols == ("AUSDT",)
    assert loaded.notes == ("left out, listed too recently for a candle: NEWUSDT",)


@pytest.mark.parametrize(
    ("period", "keep", "fault"),
    [
        (CURRENT, until(18), "H1: coverage 0.0% of 1 symbols"),
        (CURRENT, without(8, hours=3), "AUSDT H1: gap of 3 candles"),
        (Period(START, NOW - DAY_MS, now_ms=NOW - DAY_MS), until(20), "AUSDT H1: 24 candles that have not"),
    ],
)
def test_bad_candles_block_a_run_until_now(
    db: apsw.Connection, store: Store, period: Period, keep: Any, fault: str
) -> None:
    store("AUSDT", keep=keep)
    with pytest.raises(Blocked, match=f"the candles are not good: {fault}.*--to, needs no fresh ones"):
        load(db, ["AUSDT"], period)


def test_a_hole_outside_the_period_blocks_nothing(db: apsw.Connection, store: Store) -> None:
    store("AUSDT", keep=without(2, hours=9))
    assert load(db, ["AUSDT"], CURRENT).symbols == ("AUSDT",)


def test_a_finer_timeframe_is_welcome_but_not_needed_in_the_past(db: apsw.Connection, store: Store) -> None:
    store("AUSDT")
    loaded = load(db, ["AUSDT"], frames=Frames(Timeframe.H1, finer=Timeframe.M15))
    assert loaded.symbols == ("AUSDT",)
    assert len(loaded.candles[Timeframe.M15]["AUSDT"]) == 0


def test_a_single_candle_is_enough(db: apsw.Connection, store: Store) -> None:
    store("AUSDT")
    loaded = load(db, ["AUSDT"], Period(START, START + HOUR_MS))
    assert len(loaded.candles[Timeframe.H1]["AUSDT"]) == 1


def test_nothing_left_says_what_is_stored_or_why(db: apsw.Connection, store: Store) -> None:
    with pytest.raises(Refuse, match=r"no symbols to simulate; check data\.symbols"):
        load(db, [])
    store("AUSDT", keep=until(0))
    with pytest.raises(Refuse, match="no H1 candles of any of the 1 symbols; run data-sync"):
        load(db, ["AUSDT"])
    store("BBUSDT", keep=without(4, hours=7))
    with pytest.raises(
        Refuse,
        match="no H1 candles from 2020-01-01T00:00:00Z to 2020-02-01T00:00:00Z of any of the 2 symbols; "
        "stored are 2026-01-05T00:00:00Z to 2026-01-24T23:00:00Z: choose --from and --to within",
    ):
        load(db, ["AUSDT", "BBUSDT"], Period(parse_utc("2020-01-01"), parse_utc("2020-02-01")))
    with pytest.raises(
        Refuse, match="no symbol is left to simulate: 1 of 2 are left out: H1: gap of 7 candles, at most 2"
    ):
        load(db, ["BBUSDT", "AUSDT"])
    with pytest.raises(Refuse, match="1 of 1 are left out: no H4 candles in the period"):
        load(db, ["BBUSDT"], Period(START, START + HOUR_MS), H1_H4)


def test_an_unknown_symbol_is_refused_with_what_may_have_been_meant(
    db: apsw.Connection, store: Store
) -> None:
    with pytest.raises(Refuse, match="--symbols: AUSDT is unknown; none is known yet"):
        require_known(["AUSDT"], read_instruments(db))
    store("BTCUSDT")
    store("SOLUSDT")
    require_known(["BTCUSDT"], read_instruments(db))
    with pytest.raises(Refuse, match="--symbols: BTCUSD is unknown; known are BTCUSDT, …"):
        require_known(["BTCUSDT", "BTCUSD"], read_instruments(db))
    with pytest.raises(Refuse, match="--symbols: 龙 is unknown; known are BTCUSDT, SOLUSDT, …"):
        require_known(["龙"], read_instruments(db))

"""Indicators beside the candles: however a series came about, the rows are those of one pass over it."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc
from futures_agent.errors import ExitCode, Interrupted
from futures_agent.features.indicator_set import INDICATORS, indicators_step, readings
from futures_agent.jobs import data_sync, indicators
from futures_agent.jobs.indicators import IndicatorUpdate, anchor_from_ms, update_series
from futures_agent.market.candle import CANDLE, FULL_CANDLE, Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.plain import plain_type
from futures_agent.program.job import Job
from futures_agent.program.progress import Reporter
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_reader, open_writer
from futures_agent.store.indicators import IndicatorRow, read_indicators, read_state
from sample_candles import START_MS, random_walk
from sample_markets import real_candles

KEEP_DAYS = 20  # of hourly candles: 480 rows
SYMBOL = "BTCUSDT"
NOW_MS = START_MS + 600 * HOUR_MS


@pytest.fixture
def db(tmp_path: Path) -> Iterator[apsw.Connection]:
    with contextlib.closing(open_writer(tmp_path / "crypto_agent.db")) as connection:
        yield connection


def update(db: apsw.Connection, now_ms: int = NOW_MS, keep_days: int = KEEP_DAYS) -> int:
    return update_series(db, Timeframe.H1, SYMBOL, now_ms=now_ms, keep_days=keep_days)


def rows_of(db: apsw.Connection) -> list[IndicatorRow]:
    return read_indicators(db, Timeframe.H1, SYMBOL)


def one_pass(candles: Candles, now_ms: int = NOW_MS, keep_days: int = KEEP_DAYS) -> list[IndicatorRow]:
    """Return the rows of one pass over `candles`, written down here a second time."""
    state = plain_type(INDICATORS)(np.zeros(1, INDICATORS)[0].item())
    rows = []
    for bar in map(plain_type(CANDLE), candles[list(CANDLE.names)].tolist()):
        indicators_step(state, bar)
        rows.append((bar.timestamp, *readings(state)))
    return [row for row in rows if row[0] >= now_ms - keep_days * DAY_MS]


def store(db: apsw.Connection, candles: Candles) -> None:
    upsert_candles(db, Timeframe.H1, SYMBOL, candles)


def delete(db: apsw.Connection, timestamps: np.ndarray) -> None:
    db.executemany("DELETE FROM ohlcv_h1 WHERE timestamp = ?", ((at,) for at in timestamps.tolist()))


def test_rows_of_a_new_series_are_those_of_one_pass(db: apsw.Connection) -> None:
    candles = random_walk(600)
    store(db, candles)
    assert update(db) == KEEP_DAYS * 24
    assert rows_of(db) == one_pass(candles)
    state = read_state(db, Timeframe.H1, SYMBOL)
    assert (state.anchor, state.through) == (candles["timestamp"][0], candles["timestamp"][-1])


def test_rows_of_real_candles_are_those_of_one_pass(db: apsw.Connection) -> None:
    real = real_candles("klines_1h.parquet", 700)["ETHUSDT"]
    candles = np.zeros(len(real), FULL_CANDLE)
    for name in CANDLE.names:
        candles[name] = real[name]
    now_ms = int(real["timestamp"][-1]) + HOUR_MS
    for upto in (400, 650, 700):
        store(db, candles[:upto])
        update(db, now_ms)
    assert rows_of(db) == one_pass(candles, now_ms)


def test_a_short_series_has_rows_without_values(db: apsw.Connection) -> None:
    store(db, random_walk(16, start_ms=NOW_MS - 16 * HOUR_MS))
    assert update(db) == 16
    columns = list(zip(*rows_of(db), strict=True))[1:]
    assert [sum(value is not None for value in column) for column in columns] == [0, 0, 2, 2, *[0] * 6]


def test_an_empty_series_is_nothing_to_do(db: apsw.Connection) -> None:
    assert update(db) == 0
    assert rows_of(db) == []
    assert read_state(db, Timeframe.H1, SYMBOL) is None


class Counted:
    """Counts the bars stepped over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bars = 0
        monkeypatch.setattr(indicators, "indicators_step", self.step)

    def step(self, state: Any, bar: Any) -> None:
        self.bars += 1
        indicators_step(state, bar)

    def during(self, act: Callable[[], Any]) -> int:
        before = self.bars
        act()
        return self.bars - before


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    indicators._code()  # of the true step, once and for all
    return Counted(monkeypatch)


def test_new_bars_alone_are_stepped_over(db: apsw.Connection, counted: Counted) -> None:
    candles = random_walk(600)
    store(db, candles[:595])
    assert counted.during(lambda: update(db)) == 595
    assert counted.during(lambda: update(db)) == 0
    store(db, candles)
    assert counted.during(lambda: update(db)) == 5
    assert rows_of(db) == one_pass(candles)


def test_a_code_change_or_damage_to_a_state_steps_the_series_again(
    db: apsw.Connection, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    candles = random_walk(600)
    store(db, candles)
    update(db)
    db.execute("UPDATE indicator_states SET state = zeroblob(length(state))")
    assert counted.during(lambda: update(db)) == 600
    db.execute("UPDATE indicator_states SET state = x'00'")
    assert counted.during(lambda: update(db)) == 600
    assert counted.during(lambda: update(db)) == 0
    monkeypatch.setattr(indicators, "_code", lambda: "the next release")
    assert counted.during(lambda: update(db)) == 600
    assert rows_of(db) == one_pass(candles)


def test_more_days_to_keep_are_filled_and_fewer_dropped(db: apsw.Connection) -> None:
    candles = random_walk(600)
    store(db, candles)
    for days in (5, 10, 3):
        update(db, keep_days=days)
        assert rows_of(db) == one_pass(candles, keep_days=days)


def test_old_rows_go_as_time_passes_also_without_new_candles(db: apsw.Connection) -> None:
    candles = random_walk(600)
    store(db, candles)
    update(db)
    assert update(db, NOW_MS + 2 * DAY_MS) == 0
    assert rows_of(db) == one_pass(candles, NOW_MS + 2 * DAY_MS)
    assert len(rows_of(db)) == 18 * 24


def test_candles_before_last_year_do_not_count_and_a_new_year_anchors_anew(db: apsw.Connection) -> None:
    new_year = parse_utc("2025-01-01")
    candles = random_walk(1_000, start_ms=new_year - 500 * HOUR_MS)
    store(db, candles)
    last_year = new_year + 500 * HOUR_MS
    update(db, last_year)
    assert rows_of(db) == one_pass(candles, last_year)
    a_year_on = parse_utc("2026-01-01")
    update(db, a_year_on, keep_days=365)
    assert rows_of(db) == one_pass(candles[500:], a_year_on, keep_days=365)


def test_the_anchor_is_at_least_a_year_back() -> None:
    assert anchor_from_ms(parse_utc("2027-01-01")) == parse_utc("2026-01-01")
    assert anchor_from_ms(parse_utc("2027-01-01") - 1) == parse_utc("2025-01-01")


class History:
    """Candles that appear, change and vanish at random, as a seed says; new ones mostly at the end."""

    def __init__(self, seed: int, db: apsw.Connection) -> None:
        self._random = random.Random(seed)
        self._db = db
        self._all = random_walk(600, seed=seed)
        self._first = self._random.randrange(100)
        self._end = self._random.randrange(300, 500)
        self._missing: set[int] = set()
        self.acts: Counter[str] = Counter()

    @property
    def candles(self) -> Candles:
        present = [i for i in range(self._first, self._end) if i not in self._missing]
        return self._all[present]

    def start(self) -> None:
        store(self._db, self.candles)

    def act(self) -> None:
        chosen = self._random.choice(["grow", "grow", "correct", "lose", "fill", "reach_back", "nothing"])
        self.acts[chosen] += 1
        getattr(self, f"_{chosen}")()
        store(self._db, self.candles)

    def _grow(self) -> None:
        self._end = min(self._end + self._random.randrange(1, 20), len(self._all))

    def _correct(self) -> None:
        i = self._random.randrange(self._first, self._end)
        self._all["volume"][i] *= 1.5

    def _lose(self) -> None:
        first = self._random.randrange(self._first, self._end)
        lost = range(first, min(first + self._random.randrange(1, 30), self._end - 1))
        self._missing.update(lost)
        delete(self._db, self._all["timestamp"][list(lost)])

    def _fill(self) -> None:
        self._missing.clear()

    def _reach_back(self) -> None:
        self._first -= self._random.randrange(self._first + 1)

    def _nothing(self) -> None:
        pass


def test_random_histories_end_in_the_rows_of_one_pass(tmp_path: Path, counted: Counted) -> None:
    acts: Counter[str] = Counter()
    updates = stepped_on = 0
    for seed in range(12):
        with contextlib.closing(open_writer(tmp_path / f"{seed}.db")) as db:
            history = History(seed, db)
            history.start()
            for _ in range(12):
                bars = counted.during(lambda db=db: update(db))
                updates += 1
                stepped_on += 0 < bars < 20
                assert rows_of(db) == one_pass(history.candles), f"seed {seed}, after {history.acts}"
                history.act()
            acts += history.acts
    assert len(acts) == 6, f"not every kind of change happened: {acts}"
    assert stepped_on > updates // 8, "nearly nothing was incremental"


def test_a_failed_write_leaves_rows_and_state_as_they_were(db: apsw.Connection) -> None:
    candles = random_walk(600)
    store(db, candles[:500])
    update(db)
    before = rows_of(db), read_state(db, Timeframe.H1, SYMBOL)
    store(db, candles)
    db.execute(
        "CREATE TEMP TRIGGER fault BEFORE INSERT ON indicator_states BEGIN SELECT RAISE(ABORT, 'fault'); END"
    )
    with pytest.raises(apsw.ConstraintError):
        update(db)
    assert (rows_of(db), read_state(db, Timeframe.H1, SYMBOL)) == before
    db.execute("DROP TRIGGER fault")
    update(db)
    assert rows_of(db) == one_pass(candles)


def test_told_to_stop_the_job_stops_between_two_series(db: apsw.Connection, settings_for: Any) -> None:
    store(db, random_walk(600))
    with Reporter("data-sync") as reporter:
        job = Job("data-sync", settings_for("http://127.0.0.1:9"), reporter)
        job.stopping.set()
        with pytest.raises(Interrupted):
            IndicatorUpdate(db, job, NOW_MS).finish()
    assert rows_of(db) == []


def test_a_run_does_every_stored_series_once(
    db: apsw.Connection, settings_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(db, random_walk(600))
    upsert_candles(db, Timeframe.H1, "ETHUSDT", random_walk(50))
    upsert_candles(db, Timeframe.D1, "ETHUSDT", random_walk(20, Timeframe.D1))
    upsert_candles(db, Timeframe.M15, "ETHUSDT", random_walk(30, Timeframe.M15))
    done = []

    def noted(db: apsw.Connection, timeframe: Timeframe, symbol: str, **options: int) -> int:
        done.append((timeframe.name, symbol))
        return update_series(db, timeframe, symbol, **options)

    monkeypatch.setattr(indicators, "update_series", noted)
    with Reporter("data-sync") as reporter:
        run = IndicatorUpdate(db, Job("data-sync", settings_for("http://127.0.0.1:9"), reporter), NOW_MS)
        run.take(Timeframe.M15, "ETHUSDT")
        run.take(Timeframe.H1, "ETHUSDT")
        assert (done, run.written) == ([("H1", "ETHUSDT")], 50)
        run.finish()
    assert done == [("H1", "ETHUSDT"), ("D1", "ETHUSDT"), ("H1", SYMBOL)]
    assert run.written == 50 + 20 + 600


def test_data_sync_writes_the_indicators_of_what_it_fetched(
    simulator_factory: Any, settings_for: Any
) -> None:
    venue = simulator_factory()
    settings = settings_for(venue.url, data__timeframes="D1,H4,H1,M15", data__indicator_days=30)
    assert data_sync.run(settings) is ExitCode.OK
    venue.clock.step(5 * HOUR_MS)
    assert data_sync.run(settings) is ExitCode.OK
    now_ms = venue.clock.now_ms()
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        for timeframe in (Timeframe.D1, Timeframe.H4, Timeframe.H1):
            candles = venue.market.closed("ETHUSDT", timeframe, now_ms)
            first = timeframe.open_of(now_ms - 5 * HOUR_MS - 50 * DAY_MS)
            expected = one_pass(candles[candles["timestamp"] >= first], now_ms, 30)
            assert read_indicators(db, timeframe, "ETHUSDT") == expected
        assert {name for (name,) in db.execute("SELECT DISTINCT timeframe FROM indicadores_tecnico")} == {
            "D1",
            "H4",
            "H1",
        }

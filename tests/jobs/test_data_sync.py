"""data-sync against the simulated exchange: complete, closed candles only, whatever goes wrong."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc
from futures_agent.errors import ExitCode
from futures_agent.jobs import data_sync
from futures_agent.jobs.candle_plan import SyncScope
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.records import RunLog
from futures_agent.simulator.faults import Fault
from futures_agent.store.candles import read_candles
from futures_agent.store.database import open_reader, open_writer
from futures_agent.store.holes import read_holes

FRAMES = (Timeframe.D1, Timeframe.H4, Timeframe.H1)
KLINES = "/fapi/v1/klines"


def stored(settings, timeframe, symbol):
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        return read_candles(db, timeframe, [symbol], 0, 2**62)[symbol]


def expected(venue, settings, timeframe, symbol):
    """What the venue holds of the year the settings ask for."""
    now = venue.clock.now_ms()
    closed = venue.market.closed(symbol, timeframe, now)
    start = timeframe.open_of(now - settings.data.history_days * DAY_MS)
    return closed[closed["timestamp"] >= start]


def assert_complete(venue, settings):
    for timeframe in settings.data.frames:
        for symbol in settings.data.symbols:
            found = stored(settings, timeframe, symbol)
            truth = expected(venue, settings, timeframe, symbol)
            for column in found.dtype.names:
                np.testing.assert_array_equal(found[column], truth[column], err_msg=f"{symbol} {column}")


def delete(settings, timeframe, symbol, first, last):
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        db.execute(
            f"DELETE FROM {timeframe.table} WHERE symbol = ? AND timestamp BETWEEN ? AND ?",
            (symbol, first, last),
        )
        assert db.changes() == (last - first) // timeframe.ms + 1


def last_run(settings):
    return RunLog(settings.paths.job("data-sync")).recent()[-1]


def test_the_first_run_stores_every_closed_candle_and_the_second_changes_nothing(
    simulator_factory, settings_for
):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    assert data_sync.run(settings) is ExitCode.OK
    assert_complete(venue, settings)
    assert last_run(settings).counts["candles"] == 3 * (50 + 50 * 6 + 50 * 24)
    assert data_sync.run(settings) is ExitCode.OK
    assert last_run(settings).counts["candles"] == 0


def test_the_forming_candle_is_not_stored_and_comes_once_it_has_closed(simulator_factory, settings_for):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    data_sync.run(settings)
    forming = Timeframe.H1.open_of(venue.clock.now_ms())
    assert stored(settings, Timeframe.H1, "BTCUSDT")["timestamp"][-1] == forming - HOUR_MS
    venue.clock.step(HOUR_MS)
    assert data_sync.run(settings) is ExitCode.OK
    assert stored(settings, Timeframe.H1, "BTCUSDT")["timestamp"][-1] == forming
    assert_complete_tail(venue, settings)


def assert_complete_tail(venue, settings):
    for symbol in settings.data.symbols:
        found = stored(settings, Timeframe.H1, symbol)[-3:]
        truth = venue.market.closed(symbol, Timeframe.H1, venue.clock.now_ms())[-3:]
        np.testing.assert_array_equal(found["close"], truth["close"])


def test_a_bar_stored_wrongly_at_the_end_is_corrected_by_the_next_new_bar(simulator_factory, settings_for):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    data_sync.run(settings)
    newest = int(stored(settings, Timeframe.H1, "BTCUSDT")["timestamp"][-1])
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        db.execute(
            "UPDATE ohlcv_h1 SET volume = volume / 2 WHERE symbol = 'BTCUSDT' AND timestamp = ?", (newest,)
        )
    venue.clock.step(HOUR_MS)
    data_sync.run(settings)
    assert last_run(settings).counts["candles"] == 4  # three new ones and the corrected one
    assert_complete_tail(venue, settings)


FULL = SyncScope(full=True)


def rewrite(settings, sql, *bindings):
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        db.pragma("ignore_check_constraints", True)
        db.execute(sql, bindings)
        assert db.changes() == 1


def test_a_bar_stored_while_forming_is_corrected_by_a_full_pass_though_nothing_has_closed(
    simulator_factory, settings_for
):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    data_sync.run(settings)
    newest = int(stored(settings, Timeframe.H4, "BTCUSDT")["timestamp"][-1])
    spoil = "UPDATE ohlcv_h4 SET volume = volume / 2 WHERE symbol = 'BTCUSDT' AND timestamp = ?"
    rewrite(settings, spoil, newest - 40 * Timeframe.H4.ms)
    assert data_sync.run(settings) is ExitCode.OK
    assert last_run(settings).counts["candles"] == 0
    assert data_sync.run(settings, FULL) is ExitCode.OK
    assert last_run(settings).counts["candles"] == 1
    assert_complete(venue, settings)


def test_the_first_good_run_of_a_day_is_its_full_pass(simulator_factory, settings_for, monkeypatch):
    venue = simulator_factory()
    settings = settings_for(venue.url, sync__full_time_utc="00:30")
    passes = []
    for now in ("2026-03-10T00:29Z", "2026-03-10T00:31Z", "2026-03-10T01:05Z", "2026-03-11T00:31Z"):
        monkeypatch.setattr("futures_agent.clock.SystemClock.now_ms", lambda self, now=now: parse_utc(now))
        if now == "2026-03-10T00:31Z":
            venue.add_fault(Fault(status=503, count=5))  # that one fails: the next one is the full pass
        data_sync.run(settings)
        passes.append(last_run(settings).counts.get("full"))
    assert passes == [1, None, 1, 1]


def test_a_narrowed_run_is_no_full_pass(simulator_factory, settings_for):
    settings = settings_for(simulator_factory().url)
    data_sync.run(settings, SyncScope(symbols=["BTCUSDT"], full=True))
    assert last_run(settings).counts["full"] == 0


PLANTED = {
    "off the grid": "timestamp + 1, open, high, low, close, volume",
    "not closed yet": f"timestamp + {12 * DAY_MS}, open, high, low, close, volume",
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_candle_that_cannot_be_is_removed_and_reported(simulator_factory, settings_for, kind, capsys):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    data_sync.run(settings)
    at = int(stored(settings, Timeframe.H1, "ETHUSDT")["timestamp"][-100])
    rest = "quote_volume, trades, taker_buy_volume, taker_buy_quote_volume"
    rewrite(
        settings,
        f"INSERT INTO ohlcv_h1 SELECT symbol, {PLANTED[kind]}, {rest} FROM ohlcv_h1 "
        "WHERE symbol = 'ETHUSDT' AND timestamp = ?",
        at,
    )
    capsys.readouterr()
    assert data_sync.run(settings) is ExitCode.OK
    assert "1 impossible candles removed" in capsys.readouterr().out
    assert_complete(venue, settings)


@pytest.mark.parametrize(("back_ms", "code"), [(53 * HOUR_MS, ExitCode.OK), (54 * HOUR_MS, ExitCode.CONFIG)])
def test_nothing_is_removed_on_the_word_of_a_clock_that_is_far_behind(
    simulator_factory, settings_for, capsys, back_ms, code
):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    data_sync.run(settings)
    h4 = stored(settings, Timeframe.H4, "BTCUSDT").size
    venue.clock.set(venue.clock.now_ms() - back_ms)
    assert data_sync.run(settings) is code
    if code is ExitCode.OK:
        assert_complete_tail(venue, settings)
        return
    assert "BTCUSDT H1: stored candles reach to 2026-03-10T13:00:00Z, days ahead" in capsys.readouterr().err
    # Candles of H4, which is looked at first, lie ahead too: they are still there.
    assert stored(settings, Timeframe.H4, "BTCUSDT").size == h4
    assert stored(settings, Timeframe.H1, "BTCUSDT").size == 50 * 24


def test_a_candle_with_contradicting_prices_is_fetched_again(simulator_factory, settings_for):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    data_sync.run(settings)
    at = int(stored(settings, Timeframe.H1, "ETHUSDT")["timestamp"][100])
    rewrite(settings, "UPDATE ohlcv_h1 SET high = low / 2 WHERE symbol = 'ETHUSDT' AND timestamp = ?", at)
    assert data_sync.run(settings) is ExitCode.OK
    counts = last_run(settings).counts
    assert (counts["candles_removed"], counts["candles"]) == (1, 1)
    assert_complete(venue, settings)


def test_a_repair_fetches_the_last_days_again(simulator_factory, settings_for):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    data_sync.run(settings)
    for ago in (150, 170):  # within the last seven days, and before them
        at = int(stored(settings, Timeframe.H1, "SOLUSDT")["timestamp"][-ago])
        spoil = "UPDATE ohlcv_h1 SET volume = volume / 2 WHERE symbol = 'SOLUSDT' AND timestamp = ?"
        rewrite(settings, spoil, at)
    assert data_sync.run(settings, SyncScope(repair_days=7)) is ExitCode.OK
    assert last_run(settings).counts["candles"] == 1


@pytest.mark.parametrize(("prefer", "requests", "weight"), [("weight", 9, 18), ("latency", 3, 30)])
def test_pages_are_chosen_for_weight_or_for_latency(
    simulator_factory, settings_for, prefer, requests, weight
):
    settings = settings_for(simulator_factory().url, sync__prefer=prefer, data__timeframes="H1")
    assert data_sync.run(settings) is ExitCode.OK
    counts = last_run(settings).counts
    assert (counts["requests"] - 2, counts["weight"] - 2) == (requests, weight)  # time and exchangeInfo


def test_a_hole_is_filled_again(simulator_factory, settings_for):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    data_sync.run(settings)
    opens = stored(settings, Timeframe.H1, "ETHUSDT")["timestamp"]
    delete(settings, Timeframe.H1, "ETHUSDT", int(opens[100]), int(opens[140]))
    delete(settings, Timeframe.H1, "ETHUSDT", int(opens[0]), int(opens[4]))
    assert data_sync.run(settings) is ExitCode.OK
    assert last_run(settings).counts["candles"] == 46
    assert_complete(venue, settings)


def test_a_hole_the_exchange_has_too_is_confirmed_and_in_the_end_not_asked_for_again(
    simulator_factory, settings_for, tmp_path
):
    hour = 1_760_000_400_000 - 1_760_000_400_000 % DAY_MS
    dataset = tmp_path / "klines_1h.csv"
    rows = [
        f"BTCUSDT,{hour + n * HOUR_MS},10,12,9,11,5,50,7"
        for n in range(24 * 12)
        if not 100 <= n < 105  # an outage
    ]
    dataset.write_text("symbol,open_time,open,high,low,close,volume,quote_volume,trades\n" + "\n".join(rows))
    venue = simulator_factory(
        dataset=dataset,
        symbols=("BTCUSDT",),
        start_ms=hour + 10 * DAY_MS + 1_000_000,
        untradable_symbols=False,
    )
    only = {"data__symbols": "BTCUSDT", "data__timeframes": "H1"}
    settings = settings_for(venue.url, **only, data__history_days=5)
    settings_longer = settings_for(venue.url, **only, data__history_days=10)
    assert data_sync.run(settings) is ExitCode.OK
    assert data_sync.run(settings_longer) is ExitCode.OK  # reaches back over the outage
    hole = (hour + 100 * HOUR_MS, hour + 104 * HOUR_MS)
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        assert hole in read_holes(db, Timeframe.H1)["BTCUSDT"]
    asked = venue.stats["requests"]
    assert data_sync.run(settings_longer) is ExitCode.OK
    assert venue.stats["requests"] - asked == 2  # time and exchangeInfo
    # A full pass asks again until the hole has settled; and compares the newest candles.
    venue.clock.step(1000)
    for settled_days, requests in ((7, 4), (0, 3)):
        settled = settings_for(venue.url, **only, data__history_days=10, sync__hole_settled_days=settled_days)
        asked = venue.stats["requests"]
        assert data_sync.run(settled, FULL) is ExitCode.OK
        assert venue.stats["requests"] - asked == requests


def test_unknown_and_untradable_symbols_are_named_and_the_rest_goes_on(
    simulator_factory, settings_for, capsys
):
    venue = simulator_factory()
    untradable = next(name for name, one in venue.market.listings.items() if one.status != "TRADING")
    settings = settings_for(venue.url)
    code = data_sync.run(settings, SyncScope(symbols=["BTCUSDT", "NOSUCHUSDT", untradable]))
    assert code is ExitCode.OK
    line = capsys.readouterr().out
    assert "1/3 symbols" in line
    assert "NOSUCHUSDT (unknown to the exchange)" in line
    assert untradable in line
    assert stored(settings, Timeframe.D1, "BTCUSDT").size == 50


def test_nothing_but_unknown_symbols_is_bad_input(simulator_factory, settings_for, capsys):
    settings = settings_for(simulator_factory().url)
    assert data_sync.run(settings, SyncScope(symbols=["NOSUCHUSDT"])) is ExitCode.CONFIG
    assert "NOSUCHUSDT: unknown to the exchange; correct --symbols" in capsys.readouterr().err
    assert not settings.paths.database.exists()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_transient_faults_are_tried_again(simulator_factory, settings_for, status):
    venue = simulator_factory(scale=60.0)
    settings = settings_for(venue.url, exchange__time_scale=60, data__timeframes="D1")
    venue.add_fault(Fault(status=status, count=3, path=KLINES, retry_after_s=1 if status == 429 else None))
    assert data_sync.run(settings) is ExitCode.OK
    assert stored(settings, Timeframe.D1, "SOLUSDT").size == 50


@pytest.mark.parametrize("how", ["late", "broken off", "cut short", "wrong types"])
def test_spoilt_answers_are_asked_for_again(simulator_factory, settings_for, how):
    venue = simulator_factory()
    settings = settings_for(venue.url, data__timeframes="D1", exchange__read_timeout_s=0.3)
    venue.add_fault(Fault(how=how, count=3, path=KLINES, delay_ms=500))
    assert data_sync.run(settings) is ExitCode.OK
    assert venue.stats["pending_faults"] == 0
    assert_complete(venue, settings)


def test_a_newest_candle_that_comes_late_is_no_hole(simulator_factory, settings_for):
    venue = simulator_factory()
    settings = settings_for(venue.url, data__timeframes="D1")
    venue.add_fault(Fault(how="last row absent", count=6, path=KLINES))
    assert data_sync.run(settings) is ExitCode.OK
    assert stored(settings, Timeframe.D1, "SOLUSDT").size == 49
    assert data_sync.run(settings) is ExitCode.OK
    assert_complete(venue, settings)


def test_a_storm_of_faults_fails_the_series_and_keeps_what_was_stored(
    simulator_factory, settings_for, capsys
):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    data_sync.run(settings)
    venue.clock.step(HOUR_MS)
    venue.add_fault(Fault(status=503, count=10_000, path=KLINES))
    assert data_sync.run(settings) is ExitCode.FAILED
    assert "0/3 symbols" in capsys.readouterr().err
    assert stored(settings, Timeframe.H1, "BTCUSDT").size == 50 * 24


def test_an_unreachable_exchange_is_one_line(settings_for, capsys):
    settings = settings_for("http://127.0.0.1:9", sync__attempts=2)
    assert data_sync.run(settings) is ExitCode.FAILED
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "http://127.0.0.1:9" in said[0]
    assert not settings.paths.database.exists()


def test_a_wrong_url_is_refused_at_once(simulator_factory, settings_for, capsys):
    settings = settings_for(simulator_factory().url + "/nowhere")
    assert data_sync.run(settings) is ExitCode.CONFIG
    assert "exchange.rest_url" in capsys.readouterr().err


def test_a_corrupt_database_is_left_alone(simulator_factory, settings_for, capsys):
    settings = settings_for(simulator_factory().url)
    settings.paths.database.parent.mkdir(parents=True)
    settings.paths.database.write_bytes(b"this is not a database" * 500)
    before = settings.paths.database.read_bytes()
    assert data_sync.run(settings) is ExitCode.CORRUPT
    assert str(settings.paths.database) in capsys.readouterr().err
    assert settings.paths.database.read_bytes() == before


def _command(settings):
    return subprocess.Popen(
        [sys.executable, "-m", "futures_agent.cli", "data-sync"],
        env={
            **os.environ,
            "AGENT_CONFIG": os.devnull,
            "AGENT_PATHS__STATE_DIR": settings.paths.state_dir,
            "AGENT_EXCHANGE__REST_URL": settings.exchange.rest_url,
            "AGENT_DATA__SYMBOLS": ",".join(settings.data.symbols),
            "AGENT_DATA__HISTORY_DAYS": str(settings.data.history_days),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGKILL])
def test_a_sync_stopped_in_the_middle_goes_on_where_it_stopped(simulator_factory, settings_for, signal_):
    venue = simulator_factory(latency_ms=40.0)
    settings = settings_for(venue.url)
    process = _command(settings)
    deadline = time.monotonic() + 20
    while venue.stats["requests"] < 8 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal_)
    process.communicate(timeout=20)
    assert process.returncode == (ExitCode.INTERRUPTED if signal_ == signal.SIGTERM else -signal.SIGKILL)
    assert last_run(settings).outcome == ("interrupted" if signal_ == signal.SIGTERM else "died")
    assert data_sync.run(settings) is ExitCode.OK
    assert 0 < last_run(settings).counts["candles"] <= 3 * (50 + 50 * 6 + 50 * 24)
    assert_complete(venue, settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_one_line_and_the_next_run_completes(
    simulator_factory, settings_for, small_disk, capsys
):
    venue = simulator_factory(history_days=400)
    settings = settings_for(venue.url, paths__state_dir=str(small_disk.path), data__history_days=365)
    assert data_sync.run(settings) is ExitCode.FAILED
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "disk full" in said
    small_disk.grow("64M")
    assert data_sync.run(settings) is ExitCode.OK
    assert_complete(venue, settings)

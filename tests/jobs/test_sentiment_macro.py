"""sentiment-macro against the simulated exchange: complete, never too early, whatever is dead."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import date

import numpy as np
import pytest

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.errors import ExitCode
from futures_agent.jobs import sentiment_macro
from futures_agent.market.observation import published_by
from futures_agent.market.sentiment import Statistic
from futures_agent.market.universe import Member, Standing
from futures_agent.program.holds import set_hold
from futures_agent.program.records import RunLog
from futures_agent.settings.tree import DEFAULT_FRED_SERIES
from futures_agent.simulator.faults import Fault
from futures_agent.store.database import open_reader, open_writer
from futures_agent.store.instruments import upsert_instruments
from futures_agent.store.integrity import quick_check
from futures_agent.store.macro import macro_known_at
from futures_agent.store.sentiment import FUNDING_COLUMN, STATISTIC_COLUMNS, known_at, read_funding
from futures_agent.store.universe import update_universe
from sample_markets import instrument

FUNDING = "/fapi/v1/fundingRate"
OPEN_INTEREST = "/futures/data/openInterestHist"
LAG_MS = HOUR_MS + 300_000


@pytest.fixture
def job_settings(settings_for):
    def make(url, **changes):
        """No waits, and no macro series unless a test wants them."""
        quiet = {"macro__fred_series": (), "macro__fear_greed": False}
        return settings_for(url, **{"sentiment__retry_waits_s": ("0", "0"), **quiet, **changes})

    return make


def rows(settings, sql, *values):
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        return list(db.execute(sql, values))


def last_run(settings):
    return RunLog(settings.paths.job("sentiment-macro")).recent()[-1]


def snapshot(settings):
    return rows(settings, "SELECT * FROM sentimento_mercado ORDER BY symbol, timestamp")


def values(settings):
    """Everything that must not depend on when it was fetched."""
    columns = ", ".join(
        (FUNDING_COLUMN, "mark_price", *STATISTIC_COLUMNS, "funding_available_at", "available_at")
    )
    return rows(settings, f"SELECT symbol, timestamp, {columns} FROM sentimento_mercado ORDER BY 1, 2")


def test_the_first_run_stores_what_the_exchange_has_and_the_second_changes_nothing(
    simulator_factory, job_settings
):
    venue = simulator_factory()
    settings = job_settings(venue.url)
    assert sentiment_macro.run(settings) is ExitCode.OK
    now = venue.clock.now_ms()
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        stored = read_funding(db, settings.data.symbols, 0, 2**62)
    for symbol in settings.data.symbols:
        truth = venue.venue.sentiment.funding(symbol, now - 50 * DAY_MS, now)
        minutes = (truth["timestamp"] + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS
        np.testing.assert_array_equal(stored[symbol]["timestamp"], minutes)
        np.testing.assert_array_equal(stored[symbol]["rate"], truth["rate"])
    for statistic in Statistic:
        last = (now - LAG_MS) // HOUR_MS * HOUR_MS
        first = -(-(now - 30 * DAY_MS + HOUR_MS) // HOUR_MS) * HOUR_MS
        stamps = np.arange(first, last + 1, HOUR_MS)
        truth = venue.venue.sentiment.statistic(statistic, "ETHUSDT", stamps)
        columns = ", ".join(statistic.columns)
        found = rows(
            settings,
            f"SELECT timestamp, {columns} FROM sentimento_mercado "
            f"WHERE symbol = 'ETHUSDT' AND {statistic.columns[0]} IS NOT NULL ORDER BY timestamp",
        )
        assert found == truth.tolist()
        assert len(found) > 690
    before = snapshot(settings)
    assert sentiment_macro.run(settings) is ExitCode.OK
    assert snapshot(settings) == before
    assert last_run(settings).counts["rows"] == 0


def test_the_next_run_asks_only_for_what_is_new(simulator_factory, job_settings):
    venue = simulator_factory()
    settings = job_settings(venue.url)
    sentiment_macro.run(settings)
    venue.clock.step(DAY_MS)
    before = venue.stats["by_path"]
    assert sentiment_macro.run(settings) is ExitCode.OK
    after = venue.stats["by_path"]
    assert after[FUNDING] - before[FUNDING] == 3
    assert after[OPEN_INTEREST] - before[OPEN_INTEREST] == 3
    ((newest,),) = rows(
        settings, "SELECT max(timestamp) FROM sentimento_mercado WHERE long_short_ratio IS NOT NULL"
    )
    assert newest + LAG_MS <= venue.clock.now_ms() < newest + LAG_MS + 3 * HOUR_MS


def test_nothing_is_known_before_it_was_published(simulator_factory, job_settings):
    venue = simulator_factory()
    settings = job_settings(venue.url)
    sentiment_macro.run(settings)
    then = venue.clock.now_ms() - 5 * DAY_MS
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        known = known_at(db, "BTCUSDT", then)
    assert set(known) > {"funding_rate", "open_interest", "taker_buy_volume"}
    assert then - 9 * HOUR_MS < known["funding_rate"].timestamp < then
    for column in set(known) - {"funding_rate"}:
        assert then - LAG_MS - 3 * HOUR_MS < known[column].timestamp <= then - LAG_MS


def test_symbols_that_are_not_traded_are_not_asked_for(simulator_factory, job_settings):
    venue = simulator_factory()
    settings = job_settings(venue.url)
    settings.paths.database.parent.mkdir(parents=True)
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        halted = instrument("SOLUSDT", status="SETTLING", tradable=False)
        upsert_instruments(db, [halted], 1)
    assert sentiment_macro.run(settings) is ExitCode.OK
    assert "skipped SOLUSDT" in last_run(settings).line
    assert rows(settings, "SELECT DISTINCT symbol FROM sentimento_mercado") == [("BTCUSDT",), ("ETHUSDT",)]


def test_a_symbol_that_the_exchange_does_not_know_hurts_no_other(simulator_factory, job_settings):
    venue = simulator_factory()
    settings = job_settings(venue.url, data__symbols=("BTCUSDT", "NOSUCHUSDT"))
    assert sentiment_macro.run(settings) is ExitCode.OK
    assert "funding failed for 1 of 2: NOSUCHUSDT: the exchange refuses it" in last_run(settings).line
    assert rows(settings, "SELECT DISTINCT symbol FROM sentimento_mercado") == [("BTCUSDT",)]
    assert venue.stats["by_path"][FUNDING] == 2  # a refusal is not asked for again


def test_transient_faults_are_asked_for_again(simulator_factory, job_settings):
    venue = simulator_factory()
    settings = job_settings(venue.url)
    venue.add_fault(Fault(status=503, count=2, path=FUNDING))
    assert sentiment_macro.run(settings) is ExitCode.OK
    assert last_run(settings).counts["failed"] == 0
    assert venue.stats["by_path"][FUNDING] == 5
    assert venue.stats["pending_faults"] == 0


def test_a_dead_source_is_named_and_the_others_go_on(simulator_factory, job_settings):
    venue = simulator_factory()
    settings = job_settings(venue.url)
    venue.add_fault(Fault(status=500, count=10_000, path=OPEN_INTEREST))
    assert sentiment_macro.run(settings) is ExitCode.OK
    run = last_run(settings)
    assert run.line.startswith("open interest dead: ")
    assert "HTTP 500" in run.line
    assert run.counts["sources_dead"] == 1
    assert rows(settings, "SELECT count(open_interest) FROM sentimento_mercado") == [(0,)]
    assert rows(settings, "SELECT count(*) > 2000 FROM sentimento_mercado") == [(1,)]


def test_a_limit_that_is_used_up_stops_neither_the_rest_nor_the_weight(simulator_factory, job_settings):
    venue = simulator_factory()
    settings = job_settings(venue.url, sentiment__retry_waits_s=())
    venue.venue.pools["funding"].limit = 2
    venue.clock.set_scale(600.0)
    settings = job_settings(venue.url, sentiment__retry_waits_s=(), exchange__time_scale=600.0)
    assert sentiment_macro.run(settings) is ExitCode.OK
    assert venue.stats["by_status"]["429"] == 1  # nobody insisted
    assert "funding failed for 1 of 3" in last_run(settings).line


def test_without_any_answer_the_job_has_failed(job_settings):
    settings = job_settings("http://127.0.0.1:1")
    assert sentiment_macro.run(settings) is ExitCode.FAILED
    line = last_run(settings).line
    assert line.startswith("funding, open interest, long/short ratio, ")
    assert line.count("connection refused") == 1


def macro_of(venue):
    return {
        "macro__fred_series": DEFAULT_FRED_SERIES,
        "macro__fear_greed": True,
        "macro__fred_url": venue.url,
        "macro__fear_greed_url": venue.url,
    }


def macro_settings(job_settings, venue, tmp_path, key="abcd1234" * 4, **changes):
    (tmp_path / "key").write_text(key + "\n")
    return job_settings(
        venue.url, **macro_of(venue), **{"macro__fred_key_file": str(tmp_path / "key"), **changes}
    )


def test_macro_series_come_with_the_day_they_were_published(simulator_factory, job_settings, tmp_path):
    venue = simulator_factory()
    settings = macro_settings(job_settings, venue, tmp_path)
    assert sentiment_macro.run(settings) is ExitCode.OK
    assert last_run(settings).counts["sources_dead"] == 0
    found = {name for (name,) in rows(settings, "SELECT DISTINCT series FROM macro_data")}
    assert found == {*settings.macro.fred_series, "FEAR_GREED"}
    vintages = venue.venue.macro.vintages("CPIAUCSL", date(2026, 1, 1), date(2026, 3, 10))
    stored = rows(
        settings,
        "SELECT date, value, available_at FROM macro_data "
        "WHERE series = 'CPIAUCSL' AND date >= '2026-01-01' ORDER BY date, available_at",
    )
    assert stored == [
        (one.day.isoformat(), one.value, published_by(one.published.isoformat())) for one in vintages
    ]
    assert rows(settings, "SELECT count(*) FROM macro_data WHERE available_at > fetched_at") == [(0,)]
    early = "SELECT count(*) FROM macro_data WHERE available_at < unixepoch(date) * 1000"
    assert rows(settings, early) == [(0,)]
    before = rows(settings, "SELECT * FROM macro_data")
    assert sentiment_macro.run(settings) is ExitCode.OK
    assert rows(settings, "SELECT * FROM macro_data") == before


def test_a_revision_arrives_and_the_past_stays_as_it_was(simulator_factory, job_settings, tmp_path):
    venue = simulator_factory()
    settings = macro_settings(job_settings, venue, tmp_path)
    sentiment_macro.run(settings)
    then = venue.clock.now_ms()
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        known = {series: macro_known_at(db, series, then) for series in settings.macro.fred_series}
    venue.clock.step(45 * DAY_MS)
    assert sentiment_macro.run(settings) is ExitCode.OK
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        assert {series: macro_known_at(db, series, then) for series in known} == known
        later = {series: macro_known_at(db, series, then + 45 * DAY_MS) for series in known}
    assert all(later[series].date > known[series].date for series in known)
    revised = "SELECT date FROM macro_data WHERE series = 'WALCL' GROUP BY date HAVING count(*) > 1"
    assert len(rows(settings, revised)) > 10


def test_what_is_asked_for_in_steps_equals_what_is_asked_for_at_once(
    simulator_factory, job_settings, tmp_path
):
    venue = simulator_factory()
    settings = macro_settings(job_settings, venue, tmp_path)
    for _ in range(4):
        sentiment_macro.run(settings)
        venue.clock.step(13 * DAY_MS)
    sentiment_macro.run(settings)
    series = "SELECT date, value, available_at FROM macro_data WHERE series = ? ORDER BY 1, 3"
    other = macro_settings(job_settings, venue, tmp_path, paths__state_dir=str(tmp_path / "other"))
    sentiment_macro.run(other)
    for name in ("WALCL", "DGS10", "M2SL"):
        at_once = rows(other, series, name)
        in_steps = [row for row in rows(settings, series, name) if row[0] >= at_once[0][0]]
        assert [row[:2] for row in in_steps] == [row[:2] for row in at_once]
        # Values seen on the very day of their publication were known a few hours before its end.
        assert all(-DAY_MS < a[2] - b[2] < MINUTE_MS for a, b in zip(in_steps, at_once, strict=True))


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_fred_is_named_and_the_rest_goes_on(
    simulator_factory, job_settings, tmp_path, key, monkeypatch
):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    if key is not None:  # a unit's empty default
        (tmp_path / "credentials").mkdir()
        (tmp_path / "credentials" / "fred_api_key").write_text(key)
    venue = simulator_factory()
    settings = job_settings(venue.url, **macro_of(venue))
    assert sentiment_macro.run(settings) is ExitCode.OK
    line = last_run(settings).line
    assert line.startswith("FRED dead: no key; give the unit the credential fred_api_key")
    assert "Fear & Greed" in line
    assert rows(settings, "SELECT DISTINCT series FROM macro_data") == [("FEAR_GREED",)]


def test_the_key_is_taken_from_the_units_credential_and_shows_nowhere(
    simulator_factory, job_settings, tmp_path, monkeypatch, caplog, capfd
):
    secret = "planted0" * 4
    (tmp_path / "fred_api_key").write_text(secret)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    caplog.set_level("DEBUG", logger="futures_agent")
    venue = simulator_factory()
    settings = job_settings(venue.url, **macro_of(venue))
    venue.add_fault(Fault(status=503, count=2, path="/fred/series/observations"))
    venue.add_fault(Fault(status=400, body="{}", path="/fred/series/observations"))
    assert sentiment_macro.run(settings) is ExitCode.OK
    assert rows(settings, "SELECT count(DISTINCT series) FROM macro_data") == [(10,)]  # one was refused
    assert "FRED failed for 1 of 10" in last_run(settings).line
    files = [path.read_bytes() for path in settings.paths.state.rglob("*") if path.is_file()]
    said = capfd.readouterr()
    for text in (*files, caplog.text.encode(), said.out.encode(), said.err.encode()):
        assert secret.encode() not in text


def test_series_that_are_not_wanted_are_not_asked_for(simulator_factory, job_settings):
    venue = simulator_factory()
    settings = job_settings(venue.url)
    assert sentiment_macro.run(settings) is ExitCode.OK
    assert last_run(settings).counts["sources"] == 6


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_nothing_half_done_and_the_next_completes(
    simulator_factory, job_settings, tmp_path, signal_
):
    venue = simulator_factory(latency_ms=30.0)
    settings = job_settings(venue.url)
    process = subprocess.Popen(
        [sys.executable, "-m", "futures_agent.cli", "sentiment-macro"],
        env={
            **os.environ,
            "AGENT_CONFIG": os.devnull,
            "AGENT_PATHS__STATE_DIR": settings.paths.state_dir,
            "AGENT_EXCHANGE__REST_URL": venue.url,
            "AGENT_DATA__SYMBOLS": ",".join(settings.data.symbols),
            "AGENT_MACRO__FRED_SERIES": "",
            "AGENT_MACRO__FEAR_GREED": "false",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while venue.stats["requests"] < 8 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal_)
    process.communicate(timeout=20)
    assert process.returncode == (ExitCode.INTERRUPTED if signal_ == signal.SIGTERM else -signal.SIGKILL)
    assert last_run(settings).outcome == ("interrupted" if signal_ == signal.SIGTERM else "died")
    assert sentiment_macro.run(settings) is ExitCode.OK
    undisturbed = job_settings(venue.url, paths__state_dir=str(tmp_path / "other"))
    sentiment_macro.run(undisturbed)
    assert values(settings) == values(undisturbed)
    assert quick_check(settings.paths.database) >= 0


def test_a_wait_for_the_limit_ends_when_the_job_is_told_to_stop(simulator_factory, job_settings):
    venue = simulator_factory()  # its clock stands still: the wait would never end
    settings = job_settings(venue.url, exchange__weight_limit_share=0.01)
    stop = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGTERM))
    stop.start()
    assert sentiment_macro.run(settings) is ExitCode.INTERRUPTED
    stop.join()
    assert "told to stop" in last_run(settings).line
    assert venue.stats["peak_requests"]["statistics"] == 10


def test_the_command_and_the_hold(simulator_factory, job_settings, capfd):
    venue = simulator_factory()
    settings = job_settings(venue.url)
    set_hold(settings.paths.holds, "sentiment-macro", "the exchange is moving")
    assert sentiment_macro.run(settings) is ExitCode.HELD
    assert "the exchange is moving" in capfd.readouterr().err
    assert venue.stats["requests"] == 0


def test_symbols_that_the_agent_does_not_follow_are_not_asked_for(simulator_factory, job_settings):
    venue = simulator_factory()
    settings = job_settings(venue.url)
    settings.paths.database.parent.mkdir(parents=True)
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        update_universe(db, [Member(symbol="ETHUSDT", standing=Standing.DORMANT, reason="no trade")], 1)
    assert sentiment_macro.run(settings) is ExitCode.OK
    assert "skipped ETHUSDT (not followed)" in last_run(settings).line
    assert rows(settings, "SELECT DISTINCT symbol FROM sentimento_mercado") == [("BTCUSDT",), ("SOLUSDT",)]


def test_a_longer_history_is_fetched_as_if_it_had_been_wanted_from_the_start(
    simulator_factory, job_settings, tmp_path
):
    venue = simulator_factory(history_days=400)
    longer = {"data__history_days": 380}
    settings = macro_settings(job_settings, venue, tmp_path)
    sentiment_macro.run(settings)
    assert sentiment_macro.run(macro_settings(job_settings, venue, tmp_path, **longer)) is ExitCode.OK
    other = macro_settings(job_settings, venue, tmp_path, paths__state_dir=str(tmp_path / "other"), **longer)
    sentiment_macro.run(other)
    assert values(settings) == values(other)
    known = "SELECT series, date, value, min(available_at) / 60000 FROM macro_data GROUP BY 1, 2, 3"
    assert rows(settings, known) == rows(other, known)

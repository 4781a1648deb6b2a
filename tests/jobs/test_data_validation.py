"""data-validation: what it fails on blocks the backtest, and is repaired where the exchange can."""

import contextlib

import msgspec
import numpy as np
import pytest

from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.errors import ExitCode, Interrupted
from futures_agent.health.status import gather
from futures_agent.jobs import data_sync, data_validation
from futures_agent.jobs.candle_plan import SyncScope
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.blocks import read_block
from futures_agent.program.holds import set_hold
from futures_agent.program.locks import database_turn
from futures_agent.program.records import RunLog
from futures_agent.simulator.faults import Fault
from futures_agent.store.candles import read_candles
from futures_agent.store.database import open_reader, open_writer


@pytest.fixture
def synced(simulator_factory, settings_for):
    venue = simulator_factory()
    settings = settings_for(venue.url)
    assert data_sync.run(settings) is ExitCode.OK
    return venue, settings


def blocks(settings):
    return read_block(settings.paths.job("data-validation"))


def plant_gap(settings, candles):
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        first = db.execute("SELECT min(timestamp) + ? FROM ohlcv_h1", (200 * HOUR_MS,)).get
        db.execute(
            "DELETE FROM ohlcv_h1 WHERE symbol = 'ETHUSDT' AND timestamp >= ? AND timestamp < ?",
            (first, first + candles * HOUR_MS),
        )
        assert db.changes() == candles


def report_of(settings):
    return msgspec.json.decode((settings.paths.job("data-validation") / "report.json").read_bytes())


def test_good_data_pass_and_are_reported(synced, capsys):
    _, settings = synced
    assert data_validation.run(settings) is ExitCode.OK
    assert blocks(settings) == []
    report = report_of(settings)
    assert {frame["timeframe"]: frame["covered"] for frame in report["frames"]} == {"D1": 3, "H4": 3, "H1": 3}
    assert len(report["series"]) == 9
    assert report["faults"] == report["warnings"] == []
    assert report["repair"] == ""
    assert "H4: fresh 3/3, coverage 100.0%, oldest closed" in capsys.readouterr().out


def test_a_planted_gap_blocks_until_it_is_repaired(synced, capsys):
    _, settings = synced
    plant_gap(settings, 3)
    assert data_validation.run(settings, repair=False) is ExitCode.FAILED
    assert "ETHUSDT H1: gap of 3 candles, at most 2 allowed" in capsys.readouterr().err
    assert blocks(settings) == ["ETHUSDT H1: gap of 3 candles, at most 2 allowed"]
    assert data_validation.run(settings) is ExitCode.OK
    assert "repair: 3/3 symbols" in capsys.readouterr().out
    assert blocks(settings) == []
    assert report_of(settings)["repair"]


def test_a_gap_of_two_passes(synced):
    _, settings = synced
    plant_gap(settings, 2)
    assert data_validation.run(settings) is ExitCode.OK


def test_stale_data_block(synced, settings_for, capsys):
    venue, _ = synced
    strict = settings_for(venue.url, data__stale_after_h_h1=0.1)  # the newest H1 candle is 20 min old
    assert data_validation.run(strict) is ExitCode.FAILED
    assert "H1: coverage 0.0% of 3 symbols" in capsys.readouterr().err
    assert blocks(strict)


def test_stale_data_repair_themselves(synced):
    venue, settings = synced
    venue.clock.step(2 * DAY_MS)
    data_sync.run(settings, SyncScope(symbols=["BTCUSDT"]))  # tells exchange time to those that only read it
    assert data_validation.run(settings, repair=False) is ExitCode.FAILED
    assert "H4: coverage 33.3% of 3 symbols" in blocks(settings)[0]
    assert data_validation.run(settings) is ExitCode.OK
    assert blocks(settings) == []


def test_a_repair_that_fails_is_said_and_the_block_stays(synced, settings_for, capsys):
    venue, _ = synced
    settings = settings_for(venue.url, sync__repair_limit_s=0.2)
    plant_gap(settings, 3)
    venue.add_fault(Fault(status=503, count=10_000))
    assert data_validation.run(settings) is ExitCode.FAILED
    said = capsys.readouterr().err
    assert "ETHUSDT H1: gap of 3 candles" in said
    assert "repair: failed: " in said
    assert "HTTP 503" in said
    assert blocks(settings)


def test_a_repair_that_is_killed_leaves_the_failing_verdict_and_what_was_known(synced, monkeypatch):
    _, settings = synced
    assert data_validation.run(settings) is ExitCode.OK
    known = [["BTCUSDT", "H4", 1_760_054_400_000]]
    path = settings.paths.job("data-validation") / "report.json"
    path.write_bytes(msgspec.json.encode({**report_of(settings), "exchanges_own": known}))
    plant_gap(settings, 3)

    def killed(*_, **__):
        raise Interrupted("told to stop")

    monkeypatch.setattr(data_sync, "synchronise", killed)
    assert data_validation.run(settings) is ExitCode.INTERRUPTED
    fault = "ETHUSDT H1: gap of 3 candles, at most 2 allowed"
    assert report_of(settings)["faults"] == blocks(settings) == [fault]
    assert report_of(settings)["exchanges_own"] == known


def test_a_repair_ends_at_its_limit_with_a_verdict(synced, settings_for, capsys):
    venue, _ = synced
    settings = settings_for(venue.url, sync__repair_limit_s=0.3)
    plant_gap(settings, 3)
    venue.add_fault(Fault(how="late", delay_ms=500, count=10_000, path="/fapi/v1/klines"))
    assert data_validation.run(settings) is ExitCode.FAILED
    assert "repair: failed: not done within 0.3 s" in capsys.readouterr().err
    assert blocks(settings) == ["ETHUSDT H1: gap of 3 candles, at most 2 allowed"]


def test_a_repair_does_not_wait_for_the_database_for_ever(synced, settings_for, capsys):
    venue, _ = synced
    settings = settings_for(venue.url, sync__repair_limit_s=0.2)
    plant_gap(settings, 3)
    lock = settings.paths.writer_lock
    with database_turn(lock, "compact", wait_s=1, while_waiting=lambda holder: None):
        assert data_validation.run(settings) is ExitCode.FAILED
    assert "still held by compact" in capsys.readouterr().err


def test_a_narrowed_run_neither_blocks_nor_vouches_nor_repairs(synced):
    venue, settings = synced
    plant_gap(settings, 5)
    asked = venue.stats["requests"]
    assert data_validation.run(settings, ["ETHUSDT"]) is ExitCode.FAILED
    assert venue.stats["requests"] == asked
    assert blocks(settings) == []
    data_validation.run(settings, repair=False)
    assert data_validation.run(settings, ["BTCUSDT"]) is ExitCode.OK
    assert blocks(settings) != []


def stored(settings, timeframe=Timeframe.H1, symbol="ETHUSDT"):
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        return read_candles(db, timeframe, [symbol], 0, 2**62)[symbol]


def plant(settings, sql, *bindings):
    """Change the candles of ETHUSDT behind the back of the tables' checks."""
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        db.pragma("ignore_check_constraints", True)
        db.execute(sql, bindings)
        assert db.changes() == 1


COPY = "INSERT INTO ohlcv_h1 SELECT symbol,"
VALUES = "open, high, low, close, volume, quote_volume, trades, taker_buy_volume, taker_buy_quote_volume"
PLANTED = {
    "an off-grid candle": (
        f"{COPY} timestamp + 1, {VALUES} FROM ohlcv_h1 WHERE symbol = 'ETHUSDT' AND timestamp = ?",
        "ETHUSDT H1: 1 candles off the H1 grid",
    ),
    "a candle that still forms": (
        f"{COPY} ? + 3600000 * count(*), {VALUES} FROM ohlcv_h1 WHERE symbol = 'ETHUSDT' AND timestamp >= ?1",
        "ETHUSDT H1: 1 candles that have not closed yet",
    ),
    "contradicting prices": (
        "UPDATE ohlcv_h1 SET high = low / 2 WHERE symbol = 'ETHUSDT' AND timestamp = ?",
        "ETHUSDT H1: 1 candles with contradicting prices",
    ),
}
SUSPICIOUS = {
    "a candle stored while it formed": (
        "UPDATE ohlcv_h1 SET volume = volume / 2 WHERE symbol = 'ETHUSDT' AND timestamp = ?"
    ),
    "a candle stored twice, once under a wrong time": (
        "UPDATE ohlcv_h1 AS wrong SET (open, high, low, close, volume) = "
        "(SELECT open, high, low, close, volume FROM ohlcv_h1 AS last "
        " WHERE last.symbol = wrong.symbol AND last.timestamp = wrong.timestamp - 3600000) "
        "WHERE symbol = 'ETHUSDT' AND timestamp = ?"
    ),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_is_detected_and_repaired_in_one_pass(synced, kind):
    _, settings = synced
    truth = stored(settings)
    sql, fault = PLANTED[kind]
    plant(settings, sql, int(truth["timestamp"][300]))
    assert data_validation.run(settings, repair=False) is ExitCode.FAILED
    assert fault in blocks(settings)
    assert data_validation.run(settings) is ExitCode.OK
    np.testing.assert_array_equal(stored(settings), truth)


@pytest.mark.parametrize("kind", SUSPICIOUS)
def test_a_candle_that_contradicts_its_timeframes_is_fetched_again(synced, kind):
    _, settings = synced
    truth = stored(settings)
    plant(settings, SUSPICIOUS[kind], int(truth["timestamp"][300]))
    assert data_validation.run(settings) is ExitCode.OK  # far older than what a repair compares anyway
    assert report_of(settings)["repair"]
    assert report_of(settings)["warnings"] == []
    np.testing.assert_array_equal(stored(settings), truth)


@pytest.mark.parametrize("most", [5, 0])
def test_what_the_exchange_itself_contradicts_is_fetched_again_once_and_then_only_warned_of(
    simulator_factory, settings_for, tmp_path, most
):
    settings = contradicting_exchange(simulator_factory, settings_for, tmp_path, data__max_disagreements=most)
    assert data_sync.run(settings) is ExitCode.OK
    for repaired in (1, 0):
        assert data_validation.run(settings) is ExitCode.OK
        run = RunLog(settings.paths.job("data-validation")).recent()[-1]
        assert (run.counts["repaired"], run.counts["disagreeing"]) == (repaired, 1)
    assert data_validation.run(settings, repair=False) is ExitCode.OK
    assert report_of(settings)["warnings"] == ["H4: candles contradict the finer timeframe: BTCUSDT 1"]
    assert len(report_of(settings)["exchanges_own"]) == 1
    assert gather(settings).data.faults == []


def test_a_contradiction_that_nobody_fetched_again_is_a_fault(simulator_factory, settings_for, tmp_path):
    settings = contradicting_exchange(simulator_factory, settings_for, tmp_path, data__max_disagreements=0)
    assert data_sync.run(settings) is ExitCode.OK
    assert data_validation.run(settings, repair=False) is ExitCode.FAILED
    fault = "BTCUSDT H4: 1 candles contradict the finer timeframe, at most 0 tolerated"
    assert blocks(settings) == gather(settings).data.faults == [fault]


def test_odd_candles_that_could_not_be_fetched_again_are_not_forgotten(synced, settings_for):
    venue, settings = synced
    truth = stored(settings)
    plant(settings, SUSPICIOUS["a candle stored while it formed"], int(truth["timestamp"][300]))
    assert data_validation.run(settings, repair=False) is ExitCode.OK
    venue.add_fault(Fault(status=503, count=10_000))
    assert data_validation.run(settings_for(venue.url, sync__repair_limit_s=0.2)) is ExitCode.OK
    assert report_of(settings)["repair"].startswith("failed: ")
    venue.venue.faults.clear()
    assert data_validation.run(settings) is ExitCode.OK
    np.testing.assert_array_equal(stored(settings), truth)


def test_nothing_is_fetched_while_a_person_holds_data_sync(synced, capsys):
    venue, settings = synced
    plant_gap(settings, 3)
    set_hold(settings.paths.holds, "data-sync", "looking into something")
    asked = venue.stats["requests"]
    assert data_validation.run(settings) is ExitCode.FAILED
    assert venue.stats["requests"] == asked
    assert "data-sync is held since" in capsys.readouterr().err


def contradicting_exchange(simulator_factory, settings_for, tmp_path, **changes):
    """An exchange with one H4 candle that is not what its H1 candles make up."""
    start = 1_760_054_400_000
    header = "symbol,open_time,open,high,low,close,volume"
    for name, hours, odd in (("1h", 1, None), ("4h", 4, 20)):
        rows = [
            f"BTCUSDT,{start + n * hours * HOUR_MS},10,12,9,{11 if n != odd else 10},"
            f"{sum(5 + hour for hour in range(n * hours, (n + 1) * hours))}"
            for n in range(24 * 12 // hours)
        ]
        (tmp_path / f"klines_{name}.csv").write_text("\n".join([header, *rows]))
    venue = simulator_factory(
        dataset=tmp_path,
        symbols=("BTCUSDT",),
        start_ms=start + 10 * DAY_MS + 1_000_000,
        untradable_symbols=False,
    )
    return settings_for(
        venue.url, data__symbols="BTCUSDT", data__timeframes="H4,H1", data__history_days=8, **changes
    )


def test_no_database_is_bad_input_that_says_what_to_do(settings_for, capsys):
    settings = settings_for("http://127.0.0.1:9")
    assert data_validation.run(settings) is ExitCode.CONFIG
    assert "agentctl data-sync" in capsys.readouterr().err

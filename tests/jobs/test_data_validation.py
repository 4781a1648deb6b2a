"""data-validation: what it fails on blocks the backtest, and nothing else does."""

import contextlib

import msgspec
import pytest

from futures_agent.clock import HOUR_MS
from futures_agent.errors import ExitCode
from futures_agent.jobs import data_sync, data_validation
from futures_agent.program.blocks import read_block
from futures_agent.store.database import open_writer


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


def test_good_data_pass_and_are_reported(synced):
    _, settings = synced
    assert data_validation.run(settings) is ExitCode.OK
    assert blocks(settings) == []
    report = msgspec.json.decode((settings.paths.job("data-validation") / "report.json").read_bytes())
    assert {frame["timeframe"]: frame["covered"] for frame in report["frames"]} == {"D1": 3, "H4": 3, "H1": 3}
    assert len(report["series"]) == 9
    assert report["faults"] == []


def test_a_planted_gap_blocks_until_the_sync_has_repaired_it(synced, capsys):
    _, settings = synced
    plant_gap(settings, 3)
    assert data_validation.run(settings) is ExitCode.FAILED
    assert "ETHUSDT H1: gap of 3 candles, at most 2 allowed" in capsys.readouterr().err
    assert blocks(settings) == ["ETHUSDT H1: gap of 3 candles, at most 2 allowed"]
    data_sync.run(settings)
    assert data_validation.run(settings) is ExitCode.OK
    assert blocks(settings) == []


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


def test_a_narrowed_run_neither_blocks_nor_vouches(synced):
    _, settings = synced
    plant_gap(settings, 5)
    assert data_validation.run(settings, ["ETHUSDT"]) is ExitCode.FAILED
    assert blocks(settings) == []
    data_validation.run(settings)
    assert data_validation.run(settings, ["BTCUSDT"]) is ExitCode.OK
    assert blocks(settings) != []


def test_no_database_is_bad_input_that_says_what_to_do(settings_for, capsys):
    settings = settings_for("http://127.0.0.1:9")
    assert data_validation.run(settings) is ExitCode.CONFIG
    assert "agentctl data-sync" in capsys.readouterr().err

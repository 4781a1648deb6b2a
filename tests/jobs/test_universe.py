"""Symbols that come, go, change their name, are halted or die, as the data jobs see them."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc, utc_text
from futures_agent.errors import ExitCode
from futures_agent.health.status import gather
from futures_agent.jobs import data_sync, data_validation
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.records import RunLog
from futures_agent.store.candles import newest, read_candles
from futures_agent.store.database import open_reader

START_MS = parse_utc("2026-03-10T14:20:00Z")
RENAMED = {"data__renames": {"SOLUSDT": "SOLANAUSDT"}}


@pytest.fixture
def world(simulator_factory, settings_for):
    """A synced host, and its exchange."""
    venue = simulator_factory()
    settings = settings_for(venue.url)
    assert data_sync.run(settings) is ExitCode.OK
    return venue, settings


def set_status(venue, symbol, status):
    venue.market.listings[symbol] = replace(venue.market.listings[symbol], status=status)


def delist(venue, symbol):
    del venue.market.listings[symbol]


def lines(capsys):
    return capsys.readouterr().out


def excluded(settings):
    return gather(settings).data.excluded


def newest_h1(settings):
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        return newest(db, Timeframe.H1)


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        ("SETTLING", "delisted"),
        ("CLOSE", "delisted"),
        ("TRADING_HALT", "halted"),
        ("A_STATE_OF_TOMORROW", "halted"),
        ("PENDING_TRADING", "pending"),
    ],
)
def test_a_symbol_that_stops_trading_is_excluded_with_the_reason_and_its_history_kept(
    world, capsys, status, standing
):
    venue, settings = world
    before = newest_h1(settings)["SOLUSDT"]
    set_status(venue, "SOLUSDT", status)
    venue.clock.step(8 * DAY_MS)
    since = utc_text(venue.clock.now_ms())
    assert data_sync.run(settings) is ExitCode.OK
    said = lines(capsys)
    assert f"changed SOLUSDT ({standing})" in said
    assert f"skipped SOLUSDT (status is {status}, not TRADING)" in said
    assert data_validation.run(settings) is ExitCode.OK
    why = f"{standing} since {since}: status is {status}, not TRADING"
    assert excluded(settings) == {"SOLUSDT": why}
    assert f"excluded: SOLUSDT, {why}" in lines(capsys)
    assert newest_h1(settings)["SOLUSDT"] == before


def test_a_symbol_that_is_gone_is_delisted_since_it_was_first_missed(world, capsys):
    venue, settings = world
    delist(venue, "SOLUSDT")
    venue.clock.step(HOUR_MS)
    since = utc_text(venue.clock.now_ms())
    for _ in range(2):
        assert data_sync.run(settings) is ExitCode.OK
        venue.clock.step(HOUR_MS)
    assert excluded(settings)["SOLUSDT"].startswith(f"delisted since {since}: no longer listed")
    assert lines(capsys).count("changed SOLUSDT (delisted)") == 1


def test_a_symbol_that_trades_again_is_followed_again(world, capsys):
    venue, settings = world
    for status, excluded_now in (("TRADING_HALT", 1), ("TRADING", 0)):
        set_status(venue, "SOLUSDT", status)
        venue.clock.step(HOUR_MS)
        assert data_sync.run(settings) is ExitCode.OK
        assert len(excluded(settings)) == excluded_now
    assert "changed SOLUSDT (trading)" in lines(capsys)
    assert newest_h1(settings)["SOLUSDT"] == newest_h1(settings)["BTCUSDT"]


def test_a_renamed_symbol_goes_on_under_its_new_name(world, settings_for, capsys):
    venue, _ = world
    settings = settings_for(venue.url, **RENAMED)
    assert data_sync.run(settings) is ExitCode.OK  # before it happens the setting changes nothing
    assert "changed" not in lines(capsys)
    old = venue.market.listings.pop("SOLUSDT")
    venue.market.listings["SOLANAUSDT"] = replace(old, symbol="SOLANAUSDT")
    source = venue.market._source
    series = source.series
    source.series = lambda symbol, *rest: series(symbol.replace("SOLANA", "SOL"), *rest)
    venue.clock.step(HOUR_MS)
    assert data_sync.run(settings) is ExitCode.OK
    said = lines(capsys)
    assert "3/4 symbols" in said
    assert "changed SOLUSDT (renamed), SOLANAUSDT (trading)" in said
    assert excluded(settings)["SOLUSDT"].endswith("now SOLANAUSDT")
    assert data_validation.run(settings) is ExitCode.OK
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        both = read_candles(db, Timeframe.H1, ["SOLUSDT", "SOLANAUSDT"], 0, 2**62)
    assert len(both["SOLANAUSDT"]) == 50 * 24
    assert len(np.intersect1d(both["SOLUSDT"]["timestamp"], both["SOLANAUSDT"]["timestamp"])) == 50 * 24 - 1


def test_a_new_listing_is_complete_with_what_there_is(simulator_factory, settings_for):
    onboard_ms = parse_utc("2026-03-09")  # the day before the world's
    venue = simulator_factory(onboard_ms={"ETHUSDT": onboard_ms})
    settings = settings_for(venue.url)
    assert data_sync.run(settings) is ExitCode.OK
    assert data_validation.run(settings) is ExitCode.OK
    data = gather(settings).data
    of_eth = {one.timeframe: one for one in data.series if one.symbol == "ETHUSDT"}
    assert of_eth["H1"].first_ms == onboard_ms
    assert (of_eth["D1"].candles, of_eth["D1"].missing) == (1, 0)
    assert data.excluded == {}


def test_a_symbol_too_young_for_a_candle_is_not_expected_to_have_one(simulator_factory, settings_for):
    venue = simulator_factory(onboard_ms={"ETHUSDT": START_MS})  # listed today
    settings = settings_for(venue.url)
    assert data_sync.run(settings) is ExitCode.OK
    assert data_validation.run(settings) is ExitCode.OK
    assert {frame.timeframe: frame.symbols for frame in gather(settings).data.frames} == {
        "D1": 2,
        "H4": 3,
        "H1": 3,
    }


def zombie_exchange(simulator_factory, tmp_path, untraded):
    start = 1_760_054_400_000
    rows = ["symbol,open_time,open,high,low,close,volume"]
    for symbol, silent in (("BTCUSDT", 0), ("DEADUSDT", untraded)):
        for n in range(24 * 12):
            volume = 0 if n >= 240 - silent else 5 + n
            high = 10 if volume == 0 else 12
            rows.append(f"{symbol},{start + n * HOUR_MS},10,{high},10,10,{volume}")
    dataset = tmp_path / "klines_1h.csv"
    dataset.write_text("\n".join(rows))
    return simulator_factory(
        dataset=dataset, symbols=(), start_ms=start + 10 * DAY_MS + 1_000_000, untradable_symbols=False
    )


@pytest.mark.parametrize(("untraded", "dormant"), [(72, True), (71, False)])
def test_a_symbol_that_nobody_trades_is_excluded_and_still_fetched(
    simulator_factory, settings_for, tmp_path, untraded, dormant
):
    venue = zombie_exchange(simulator_factory, tmp_path, untraded)
    settings = settings_for(
        venue.url, data__symbols="BTCUSDT,DEADUSDT", data__timeframes="H1", data__history_days=8
    )
    assert data_sync.run(settings) is ExitCode.OK
    assert newest_h1(settings)["DEADUSDT"] == newest_h1(settings)["BTCUSDT"]
    assert data_validation.run(settings) is ExitCode.OK
    silent_since = utc_text(1_760_054_400_000 + (240 - untraded) * HOUR_MS)
    why = f"dormant since {silent_since}: listed, but nothing is traded"
    assert excluded(settings) == ({"DEADUSDT": why} if dormant else {})
    if not dormant:
        assert gather(settings).data.warnings == ["H1: candles in a row without a trade: DEADUSDT 71"]


def test_too_many_excluded_symbols_are_a_fault(world, capsys):
    venue, settings = world
    for symbol in ("SOLUSDT", "ETHUSDT"):
        set_status(venue, symbol, "SETTLING")
    assert data_sync.run(settings) is ExitCode.OK
    assert data_validation.run(settings) is ExitCode.FAILED
    assert "2 of 3 symbols are excluded, at most 50% may be" in capsys.readouterr().err


def test_an_unknown_symbol_is_excluded_and_named(simulator_factory, settings_for):
    venue = simulator_factory()
    settings = settings_for(venue.url, data__symbols="BTCUSDT,ETHUSDT,TYPOUSDT")
    assert data_sync.run(settings) is ExitCode.OK
    assert excluded(settings)["TYPOUSDT"].endswith("unknown to the exchange")
    assert RunLog(settings.paths.job("data-sync")).recent()[-1].counts["symbols_skipped"] == 1

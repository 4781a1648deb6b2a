"""Import as a person uses it: every kind of bad row, conflicts with what is stored, kills."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from futures_agent.clock import HOUR_MS, SystemClock
from futures_agent.errors import ExitCode, Refuse
from futures_agent.interchange import importing, reading
from futures_agent.interchange.findings import Defect
from futures_agent.interchange.layout import CandleFile
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.records import RunLog
from futures_agent.store.integrity import quick_check
from imported_candles import HEADER, assert_same, lines, request, stored
from sample_candles import START_MS, random_walk

COUNT = 50


def last_run(settings):
    return RunLog(settings.paths.job("import")).recent()[-1]


@pytest.fixture
def good():
    return lines("BTCUSDT", random_walk(COUNT))


def changed(row, column, value):
    """Return a line with one column set to `value`."""
    fields = row.split(",")
    fields[HEADER.split(",").index(column)] = value
    return ",".join(fields)


def test_a_clean_file_is_stored_to_the_bit_and_again_changes_nothing(settings, csv, good, capsys):
    path = csv(*good, *lines("ETHUSDT", random_walk(30, seed=2)))
    assert importing.run(settings, request(path)) is ExitCode.OK
    assert_same(stored(settings, "BTCUSDT"), random_walk(COUNT))
    assert_same(stored(settings, "ETHUSDT"), random_walk(30, seed=2))
    assert last_run(settings).counts["new"] == COUNT + 30
    assert "contract details of BTCUSDT, ETHUSDT are not stored yet" in capsys.readouterr().out
    before = settings.paths.database.read_bytes()
    assert importing.run(settings, request(path)) is ExitCode.OK
    counts = last_run(settings).counts
    assert (counts["rows"], counts["new"], counts["same"], counts["different"]) == (80, 0, 80, 0)
    assert settings.paths.database.read_bytes() == before


# kind -> (what becomes of line 10, what the verdict shows of it)
BAD_ROWS = {
    Defect.COLUMN_COUNT: (lambda row: row + ",1", "klines_1h.csv:10: BTCUSDT"),
    Defect.NOT_A_NUMBER: (lambda row: changed(row, "close", "12;5"), ",12;5,"),
    Defect.MISSING: (lambda row: changed(row, "volume", ""), ":10: BTCUSDT,"),
    Defect.UNKNOWN_SYMBOL: (lambda row: changed(row, "symbol", "BTC/USDT"), ":10: BTC/USDT,"),
    Defect.NO_TIME: (lambda row: changed(row, "open_time", "1735689600"), ":10: BTCUSDT,1735689600,"),
    Defect.OFF_GRID: (lambda row: changed(row, "open_time", str(START_MS + 1)), f",{START_MS + 1},"),
    Defect.NOT_POSITIVE: (lambda row: changed(row, "low", "0"), ":10: BTCUSDT,"),
    Defect.CONTRADICTION: (lambda row: changed(row, "high", "0.001"), ",0.001,"),
    Defect.NEGATIVE: (lambda row: changed(row, "taker_buy_volume", "-1"), ",-1,"),
    Defect.FUTURE: (lambda row: changed(row, "open_time", "4070908800000"), ",4070908800000,"),
}


@pytest.mark.parametrize("defect", BAD_ROWS, ids=lambda defect: defect.name)
def test_a_bad_row_is_counted_shown_and_refuses_its_series(settings, csv, good, defect, capsys):
    spoil, example = BAD_ROWS[defect]
    other = lines("ETHUSDT", random_walk(20, seed=2))
    path = csv(*good[:8], spoil(good[8]), *good[9:])
    clean = csv(*other, name="klines_1h_eth.csv")
    assert importing.run(settings, request(path, clean)) is ExitCode.CONFIG
    said = capsys.readouterr()
    assert f"1 × {defect.value}" in said.out
    assert example in said.out
    assert "refused: BTCUSDT H1" in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert len(stored(settings, "BTCUSDT")) == 0
    assert_same(stored(settings, "ETHUSDT"), random_walk(20, seed=2))

    assert importing.run(settings, request(path, accept_repairs=True)) is ExitCode.OK
    assert_same(stored(settings, "BTCUSDT"), np.delete(random_walk(COUNT), 8))
    assert "1 " in capsys.readouterr().out


def test_rows_that_tell_no_series_refuse_every_series_of_their_file(settings, csv, good, capsys):
    path = csv(*good, *lines("ETHUSDT", random_walk(20, seed=2)), "x")
    assert importing.run(settings, request(path)) is ExitCode.CONFIG
    said = capsys.readouterr()
    assert "rows that tell no series" in said.out
    assert "its file has rows that tell no series) and 1 more" in said.err
    only_bad = csv("btcusdt" + good[0][7:], name="klines_1h_bad.csv")
    assert importing.run(settings, request(only_bad)) is ExitCode.CONFIG
    assert "1 bad rows tell no series" in capsys.readouterr().err


def test_a_row_repeated_and_rows_out_of_order_are_set_right_and_said(settings, csv, good, capsys):
    path = csv(*good[5:], *good[:5], good[7])
    assert importing.run(settings, request(path)) is ExitCode.OK
    said = capsys.readouterr().out
    assert "1 × same row again: dropped, 1 × out of order: sorted" in said
    assert "BTCUSDT H1: out of order: sorted: klines_1h.csv:47: " in said
    assert_same(stored(settings, "BTCUSDT"), random_walk(COUNT))


def test_rows_that_contradict_each_other_are_refused_and_none_is_taken(settings, csv, good, capsys):
    path = csv(*good, changed(good[7], "volume", "1.0"))
    assert importing.run(settings, request(path)) is ExitCode.CONFIG
    said = capsys.readouterr()
    assert "2 × same open_time, different values" in said.err
    assert f"klines_1h.csv:{COUNT + 2}: " in said.out
    assert importing.run(settings, request(path, accept_repairs=True)) is ExitCode.OK
    assert_same(stored(settings, "BTCUSDT"), np.delete(random_walk(COUNT), 7))


def test_the_forming_candle_is_left_out(settings, csv, capsys):
    now = SystemClock().now_ms()
    start = Timeframe.H4.open_of(now) - 4 * Timeframe.H4.ms
    walk = random_walk(5, Timeframe.H4, start_ms=start)
    path = csv(*lines("BTCUSDT", walk), name="klines_4h.csv")
    assert importing.run(settings, request(path)) is ExitCode.OK
    assert "1 × still forming: left out" in capsys.readouterr().out
    found = stored(settings, "BTCUSDT", Timeframe.H4)
    assert found["timestamp"][-1] + Timeframe.H4.ms <= SystemClock().now_ms()
    assert_same(found, walk[: len(found)])


def test_gaps_are_reported_only(settings, csv, good, capsys):
    assert importing.run(settings, request(csv(*good[:10], *good[15:]))) is ExitCode.OK
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("H1, 1 symbols"))
    assert row.split()[3:] == [str(COUNT - 5), str(COUNT - 5), "0", "0", "5", "good"]


def test_stored_candles_win_over_differing_ones_unless_told_otherwise(settings, csv, good, capsys):
    importing.run(settings, request(csv(*good)))
    other = csv(changed(good[3], "volume", "1.0"), *good[4:], name="other_1h.csv")
    assert importing.run(settings, request(other)) is ExitCode.OK
    said = capsys.readouterr().out
    assert "1 differ (kept as stored)" in said
    assert "BTCUSDT H1: differs: " in said
    assert_same(stored(settings, "BTCUSDT"), random_walk(COUNT))
    assert importing.run(settings, request(other, overwrite=True)) is ExitCode.OK
    assert "1 differ (overwritten)" in capsys.readouterr().out
    assert stored(settings, "BTCUSDT")["volume"][3] == 1.0


def test_values_the_file_lacks_are_zero_for_new_rows_and_left_alone_in_stored_ones(settings, csv, capsys):
    walk = random_walk(20)
    bare = [",".join(row.split(",")[:7]) for row in lines("BTCUSDT", walk)]
    header = ",".join(HEADER.split(",")[:7])
    importing.run(settings, request(csv(*lines("BTCUSDT", walk)[:12])))
    capsys.readouterr()
    path = csv(*bare, header=header, name="bare_1h.csv")
    assert importing.run(settings, request(path, overwrite=True)) is ExitCode.OK
    said = capsys.readouterr().out
    assert "trades: not told by the files for 8 new candles; stored as 0" in said
    assert "8 new candles, 12 stored before, 0 differ" in said
    found = stored(settings, "BTCUSDT")
    assert_same(found[:12], walk[:12])
    assert found["close"].tolist() == walk["close"].tolist()
    assert not found["trades"][12:].any()


def test_a_dry_run_says_the_same_and_touches_nothing(settings, csv, good, tmp_path, capsys):
    path = csv(*good, changed(good[0], "symbol", "ETHUSDT").replace(",", ",x", 1))
    before = sorted(tmp_path.rglob("*"))
    assert importing.dry_run(settings, request(path)) is ExitCode.CONFIG
    assert sorted(tmp_path.rglob("*")) == before
    assert "1 of 2 series, 50 new candles" in capsys.readouterr().out
    importing.run(settings, request(csv(*good[:20], name="first_1h.csv")))
    before = settings.paths.database.read_bytes()
    capsys.readouterr()
    assert importing.dry_run(settings, request(csv(*good))) is ExitCode.OK
    assert "30 new candles, 20 stored before" in capsys.readouterr().out
    assert settings.paths.database.read_bytes() == before


def test_symbol_and_timeframe_fill_in_what_files_do_not_tell_and_choose_where_they_do(settings, csv, good):
    untold = csv(*(row.partition(",")[2] for row in good), header=HEADER[7:], name="of_3coins.csv")
    with pytest.raises(Refuse, match="columns missing: symbol"):
        importing.dry_run(settings, request(untold))
    with pytest.raises(Refuse, match="unknown interval '3coins'"):
        importing.dry_run(settings, request(untold, symbol="BTCUSDT"))
    chosen = request(untold, symbol="BTCUSDT", timeframe=Timeframe.H1)
    assert importing.run(settings, chosen) is ExitCode.OK
    assert_same(stored(settings, "BTCUSDT"), random_walk(COUNT))
    both = csv(*good, *lines("ETHUSDT", random_walk(20, seed=2)), name="both_1h.csv")
    assert importing.run(settings, request(both, symbol="ETHUSDT")) is ExitCode.OK
    assert last_run(settings).counts["series"] == 1
    with pytest.raises(Refuse, match="holds no candles that were asked for"):
        importing.dry_run(settings, request(both, timeframe=Timeframe.D1))
    with pytest.raises(Refuse, match="--symbol eth"):
        importing.dry_run(settings, request(both, symbol="eth"))


def test_one_unreadable_file_ends_the_import_before_anything_is_written(
    settings, csv, good, tmp_path, capsys
):
    cut = tmp_path / "klines_1h_cut.csv.gz"
    cut.write_bytes(gzip.compress("\n".join([HEADER, *good]).encode())[:-30])
    assert importing.run(settings, request(csv(*good), cut)) is ExitCode.CONFIG
    assert f"{cut}: cannot read the candles" in capsys.readouterr().err
    assert not settings.paths.database.exists()


_STOPPED = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from futures_agent.interchange import importing, reading
    from futures_agent.settings import load
    path, number, after = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    importing.ROWS_PER_TRANSACTION = 100
    write, done = importing.upsert_candles, 0
    def counted(*arguments):
        global done
        if done == after:
            os.kill(os.getpid(), number)
        done += 1
        return write(*arguments)
    importing.upsert_candles = counted
    sys.exit(importing.run(load().settings, importing.ImportRequest(paths=(path,))))
    """
)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("after", [0, 7, 12])
def test_a_kill_leaves_whole_transactions_and_the_next_import_completes(settings, csv, number, after):
    walks = {"BTCUSDT": random_walk(1_000), "ETHUSDT": random_walk(1_000, seed=2)}
    path = csv(*(row for symbol, walk in walks.items() for row in lines(symbol, walk)))
    environment = {
        **os.environ,
        "AGENT_CONFIG": os.devnull,
        "AGENT_PATHS__STATE_DIR": settings.paths.state_dir,
    }
    code = subprocess.run(
        [sys.executable, "-c", _STOPPED, path, str(int(number)), str(after)],
        env=environment,
        capture_output=True,
        check=False,
    ).returncode
    # SIGTERM is obeyed once the transaction under way has ended.
    written = after if number == signal.SIGKILL else after + 1
    assert code == (-number if number == signal.SIGKILL else ExitCode.INTERRUPTED)
    quick_check(settings.paths.database)
    left = 100 * written
    for symbol, walk in walks.items():
        assert_same(stored(settings, symbol), walk[: min(left, 1_000)])
        left = max(left - 1_000, 0)
    assert importing.run(settings, request(path)) is ExitCode.OK
    assert last_run(settings).counts["new"] == 2_000 - 100 * written
    for symbol, walk in walks.items():
        assert_same(stored(settings, symbol), walk)


def test_a_series_in_many_pieces_and_files_is_put_together(settings, csv, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "CSV_BLOCK_BYTES", 4_096)
    walks = {
        symbol: random_walk(600, seed=seed) for seed, symbol in enumerate(("ADAUSDT", "BTCUSDT", "CHZUSDT"))
    }
    rows = [row for three in zip(*(lines(s, w) for s, w in walks.items()), strict=True) for row in three]
    csv(*rows[900:], name="klines_1h_late.csv")
    early = csv(*rows[:930], name="klines_1h_early.csv")
    monkeypatch.setattr(importing, "ROWS_PER_TRANSACTION", 250)
    assert sum(1 for _ in reading.read_chunks(CandleFile(early, None, "1h"))) > 5
    assert importing.run(settings, request(tmp_path)) is ExitCode.OK
    for symbol, walk in walks.items():
        assert_same(stored(settings, symbol), walk)


def test_microseconds_are_recognised_by_their_size_and_said(settings, csv, good, capsys):
    path = csv(*(changed(row, "open_time", row.split(",")[1] + "000") for row in good))
    assert importing.run(settings, request(path)) is ExitCode.OK
    assert "50 rows open_time in microseconds, understood as such" in capsys.readouterr().out
    assert stored(settings, "BTCUSDT")["timestamp"][1] == START_MS + HOUR_MS
    off = csv(changed(good[0], "open_time", str(START_MS) + "001"), name="off_1h.csv")
    assert importing.run(settings, request(off)) is ExitCode.CONFIG


def test_rows_of_other_intervals_are_passed_over_and_said(settings, csv, good, capsys):
    rows = [f"{row},{interval}" for row, interval in zip(good, ["1h"] * 40 + ["1m"] * 10, strict=True)]
    path = csv(*rows, header=HEADER + ",interval", name="candles.csv")
    assert importing.run(settings, request(path)) is ExitCode.OK
    assert "10 rows of an interval that is not kept, passed over" in capsys.readouterr().out
    assert_same(stored(settings, "BTCUSDT"), random_walk(COUNT)[:40])

"""Files by their names, columns and formats."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
import pytest

from futures_agent.errors import ExitCode, Refuse, Retry
from futures_agent.interchange import importing, reading, spool
from futures_agent.interchange.judging import ROW
from futures_agent.interchange.layout import CandleFile, find_candle_files, is_symbol
from futures_agent.interchange.reading import read_chunks
from futures_agent.market.timeframe import Timeframe
from imported_candles import HEADER, assert_same, lines, request, stored
from sample_candles import random_walk

WALK = random_walk(48)
ARCHIVE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)


def archive_lines(walk=WALK, *, unit=1, timeframe=Timeframe.H1):
    """Return candles as the exchange's public archive has them."""
    rows = []
    for time, opening, high, low, close, volume, quote, trades, taker, taker_quote in walk.tolist():
        end = (time + timeframe.ms) * unit - 1
        values = (time * unit, opening, high, low, close, volume, end, quote, trades, taker, taker_quote, 0)
        rows.append(",".join(map(repr, values)))
    return rows


def zipped(path, *names, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or (path.name.replace(".zip", ".csv"),):
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("unit", [1, 1000])
def test_the_exchange_s_archive_is_read_with_and_without_header(settings, tmp_path, header, unit):
    rows = [ARCHIVE_HEADER] * header + archive_lines(unit=unit)
    path = zipped(tmp_path / "BTCUSDT-1h-2025-01.zip", text="\n".join(rows) + "\n")
    assert importing.run(settings, request(path)) is ExitCode.OK
    assert_same(stored(settings, "BTCUSDT"), WALK)


def test_a_folder_of_months_and_days_overlaps_and_is_searched_through(settings, tmp_path, capsys):
    rows = archive_lines()
    zipped(tmp_path / "um" / "monthly" / "BTCUSDT-1h-2025-01.zip", text="\n".join(rows[:30]))
    zipped(tmp_path / "um" / "daily" / "BTCUSDT-1h-2025-01-02.zip", text="\n".join(rows[24:]))
    zipped(tmp_path / "um" / "monthly" / "BTCUSDT-1m-2025-01.zip", text="not even read")
    (tmp_path / "um" / "daily" / "BTCUSDT-1h-2025-01-02.csv.gz").write_bytes(
        gzip.compress("\n".join(rows[24:]).encode())
    )
    (tmp_path / "um" / "BTCUSDT-1h-2025-01.zip.CHECKSUM").write_text("not even read")
    assert importing.run(settings, request(tmp_path / "um")) is ExitCode.OK
    assert_same(stored(settings, "BTCUSDT"), WALK)
    assert "30 × same row again: dropped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: zipped(p / "BTCUSDT-1h-2025-01.zip", "a.csv", "b.csv", text="x"), "holds 2 CSV files"),
        (lambda p: zipped(p / "BTCUSDT-1h-2025-01.zip", "a.txt", text="x"), "holds 0 CSV files"),
        (lambda p: zipped(p / "BTCUSDT-1m-2025-01.zip", text="x"), "candles of 1m are not kept"),
        (
            lambda p: zipped(p / "BTCUSDT-7h-2025-01.zip", text="\n".join(archive_lines())),
            "unknown interval '7h'",
        ),
        (lambda p: _written(p / "BTCUSDT-1h-2025-01.zip", b"not a ZIP file"), "cannot read the candles"),
        (
            lambda p: _written(p / "BTCUSDT-1h-2025-01.csv", b"1,2,3\n4,5,6\n"),
            "no header line, and 3 columns",
        ),
        (lambda p: _written(p / "a-1h.csv", b"\nsymbol\n"), "begins with an empty line"),
        (lambda p: _written(p / "a-1h.csv", f"{HEADER},open\n".encode()), "column open is there 2 times"),
        (lambda p: _written(p / "a-1h.xlsx", b"x"), "not a file of candles"),
        (lambda p: p / "nothing.csv", "no such file or folder"),
        (lambda p: p / ("x" * 300), "cannot look there: File name too long"),
        (lambda p: p, "no candles; expected files such as"),
    ],
)
def test_files_that_cannot_be_read_are_named_with_what_to_do(settings, tmp_path, make, words):
    path = make(tmp_path)
    with pytest.raises(Refuse, match=words) as refusal:
        importing.dry_run(settings, request(path))
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def _written(path, content):
    path.write_bytes(content)
    return path


def test_a_folder_tells_symbols_and_intervals_by_names(tmp_path):
    for name in (
        "klines_1h.csv",
        "klines_15m.parquet",
        "BTCUSDT-4h-2025-01.csv",
        "notes.csv",
        "klines_1w.csv",
    ):
        (tmp_path / name).touch()
    found = {(file.path.name, file.symbol, file.interval) for file in find_candle_files([tmp_path, tmp_path])}
    assert found == {
        ("klines_1h.csv", None, "1h"),
        ("klines_15m.parquet", None, "15m"),
        ("BTCUSDT-4h-2025-01.csv", "BTCUSDT", "4h"),
    }


@pytest.mark.parametrize(
    ("texts", "good"),
    [
        ("BTCUSDT 1000PEPEUSDT 币安人生USDT", True),
        ("btcusdt BTC/USDT BTC-USDT BTCUSDT_250328 12345 AB", False),
    ],
)
def test_symbols_are_written_as_the_exchange_writes_them(texts, good):
    assert [is_symbol(text) for text in texts.split()] == [good] * len(texts.split())
    assert not is_symbol("")


def test_lines_are_counted_across_empty_and_misshapen_ones(csv, monkeypatch):
    monkeypatch.setattr(reading, "CSV_BLOCK_BYTES", 1_024)
    rows = lines("BTCUSDT", random_walk(300))
    for at in (250, 200, 101, 100, 3):
        rows.insert(at, "")
        rows.insert(at, "cut,off")
    path = csv(*rows, "")
    text = path.read_text().splitlines()
    misshapen, read = [], 0
    for chunk in read_chunks(CandleFile(path, None, "1h")):
        misshapen += chunk.misshapen
        for line, time in zip(chunk.lines, chunk.columns["open_time"].to_pylist(), strict=True):
            assert text[line - 1].split(",")[1] == time
            read += 1
    assert read == 300
    assert [text[line - 1] for line, _ in misshapen] == ["cut,off"] * 5
    assert misshapen == sorted(misshapen)


def test_numbers_are_read_to_the_nearest_double_however_they_are_written(settings, csv):
    row = "BTCUSDT,1.735689600000e12, 0.3 ,+.5,1E-1,0.30000000000000004,123456789.12345678,NaN,null,,"
    assert importing.run(settings, request(csv(row, row.replace(" 0.3 ", "0.3")))) is ExitCode.OK
    (candle,) = stored(settings, "BTCUSDT").tolist()
    assert candle == (1_735_689_600_000, 0.3, 0.5, 0.1, 0.1 + 0.2, 123456789.12345678, 0.0, 0, 0.0, 0.0)


@pytest.mark.parametrize("word", ["1_000", "0x10", "--1", "1.2.3", "true", "١٢"])
def test_what_python_takes_for_a_number_but_is_none_is_refused(settings, csv, word):
    row = lines("BTCUSDT", WALK[:1])[0].split(",")
    row[6] = word
    assert importing.dry_run(settings, request(csv(",".join(row)))) is ExitCode.CONFIG


def test_rows_outlive_memory_in_a_file_without_a_name(tmp_path):
    rows = np.zeros(5, dtype=ROW)
    rows["line"] = range(5)
    series = ("BTCUSDT", Timeframe.H1)
    with spool.Spool(tmp_path) as kept:
        assert list(tmp_path.iterdir()) == []
        kept.append(series, rows[:2])
        kept.append(("ETHUSDT", Timeframe.H1), rows)
        kept.append(series, rows[2:])
        kept.append(("XRPUSDT", Timeframe.H1), rows[:0])
        assert kept.rows(series).tolist() == rows.tolist()
        assert kept.series() == [series, ("ETHUSDT", Timeframe.H1)]


def test_a_spool_without_space_or_place_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(Refuse, match="set TMPDIR"):
        spool.Spool(tmp_path / "absent")
    with spool.Spool(tmp_path) as kept:
        kept._file = FullDisk()
        with pytest.raises(Retry, match="No space left"):
            kept.append(("BTCUSDT", Timeframe.H1), np.zeros(1, dtype=ROW))


class FullDisk(io.BytesIO):
    def write(self, content):
        raise OSError(28, "No space left on device")


def test_zero_byte_parquet_is_named(settings, tmp_path):
    path = tmp_path / "klines_1h.parquet"
    path.touch()
    with pytest.raises(Refuse, match=r"klines_1h\.parquet: cannot read"):
        importing.dry_run(settings, request(path))

"""Export: files that read back to the bit, whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import numpy as np
import pytest

from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.errors import ExitCode, Refuse
from futures_agent.interchange import exporting, importing
from futures_agent.interchange.exporting import ExportRequest, export_candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import PathSettings
from futures_agent.simulator.dataset import RecordedCandles
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_writer
from imported_candles import assert_same, request, stored
from sample_candles import START_MS, random_walk


def awkward() -> np.ndarray:
    """Return candles with numbers that careless writing would change."""
    candles = random_walk(400)
    for name, value in {"open": 1e-8, "low": 5e-324, "close": 0.1 + 0.2, "high": 1e22}.items():
        candles[name][7] = value
    candles["volume"][7], candles["quote_volume"][7] = 123_456_789.123_456_78, 98_765_432_109.876_54
    candles["trades"][7] = 2**53 - 1
    candles["volume"][8] = 0.0
    return candles


HOURS, DAYS = awkward(), random_walk(30, Timeframe.D1, seed=3)


@pytest.fixture
def filled(settings):
    settings.paths.database.parent.mkdir(parents=True)
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        upsert_candles(db, Timeframe.H1, "BTCUSDT", HOURS)
        upsert_candles(db, Timeframe.H1, "ETHUSDT", HOURS[100:])
        upsert_candles(db, Timeframe.D1, "BTCUSDT", DAYS)
    return settings


def ask(output: Path, file_format: str = "csv", **changes: object) -> ExportRequest:
    whole = ExportRequest(
        output=output,
        format=file_format,  # type: ignore[arg-type]
        symbols=("BTCUSDT", "ETHUSDT"),
        timeframes=(Timeframe.H1, Timeframe.D1),
        first_ms=0,
        end_ms=2**62,
    )
    return msgspec.structs.replace(whole, **changes)


@pytest.mark.parametrize("name", ["out", "out/candles"])
@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_what_was_exported_is_imported_to_the_bit(filled, tmp_path, file_format, name):
    one_file = name.endswith("candles")
    output = tmp_path / (f"{name}.{file_format}" if one_file else name)
    written = export_candles(filled, ask(output, file_format))
    assert [one.candles for one in written] == ([730] if one_file else [700, 30])
    elsewhere = msgspec.structs.replace(filled, paths=PathSettings(state_dir=str(tmp_path / "other")))
    assert importing.run(elsewhere, request(output)) is ExitCode.OK
    assert_same(stored(elsewhere, "BTCUSDT"), HOURS)
    assert_same(stored(elsewhere, "ETHUSDT"), HOURS[100:])
    assert_same(stored(elsewhere, "BTCUSDT", Timeframe.D1), DAYS)


def test_the_range_is_open_times_from_and_before(filled, tmp_path):
    chosen = ask(
        tmp_path / "cut.csv",
        timeframes=(Timeframe.H1,),
        symbols=("BTCUSDT",),
        first_ms=START_MS + HOUR_MS,
        end_ms=START_MS + DAY_MS,
    )
    (written,) = export_candles(filled, chosen)
    rows = written.path.read_text().splitlines()
    assert rows[0].startswith("symbol,interval,open_time,open,high,low,close,volume,quote_volume,trades")
    assert [int(row.split(",")[2]) for row in rows[1:]] == list(
        range(START_MS + HOUR_MS, START_MS + DAY_MS, HOUR_MS)
    )


def test_the_simulator_serves_what_was_exported(filled, tmp_path):
    export_candles(filled, ask(tmp_path / "out", symbols=("BTCUSDT",), timeframes=(Timeframe.D1,)))
    served = RecordedCandles.load(tmp_path / "out").series("BTCUSDT", Timeframe.D1, 2**62)
    assert served["timestamp"].tolist() == DAYS["timestamp"].tolist()
    assert served["taker_buy_volume"] == pytest.approx(DAYS["taker_buy_volume"], abs=1e-8)


def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(filled, settings, tmp_path, monkeypatch):
    with pytest.raises(Refuse, match="no D1 candles stored of the symbols asked for in 2000-01-01"):
        export_candles(
            filled, ask(tmp_path / "out", timeframes=(Timeframe.D1,), first_ms=946_684_800_000, end_ms=10**12)
        )
    with pytest.raises(Refuse, match="its suffix and --format csv disagree"):
        export_candles(filled, ask(tmp_path / "candles.parquet"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Refuse, match="remove what is in the way"):
        export_candles(filled, ask(tmp_path / "file" / "out"))

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting.os, "fsync", fail)
    with pytest.raises(Exception, match="cannot write: No space left"):
        export_candles(filled, ask(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []
    nowhere = msgspec.structs.replace(settings, paths=PathSettings(state_dir=str(tmp_path / "nowhere")))
    with pytest.raises(Refuse, match="no database yet"):
        export_candles(nowhere, ask(tmp_path / "out"))


def test_an_existing_file_is_replaced_whole(filled, tmp_path):
    path = tmp_path / "candles.csv"
    path.write_text("old\n" * 100_000)
    (written,) = export_candles(filled, ask(path))
    assert "old" not in path.read_text()
    assert written.candles == len(path.read_text().splitlines()) - 1

"""A disk that fills during an import: one clear line, a good database, and the next import completes it."""

from __future__ import annotations

import contextlib
import os

import pytest

from futures_agent.errors import ExitCode
from futures_agent.interchange import importing
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.store.candles import read_candles
from futures_agent.store.database import open_reader
from futures_agent.store.integrity import quick_check
from sample_candles import random_walk


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_it_stops_with_one_line_and_goes_on_later(settings_for, small_disk, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importing, "ROWS_PER_TRANSACTION", 500)
    walk = random_walk(12_000)
    path = tmp_path / "klines_1h.csv"
    rows = [",".join(["BTCUSDT", *map(repr, row)]) for row in walk.tolist()]
    names = [name.replace("timestamp", "open_time") for name in FULL_CANDLE.names]
    path.write_text("\n".join([",".join(["symbol", *names]), *rows]))
    settings = settings_for("http://127.0.0.1:9", paths__state_dir=str(small_disk.path))
    request = importing.ImportRequest(paths=(path,))
    assert importing.run(settings, request) is ExitCode.FAILED
    said = capsys.readouterr().err.strip().splitlines()
    assert "disk full" in said[-1]
    small_disk.grow("64M")
    quick_check(settings.paths.database)
    assert importing.run(settings, request) is ExitCode.OK
    with contextlib.closing(open_reader(settings.paths.database)) as db:
        found = read_candles(db, Timeframe.H1, ["BTCUSDT"], 0, 2**62, dtype=FULL_CANDLE)["BTCUSDT"]
    assert found.tobytes() == walk.tobytes()

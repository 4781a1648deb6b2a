"""Importing one million candles, without indicators: seconds and peak memory of the whole process.

Run from `app/`: `python -m benchmarks.import_candles`. Forty symbols, 25,000 hours each, all columns, the
symbols' rows interleaved as in a recording; as CSV, as Parquet, and as the exchange's monthly archives. Then
the same files again, which must change nothing. The bars: under 10 s, under the 384 MB of the jobs' slice.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.store_read import random_walk
from futures_agent.interchange.layout import ARCHIVE_COLUMNS, OPTIONAL, REQUIRED
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import DataSettings

SYMBOLS = DataSettings().symbols[:40]
HOURS = 25_000
MAX_IMPORT_S = 10.0
MAX_RSS_MB = 384.0


def main() -> int:
    """Measure each format and return 1 where a bar was missed."""
    rng = np.random.default_rng(20260101)
    walks = {symbol: _rounded(random_walk(rng, Timeframe.H1, HOURS)) for symbol in SYMBOLS}
    reached = True
    with tempfile.TemporaryDirectory(prefix="import_") as name:
        folder = Path(name)
        print(f"{'':16}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}{'new':>12}{'files MB':>10}")
        for kind, files in _written(walks, folder / "files"):
            size_mb = sum(file.stat().st_size for file in files.rglob("*.*")) / 1e6
            for what in (kind, "the same again"):
                wall_s, cpu_s, counts = _import(folder / f"state_{kind}", files)
                peak_mb, new = counts["peak_mb"], counts["new"]
                print(f"{what:16}{wall_s:8.2f}{cpu_s:8.2f}{peak_mb:9}{new:12,}{size_mb:10.0f}", flush=True)
                expected = len(SYMBOLS) * HOURS if what == kind else 0
                reached &= wall_s < MAX_IMPORT_S and peak_mb < MAX_RSS_MB and new == expected
    print(f"bars: {MAX_IMPORT_S:g} s, {MAX_RSS_MB:g} MB; {'reached' if reached else 'MISSED'}")
    return 0 if reached else 1


def _rounded(candles: Candles) -> Candles:
    """Return candles with as many decimals as the exchange's have."""
    for name in (*REQUIRED[1:], *OPTIONAL):
        candles[name] = candles[name].round(3)
    candles["low"] = np.maximum(candles["low"], 0.001)
    return candles


def _written(walks: dict[str, Candles], folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield each format's name and the folder or file with the candles in it."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    names = {"open_time": "timestamp"}
    columns: dict[str, Any] = {
        name: np.stack([walk[names.get(name, name)] for walk in walks.values()], axis=1).ravel()
        for name in (*REQUIRED, *OPTIONAL)
    }
    table = pa.table({"symbol": list(walks) * HOURS, **columns})
    for kind in ("csv", "parquet", "archive"):
        (folder / kind).mkdir(parents=True)
    csv.write_csv(table, folder / "csv" / "klines_1h.csv")
    yield "csv", folder / "csv"
    parquet.write_table(table, folder / "parquet" / "klines_1h.parquet", row_group_size=100_000)
    del table, columns
    yield "parquet", folder / "parquet"
    for symbol, walk in walks.items():
        _write_archives(symbol, walk, folder / "archive")
    yield "archive", folder / "archive"


def _write_archives(symbol: str, walk: Candles, folder: Path) -> None:
    """Write one ZIP for each month, as the exchange publishes them."""
    months = walk["timestamp"].astype("datetime64[ms]").astype("datetime64[M]")
    for month in np.unique(months):
        rows = (
            (t, o, h, low, c, v, t + Timeframe.H1.ms - 1, q, n, tb, tq, 0)
            for t, o, h, low, c, v, q, n, tb, tq in walk[months == month].tolist()
        )
        text = "\n".join([",".join(ARCHIVE_COLUMNS), *(",".join(map(repr, row)) for row in rows)])
        name = f"{symbol}-1h-{month}"
        with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}.csv", text)


def _import(state: Path, files: Path) -> tuple[float, float, dict[str, int]]:
    """Run `agentctl import` and return its seconds, those of CPU, and what it counted."""
    options = ["--set", f"paths.state_dir={state}", "import", str(files)]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "futures_agent.cli", "--set", "log.level=WARNING", *options],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "AGENT_CONFIG": os.devnull},
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall_s, cpu_s = time.monotonic() - began, usage.ru_utime + usage.ru_stime
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"import: exit {process.returncode}")
    record = json.loads((state / "jobs" / "import" / "runs.jsonl").read_text().splitlines()[-1])
    return wall_s, cpu_s, record["counts"]


if __name__ == "__main__":
    sys.exit(main())

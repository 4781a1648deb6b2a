"""What a full year of 60 symbols occupies: size of each table, and bytes per row.

Run from `app/`: `python -m benchmarks.table_sizes`. D1, H4, H1, M15, indicators, statistics and macro data
are fetched from the simulated exchange by the real jobs, at 120 times real speed (FRED, which needs a key,
is left out). The bar: everything must work at a database of 1 GB, so a year has to stay below that.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import apsw

from benchmarks.sync import START_MS, command, simulator

SCALE = 120.0
MAX_MB = 1000.0


def main() -> int:
    """Fill a database, print its tables, and return 1 where the bar was missed."""
    with tempfile.TemporaryDirectory(prefix="table_sizes_") as name, simulator(Path(name)) as exchange:
        state = Path(name) / "state"
        exchange.set_clock(START_MS, SCALE)
        for job in ("data-sync", "sentiment-macro"):
            subprocess.run(
                command(state, exchange.url, SCALE, job),
                env={**os.environ, "AGENT_MACRO__FEAR_GREED_URL": exchange.url},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        return report(state / "db" / "crypto_agent.db")


def report(database: Path) -> int:
    """Print a row per table, indexes included."""
    with contextlib.closing(apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        sizes: dict[str, int] = dict(
            db.execute(
                "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_schema USING (name) GROUP BY tbl_name"
            )
        )
        print(f"{'table':<24}{'rows':>12}{'MB':>10}{'bytes per row':>16}")
        for table, size in sorted(sizes.items(), key=lambda item: -item[1]):
            (rows,) = next(db.execute(f'SELECT count(*) FROM "{table}"'))
            if rows:
                print(f"{table:<24}{rows:>12,}{size / 1e6:>10.1f}{size / rows:>16.1f}")
    total_mb = database.stat().st_size / 1e6
    print(f"{'file':<24}{'':>12}{total_mb:>10.1f}    (bar: {MAX_MB:.0f} MB)")
    return int(total_mb > MAX_MB)


if __name__ == "__main__":
    sys.exit(main())

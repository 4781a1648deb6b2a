"""Go-live checks of the database: settings in force, schema current, and whole after every kind of harm."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from database_program import BATCH, Program, running
from futures_agent.errors import Blocked, Corrupt, ExitCode, Refuse, Retry, exit_code_of
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import DatabaseSettings, PathSettings
from futures_agent.store.candles import read_candles, upsert_candles
from futures_agent.store.database import Durability, open_reader, open_writer
from futures_agent.store.integrity import integrity_check, quick_check
from futures_agent.store.migrate import LATEST, schema_version
from sample_candles import random_walk

H1 = Timeframe.H1
PAGE = 4096
FOREVER = 2**62

# Tables with the names people type, and what their rows are found by.
KEYS = {
    "ohlcv_d1": ["symbol", "timestamp"],
    "ohlcv_h4": ["symbol", "timestamp"],
    "ohlcv_h1": ["symbol", "timestamp"],
    "ohlcv_m15": ["symbol", "timestamp"],
    "indicadores_tecnico": ["symbol", "timeframe", "timestamp"],
    "sentimento_mercado": ["symbol", "timestamp"],
    "macro_data": ["series", "date", "available_at"],
    "instruments": ["symbol"],
    "trades": ["trade_id"],
    "orders": ["client_order_id"],
    "incidents": ["incident_id"],
    "job_runs": ["run_id"],
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with 2,000 H1 candles of one symbol, all of them in the main file."""
    path = tmp_path / "crypto_agent.db"
    with contextlib.closing(open_writer(path)) as db:
        upsert_candles(db, H1, "BTCUSDT", random_walk(2000))
    return path


def _counts(database: Path) -> dict[str, int]:
    with contextlib.closing(open_reader(database)) as db:
        return dict(db.execute("SELECT symbol, count(*) FROM ohlcv_h1 GROUP BY symbol"))


# What is in force ---------------------------------------------------------------------------------


def test_wal_is_on_and_trades_are_never_undone(database: Path) -> None:
    assert database.read_bytes()[18:20] == b"\x02\x02"  # file format: WAL for writing and reading
    with contextlib.closing(open_writer(database, durability=Durability.TRADES)) as db:
        assert db.pragma("journal_mode") == "wal"
        assert db.pragma("synchronous") == 2
        assert db.pragma("wal_autocheckpoint") == 1000
        assert db.pragma("foreign_keys") == 1


def test_schema_is_current_and_has_the_names_people_type(database: Path) -> None:
    with contextlib.closing(open_reader(database)) as db:
        assert schema_version(db) == LATEST
        found = {table: _key_columns(db, table) for table in KEYS}
    assert found == KEYS


def _key_columns(db: apsw.Connection, table: str) -> list[str]:
    rows = db.execute("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,))
    return [name for (name,) in rows]


def test_a_sound_database_passes_both_checks(database: Path) -> None:
    assert quick_check(database) >= 0
    assert integrity_check(database) >= 0


def test_orders_need_their_trade(database: Path) -> None:
    with (
        contextlib.closing(open_writer(database)) as db,
        pytest.raises(apsw.ConstraintError, match="FOREIGN KEY"),
    ):
        db.execute(
            "INSERT INTO orders (client_order_id, trade_id, symbol, timestamp, side, type, status, quantity,"
            " updated_at) VALUES ('a', 'none', 'BTCUSDT', 1, 'BUY', 'LIMIT', 'NEW', 1, 1)"
        )


def test_recovery_keeps_writers_out(tmp_path: Path) -> None:
    paths = PathSettings(state_dir=str(tmp_path))
    paths.database.parent.mkdir()
    paths.locked_flag.touch()
    with pytest.raises(Blocked) as caught:
        open_writer(paths.database)
    assert exit_code_of(caught.value) == ExitCode.BLOCKED


# Several processes --------------------------------------------------------------------------------


def test_two_processes_write_at_once_and_nothing_is_lost(database: Path) -> None:
    committed = {}
    with running("write", database, "ADAUSDT") as one, running("write", database, "XRPUSDT") as two:
        moment = 0
        writers = [("ADAUSDT", one), ("XRPUSDT", two)]
        for symbol, program in writers * 6:  # each commit found is later than the other's: they take turns
            committed[symbol], moment = _next_commit(program, after=moment)
        assert one.kill() == two.kill() == -9
    for symbol, stored in _counts(database).items():
        assert stored >= committed.get(symbol, 2000)
        assert stored % BATCH == 0
    integrity_check(database)


def _next_commit(program: Program, *, after: int = 0) -> tuple[int, int]:
    """Return the first commit later than `after`: candles stored so far, and when."""
    while True:
        count, moment = map(int, program.line().split())
        if moment > after:
            return count, moment


def test_a_reader_sees_the_last_commit_while_a_write_goes_on(database: Path) -> None:
    with running("hold", database, "ETHUSDT", 20_000) as writer:
        assert writer.line() == "holding"
        _require_spilled(database, 20_000)
        assert _counts(database) == {"BTCUSDT": 2000}
        with contextlib.closing(open_reader(database)) as reader:
            writer.go()
            assert writer.line() == "committed"
            assert len(read_candles(reader, H1, ["ETHUSDT"], 0, FOREVER)["ETHUSDT"]) == 20_000


def test_one_read_sees_one_moment_although_a_write_commits_meanwhile(database: Path) -> None:
    with contextlib.closing(open_reader(database)) as reader, contextlib.closing(open_writer(database)) as db:
        rows = reader.execute("SELECT count(*) OVER (), timestamp FROM ohlcv_h1 WHERE symbol = 'BTCUSDT'")
        next(rows)
        upsert_candles(db, H1, "BTCUSDT", random_walk(3000))
        assert sum(1 for _ in rows) == 1999
        assert reader.execute("SELECT count(*) FROM ohlcv_h1").get == 3000


def test_a_second_writer_waits_no_longer_than_the_busy_time_out(database: Path) -> None:
    with running("hold", database, "ETHUSDT", 10) as holder:
        assert holder.line() == "holding"
        with contextlib.closing(open_writer(database, DatabaseSettings(busy_timeout_ms=50))) as db:
            with pytest.raises(Retry, match="another program is writing it"):
                upsert_candles(db, H1, "ADAUSDT", random_walk(5))
            holder.go()
            assert holder.line() == "committed"
            assert upsert_candles(db, H1, "ADAUSDT", random_walk(5)) == 5
    assert _counts(database) == {"BTCUSDT": 2000, "ETHUSDT": 10, "ADAUSDT": 5}


def test_kill_9_in_the_middle_of_a_transaction_loses_only_that_transaction(database: Path) -> None:
    with running("hold", database, "ETHUSDT", 20_000) as writer:
        assert writer.line() == "holding"
        _require_spilled(database, 20_000)
        assert writer.kill() == -9
    assert _counts(database) == {"BTCUSDT": 2000}
    with contextlib.closing(open_writer(database, DatabaseSettings(busy_timeout_ms=0))) as db:
        assert upsert_candles(db, H1, "ETHUSDT", random_walk(100)) == 100
    integrity_check(database)
    assert _counts(database) == {"BTCUSDT": 2000, "ETHUSDT": 100}


def test_kill_9_at_any_moment_keeps_every_acknowledged_commit_whole(database: Path) -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    for _ in range(5):
        with running("write", database, "ETHUSDT") as writer:
            for _ in range(rng.randint(1, 40)):
                acknowledged, _ = _next_commit(writer)
            time.sleep(rng.uniform(0, 0.002))
            assert writer.kill() == -9
        stored = _counts(database)["ETHUSDT"]
        assert stored >= acknowledged, f"seed {seed}"
        assert stored % BATCH == 0, f"seed {seed}"
        integrity_check(database)


def _require_spilled(database: Path, candles: int) -> None:
    """Prove that the open transaction has already written pages to the disk."""
    written = database.with_name(database.name + "-wal").stat().st_size
    assert written > candles * 50, "inconclusive: the transaction is still in memory"


# A user that may only read ------------------------------------------------------------------------


@pytest.fixture
def public_database() -> Iterator[Path]:
    """A database that any user may read and none but root may write, in a directory of the same kind."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "crypto_agent.db"
        with contextlib.closing(open_writer(path)) as db:
            upsert_candles(db, H1, "BTCUSDT", random_walk(200))
        yield path
        path.parent.chmod(0o700)


def _read_only(database: Path) -> None:
    for path in database.parent.iterdir():
        path.chmod(0o444)
    database.parent.chmod(0o555)


def test_a_user_without_write_permission_reads_when_no_writer_runs(public_database: Path) -> None:
    _read_only(public_database)
    with running("unprivileged", public_database) as reader:
        assert reader.line().startswith(f"Refuse {public_database}: no access")
        assert reader.line() == "{'BTCUSDT': 200}"


def test_a_user_without_write_permission_reads_beside_a_writer(public_database: Path) -> None:
    with contextlib.closing(open_writer(public_database)) as db:
        upsert_candles(db, H1, "ETHUSDT", random_walk(300))
        assert public_database.with_name("crypto_agent.db-wal").stat().st_size > 0
        _read_only(public_database)
        with running("unprivileged", public_database) as reader:
            assert reader.line().startswith("Refuse")
            assert reader.line() == "{'BTCUSDT': 200, 'ETHUSDT': 300}"


def test_a_user_without_write_permission_is_told_when_the_wal_is_gone(public_database: Path) -> None:
    for suffix in ("-wal", "-shm"):
        public_database.with_name(public_database.name + suffix).unlink()
    _read_only(public_database)
    with running("unprivileged", public_database) as reader:
        assert reader.line().startswith("Refuse")
        assert "check the permissions of crypto_agent.db, crypto_agent.db-wal" in reader.line()


# Harm ---------------------------------------------------------------------------------------------


def test_a_damaged_header_is_corrupt_for_everybody(database: Path) -> None:
    with database.open("r+b") as file:
        file.write(b"not a database at all")
    for attempt in (open_reader, open_writer, quick_check, integrity_check):
        with pytest.raises(Corrupt, match="not a SQLite database: keep it") as caught:
            attempt(database)
        assert exit_code_of(caught.value) == ExitCode.CORRUPT


def test_a_cut_file_is_corrupt(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)
    with pytest.raises(Corrupt, match="damaged"):
        quick_check(database)


def test_a_flipped_page_is_found(database: Path) -> None:
    content = bytearray(database.read_bytes())
    page = _page_of_candles(content)
    content[page * PAGE : (page + 1) * PAGE] = bytes(
        byte ^ 0xFF for byte in content[page * PAGE : (page + 1) * PAGE]
    )
    database.write_bytes(content)
    for check in (quick_check, integrity_check):
        with pytest.raises(Corrupt, match="damaged"):
            check(database)


def _page_of_candles(content: bytes) -> int:
    """Return the number (from 0) of a page that holds candles."""
    return content.index(b"BTCUSDT", len(content) // 2) // PAGE


def test_a_full_disk_undoes_the_transaction_and_says_so(small_disk: Path) -> None:
    database = small_disk / "crypto_agent.db"
    with contextlib.closing(open_writer(database)) as db:
        upsert_candles(db, H1, "BTCUSDT", random_walk(100))
        with pytest.raises(Retry, match=f"disk full: {small_disk}; free space and run again"):
            upsert_candles(db, H1, "ETHUSDT", random_walk(20_000))
    assert _counts(database) == {"BTCUSDT": 100}
    integrity_check(database)
    with contextlib.closing(open_writer(database)) as db:
        assert upsert_candles(db, H1, "ETHUSDT", random_walk(50)) == 50


def test_a_database_is_not_half_created_on_a_full_disk(small_disk: Path) -> None:
    database = small_disk / "crypto_agent.db"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1024 * 1024 - 96 * 1024))
    with pytest.raises(Retry, match="disk full"):
        open_writer(database)
    with pytest.raises(Refuse, match="run `agentctl data-sync` first"):
        open_reader(database)
    ballast.unlink()
    open_writer(database).close()
    integrity_check(database)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    tried = subprocess.run(mount, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"cannot mount a small disk (needs root): {tried.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_read_only_directory_is_refused(tmp_path: Path) -> None:
    if os.getuid() == 0:
        tried = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path)], capture_output=True, check=False
        )
        if tried.returncode != 0:
            pytest.skip("root may write everywhere, and a read-only disk cannot be mounted here")
    else:
        tmp_path.chmod(0o555)
    try:
        with pytest.raises(Refuse, match="no access"):
            open_writer(tmp_path / "crypto_agent.db")
    finally:
        if os.getuid() == 0:
            subprocess.run(["umount", str(tmp_path)], check=True)

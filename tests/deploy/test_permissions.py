"""Who may write what: the directories and users of the host role, used by the programs that share them.

Needs root, to become each of the users; their numbers exist nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
import traceback
from pathlib import Path

import apsw
import pytest
import yaml

from futures_agent.backup.archive import Manifest, write_archive
from futures_agent.backup.hot import database_name
from futures_agent.backup.restore import restore_database
from futures_agent.backup.snapshot import take_snapshot
from futures_agent.cli.frame import settings_logged
from futures_agent.errors import Refuse
from futures_agent.exchange.clock import CLOCK_FILE, ExchangeClock
from futures_agent.exchange.governor import STATE_FILE, WeightGovernor
from futures_agent.files import append_line
from futures_agent.settings.load import load
from futures_agent.store.database import open_reader, open_writer

ROLE = yaml.safe_load((Path(__file__).parents[2] / "roles/host/vars/main.yml").read_text(encoding="utf-8"))
STATE = "/var/lib/crypto-futures-agent"
JOBS, LIVE, BACKTEST, STRANGER = "agent-jobs", "agent-live", "agent-backtest", "stranger"
NUMBERS = {
    name: 61_200 + number
    for number, name in enumerate(["agent-data", "agent-write", JOBS, LIVE, BACKTEST, STRANGER])
} | {"root": 0}
GROUPS = {user["name"]: ["agent-data", *user["groups"]] for user in ROLE["host_users"]} | {
    STRANGER: [STRANGER]
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")


def as_user(name, action):
    """Return what `action` returns, as JSON carries it, done by another user; its failure fails the test."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        try:
            groups = [NUMBERS[group] for group in GROUPS[name]]
            os.setgroups(groups)
            os.setgid(groups[0])
            os.setuid(NUMBERS[name])
            os.umask(0o027)  # of the units
            said = json.dumps([True, action()])
        except BaseException:
            said = json.dumps([False, traceback.format_exc()])
        os.write(writing, said.encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        good, answer = json.loads(pipe.read())
    os.waitpid(pid, 0)
    assert good, answer
    return answer


@pytest.fixture
def state():
    """The state directory as a deploy leaves it."""
    outside = Path(tempfile.mkdtemp(prefix="agent-permissions-"))  # pytest's own is closed to other users
    outside.chmod(0o755)
    for one in ROLE["host_directories"]:
        if one["path"].startswith(STATE):
            path = outside / "state" / Path(one["path"]).relative_to(STATE)
            path.mkdir()
            os.chown(path, NUMBERS[one["owner"]], NUMBERS[one["group"]])
            path.chmod(int(one["mode"], 8))
    yield outside / "state"
    shutil.rmtree(outside)


@pytest.fixture
def database(state):
    return state / "db" / "crypto_agent.db"


def writes(database, series):
    def write():
        with contextlib.closing(open_writer(database)) as db:
            with db:
                db.execute("INSERT INTO macro_data VALUES (?, '2026-01-01', 1.0, 0, 0)", (series,))
            return int(db.execute("SELECT count(*) FROM macro_data").get)

    return write


def reads(database):
    def read():
        with contextlib.closing(open_reader(database)) as db:
            return int(db.execute("SELECT count(*) FROM macro_data").get)

    return read


def modes(directory):
    return {
        path.name: (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid)
        for path in directory.iterdir()
        if path.is_file()
    }


@pytest.mark.parametrize(("first", "second"), [(JOBS, LIVE), (LIVE, JOBS)])
def test_whoever_comes_first_both_write_the_database_and_the_backtest_reads_it(database, first, second):
    assert as_user(first, writes(database, "A")) == 1
    assert as_user(BACKTEST, reads(database)) == 1
    assert as_user(second, writes(database, "B")) == 2
    assert as_user(first, writes(database, "C")) == 3
    assert as_user(BACKTEST, reads(database)) == 3
    assert set(modes(database.parent).values()) == {(0o664, NUMBERS["agent-write"])}


@pytest.mark.parametrize("opener", [JOBS, LIVE])
def test_side_files_that_are_missing_are_made_for_all(database, opener):
    as_user(JOBS, writes(database, "A"))
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink()
    assert as_user(opener, writes(database, "B")) == 2
    assert as_user(JOBS, writes(database, "C")) == 3
    assert as_user(LIVE, writes(database, "D")) == 4
    assert as_user(BACKTEST, reads(database)) == 4


def test_a_backup_is_taken_and_restored_whoever_made_the_files(state, database):
    as_user(LIVE, writes(database, "A"))
    as_user(JOBS, writes(database, "B"))
    settings = load(Path(os.devnull), {}, {"paths.state_dir": str(state)}).settings

    def back_up():
        copy = state / "jobs/backup/copy.db"
        taken = take_snapshot(database, copy, settings.database)
        manifest = Manifest(
            taken_ms=1_760_000_000_000,
            database_bytes=taken.size,
            sha256=taken.sha256,
            contents=taken.contents,
        )
        archive = settings.paths.hot_backups / database_name(manifest.taken_ms, daily=False)
        write_archive(copy, manifest, archive, level=1)
        return str(archive)

    archive = as_user(JOBS, back_up)
    assert as_user(BACKTEST, lambda: os.access(archive, os.R_OK)) is True
    as_user(LIVE, writes(database, "C"))
    as_user(JOBS, lambda: restore_database(settings, archive).line)
    assert as_user(BACKTEST, reads(database)) == 2
    assert as_user(LIVE, writes(database, "D")) == 3
    assert as_user(JOBS, writes(database, "E")) == 4
    named = {name: mode for name, mode in modes(database.parent).items() if name.startswith(database.name)}
    assert len(named) == 3
    assert set(named.values()) == {(0o664, NUMBERS["agent-write"])}


def test_the_backtest_cannot_write_the_database_even_if_it_tries(database):
    as_user(JOBS, writes(database, "A"))

    def try_all():
        refused = []
        for path in (*database.parent.iterdir(), database.parent / "new"):
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            except PermissionError:
                refused.append(path.name)
        try:
            open_writer(database)
        except Refuse:
            refused.append("open_writer")
        try:
            apsw.Connection(str(database)).execute("DELETE FROM macro_data")
        except apsw.ReadOnlyError:
            refused.append("delete")
        return refused

    names = {database.name + suffix for suffix in ("", "-shm", "-wal")}
    assert set(as_user(BACKTEST, try_all)) == names | {"new", "open_writer", "delete"}
    assert as_user(BACKTEST, reads(database)) == 1


@pytest.mark.parametrize(("first", "second"), [(JOBS, LIVE), (LIVE, JOBS)])
def test_weight_and_clock_are_shared_whoever_comes_first(state, first, second):
    directory = state / "exchange"

    def use():
        clock = ExchangeClock()
        WeightGovernor(directory, 1000, 1.0, clock).reserve(100)
        clock.save(directory / CLOCK_FILE)
        return 0

    def used():
        return json.loads((directory / STATE_FILE).read_bytes())["used"]

    for user in (first, second, first):
        as_user(user, use)
    assert as_user(second, used) >= 100  # of this minute; the first may have been of the one before
    assert as_user(BACKTEST, lambda: (directory / CLOCK_FILE).read_text() != "") is True
    assert as_user(BACKTEST, lambda: os.access(directory / STATE_FILE, os.W_OK)) is False


def test_incidents_are_appended_by_each_to_its_own_and_read_by_all(state):
    directory = state / "incidents"
    for user in (JOBS, LIVE):
        as_user(user, lambda user=user: append_line(directory / f"{user}.jsonl", b"{}"))
    for reader in (JOBS, LIVE, BACKTEST):
        assert (
            as_user(reader, lambda: sorted(path.read_text() for path in directory.iterdir())) == ["{}\n"] * 2
        )

    def remove_the_others():
        try:
            (directory / f"{JOBS}.jsonl").unlink()
        except PermissionError:
            return "refused"
        return "removed"

    assert as_user(LIVE, remove_the_others) == "refused"
    assert as_user(BACKTEST, lambda: os.access(directory, os.W_OK)) is False


@pytest.mark.parametrize("directory", ["live", "journal"])
def test_what_the_live_trader_keeps_is_read_by_the_group_and_written_by_nobody_else(state, directory):
    as_user(LIVE, lambda: append_line(state / directory / "file", b"line"))
    for user in (JOBS, BACKTEST):
        assert as_user(user, lambda: (state / directory / "file").read_text()) == "line\n"
        assert as_user(user, lambda: os.access(state / directory / "file", os.W_OK)) is False
        assert as_user(user, lambda: os.access(state / directory, os.W_OK)) is False


def test_strangers_do_not_get_past_the_state_directory(database):
    as_user(JOBS, writes(database, "A"))
    assert as_user(BACKTEST, lambda: os.access(database, os.R_OK)) is True
    assert as_user(STRANGER, lambda: os.access(database, os.F_OK)) is False


def test_a_stranger_is_told_so_in_one_line(state, monkeypatch):
    monkeypatch.setenv("AGENT_CONFIG", os.devnull)
    monkeypatch.setenv("AGENT_PATHS__STATE_DIR", str(state))

    def look():
        try:
            settings_logged()
        except Refuse as refusal:
            return str(refusal)
        return "welcome"

    assert as_user(BACKTEST, look) == "welcome"
    refusal = f"{state}: only its owner and its group may look in; use sudo, or join the group"
    assert as_user(STRANGER, look) == refusal


def test_every_directory_that_a_service_writes_is_made_by_the_role():
    made = {one["path"] for one in ROLE["host_directories"]}
    for service in (Path(__file__).parents[2] / "systemd").glob("*.service"):
        for line in service.read_text(encoding="utf-8").splitlines():
            if line.startswith("ReadWritePaths=-"):
                assert line.removeprefix("ReadWritePaths=-") in made, service.name

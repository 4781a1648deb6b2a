"""Backups: taken, proven, refused when they are damaged; and what compaction asks of them."""

import json

import pytest
from agent_host import DATABASE, STATE

HOT = f"{STATE}/backups/hot"
pytestmark = pytest.mark.usefixtures("candles")


@pytest.fixture
def fresh_backup(agent):
    """A backup of the database as it is now; its name."""
    assert agent.start("backup") == ("success", 0)
    return listed(agent)[0]["name"]


def listed(agent):
    """Return the backups, newest first."""
    return json.loads(agent.run("agentctl backups --json"))


def damage(agent, path, *, pages=1):
    """Overwrite the middle of a file, as a dying disk would."""
    middle = int(agent.run(f"stat --format=%s {path}")) // 2 // 4096
    agent.run(f"dd if=/dev/urandom of={path} bs=4096 seek={middle} count={pages} conv=notrunc status=none")


def test_its_service_leaves_a_verified_copy(agent):
    since = agent.now()
    assert agent.start("backup") == ("success", 0)
    newest = listed(agent)[0]
    assert newest["verified"]
    assert newest["rows"] > sum(agent.counts().values())
    assert newest["name"] in agent.run("agentctl backups")
    path = f"{STATE}/backups/{newest['name']}"
    assert agent.run(f"stat --format='%U %G %a' {path}") == "agent-jobs agent-data 640"
    assert f"backup ok: {newest['name']}: " in agent.journal("backup.timer", since)
    assert agent.host.run(f"ls -A {HOT}/.partial").stdout == ""


def test_it_reads_all_that_it_keeps_beside_the_database(agent):
    assert "files beside it" in agent.show("backup", "StatusText")
    assert "not readable" not in agent.show("backup", "StatusText")


def test_a_copy_needs_no_agent_to_be_read(agent, fresh_backup):
    agent.run(f"zstd --decompress --stdout {STATE}/backups/{fresh_backup} | cmp --bytes=16 - {DATABASE}")


def test_restore_test_proves_the_newest(agent, fresh_backup):
    since = agent.now()
    assert agent.start("restore-test") == ("success", 0)
    proof = listed(agent)[0]["proof"]
    assert (proof["backup"], proof["passed"]) == (fresh_backup, True)
    assert "good, " in agent.run("agentctl backups")
    assert f"restore-test ok: {fresh_backup} restored in " in agent.journal("restore-test.timer", since)
    assert agent.run(f"ls {STATE}/jobs/restore-test/scratch") == ""


def test_a_damaged_backup_is_found_and_nothing_relies_on_it(agent, fresh_backup):
    damage(agent, f"{STATE}/backups/{fresh_backup}")
    assert agent.start("restore-test") == ("exit-code", 1)
    assert fresh_backup.removeprefix("hot/") in agent.show("restore-test", "StatusText")
    assert "FAILED" in agent.run("agentctl backups")
    assert agent.start("compact") == ("exit-code", 11)
    assert "damaged" in agent.show("compact", "StatusText")
    assert agent.start("backup") == ("success", 0)
    assert agent.start("restore-test") == ("success", 0)


def test_compact_refuses_without_a_fresh_backup(agent, fresh_backup):
    since = agent.now()
    agent.run(f"mkdir /root/aside && mv {HOT}/*.zst /root/aside")
    try:
        assert agent.start("compact") == ("exit-code", 11)
    finally:
        agent.run(f"mv /root/aside/* {HOT} && rmdir /root/aside")
    assert listed(agent)[0]["name"] == fresh_backup
    refusal = "compact blocked: compact: there is no good backup; run `agentctl backup` first"
    assert refusal in agent.journal("compact.timer", since)


FILL_AND_EMPTY = (
    "CREATE TABLE passing AS SELECT randomblob(2000) FROM ohlcv_h1; DROP TABLE passing;"
    "PRAGMA wal_checkpoint(TRUNCATE)"
)


@pytest.mark.usefixtures("fresh_backup")
def test_compact_gives_unused_pages_back(agent):
    before = agent.counts()
    agent.write(FILL_AND_EMPTY)
    size = agent.host.file(DATABASE).size
    assert agent.start("compact") == ("success", 0)
    assert "VACUUM gave back" in agent.show("compact", "StatusText")
    assert "integrity_check ok" in agent.show("compact", "StatusText")
    assert agent.host.file(DATABASE).size < size
    assert agent.counts() == before
    assert agent.run(f"stat --format='%U %G %a' {DATABASE}") == "agent-jobs agent-write 664"
    assert agent.run(f"find {STATE}/db -name 'etilqs*'") == ""
    agent.run("agentctl db check --full")


def test_a_damaged_database_never_becomes_a_backup_and_is_restored_from_one(agent, fresh_backup):
    before, kept = agent.counts(), [row["name"] for row in listed(agent)]
    agent.write("PRAGMA wal_checkpoint(TRUNCATE)")  # what is in the WAL would hide the damage
    damage(agent, DATABASE, pages=20)
    assert agent.start("backup") == ("exit-code", 14)
    assert "damaged" in agent.show("backup", "StatusText")
    assert [row["name"] for row in listed(agent)] == kept
    said = agent.run(f"agentctl restore --from {fresh_backup}")
    assert f"restored {fresh_backup.removeprefix('hot/')}" in said
    agent.run("agentctl db check --full")
    assert agent.counts() == before
    assert not agent.host.file(f"{STATE}/db/LOCKED").exists
    assert agent.run(f"stat --format='%U %G %a' {DATABASE}") == "agent-jobs agent-write 664"
    assert agent.start("backup") == ("success", 0)


def test_a_host_that_was_off_backs_up_before_it_compacts_and_proves(agent):
    since = agent.now()
    late = ("compact", "restore-test", "backup")
    timers = " ".join(f"{job}.timer" for job in late)
    target = "/run/systemd/system/catch-up.target"
    agent.run(f"rm --force {HOT}/*.zst")
    stamps = " ".join(f"/var/lib/systemd/timers/stamp-{job}.timer" for job in late)
    agent.run(f"touch --date='8 days ago' {stamps}")
    # One transaction starts them, as at boot.
    agent.run(f"printf '[Unit]\nWants={timers}\n' > {target} && systemctl daemon-reload")
    try:
        agent.run("systemctl start catch-up.target")
        for job in late:
            agent.until(lambda job=job: f"{job} ok:" in agent.journal(f"{job}.timer", since), f"a late {job}")
    finally:
        agent.run(f"systemctl stop {timers}; rm {target}; systemctl daemon-reload")

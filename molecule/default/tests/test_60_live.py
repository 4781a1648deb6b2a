"""Live trading, on paper, against the simulator: beside a backtest, hanging, crashing, down for good."""

import json
import time

import pytest
from agent_host import DATABASE, DEPLOYED, LIVE, PYTHON, STATE

KEYS = [DEPLOYED["app_credentials"][name] for name in ("binance_api_key", "binance_api_secret")]
KEY_FILES = [
    f"/etc/crypto-futures-agent/credentials/{name}" for name in ("binance_api_key", "binance_api_secret")
]
INCIDENTS = f"{STATE}/incidents/live-down.jsonl"

# The waits before restarts and the check of the database; both are asserted where the units are.
AT_ONCE = "ExecStartPre=\n"
DUMMY = "[Service]\nType=exec\nExecStartPre=\nExecStart=\nExecStart=/bin/sleep 600\nRestart=no\n"


@pytest.fixture(scope="module")
def exchange(agent, candles):
    """An exchange to trade at, for all tests of this file."""
    with agent.simulator():
        yield


@pytest.fixture(autouse=True)
def rested(agent, exchange):
    """Live trading stopped, with all its starts, and nothing held; the same afterwards."""
    rest(agent)
    yield
    rest(agent)


def rest(agent):
    agent.host.run(f"systemctl stop {LIVE} live-down.service backtest.service")
    agent.host.run(f"systemctl reset-failed {LIVE} live-down.service backtest.service")
    agent.run("agentctl release backtest; agentctl release live-trading")


def pid(agent):
    return agent.show(LIVE, "MainPID")


def up_again(agent, before):
    """Whether it is ready, in another process than `before`."""
    return agent.show(LIVE, "ActiveState") == "active" and pid(agent) not in ("0", before)


def start(agent):
    """Start it, which waits until it is ready; return its process."""
    agent.run(f"systemctl start {LIVE}")
    assert agent.show(LIVE, "ActiveState") == "active"
    return pid(agent)


def incidents(agent):
    return [json.loads(line) for line in agent.host.run(f"cat {INCIDENTS}").stdout.splitlines()]


def test_it_was_deployed_to_start_with_the_host(agent):
    assert agent.run(f"systemctl is-enabled {LIVE}") == "enabled"
    assert agent.show(LIVE, "WatchdogUSec") == "2min"
    assert agent.show(LIVE, "TimeoutStopUSec") == "30s"
    assert agent.show(LIVE, "OOMScoreAdjust") == "-900"
    if int(agent.run("systemctl --version").split()[1]) >= 254:
        assert agent.show(LIVE, "RestartMode") == "direct"


def test_it_trades_beside_a_running_backtest(agent):
    trading = start(agent)
    assert agent.show(LIVE, "StatusText") != ""
    waits = "[Service]\nExecStartPre=\nExecStartPre=+/usr/local/lib/crypto-futures-agent/after-live 5\n"
    with agent.drop_in("backtest.service", waits):
        assert agent.start("backtest")[0] == "success"
        ready = int(agent.show(LIVE, "ActiveEnterTimestampMonotonic"))
        assert int(agent.show("backtest", "ExecMainStartTimestampMonotonic")) - ready >= 5_000_000
    assert agent.show(LIVE, "ActiveState") == "active"
    assert (pid(agent), agent.show(LIVE, "NRestarts")) == (trading, "0")


def test_it_runs_as_its_user_in_its_slice(agent):
    process = start(agent)
    assert agent.run(f"ps -o user= -p {process}") == "agent-live"
    assert agent.show(LIVE, "ControlGroup").endswith("/agent-live.slice/live-trading.service")
    # Some container hosts let nobody lower it, which systemd passes over; the unit asks for it all the same.
    lowers = agent.host.run("sh -c 'echo -900 > /proc/self/oom_score_adj'").rc == 0
    assert agent.run(f"cat /proc/{process}/oom_score_adj") == ("-900" if lowers else "0")
    kilobytes = int(agent.run(f"ps -o rss= -p {process}"))
    assert kilobytes * 1024 <= 260e6


def test_its_keys_are_seen_by_nobody_else(agent):
    process = start(agent)
    for name, key, file in zip(("binance_api_key", "binance_api_secret"), KEYS, KEY_FILES, strict=True):
        assert agent.run(f"stat --format='%U %a' {file}") == "root 600"
        handed = f"/run/credentials/{LIVE}/{name}"
        assert agent.run(f"cat /proc/{process}/root{handed}") == key, "it has them"
        for user in ("agent-backtest", "agent-jobs", "nobody"):
            agent.run(f"runuser -u {user} -- cat {file}", fails=True)
            agent.run(f"runuser -u {user} -- cat {handed}", fails=True)
            agent.run(f"runuser -u {user} -- cat /proc/{process}/environ", fails=True)
        agent.run(f"grep --text --quiet --no-messages {key} /proc/[0-9]*/environ", fails=True)
        assert key not in agent.run(f"systemctl show {LIVE}")
        agent.run(f"journalctl --sync; journalctl --output=export | grep --text --quiet {key}", fails=True)
        agent.run(f"grep --recursive --text --quiet {key} {STATE}", fails=True)


def test_its_user_writes_the_database_and_the_backtests_does_not(agent):
    program = (
        "import pathlib, sys; from futures_agent.store.database import open_writer;"
        "open_writer(pathlib.Path(sys.argv[1])).execute(sys.argv[2])"
    )
    write = f"{PYTHON} -c '{program}' {DATABASE} \"DELETE FROM trades WHERE trade_id = 'none'\""
    agent.run(f"runuser -u agent-live -- {write}")
    agent.run(f"runuser -u agent-jobs -- {write}")
    agent.run(f"runuser -u agent-backtest -- {write}", fails=True)
    assert agent.query("SELECT count(*) FROM trades") == [[0]]


def test_told_to_stop_it_ends_well_within_its_limit(agent):
    start(agent)
    began = time.monotonic()
    agent.run(f"systemctl stop {LIVE}")
    assert time.monotonic() - began < 30
    assert (agent.show(LIVE, "Result"), agent.show(LIVE, "ExecMainStatus")) == ("success", "0")
    assert agent.show(LIVE, "ActiveState") == "inactive"


def test_restarts_by_persons_and_deploys_are_no_crashes(agent):
    start(agent)
    for _ in range(4):
        agent.run(f"systemctl restart {LIVE}")
    assert agent.show(LIVE, "ActiveState") == "active"


def test_crashed_it_is_back_within_seconds(agent):
    before = start(agent)
    agent.run(f"kill -KILL {before}")
    agent.until(lambda: up_again(agent, before), "its return", 30)
    assert agent.show(LIVE, "NRestarts") == "1"


def test_hanging_it_is_killed_and_restarted(agent):
    with agent.drop_in(LIVE, f"[Service]\n{AT_ONCE}WatchdogSec=15s\nTimeoutAbortSec=2s\n"):
        before = start(agent)
        since = agent.now()
        agent.run(f"kill -STOP {before}")
        agent.until(lambda: up_again(agent, before), "its return", 90)
        assert "Watchdog timeout" in agent.journal(LIVE, since)
        assert agent.show(LIVE, "NRestarts") == "1"


def test_a_damaged_database_is_said_and_stops_nothing(agent):
    since = agent.now()
    agent.write("PRAGMA wal_checkpoint(TRUNCATE)")  # what is in the WAL would hide the damage
    agent.run(f"tar --create --file=/root/database.tar --directory={STATE}/db .")
    agent.run(f"dd if=/dev/urandom of={DATABASE} bs=4096 count=4 conv=notrunc status=none")
    try:
        start(agent)
        assert DATABASE in agent.journal(LIVE, since)
    finally:
        agent.run(f"systemctl stop {LIVE}")
        agent.run(f"tar --extract --file=/root/database.tar --directory={STATE}/db && rm /root/database.tar")
    agent.run("agentctl db check")


def test_the_third_crash_stops_and_holds_the_backtest(agent):
    known = len(incidents(agent))
    with agent.drop_in("backtest.service", DUMMY), agent.drop_in(LIVE, f"[Service]\n{AT_ONCE}"):
        before = start(agent)
        agent.run("systemctl start backtest")
        since = agent.now()
        for _ in range(2):
            agent.run(f"kill -KILL {before}")
            agent.until(lambda before=before: up_again(agent, before), "its return", 60)
            before = pid(agent)
        assert agent.show("backtest", "ActiveState") == "active"
        assert len(incidents(agent)) == known
        agent.run(f"kill -KILL {before}")
        agent.until(lambda: agent.show("backtest", "ActiveState") == "inactive", "the backtest's end", 10)
        agent.until(lambda: len(incidents(agent)) > known, "the incident", 10)
        assert agent.show(LIVE, "ActiveState") == "failed"
        [incident] = incidents(agent)[known:]
        assert incident["action"] == "the backtest is held; the backtest does not run"
        told = agent.run(f"journalctl --sync; journalctl -o cat -p crit --unit={LIVE} --since='{since}'")
        assert told.count("live trading is down for good") == 1
        agent.run("systemctl start backtest")
        assert agent.show("backtest", "ActiveState") == "inactive"
        agent.until(
            lambda: "live trading is down for good" in agent.journal("backtest", since), "the hold's reason"
        )
        agent.run(f"systemctl start {LIVE}", fails=True)
        agent.run("agentctl release backtest && systemctl start backtest")
        assert agent.show("backtest", "ActiveState") == "active"
        agent.run(f"systemctl reset-failed {LIVE}")
        start(agent)


def test_bad_settings_are_not_tried_again(agent):
    known = len(incidents(agent))
    with agent.drop_in(LIVE, f"[Service]\n{AT_ONCE}Environment=AGENT_LIVE__MODE=live\n"):
        agent.run(f"systemctl start {LIVE}", fails=True)
        assert (agent.show(LIVE, "ExecMainStatus"), agent.show(LIVE, "NRestarts")) == ("78", "0")
        agent.until(lambda: len(incidents(agent)) == known + 1, "the incident", 10)
        assert agent.host.file(f"{STATE}/holds/backtest").exists


def test_held_it_does_not_start_and_says_why(agent):
    since = agent.now()
    agent.run("agentctl hold live-trading --why 'keys are being changed'")
    agent.run(f"systemctl start {LIVE}")
    assert agent.show(LIVE, "ConditionResult") == "no"
    agent.until(lambda: "keys are being changed; release it with" in agent.journal(LIVE, since), "the reason")
    assert not agent.host.file(f"{STATE}/holds/backtest").exists, "a hold is no failure"

"""What a deploy leaves on the host: users, links, limits, timers, sandboxes."""

import datetime as dt

import pytest
from agent_host import DATABASE, DEPLOYED, SERVICES, STATE, TIMERS

SHARES = {"agent": 90, "agent-live": 60, "agent-backtest": 30, "agent-jobs": DEPLOYED["units_cpu_share_jobs"]}
MIB = 1024 * 1024
LIMITS = {
    "agent-live": 512,
    "agent-backtest": 512,
    "agent-jobs": 384,
    "agent-observe": 384,
    "agent-train": 1024,
}
TIMES = {
    "backtest": [(23, 30)],
    "data-validation": [(1, 0)],
    "data-sync": [(0, 30), *((hour, 5) for hour in range(1, 24))],
    "sentiment-macro": [(2, 0)],
    "backup": [(hour, 20) for hour in range(24)],
    "compact": [(3, 0)],
    "restore-test": [(5, 0)],
}
WEEKDAYS = {"compact": [6]}  # of those that do not run every day; Sunday


def test_nothing_failed(agent):
    assert agent.run("systemctl is-system-running") == "running"


def test_agentctl_is_the_current_release(agent):
    release = agent.run("readlink -f /usr/local/bin/agentctl")
    assert release.startswith("/opt/crypto-futures-agent/releases/0.")
    assert "/etc/crypto-futures-agent/agent.toml" in agent.run("agentctl settings --json")


@pytest.mark.parametrize("name", ["agent-jobs", "agent-live", "agent-backtest"])
def test_users_cannot_log_in(host, name):
    user = host.user(name)
    assert (user.shell, user.home, user.group) == ("/usr/sbin/nologin", "/nonexistent", "agent-data")


@pytest.mark.parametrize("unit", [*SERVICES, "live-down.service", "agent-live.slice"])
def test_systemd_understands_every_unit(host, unit):
    ran = host.run(f"systemd-analyze verify --man=no {unit}")
    assert (ran.stdout, ran.stderr) == ("", "")


@pytest.mark.parametrize(
    ("job", "most"),
    [
        ("backtest", 10),
        ("data-sync", 20),
        ("data-validation", 20),
        ("sentiment-macro", 20),
        ("backup", 10),
        ("compact", 10),
        ("restore-test", 10),
        ("live-trading", 20),
        ("live-down", 20),
    ],
)
def test_exposure_stays_low(agent, job, most):
    agent.run(f"systemd-analyze security --no-pager --threshold={most} {job}.service")


@pytest.mark.parametrize("slice_", LIMITS)
def test_memory_limits(agent, slice_):
    agent.run(f"systemctl start {slice_}.slice")
    assert int(agent.show(f"{slice_}.slice", "MemoryMax")) == LIMITS[slice_] * MIB


@pytest.mark.parametrize("slice_", SHARES)
def test_quotas_are_shares_of_all_cores(agent, slice_):
    cores = int(agent.run("nproc --all"))
    seconds = SHARES[slice_] * cores / 100
    shown = agent.run(f"systemd-analyze timespan {agent.show(f'{slice_}.slice', 'CPUQuotaPerSecUSec')}")
    microseconds = int(next(line.split()[-1] for line in shown.splitlines() if "μs" in line.split(":")[0]))
    assert microseconds == pytest.approx(seconds * 1e6)


def test_live_outranks_the_rest(agent):
    weight = {name: int(agent.show(f"{name}.slice", "CPUWeight")) for name in LIMITS}
    assert weight["agent-live"] >= 4 * max(value for name, value in weight.items() if name != "agent-live")


def test_shipped_restart_values(agent):
    assert agent.show("backtest", "RestartUSec") == "15s"
    assert agent.show("backtest", "StartLimitBurst") == "3"
    assert agent.show("backtest", "StartLimitIntervalUSec") == "12h"
    assert agent.show("backtest", "RuntimeMaxUSec") == "2h"
    assert agent.show("data-sync", "RuntimeMaxUSec") == "30min"
    version = int(agent.run("systemctl --version").split()[1])
    if version >= 254:
        assert agent.show("backtest", "RestartSteps") == "1"
        assert agent.show("backtest", "RestartMaxDelayUSec") == "1min"
        assert agent.show("backtest", "RestartMode") == "direct"
    else:
        assert "restart-wait backtest.service 45" in agent.show("backtest", "ExecStartPre")


def test_every_timer_is_in_the_table():
    assert {f"{job}.timer" for job in TIMES} == set(TIMERS)


@pytest.mark.parametrize("job", TIMES)
def test_next_elapse_is_the_schedule(agent, job):
    agent.run(f"systemctl start {job}.timer")
    now = dt.datetime.fromisoformat(agent.run("date --utc +%Y-%m-%dT%H:%M:%S"))
    shown = agent.show(f"{job}.timer", "NextElapseUSecRealtime")
    agent.run(f"systemctl stop {job}.timer")
    days = (now.replace(hour=0, minute=0, second=0) + dt.timedelta(days=day) for day in range(8))
    moments = [
        day + dt.timedelta(hours=hour, minutes=minute)
        for day in days
        if day.weekday() in WEEKDAYS.get(job, range(7))
        for hour, minute in TIMES[job]
    ]
    expected = min(moment for moment in moments if moment > now)
    assert shown.endswith(" UTC")
    assert dt.datetime.fromisoformat(" ".join(shown.split()[1:3])) == expected
    assert agent.show(f"{job}.timer", "AccuracyUSec") == "1s"
    assert agent.run(f"systemctl is-enabled {job}.timer") == "enabled"


@pytest.mark.parametrize(
    "path",
    [
        DATABASE,
        f"{STATE}/db/new",
        f"{STATE}/exchange/new",
        f"{STATE}/holds/new",
        f"{STATE}/jobs/data-sync/new",
        f"{STATE}/backups/hot/new",
        f"{STATE}/incidents/new",
        f"{STATE}/journal/new",
        f"{STATE}/live/new",
        "/etc/crypto-futures-agent/agent.toml",
        "/opt/crypto-futures-agent/current/bin/agentctl",
    ],
)
def test_the_backtest_user_cannot_write_what_is_not_its_own(agent, path):
    agent.run(f"runuser -u agent-backtest -- sh -c ': >> {path}'", fails=True)


@pytest.mark.parametrize("command", ["ls /root", "cat /etc/shadow", "cat /var/log/journal/*/system.journal"])
def test_the_backtest_user_cannot_read_what_belongs_to_others(agent, command):
    agent.run(f"runuser -u agent-backtest -- {command}", fails=True)


@pytest.mark.parametrize("path", ["db", "exchange", "backups/hot", "live", "journal", "incidents"])
def test_strangers_cannot_look_in(agent, path):
    agent.run(f"ls {STATE}/{path}")
    agent.run(f"runuser -u nobody -- ls {STATE}/{path}", fails=True)

"""The units say what the specification's tables say, and name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from futures_agent.errors import ExitCode
from futures_agent.jobs.macro_plan import FRED_CREDENTIAL
from futures_agent.program.holds import HOLDABLE
from futures_agent.settings.tree import PathSettings
from units.unit_files import JOBS, SYSTEMD, keys, unit

SLICES = {  # memory, CPU share of the host
    "agent": (None, 90),
    "agent-live": ("512M", 60),
    "agent-backtest": ("512M", 30),
    "agent-jobs": ("384M", 7),
    "agent-observe": ("384M", 3),
    "agent-train": ("1G", 30),
}
ROLE = Path(__file__).parents[2] / "roles/units"


@pytest.mark.parametrize("name", SLICES)
def test_memory_of_slices(name):
    memory, _ = SLICES[name]
    assert unit(f"{name}.slice").get("MemoryMax") == (None if memory is None else [memory])


def test_cpu_shares():
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    shares = {name: defaults["units_cpu_share_" + (name.removeprefix("agent-") if name != "agent" else "all")]
              for name in SLICES}  # fmt: skip
    assert shares == {name: share for name, (_, share) in SLICES.items()}
    assert shares["agent-jobs"] + shares["agent-observe"] <= 10
    assert shares["agent-live"] + shares["agent-backtest"] <= shares["agent"]


def test_live_outranks_all_others():
    weights = {name: int(unit(f"{name}.slice")["CPUWeight"][0]) for name in SLICES if name != "agent"}
    live = weights.pop("agent-live")
    assert live >= 4 * max(weights.values())
    assert weights["agent-jobs"] > weights["agent-backtest"] > weights["agent-train"]


@pytest.mark.parametrize(
    ("job", "user", "slice_"),
    [
        ("data-sync", "agent-jobs", "agent-jobs.slice"),
        ("data-validation", "agent-jobs", "agent-jobs.slice"),
        ("sentiment-macro", "agent-jobs", "agent-jobs.slice"),
        ("backup", "agent-jobs", "agent-jobs.slice"),
        ("restore-test", "agent-jobs", "agent-jobs.slice"),
        ("compact", "agent-jobs", "agent-jobs.slice"),
        ("backtest", "agent-backtest", "agent-backtest.slice"),
        ("live-trading", "agent-live", "agent-live.slice"),
    ],
)
def test_users_and_slices(job, user, slice_):
    service = unit(f"{job}.service")
    assert (service["User"], service["Group"], service["Slice"]) == ([user], ["agent-data"], [slice_])


@pytest.mark.parametrize(
    ("job", "limit"),
    [("data-sync", "30min"), ("backtest", "120min"), ("sentiment-macro", "10min"), ("compact", "20min")],
)
def test_long_jobs_are_watched_and_bounded(job, limit):
    service = unit(f"{job}.service")
    assert service["Type"] == ["notify"]
    assert service["RuntimeMaxSec"] == [limit]
    assert (service["WatchdogSec"], service["WatchdogSignal"]) == (["2min"], ["SIGABRT"])


@pytest.mark.parametrize(
    ("job", "limit"), [("data-validation", "5min"), ("backup", "20min"), ("restore-test", "20min")]
)
def test_jobs_without_a_watchdog_are_bounded(job, limit):
    service = unit(f"{job}.service")
    assert (service["Type"], service["TimeoutStartSec"]) == (["oneshot"], [limit])
    assert "WatchdogSec" not in service  # systemd would ignore it


@pytest.mark.parametrize("job", ["backtest", "data-sync", "data-validation", "sentiment-macro", "compact"])
def test_the_database_is_checked_before_each_start_that_relies_on_it(job):
    assert unit(f"{job}.service")["ExecStartPre"][-1] == "/usr/local/bin/agentctl db check"


def test_backtest_is_tried_three_times_within_minutes():
    service = unit("backtest.service")
    assert (service["StartLimitBurst"], service["StartLimitIntervalSec"]) == (["3"], ["12h"])
    assert (service["Restart"], service["RestartSec"]) == (["on-failure"], ["15s"])
    newer = keys(SYSTEMD / "backtest.service.d/20-restart-since-254.conf")
    assert (newer["RestartSteps"], newer["RestartMaxDelaySec"]) == (["1"], ["60s"])
    older = keys(SYSTEMD / "backtest.service.d/20-restart-before-254.conf")
    assert older["ExecStartPre"][0].endswith("restart-wait backtest.service 45")  # 15 + 45 = 60


@pytest.mark.parametrize("job", [job for job in JOBS if job != "backtest"])
def test_what_systemd_does_not_restart_has_no_start_limit(job):
    service = unit(f"{job}.service")
    assert "Restart" not in service
    assert service["StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize(
    ("job", "directories"),
    [
        ("data-sync", ["db", "exchange", "jobs/data-sync"]),
        ("data-validation", ["db", "exchange", "jobs/data-validation"]),
        ("sentiment-macro", ["db", "exchange", "jobs/sentiment-macro"]),
        ("backup", ["backups/hot", "jobs/backup"]),
        ("restore-test", ["jobs/restore-test"]),
        ("compact", ["db", "jobs/compact"]),
        ("backtest", ["backtest/results", "jobs/backtest"]),
        ("live-trading", ["live", "journal", "incidents", "exchange", "db"]),
        ("live-down", ["holds", "incidents"]),
    ],
)
def test_writes_only_there(job, directories):
    service = unit(f"{job}.service")
    assert service["ProtectSystem"] == ["strict"]
    assert service["ReadWritePaths"] == [f"-/var/lib/crypto-futures-agent/{path}" for path in directories]


@pytest.mark.parametrize("job", ["backtest", "backup", "restore-test", "compact", "live-down"])
def test_what_needs_no_network_has_none(job):
    service = unit(f"{job}.service")
    assert (service["PrivateNetwork"], service["IPAddressDeny"]) == (["yes"], ["any"])
    assert service["RestrictAddressFamilies"] == ["AF_UNIX"]


@pytest.mark.parametrize("job", ["restore-test", "compact"])
def test_what_judges_backups_lets_a_running_one_end_first(job):
    assert unit(f"{job}.service")["After"] == ["backup.service"]
    assert unit("backup.service")["Type"] == ["oneshot"]  # of other types After= only awaits the beginning


def test_a_missing_key_is_an_empty_one():
    service = unit("sentiment-macro.service")
    source = f"/etc/crypto-futures-agent/credentials/{FRED_CREDENTIAL}"
    assert service["LoadCredential"] == [f"{FRED_CREDENTIAL}:{source}"]
    assert service["SetCredential"] == [rf"{FRED_CREDENTIAL}:\n"]  # systemd takes no empty value


def test_compact_keeps_its_temporary_copy_where_it_measures_free_disk():
    state = PathSettings().state_dir
    assert unit("compact.service")["Environment"] == [f"SQLITE_TMPDIR={state}/db"]


def test_jobs_that_can_be_held_are_the_units_that_look_for_it():
    assert set(HOLDABLE) == {*JOBS, "live-trading"}


def test_exit_codes_that_no_retry_would_change():
    never = {int(code) for code in unit("backtest.service")["RestartPreventExitStatus"][0].split()}
    hopeless = ("USAGE", "BLOCKED", "HELD", "CORRUPT", "INTERRUPTED", "CONFIG")
    assert never == {ExitCode[name] for name in hopeless}
    fine = {int(code) for code in unit("backtest.service")["SuccessExitStatus"][0].split()}
    assert fine == {ExitCode.GATE_FAILED, ExitCode.INTERRUPTED}


@pytest.mark.parametrize("job", JOBS)
def test_one_job_one_name(job):
    service, timer = unit(f"{job}.service"), unit(f"{job}.timer")
    assert service["ExecStart"] == [f"/usr/local/bin/agentctl {job}"]
    assert service["SyslogIdentifier"] == [job]
    assert service["ExecStopPost"] == [f"+/usr/local/lib/crypto-futures-agent/timer-outcome {job}"]
    assert service["Documentation"][0].endswith(f"/jobs/{job}.md")
    assert timer["Documentation"] == service["Documentation"]
    assert "Unit" not in timer  # the timer starts the service of its own name


@pytest.mark.parametrize("job", HOLDABLE)
def test_every_job_can_be_held(job):
    service = unit(f"{job}.service")
    assert service["ConditionPathExists"] == [f"!/var/lib/crypto-futures-agent/holds/{job}"]
    assert f"hold-notice@{job}.service" in service["Wants"]


@pytest.mark.parametrize("path", sorted(SYSTEMD.glob("*.service")), ids=lambda path: path.name)
def test_programs_that_units_call_are_shipped(path):
    for program in re.findall(r"/usr/local/lib/crypto-futures-agent/(\S+)", path.read_text()):
        assert (SYSTEMD / "scripts" / program).stat().st_mode & 0o111


@pytest.mark.parametrize(
    "path",
    sorted(SYSTEMD.glob("*.*")) + sorted(SYSTEMD.glob("*.d/*")),
    ids=lambda path: path.name,
)
def test_files_say_who_they_are(path):
    if path.suffix in {".service", ".timer", ".slice"}:
        assert path.read_text().startswith("# SPDX-License-Identifier: MIT\n")
        assert unit(path.name)["Documentation"][0].startswith(
            "file:/usr/local/share/doc/crypto-futures-agent/"
        )
    elif path.is_file():
        assert path.read_text().startswith("#")

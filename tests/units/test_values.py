"""The units say what the specification's tables say, and name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from futures_agent.errors import ExitCode
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
        ("backtest", "agent-backtest", "agent-backtest.slice"),
    ],
)
def test_users_and_slices(job, user, slice_):
    service = unit(f"{job}.service")
    assert (service["User"], service["Group"], service["Slice"]) == ([user], ["agent-data"], [slice_])


@pytest.mark.parametrize(("job", "limit"), [("data-sync", "30min"), ("backtest", "120min")])
def test_long_jobs_are_watched_and_bounded(job, limit):
    service = unit(f"{job}.service")
    assert service["Type"] == ["notify"]
    assert service["RuntimeMaxSec"] == [limit]
    assert (service["WatchdogSec"], service["WatchdogSignal"]) == (["2min"], ["SIGABRT"])


def test_validation_is_bounded():
    service = unit("data-validation.service")
    assert (service["Type"], service["TimeoutStartSec"]) == (["oneshot"], ["5min"])


@pytest.mark.parametrize("job", JOBS)
def test_the_database_is_checked_before_each_start(job):
    assert unit(f"{job}.service")["ExecStartPre"][-1] == "/usr/local/bin/agentctl db check"


def test_backtest_is_tried_three_times_within_minutes():
    service = unit("backtest.service")
    assert (service["StartLimitBurst"], service["StartLimitIntervalSec"]) == (["3"], ["12h"])
    assert (service["Restart"], service["RestartSec"]) == (["on-failure"], ["15s"])
    newer = keys(SYSTEMD / "backtest.service.d/20-restart-since-254.conf")
    assert (newer["RestartSteps"], newer["RestartMaxDelaySec"]) == (["1"], ["60s"])
    older = keys(SYSTEMD / "backtest.service.d/20-restart-before-254.conf")
    assert older["ExecStartPre"][0].endswith("restart-wait backtest.service 45")  # 15 + 45 = 60


@pytest.mark.parametrize("job", ["data-sync", "data-validation"])
def test_frequent_jobs_have_no_start_limit(job):
    assert unit(f"{job}.service")["StartLimitIntervalSec"] == ["0"]


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


@pytest.mark.parametrize("job", JOBS)
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
    sorted(SYSTEMD.glob("*.*")) + sorted((SYSTEMD / "backtest.service.d").iterdir()),
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

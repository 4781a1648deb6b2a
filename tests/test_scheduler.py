"""The schedule: every timer elapses when the table says, in UTC, whatever the host's time zone."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[1] / "systemd"
SCHEDULE = {
    "backtest": ["23:30"],
    "data-sync": ["00:30", *(f"{hour:02}:05" for hour in range(1, 24))],
    "data-validation": ["01:00"],
    "sentiment-macro": ["02:00"],
    "backup": [f"{hour:02}:20" for hour in range(24)],
    "compact": ["03:00"],  # ONE_DAY is a Sunday
    "restore-test": ["05:00"],
}
# The evening before a Sunday in whose night Europe's clocks change.
ONE_DAY = dt.datetime(2026, 3, 28, 23, 45, tzinfo=dt.UTC)


def timer(job: str) -> list[str]:
    return (SYSTEMD / f"{job}.timer").read_text(encoding="utf-8").splitlines()


def expressions(job: str) -> list[str]:
    return [line.removeprefix("OnCalendar=") for line in timer(job) if line.startswith("OnCalendar=")]


def elapses(expression: str, zone: str) -> list[dt.datetime]:
    """Return the next 24 moments of a calendar expression after ONE_DAY, as systemd counts them."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    said = subprocess.run(
        [
            "systemd-analyze",
            "calendar",
            "--iterations=24",
            f"--base-time=@{ONE_DAY.timestamp():.0f}",
            expression,
        ],
        env={**os.environ, "TZ": zone, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # Where the host's zone is not UTC, a second line of each pair tells the moment in UTC.
    stamps = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?= UTC)", said)
    return [dt.datetime.fromisoformat(stamp).replace(tzinfo=dt.UTC) for stamp in stamps]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("job", SCHEDULE)
def test_elapses_when_the_table_says(job, zone):
    end = ONE_DAY + dt.timedelta(days=1)
    found = sorted(moment for one in expressions(job) for moment in elapses(one, zone) if moment <= end)
    assert [moment.strftime("%H:%M") for moment in found] == SCHEDULE[job]
    assert all(moment.second == 0 for moment in found)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_compacts_on_sundays_only(zone):
    [expression] = expressions("compact")
    moments = elapses(expression, zone)
    assert len(moments) == 24
    assert {(moment.strftime("%a %H:%M")) for moment in moments} == {"Sun 03:00"}


def test_proofs_and_compaction_find_a_fresh_backup():
    from futures_agent.settings.tree import BackupSettings, CompactSettings

    minutes = {job: [int(time[:2]) * 60 + int(time[3:]) for time in SCHEDULE[job]] for job in SCHEDULE}
    for job, limit_h in (
        ("compact", CompactSettings().backup_max_age_h),
        ("restore-test", BackupSettings().max_age_h),
    ):
        [at] = minutes[job]
        newest = max(one for one in minutes["backup"] if one < at)
        assert 20 <= at - newest < limit_h * 60, f"{job}: the backup before it may still run, or is too old"


@pytest.mark.parametrize("job", SCHEDULE)
def test_is_exact_and_caught_up_once(job):
    assert "AccuracySec=1s" in timer(job)
    assert "Persistent=true" in timer(job)
    assert "WantedBy=timers.target" in timer(job)
    assert not [line for line in timer(job) if line.startswith("RandomizedDelaySec")]


def test_the_job_knows_the_time_of_its_timer():
    from futures_agent.settings.tree import BacktestSettings

    assert expressions("backtest") == [f"*-*-* {BacktestSettings().start_time_utc}:00 UTC"]


def test_every_timer_is_in_the_table():
    assert {path.stem for path in SYSTEMD.glob("*.timer")} == SCHEDULE.keys()

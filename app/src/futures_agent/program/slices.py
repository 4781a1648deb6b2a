"""Running a job by hand on a provisioned host: in its own slice, as its own user.

A person who types `sudo agentctl backtest` must not lift the backtest out of its CPU and memory limits,
nor leave files behind that belong to root.
"""

from __future__ import annotations

import os
import subprocess
import sys

_UNDER_SYSTEMD = "INVOCATION_ID"


def in_own_slice(job: str, *, same_directory: bool = False) -> None:
    """Run this command again under systemd as `job`'s user and in its slice, where there is such a unit.

    Does nothing when the process was started by systemd, by an ordinary user, or on a host without the unit.
    With `same_directory` relative paths on the command line keep their meaning.
    """
    if os.geteuid() != 0 or _UNDER_SYSTEMD in os.environ or not os.path.isdir("/run/systemd/system"):
        return
    unit = _properties(f"{job}.service", "LoadState", "User", "Slice", "Environment")
    if unit.get("LoadState") != "loaded" or not unit.get("User"):
        return
    terminal = "--pty" if sys.stdin.isatty() and sys.stdout.isatty() else "--pipe"
    settings = [f"--setenv={name}" for name in os.environ if name.startswith(("AGENT_", "BACKTEST_"))]
    environment = [f"--setenv={pair}" for pair in unit.get("Environment", "").split() if "=" in pair]
    os.execvp(
        "systemd-run",
        [
            "systemd-run",
            "--quiet",
            "--wait",
            "--collect",
            terminal,
            f"--slice={unit['Slice']}",
            f"--uid={unit['User']}",
            "--property=UMask=0027",
            *(["--same-dir"] if same_directory else []),
            *environment,
            *settings,
            "--",
            *sys.argv,
        ],
    )


def _properties(unit: str, *names: str) -> dict[str, str]:
    """Return properties of a unit as systemd shows them; empty where systemd does not answer."""
    try:
        shown = subprocess.run(
            ["systemctl", "show", unit, *(f"--property={name}" for name in names)],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

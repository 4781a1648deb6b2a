"""Running a job by hand on a provisioned host: in its own slice, as its own user.

A person who types `sudo agentctl backtest` must not lift the backtest out of its CPU and memory limits,
nor leave files behind that belong to root.
"""

from __future__ import annotations

import os
import subprocess
import sys

from futures_agent.settings.load import (
    CONFIG_VARIABLE,
    LEGACY_BACKTEST_PREFIX,
    LEGACY_NAMES,
    PREFIX,
)

_UNDER_SYSTEMD = "INVOCATION_ID"
_ELSEWHERE = {CONFIG_VARIABLE, "AGENT_PATHS__STATE_DIR"}


def in_own_slice(job: str, *, same_directory: bool = False) -> None:
    """Run this command again under systemd as `job`'s user and in its slice, where there is such a unit.

    Does nothing when the process was started by systemd, by an ordinary user, on a host without the unit,
    or when it was pointed at other settings or another state directory than the host's.
    The secrets that systemd hands to the unit come along. With `same_directory` relative paths on the command
    line keep their meaning.
    """
    if os.geteuid() != 0 or not os.path.isdir("/run/systemd/system"):
        return
    if _UNDER_SYSTEMD in os.environ or _ELSEWHERE & os.environ.keys() or "--config" in sys.argv:
        return
    unit = _properties(f"{job}.service", "LoadState", "User", "Slice", "Environment")
    if unit.get("LoadState") != "loaded" or not unit.get("User"):
        return
    terminal = "--pty" if sys.stdin.isatty() and sys.stdout.isatty() else "--pipe"
    settings = [
        f"--setenv={name}"
        for name in os.environ
        if name.startswith((PREFIX, LEGACY_BACKTEST_PREFIX)) or name in LEGACY_NAMES
    ]
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
            *(f"--property={line}" for line in _credentials(f"{job}.service")),
            *(["--same-dir"] if same_directory else []),
            *environment,
            *settings,
            "--",
            *(sys.executable, "-m", "futures_agent.cli", *sys.argv[1:]),
        ],
    )


def _properties(unit: str, *names: str) -> dict[str, str]:
    """Return properties of a unit as systemd shows them; empty where systemd does not answer."""
    shown = _systemctl("show", unit, *(f"--property={name}" for name in names))
    return dict(line.split("=", 1) for line in shown if "=" in line)


def _credentials(unit: str) -> list[str]:
    """Return the lines of a unit that name its secrets; `systemctl show` leaves them out."""
    lines = _systemctl("cat", unit)
    return [line for line in lines if line.startswith(("LoadCredential=", "SetCredential="))]


def _systemctl(*arguments: str) -> list[str]:
    """Return the lines that systemctl prints; none where it does not answer."""
    try:
        ran = subprocess.run(
            ["systemctl", *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return ran.stdout.splitlines()

"""The unit files as a host would have them: installed under a scratch root, with stubs for the programs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SYSTEMD = REPOSITORY / "systemd"
BASE_UNITS = Path("/usr/lib/systemd/system")

Analyze = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def systemd_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root directory with systemd's own units, ours, and programs that do nothing."""
    if shutil.which("systemd-analyze") is None or not BASE_UNITS.is_dir():
        pytest.skip("systemd-analyze is not installed: unit files are checked where it is (Debian: systemd)")
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(BASE_UNITS, root / "usr/lib/systemd/system", symlinks=True)
    (root / "lib").symlink_to("usr/lib")
    units = root / "etc/systemd/system"
    units.mkdir(parents=True)
    for pattern in ("*.service", "*.timer", "*.slice"):
        for unit in SYSTEMD.glob(pattern):
            shutil.copy(unit, units)
    programs = [root / "usr/local/bin/agentctl", root / "usr/bin/flock", root / "usr/bin/timeout"]
    programs += [
        root / "usr/local/lib/crypto-futures-agent" / one.name for one in (SYSTEMD / "scripts").iterdir()
    ]
    for program in programs:
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return root


@pytest.fixture
def analyze(systemd_root: Path) -> Analyze:
    """Return `analyze(verb, *arguments)`: systemd-analyze on the scratch root."""

    def run(verb: str, *arguments: str, root: Path = systemd_root) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["systemd-analyze", verb, f"--root={root}", "--no-pager", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run

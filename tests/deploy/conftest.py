"""Playing playbooks of the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


@pytest.fixture
def play(tmp_path):
    """Return `play(*arguments) -> CompletedProcess`: ansible-playbook in the repository."""
    if not PLAYBOOK.exists():
        pytest.skip("ansible is not installed (extra `host` of the package)")

    def run(*arguments):
        environment = {
            **os.environ,
            "PATH": f"{PLAYBOOK.parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_HOME": str(tmp_path),
            "ANSIBLE_NOCOLOR": "1",
        }
        return subprocess.run(
            [PLAYBOOK, *arguments],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run

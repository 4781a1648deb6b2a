"""A job started by hand on a provisioned host runs in its unit's slice, as its unit's user."""

import os
import subprocess
import sys
import textwrap

import pytest

_PROGRAM = textwrap.dedent(
    """
    import os, sys
    from futures_agent.program import slices
    uid = int(sys.argv[1])
    os.geteuid = lambda: uid
    slices.os.path.isdir = lambda path: True
    sys.argv = ["agentctl", "data-sync", "--symbols", "BTCUSDT"]
    slices.in_own_slice("data-sync")
    print("runs here")
    """
)


@pytest.fixture
def host(tmp_path):
    """Commands that answer like a host which has data-sync.service, or like one without it."""

    def run(*, uid=0, load_state="loaded", **environment):
        properties = (
            f"LoadState={load_state}\nUser=agent-jobs\nSlice=agent-jobs.slice\n"
            "Environment=BACKTEST_ISOLATED=1\n"
        )
        file = "# LoadCredential=no\nLoadCredential=key:/etc/key\nSetCredential=key:\\n\nUser=agent-jobs\n"
        (tmp_path / "shown").write_text(properties)
        (tmp_path / "file").write_text(file)
        (tmp_path / "systemctl").write_text(
            f"#!/bin/sh\ncase $1 in show) cat {tmp_path}/shown;; cat) cat {tmp_path}/file;; esac\n"
        )
        (tmp_path / "systemd-run").write_text('#!/bin/sh\nprintf "%s\\n" systemd-run "$@"\n')
        for name in ("systemctl", "systemd-run"):
            (tmp_path / name).chmod(0o755)
        clean = {key: value for key, value in os.environ.items() if key != "INVOCATION_ID"}
        return subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(uid)],
            env={**clean, "PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()

    return run


def test_root_is_moved_into_the_slice(host):
    command = host(AGENT_DATA__SYMBOLS="BTCUSDT", LOG_LEVEL="DEBUG")
    assert command[0] == "systemd-run"
    assert {"--slice=agent-jobs.slice", "--uid=agent-jobs", "--wait", "--pipe"} <= set(command)
    assert {"--setenv=AGENT_DATA__SYMBOLS", "--setenv=LOG_LEVEL"} <= set(command)
    assert "--setenv=BACKTEST_ISOLATED=1" in command
    secrets = [one for one in command if "Credential" in one]
    assert secrets == ["--property=LoadCredential=key:/etc/key", r"--property=SetCredential=key:\n"]
    assert command[-5:] == ["-m", "futures_agent.cli", "data-sync", "--symbols", "BTCUSDT"]


@pytest.mark.parametrize(
    "case",
    [
        {"uid": 1000},
        {"load_state": "not-found"},
        {"INVOCATION_ID": "1"},
        {"AGENT_PATHS__STATE_DIR": "/tmp/x"},
    ],
)
def test_everyone_else_stays(host, case):
    assert host(**case) == ["runs here"]

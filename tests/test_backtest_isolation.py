"""The nightly backtest cannot reach the exchange, the orders, the secrets, or the database's write lock.

What the unit grants is checked here; that systemd enforces it is checked on real hosts (molecule).
"""

from __future__ import annotations

from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "systemd/backtest.service"


@pytest.fixture(scope="module")
def lines():
    return UNIT.read_text(encoding="utf-8").splitlines()


def values(lines, key):
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def test_says_that_it_is_isolated(lines):
    assert "Environment=BACKTEST_ISOLATED=1" in lines


def test_has_no_network(lines):
    assert values(lines, "PrivateNetwork") == ["yes"]
    assert values(lines, "RestrictAddressFamilies") == ["AF_UNIX"]  # the journal and sd_notify
    assert values(lines, "IPAddressDeny") == ["any"]


def test_writes_its_own_directories_only(lines):
    assert values(lines, "ProtectSystem") == ["strict"]
    state = "/var/lib/crypto-futures-agent"
    assert values(lines, "ReadWritePaths") == [f"-{state}/backtest/results", f"-{state}/jobs/backtest"]
    assert values(lines, "CacheDirectory") == ["crypto-futures-agent/backtest"]


def test_is_a_user_of_its_own_without_secrets(lines):
    assert values(lines, "User") == ["agent-backtest"]
    others = [path for path in UNIT.parent.glob("*.service") if path != UNIT]
    assert not [path for path in others if "User=agent-backtest" in path.read_text(encoding="utf-8")]
    assert not [line for line in lines if "Credential" in line or line.startswith("EnvironmentFile")]


def test_gains_no_privileges(lines):
    assert values(lines, "NoNewPrivileges") == ["yes"]
    assert values(lines, "CapabilityBoundingSet") == [""]
    assert values(lines, "PrivateUsers") == ["yes"]


def test_stays_in_its_slice(lines):
    assert values(lines, "Slice") == ["agent-backtest.slice"]

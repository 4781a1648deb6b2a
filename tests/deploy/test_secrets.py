"""Secrets of the inventory become files that root alone may read, and appear nowhere else."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import yaml

ROLE = Path(__file__).parents[2] / "roles/app"


def load(name):
    return yaml.safe_load((ROLE / name).read_text(encoding="utf-8"))


@pytest.fixture
def secrets(play, tmp_path):
    """Return `secrets(directory, **app_credentials)`: the tasks of the role that write them there."""

    def run(directory, mode="paper", **secret):
        playbook = tmp_path / "secrets.yml"
        handlers = set()
        tasks = [task for task in load("tasks/configure.yml") if "app_credentials" in str(task)]
        for task in tasks:
            task.get("ansible.builtin.copy", {}).update(owner=os.getuid(), group=os.getgid())
            if handler := task.get("notify"):
                handlers.add(handler)
        variables = {
            **load("vars/main.yml"),
            "app_credentials_directory": str(directory),
            "app_credentials": secret,
            "app_settings": {"live": {"mode": mode}},
        }
        local = {"hosts": "localhost", "connection": "local", "gather_facts": False, "become": False}
        told = [{"name": name, "ansible.builtin.debug": {"msg": "told"}} for name in sorted(handlers)]
        one_play = {
            **local,
            "vars": variables,
            "tasks": load("tasks/preflight.yml") + tasks,
            "handlers": told,
        }
        playbook.write_text(json.dumps([one_play]))
        inventory = ["-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}"]
        return play(*inventory, "--diff", "-vvv", str(playbook))

    return run


def test_secrets_become_files_for_one_reader_and_are_never_printed(secrets, tmp_path):
    wanted = tmp_path / "fred_api_key"
    ran = secrets(tmp_path, fred_api_key="planted0secret")
    assert ran.returncode == 0, ran.stdout
    assert wanted.read_text() == "planted0secret\n"
    assert wanted.stat().st_mode & 0o777 == 0o600
    assert "planted0secret" not in ran.stdout + ran.stderr
    assert "changed=0" in secrets(tmp_path, fred_api_key="planted0secret").stdout
    assert "changed=0" in secrets(tmp_path).stdout
    assert wanted.exists(), "what is not named stays"
    assert "changed=1" in secrets(tmp_path, fred_api_key="").stdout
    assert not wanted.exists()


def test_a_secret_that_no_unit_asks_for_is_refused(secrets, tmp_path):
    ran = secrets(tmp_path, fred_api_kye="planted0secret")
    refusal = "app_credentials: fred_api_kye: no unit asks for that; known are fred_api_key"
    assert ran.returncode != 0
    assert refusal in " ".join(ran.stdout.split())
    assert "planted0secret" not in ran.stdout + ran.stderr


RESTARTED = "RUNNING HANDLER [Restart live trading]"
KEYS = {"binance_api_key": "planted0key", "binance_api_secret": "planted0secret"}


def test_live_trading_is_restarted_for_its_own_keys_and_no_others(secrets, tmp_path):
    assert RESTARTED not in secrets(tmp_path, fred_api_key="planted0secret").stdout
    first = secrets(tmp_path, **KEYS)
    assert first.returncode == 0, first.stdout
    assert RESTARTED in first.stdout
    assert not any(secret in first.stdout + first.stderr for secret in KEYS.values())
    assert RESTARTED not in secrets(tmp_path, **KEYS).stdout
    assert RESTARTED in secrets(tmp_path, binance_api_key="").stdout


@pytest.mark.parametrize("mode", ["testnet", "live"])
def test_without_keys_only_paper_is_traded(secrets, tmp_path, mode):
    ran = secrets(tmp_path, mode, binance_api_key="planted0key")
    assert ran.returncode != 0
    refusal = (
        f"app_settings.live.mode is {mode}, and there is no binance_api_secret: give it in app_credentials"
    )
    assert refusal in " ".join(ran.stdout.split())
    assert "planted0key" not in ran.stdout + ran.stderr
    assert list(tmp_path.glob("binance*")) == [], "nothing was changed"
    assert secrets(tmp_path, mode, **KEYS).returncode == 0
    assert secrets(tmp_path, mode).returncode == 0, "they are on the host"
    assert secrets(tmp_path, mode, binance_api_key="").returncode != 0, "taking them away"

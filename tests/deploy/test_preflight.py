"""Refusals: before anything is changed, each with its reason and what to do."""

from __future__ import annotations

import json
import sys

import pytest


@pytest.fixture
def preflight(play, tmp_path):
    """Return `preflight(**variables)`: the role alone, looking at this machine."""

    def run(**variables):
        playbook = tmp_path / "preflight.yml"
        role = {"hosts": "localhost", "connection": "local", "gather_facts": False, "become": False}
        playbook.write_text(json.dumps([{**role, "roles": ["preflight"]}]))
        inventory = ["-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}"]
        return play(*inventory, "-e", json.dumps(variables), str(playbook))

    return run


def sentences(ran):
    """Return what was printed, however it was wrapped."""
    return " ".join(ran.stdout.split())


@pytest.mark.parametrize("inventory", [[], ["-i", "inventory/staging"]])
def test_the_shipped_inventories_are_refused(play, inventory):
    ran = play(*inventory, "site.yml")
    assert ran.returncode != 0
    assert "is the example host: copy inventory/production to a folder of your own" in sentences(ran)
    assert "changed=0" in ran.stdout


def test_every_unfit_property_is_named_at_once(preflight):
    ran = preflight(
        preflight_cores_min=4096,
        preflight_memory_min_mb=99_999_999,
        preflight_disk_free_min_gb=999_999,
        preflight_debian_releases=["99"],
    )
    said = sentences(ran)
    assert ran.returncode != 0
    assert "CPU cores, 4096 needed: take a larger machine" in said
    assert "MB of memory, 99999999 needed: take a larger machine" in said
    assert "GB free under /var/lib, 999999 needed: free some" in said
    assert "tested are Debian 99; install one of them" in said
    assert "changed=0" in said


def test_a_variable_of_the_wrong_type_is_refused(preflight):
    ran = preflight(preflight_cores_min="many")
    assert ran.returncode != 0
    assert "preflight_cores_min" in ran.stdout

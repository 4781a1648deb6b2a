"""Roles document what they do: argument specs, defaults and the example inventory agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (REPOSITORY / "roles").iterdir())


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def options(role: str) -> dict:
    return load(REPOSITORY / "roles" / role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]


@pytest.mark.parametrize("role", ROLES)
def test_argument_specs_are_the_defaults(role):
    defaults = load(REPOSITORY / "roles" / role / "defaults/main.yml")
    assert {name: spec["default"] for name, spec in options(role).items()} == defaults


@pytest.mark.parametrize("role", ROLES)
def test_every_option_is_named_after_its_role_and_described(role):
    for name, spec in options(role).items():
        assert name.startswith(f"{role}_")
        assert spec["description"].rstrip().endswith((".", "]."))


def test_site_runs_every_role_in_order():
    [play] = load(REPOSITORY / "site.yml")
    assert [entry["role"] for entry in play["roles"]] == ["preflight", "host", "app", "units"]
    assert sorted(entry["role"] for entry in play["roles"]) == ROLES


def test_the_example_inventory_documents_every_variable_a_host_may_differ_in():
    text = (REPOSITORY / "inventory/production/group_vars/all/main.yml").read_text(encoding="utf-8")
    documented = set(re.findall(r"^(?:# )?([a-z_]+):", text, flags=re.MULTILINE))
    not_for_hosts = {"app_extras", "app_wheel_cache", "host_packages", "preflight_debian_releases"}
    known = {name for role in ROLES for name in options(role)}
    assert documented & known == known - not_for_hosts


def test_the_example_inventory_says_the_defaults():
    text = (REPOSITORY / "inventory/production/group_vars/all/main.yml").read_text(encoding="utf-8")
    shown = yaml.safe_load(re.sub(r"^# (?=[a-z_]+: \S+$)", "", text, flags=re.MULTILINE))
    examples = {"app_settings", "app_package_index", "host_operators", "units_schedule"}
    defaults = {name: spec["default"] for role in ROLES for name, spec in options(role).items()}
    assert {name: value for name, value in shown.items() if name not in examples} == {
        name: defaults[name] for name in shown if name not in examples
    }
    assert len(shown.keys() - examples) >= 12


def test_the_example_settings_are_the_defaults():
    import msgspec

    from futures_agent.settings import Settings

    text = load(REPOSITORY / "inventory/production/group_vars/all/main.yml")["app_settings"]
    assert msgspec.convert(text, Settings) == Settings()


def test_the_example_schedule_is_the_shipped_one():
    text = (REPOSITORY / "inventory/production/group_vars/all/main.yml").read_text(encoding="utf-8")
    [commented] = re.findall(r"^# units_schedule:\n((?:#   .+\n)+)", text, flags=re.MULTILINE)
    shipped = {
        path.stem: re.findall(r"^OnCalendar=(.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for path in (REPOSITORY / "systemd").glob("*.timer")
        if path.stem != "backtest"  # its time is a setting
    }
    assert yaml.safe_load(re.sub("^#   ", "", commented, flags=re.MULTILINE)) == shipped


def test_every_secret_that_a_unit_asks_for_can_be_given():
    asked = {
        source
        for path in (REPOSITORY / "systemd").glob("*.service")
        for source in re.findall(r"^LoadCredential=(\S+)$", path.read_text("utf-8"), flags=re.MULTILINE)
    }
    fixed = load(REPOSITORY / "roles/app/vars/main.yml")
    directory, known = fixed["app_credentials_directory"], fixed["app_credentials_known"]
    assert asked == {f"{name}:{directory}/{name}" for name in known}


@pytest.mark.parametrize("name", ["production", "staging"])
def test_shipped_inventories_name_example_hosts_only(name):
    hosts = load(REPOSITORY / f"inventory/{name}/hosts.yml")["agents"]["hosts"]
    assert all(host["ansible_host"].endswith(".example.net") for host in hosts.values())


def test_only_the_local_inventory_touches_this_machine():
    assert load(REPOSITORY / "inventory/local/hosts.yml")["agents"]["hosts"] == {
        "localhost": {"ansible_connection": "local"}
    }
    assert "inventory = inventory/production\n" in (REPOSITORY / "ansible.cfg").read_text(encoding="utf-8")


def test_settings_of_the_inventory_become_toml():
    import json
    import tomllib

    from jinja2 import Environment

    environment = Environment(trim_blocks=True, autoescape=False)
    environment.filters["to_json"] = json.dumps
    template = environment.from_string((REPOSITORY / "roles/app/templates/agent.toml.j2").read_text("utf-8"))
    settings = {
        "strategy": {"params": {"fast": 10, "note": 'a "quoted" word'}, "name": "ema_cross"},
        "backtest": {"enabled": False, "initial_equity": 5000.5},
        "data": {"symbols": ["BTCUSDT", "ETHUSDT"]},
    }
    assert tomllib.loads(template.render(app_settings=settings, ansible_managed="managed")) == settings
    assert tomllib.loads(template.render(app_settings={}, ansible_managed="managed")) == {}

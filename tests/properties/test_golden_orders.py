"""Every shipped strategy configuration trades as it always did, to the last bit of the last order.

A difference is either a fault or a change that somebody meant. Who meant it renews the table and says why, in
the table and in the commit:

    RENEW="stops are rounded away from the price" .venv/bin/pytest tests/properties/test_golden_orders.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from futures_agent.backtest.order_hash import order_list, order_list_hash
from futures_agent.backtest.panel import Panel
from market_panels import generated_panel
from shipped import CONFIGURATIONS, simulated

TABLE = Path(__file__).with_name("golden_orders.json")
RENEW = os.environ.get("RENEW", "")


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Return a market of whole ticks: no platform's arithmetic of logarithms can change it."""
    return generated_panel(symbols=6, days=90)


def golden() -> dict[str, dict[str, str | int]]:
    return json.loads(TABLE.read_text()) if TABLE.exists() else {}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_same_orders_as_ever(name: str, panel: Panel, compile_cache: Path) -> None:
    simulation = simulated(*CONFIGURATIONS[name], panel, compile_cache)
    found = {"trades": len(simulation.trades), "sha256": order_list_hash(simulation)}
    known = golden().get(name, {})
    if RENEW and known.get("sha256") != found["sha256"]:
        TABLE.write_text(json.dumps({**golden(), name: {**found, "why": RENEW}}, indent=2) + "\n")
        known = golden()[name]
    last = "\n".join(list(order_list(simulation))[-3:])
    assert {**known, **found} == known, (
        f"{name} trades otherwise; see above how to renew. Last orders:\n{last}"
    )
    assert found["trades"] >= 10


def test_every_configuration_stands_in_the_table_with_a_reason() -> None:
    assert set(golden()) == set(CONFIGURATIONS)
    assert all(row["why"] for row in golden().values())

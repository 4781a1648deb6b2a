"""What a result says about itself, and the page that says all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import fields

from futures_agent.backtest.assumptions import assumptions_of
from futures_agent.backtest.records import ExitReason
from futures_agent.risk.rejection import Rejection
from futures_agent.settings.tree import CostSettings, RiskSettings, Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "assumptions.md").read_text(encoding="utf-8")
KEYS = [
    f"{section}.{each.name}"
    for section, struct in (("risk", RiskSettings), ("costs", CostSettings))
    for each in fields(struct)
]


@pytest.mark.parametrize("key", KEYS)
def test_the_page_names_every_setting_of_risk_and_costs(key: str) -> None:
    assert f"`{key}`" in PAGE


@pytest.mark.parametrize("name", [each.name for each in Rejection if each is not Rejection.ACCEPTED])
def test_the_page_names_every_reason_of_refusal(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_page_names_every_end_of_the_data() -> None:
    assert {f"`{each.name}`" for each in (ExitReason.END, ExitReason.DATA_ENDED)} <= set(
        re.findall(r"`[A-Z_]+`", PAGE)
    )


def test_the_code_it_names_exists() -> None:
    package = ROOT / "app" / "src" / "futures_agent"
    source = "".join(
        path.read_text()
        for room in ("backtest", "execution", "risk")
        for path in (package / room).glob("*.py")
    )
    for name in set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", PAGE)) - {key.partition(".")[2] for key in KEYS}:
        assert f"def {name}(" in source, name
    for path in re.findall(r"`([a-z_/]+\.py)`", PAGE):
        assert (package / path).exists(), path


DEFAULT_SENTENCES = """
Leverage at most 3x over all positions, 1.5x longs − shorts, 1x in one.
No entry that correlates by 0.8 over 168 bars with more than 2 open positions.
No entry for the rest of a UTC day that lost 3 %, unrealised included.
No entry at all once equity was 15 % below its peak.
Slippage: 1 bps + 100 bps × √(quantity / hourly volume), against each fill at market or by a stop.
""".strip().splitlines()


@pytest.mark.parametrize("sentence", DEFAULT_SENTENCES)
def test_the_short_form_has_the_numbers_of_the_settings(sentence: str) -> None:
    assert sentence in assumptions_of(Settings())


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (Settings(risk=RiskSettings(fixed_notional=250.0)), "Each entry has a notional of 250."),
        (Settings(costs=CostSettings(funding=False)), "Funding is not charged."),
    ],
)
def test_the_short_form_says_what_was_changed(changed: Settings, sentence: str) -> None:
    assert sentence in assumptions_of(changed)
    assert sentence not in assumptions_of(Settings())

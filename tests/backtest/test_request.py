"""What a person may ask of a run, and what becomes of the settings by it."""

from __future__ import annotations

from typing import Any

import pytest

from futures_agent.backtest.loading import Period
from futures_agent.backtest.request import Request, is_param, parse_param
from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS, parse_utc
from futures_agent.errors import Refuse
from futures_agent.settings import Effective, Settings, load

NOW = parse_utc("2026-11-20T23:31Z")
CLOSED = parse_utc("2026-11-20T23:00Z")
DAY = parse_utc("2026-11-10")


def effective(**environ: str) -> Effective:
    return load(environ=environ)


def test_the_nightly_run_asks_for_nothing() -> None:
    nightly = Request()
    applied = nightly.applied_to(effective())
    assert applied.settings == Settings()
    assert not nightly.is_typed(applied)
    assert not nightly.past
    assert nightly.period(Settings(), NOW) == Period(CLOSED - 365 * DAY_MS, CLOSED, NOW)


@pytest.mark.parametrize(
    ("asked", "period"),
    [
        ({"start_ms": DAY}, Period(DAY, CLOSED, NOW)),
        ({"end_ms": DAY}, Period(DAY - 365 * DAY_MS, DAY)),
        ({"start_ms": DAY, "end_ms": DAY + DAY_MS}, Period(DAY, DAY + DAY_MS)),
        ({"start_ms": DAY, "end_ms": DAY + HOUR_MS}, Period(DAY, DAY + HOUR_MS)),  # one candle
        ({"start_ms": DAY, "end_ms": DAY + 90 * MINUTE_MS}, Period(DAY, DAY + HOUR_MS)),
        ({"start_ms": DAY + 1, "end_ms": DAY + DAY_MS}, Period(DAY + 1, DAY + DAY_MS)),
    ],
)
def test_a_period_is_half_open_and_ends_on_the_grid(asked: dict[str, int], period: Period) -> None:
    request = Request(**asked)
    assert request.period(Settings(), NOW) == period
    assert request.is_typed(request.applied_to(effective()))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"start_ms": DAY + DAY_MS, "end_ms": DAY},
            "--from 2026-11-11T00:00:00Z is not before --to 2026-11-10",
        ),
        ({"start_ms": DAY, "end_ms": DAY}, "is not before --to"),
        ({"start_ms": NOW}, "--from .*: no H1 candle opens and closes between it and 2026-11-20T23:00:00Z"),
        ({"start_ms": DAY, "end_ms": DAY + HOUR_MS - 1}, "no H1 candle opens and closes between it and"),
        (
            {"end_ms": NOW + 1},
            "--to .* lies ahead, at the exchange it is 2026-11-20T23:31:00Z; leave --to out",
        ),
    ],
)
def test_an_impossible_period_is_refused(asked: dict[str, int], message: str) -> None:
    with pytest.raises(Refuse, match=message):
        Request(**asked).period(Settings(), NOW)


def test_symbols_strategy_and_parameters_go_over_the_settings_and_say_so() -> None:
    request = Request(symbols=["B", "A", "B"], params={"fast": 5})
    applied = request.applied_to(effective(AGENT_STRATEGY__PARAMS='{"fast": 9, "slow": 30}'))
    assert applied.settings.data.symbols == ("B", "A")
    assert applied.settings.strategy.params == {"fast": 5, "slow": 30}
    assert applied.origins["data.symbols"] == "--symbols"
    assert applied.origins["strategy.params"] == "--set"
    assert request.is_typed(applied)


def test_another_strategy_does_not_inherit_parameters_but_the_same_keeps_them() -> None:
    configured = effective(AGENT_STRATEGY__NAME="mine:ONE", AGENT_STRATEGY__PARAMS='{"fast": 9}')
    other = Request(strategy="mine:TWO", params={"slow": 4}).applied_to(configured)
    assert (other.settings.strategy.name, other.settings.strategy.params) == ("mine:TWO", {"slow": 4})
    assert other.origins["strategy.name"] == "--strategy"
    same = Request(strategy="mine:ONE").applied_to(configured)
    assert same.settings.strategy.params == {"fast": 9}
    assert not Request(strategy="mine:ONE").is_typed(same)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("fast=10", ("fast", 10)),
        (" risk = 0.5 ", ("risk", 0.5)),
        ("both=true", ("both", True)),
        ("far=1_000", ("far", 1000)),
        ("strategy.params.fast=3", ("fast", 3)),
    ],
)
def test_a_parameter_is_read_as_toml_has_it(text: str, found: tuple[str, Any]) -> None:
    assert is_param(text)
    name, value = parse_param(text)
    assert (name, value, type(value)) == (*found, type(found[1]))


def test_a_key_with_a_section_is_a_setting() -> None:
    assert not is_param("risk.max_positions=4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", "write a parameter of the strategy, fast=10, or section.key=value"),
        ("=3", "write a parameter"),
        ("fast=ten", "--set fast: expected a number, true or false, found 'ten'"),
        ('fast="10"', "--set fast: expected a number"),
        ("fast=", "--set fast: expected a number"),
    ],
)
def test_what_is_no_parameter_is_refused(text: str, message: str) -> None:
    with pytest.raises(Refuse, match=message):
        parse_param(text)

"""The day's loss limit and the kill switch, close by close."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.risk.limits import limits_of
from futures_agent.risk.state import RISK_STATE, new_risk_state, rearm, risk_step
from futures_agent.settings.tree import RiskSettings

DAY = 20_000 * DAY_MS


class Account:
    """An account of 100 with limits of 3 % a day and 15 % in all, fed by the hour."""

    def __init__(self, hour: int = 0, **risk: Any) -> None:
        self.state = new_risk_state(100.0, DAY + hour * HOUR_MS)
        self.limits = SimpleNamespace(**dict(zip(*limits(**risk), strict=True)))

    def close(self, hour: float, equity: float) -> Any:
        seen = SimpleNamespace(**{name: self.state[name][0].item() for name in RISK_STATE.names})
        risk_step(seen, self.limits, DAY + round(hour * 60) * MINUTE_MS, equity)
        for name, value in vars(seen).items():
            self.state[name] = value
        return seen


def limits(**risk: Any) -> tuple[Any, Any]:
    found = limits_of(RiskSettings(**risk))
    return found.dtype.names, found[0].item()


@pytest.mark.parametrize(("equity", "hit"), [(97.01, False), (97.0, True), (90.0, True)])
def test_the_days_loss_counts_from_its_start(equity: float, hit: bool) -> None:
    assert Account().close(5, equity).daily_loss_hit is hit


def test_a_gain_earlier_in_the_day_is_no_allowance() -> None:
    account = Account()
    assert not account.close(5, 110.0).daily_loss_hit
    assert not account.close(6, 97.1).daily_loss_hit  # 12 % below the morning's high, 2.9 % below its start
    assert account.close(7, 96.9).daily_loss_hit


def test_the_limit_stays_until_the_day_is_over() -> None:
    account = Account()
    account.close(5, 96.0)
    assert account.close(6, 120.0).daily_loss_hit
    assert account.close(23, 120.0).daily_loss_hit
    after = account.close(24, 120.0)  # midnight begins the next day
    assert (after.daily_loss_hit, after.day_start_equity) == (False, 120.0)


def test_a_close_at_midnight_belongs_to_the_new_day() -> None:
    account = Account()
    account.close(23, 99.0)
    assert account.close(24, 95.0).day_start_equity == 95.0
    assert not account.close(25, 92.2).daily_loss_hit
    assert account.close(26, 92.1).daily_loss_hit


def test_a_day_that_begins_in_a_hole_starts_with_the_last_known_equity() -> None:
    account = Account()
    account.close(20, 110.0)
    after = account.close(30, 106.0)
    assert (after.day_start_equity, after.daily_loss_hit) == (110.0, True)


@pytest.mark.parametrize(("equity", "tripped"), [(93.6, False), (93.5, True)])
def test_the_kill_switch_trips_below_the_peak(equity: float, tripped: bool) -> None:
    account = Account()
    account.close(24, 110.0)
    after = account.close(48, equity)
    assert after.kill_switch is tripped
    assert (after.tripped_ms == DAY + 48 * HOUR_MS) is tripped


def test_only_a_person_re_arms_the_kill_switch() -> None:
    account = Account()
    account.close(24, 80.0)
    later = account.close(480, 200.0)
    assert later.kill_switch
    assert later.tripped_ms == DAY + 24 * HOUR_MS
    account.close(500, 150.0)
    rearm(account.state)
    assert not account.close(501, 150.0).kill_switch  # its drawdown counts from 150
    assert account.close(502, 127.0).kill_switch


def test_a_limit_of_everything_is_none_until_nothing_is_left() -> None:
    account = Account(max_daily_loss=1.0, max_drawdown=1.0)
    after = account.close(1, 0.01)
    assert not after.daily_loss_hit
    assert not after.kill_switch

"""The heartbeat: at work is not the same as sound."""

import pytest

from futures_agent.live import heartbeat
from futures_agent.live.heartbeat import Heartbeat, Limits


@pytest.fixture
def now(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: clock[0])
    return clock


def beat() -> Heartbeat:
    return Heartbeat(Limits(market_s=10, user_s=60, reconciled_s=300, candle_s=4000), working_s=120)


def test_sound_while_every_age_is_below_its_limit(now) -> None:
    heart = beat()
    now[0] += 9
    assert heart.stale == []
    now[0] += 2
    assert heart.stale == ["market 11 s"]
    heart.mark("market")
    assert heart.stale == []
    assert heart.age_s("user") == 11


def test_at_work_while_anything_moves_and_unsound_all_the_same(now) -> None:
    heart = beat()
    for _ in range(10):
        now[0] += 100
        heart.mark("attempt")
        assert heart.is_working
    assert [each.split()[0] for each in heart.stale] == ["market", "user", "reconciled"]
    now[0] += 121
    assert not heart.is_working

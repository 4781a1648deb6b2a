"""A subset of `make crash`: a live trader that is killed finds its way back, and a broken one is seen."""

import pytest

from crash import live_campaign, sabotage
from crash.live_campaign import RANDOM, Kill, Result

pytestmark = pytest.mark.slow


def test_a_trader_that_is_killed_loses_nothing():
    result = Result()
    kills = [
        Kill("SENT", occurrence=2),
        Kill("JOURNALED", occurrence=6),
        Kill("SEEN", occurrence=6),
        Kill(RANDOM, closes=1, delay_s=0.3),
    ]
    assert live_campaign.run_once(5, result, kills=kills, calm=True) == []
    assert result.fills
    assert {name for name in result.engaged if result.engaged[name]} == {kill.step for kill in kills}
    assert result.longest_naked_ms < live_campaign.UNPROTECTED_LIMIT_MS


@pytest.mark.parametrize(
    ("broken", "seen"),
    [(sabotage.send_before_the_journal, "entered 2 times"), (sabotage.ask_for_no_fills, "the journal 0 at")],
)
def test_a_trader_that_is_broken_is_seen(monkeypatch, broken, seen):
    """The campaign itself must be able to fail."""
    monkeypatch.setattr(live_campaign, "PATIENCE_S", 8.0)
    kills = [Kill("SENT", occurrence=2)]
    wrong = live_campaign.run_once(5, Result(), kills=kills, break_it=broken, calm=True)
    assert any(seen in each for each in wrong), wrong

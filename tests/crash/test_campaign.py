"""A subset of `make crash`: what disturbed runs of data-sync leave behind, a clean one mends."""

from crash import campaign


def test_disturbed_runs_leave_the_database_of_an_undisturbed_one():
    result = campaign.run_campaign(12, seed=20)
    assert result.failures == []
    assert result.engaged.total() >= 12, str(result)
    assert result.engaged["SIGKILL"], str(result)


def test_a_difference_is_seen(monkeypatch):
    """The campaign itself must be able to fail."""
    looked = iter(range(10))
    contents = campaign.contents

    def one_row_more_each_time(settings):
        found = contents(settings)
        found["candle_holes"] += [("BTCUSDT", "H1", 0, next(looked))]
        return found

    monkeypatch.setattr(campaign, "contents", one_row_more_each_time)
    result = campaign.run_campaign(1, seed=6, say=lambda line: None)
    assert len(result.failures) == 1
    assert "seed 6" in result.failures[0]
    assert "candle_holes differ" in result.failures[0]

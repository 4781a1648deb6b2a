import pytest

from futures_agent.errors import Blocked, Held, Refuse
from futures_agent.program.blocks import clear_block, read_block, refuse_if_blocked, set_block
from futures_agent.program.holds import read_hold, refuse_if_held, release, set_hold


def test_hold_and_release(tmp_path):
    assert read_hold(tmp_path, "backtest") is None
    set_hold(tmp_path, "backtest", " new fees ")
    assert read_hold(tmp_path, "backtest").why == "new fees"
    with pytest.raises(Held, match="new fees"):
        refuse_if_held(tmp_path, "backtest")
    assert release(tmp_path, "backtest") is True
    assert release(tmp_path, "backtest") is False
    refuse_if_held(tmp_path, "backtest")


@pytest.mark.parametrize(
    ("unit", "why", "line"), [("sshd", "x", "cannot be held"), ("backtest", " ", "--why")]
)
def test_bad_holds_are_refused(tmp_path, unit, why, line):
    with pytest.raises(Refuse, match=line):
        set_hold(tmp_path, unit, why)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_hold_still_holds(tmp_path):
    (tmp_path / "backtest").write_text("{")
    with pytest.raises(Held, match="cannot be read"):
        refuse_if_held(tmp_path, "backtest")


def test_block_and_clear(tmp_path):
    refuse_if_blocked(tmp_path)
    set_block(tmp_path, ["H1: coverage 50%", "BTCUSDT H1: gap"])
    with pytest.raises(Blocked, match=r"coverage 50% \(and 1 more\); `agentctl data-sync`"):
        refuse_if_blocked(tmp_path)
    clear_block(tmp_path)
    clear_block(tmp_path)
    assert read_block(tmp_path) == []


def test_a_damaged_block_still_blocks(tmp_path):
    (tmp_path / "BLOCKED").write_text("")
    with pytest.raises(Blocked, match="cannot be read"):
        refuse_if_blocked(tmp_path)

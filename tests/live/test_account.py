"""What the account has been through outlives a restart, and a damaged record re-arms nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc
from futures_agent.errors import Refuse
from futures_agent.live.account import RiskMemory, marked_equity
from futures_agent.plain import plain_type
from futures_agent.risk.gate import Marked
from futures_agent.risk.limits import LIMITS, limits_of
from futures_agent.risk.state import RISK_STATE
from futures_agent.settings.tree import RiskSettings

CLOSE_MS = parse_utc("2026-11-20T10:00Z")
LIMIT = plain_type(LIMITS)(limits_of(RiskSettings())[0].item())


def numbers(memory: RiskMemory) -> dict[str, Any]:
    return {name: getattr(memory.state, name) for name in RISK_STATE.names or ()}


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    memory = RiskMemory(tmp_path / "risk.json")
    memory.save()
    assert not list(tmp_path.iterdir())  # nothing to remember yet
    for hours, equity in enumerate((10_000.0, 10_000.0 / 3, 9_000.1)):
        memory.mark(LIMIT, CLOSE_MS + hours * HOUR_MS, equity)
    memory.save()
    again = RiskMemory(tmp_path / "risk.json")
    assert numbers(again) == numbers(memory)
    assert again.state.kill_switch
    assert again.state.daily_loss_hit
    assert again.close_ms == CLOSE_MS + 2 * HOUR_MS
    assert again.damage == ""


def test_one_close_counts_once(tmp_path: Path) -> None:
    memory = RiskMemory(tmp_path / "risk.json")
    memory.mark(LIMIT, CLOSE_MS, 10_000.0)
    memory.mark(LIMIT, CLOSE_MS, 8_000.0)
    memory.mark(LIMIT, CLOSE_MS - HOUR_MS, 8_000.0)
    assert (memory.state.equity, memory.state.kill_switch) == (10_000.0, False)
    memory.mark(LIMIT, CLOSE_MS + DAY_MS, 8_499.0)
    assert memory.state.kill_switch


def test_a_person_re_arms_it(tmp_path: Path) -> None:
    memory = RiskMemory(tmp_path / "risk.json")
    with pytest.raises(Refuse, match="has seen no close yet"):
        memory.rearm()
    memory.mark(LIMIT, CLOSE_MS, 10_000.0)
    assert memory.rearm().startswith("the kill switch had not tripped")
    memory.mark(LIMIT, CLOSE_MS + HOUR_MS, 8_000.0)
    assert memory.rearm() == (
        "the kill switch of 2026-11-20T11:00:00Z is re-armed; drawdown counts from 8000 on"
    )
    memory.mark(LIMIT, CLOSE_MS + 2 * HOUR_MS, 7_000.0)
    assert not memory.state.kill_switch
    memory.save()
    assert numbers(RiskMemory(tmp_path / "risk.json")) == numbers(memory)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 2, "close_ms": 1, "state": {}}', b"\xff"])
def test_what_cannot_be_read_opens_nothing_until_a_person_says_so(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "risk.json"
    path.write_bytes(content)
    memory = RiskMemory(path)
    assert "re-arms" in memory.damage
    memory.begin(10_000.0, CLOSE_MS - HOUR_MS)
    memory.mark(LIMIT, CLOSE_MS, 10_000.0)
    assert memory.state.kill_switch
    memory.save()
    again = RiskMemory(path)
    assert again.damage == ""
    assert again.state.kill_switch
    memory.rearm()
    assert not memory.state.kill_switch
    assert memory.damage == ""


def test_equity_is_the_wallet_and_what_is_open() -> None:
    held = [(Marked(1, 2.0, 110.0), 100.0), (Marked(-1, 4.0, 55.0), 50.0), (Marked(), 1.0)]
    assert marked_equity(1_000.0, held) == 1_000.0 + 20.0 - 20.0
    assert marked_equity(1_000.0, []) == 1_000.0

"""The strategy's memory on disk: a restart goes on as if nothing had happened, or begins anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from futures_agent.backtest.panel import Panel
from futures_agent.clock import parse_utc
from futures_agent.live.deciding import Decider
from futures_agent.live.memory import anchor_of, load_memory, maker_of, recall, save_memory
from futures_agent.settings.tree import RiskSettings
from live_replay import decider_of, replay, watch
from market_panels import generated_panel
from shipped import CONFIGURATIONS

STRATEGY, PARAMS = CONFIGURATIONS["smc, eager"]


@pytest.fixture(scope="module")
def panel() -> Panel:
    return generated_panel(symbols=3, days=60)


def maker(decider: Decider) -> str:
    return maker_of(decider.rules, decider.code)


def saved(decider: Decider, path: Path) -> int:
    return save_memory(
        path, decider.trackers, maker=maker(decider), anchor_ms=decider.anchor_ms, anchor_days=60
    )


def test_a_restart_at_any_close_goes_on_bit_for_bit(panel: Panel, tmp_path: Path) -> None:
    seen = watch(panel, STRATEGY, PARAMS, RiskSettings())
    whole = decider_of(panel, STRATEGY, PARAMS, tmp_path / "whole")
    whole.risk.begin(10_000.0, int(panel.timeline[0]))
    expected = list(replay(whole, panel, seen))
    path, from_ms, closes = tmp_path / "memory", 0, [close for close, _ in expected]
    for stop_ms in (*closes[100 :: len(closes) // 6], closes[-1]):
        decider = decider_of(panel, STRATEGY, PARAMS, tmp_path)
        memory, why = load_memory(path, maker=maker(decider), anchor_days=60)
        assert (memory is None) == (from_ms == 0), why
        for symbol, each in memory.symbols.items() if memory else ():
            recall(decider.trackers[symbol], each, STRATEGY.state)
        decider.risk.begin(10_000.0, int(panel.timeline[0]))
        for close_ms, made in replay(decider, panel, seen, from_ms=from_ms):
            assert made == expected[closes.index(close_ms)][1]
            if close_ms == stop_ms:
                break
        saved(decider, path)
        decider.risk.save()
        from_ms = stop_ms
    for symbol, tracker in whole.trackers.items():
        assert tracker.state.tobytes() == decider.trackers[symbol].state.tobytes()
    assert sum(len(made.entries) for _, made in expected) > 10


@pytest.fixture
def decider(panel: Panel, tmp_path: Path) -> Decider:
    return decider_of(panel, STRATEGY, PARAMS, tmp_path)


def test_what_another_code_or_other_parameters_made_is_not_used(
    decider: Decider, panel: Panel, tmp_path: Path
) -> None:
    path = tmp_path / "memory"
    assert load_memory(path, maker="", anchor_days=60) == (None, "nothing is remembered yet")
    saved(decider, path)
    memory, why = load_memory(path, maker=maker(decider), anchor_days=60)
    assert memory is not None
    assert (memory.anchor_ms, why) == (decider.anchor_ms, "")
    for other in (
        decider_of(panel, STRATEGY, {**PARAMS, "setup_bars": 47}, tmp_path),
        decider_of(panel, STRATEGY, PARAMS, tmp_path, risk=RiskSettings(correlation_bars=100)),
    ):
        memory, why = load_memory(path, maker=maker(other), anchor_days=60)
        assert memory is None
        assert "parameters" in why
    assert maker_of(decider.rules, "another code") != maker(decider)
    assert maker_of(decider.rules, None) != maker_of(decider.rules, None)
    memory, why = load_memory(path, maker=maker(decider), anchor_days=61)
    assert memory is None
    assert why == "live.anchor_days is 61 now, it was 60"


def test_no_flipped_bit_and_no_torn_end_is_believed(decider: Decider, tmp_path: Path) -> None:
    path = tmp_path / "memory"
    size = saved(decider, path)
    content = path.read_bytes()
    assert size == len(content)
    for place in range(0, size, max(1, size // 60)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        assert load_memory(path, maker=maker(decider), anchor_days=60)[0] is None, place
        path.write_bytes(content[:place])
        memory, why = load_memory(path, maker=maker(decider), anchor_days=60)
        assert memory is None
        assert "damaged" in why


def test_a_symbol_that_failed_is_not_remembered(decider: Decider, tmp_path: Path) -> None:
    decider.trackers["S1USDT"].give_up("broken")
    saved(decider, tmp_path / "memory")
    memory, _ = load_memory(tmp_path / "memory", maker=maker(decider), anchor_days=60)
    assert memory is not None
    assert set(memory.symbols) == {"S0USDT", "S2USDT"}


def test_the_anchor_is_the_start_of_a_day() -> None:
    assert anchor_of(0, parse_utc("2026-11-20T21:15Z")) == parse_utc("2026-11-20")
    assert anchor_of(365, parse_utc("2026-11-20T00:00Z")) == parse_utc("2025-11-20")
    assert anchor_of(1, parse_utc("2026-11-20T00:00Z") - 1) == parse_utc("2026-11-18")

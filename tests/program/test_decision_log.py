"""The decision log: what is read is what was written, whatever happened to the files in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from futures_agent.backtest.panel import Panel
from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.errors import Refuse, Retry
from futures_agent.live.deciding import Decided
from futures_agent.program.decision_log import DecisionLog, read_decisions
from futures_agent.settings.tree import RiskSettings
from live_replay import decider_of, replay, watch
from market_panels import generated_panel
from shipped import CONFIGURATIONS

STRATEGY, PARAMS = CONFIGURATIONS["smc, with inputs"]


@pytest.fixture(scope="module")
def panel() -> Panel:
    return generated_panel(symbols=2, days=60)


@pytest.fixture(scope="module")
def moments(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> list[Decided]:
    """Return what was decided at the last 100 closes."""
    decider = decider_of(panel, STRATEGY, PARAMS, tmp_path_factory.mktemp("decided"))
    decider.risk.begin(10_000.0, int(panel.timeline[0]))
    seen = watch(panel, STRATEGY, PARAMS, RiskSettings())
    return [made for _, made in replay(decider, panel, seen)][-100:]


def written(directory: Path, moments: list[Decided], keep_days: int = 30) -> None:
    log = DecisionLog(directory, keep_days)
    for made in moments:
        log.append(made.close, list(made.decisions))


def read(directory: Path, since_ms: int = 0, until_ms: int = 2**42) -> list:
    return list(read_decisions(directory, since_ms, until_ms))


def test_what_was_decided_is_read_bit_for_bit(moments: list[Decided], tmp_path: Path) -> None:
    written(tmp_path, moments)
    assert read(tmp_path) == [(made.close, list(made.decisions)) for made in moments]
    lines = [line for made in moments for line in made.decisions]
    assert any(value for line in lines for value in line.inputs.values())
    assert {bar.timeframe for line in lines for bar in line.bars} == {"H1", "H4", "D1"}


def test_a_window_is_open_at_its_start_and_closed_at_its_end(moments: list[Decided], tmp_path: Path) -> None:
    written(tmp_path, moments)
    end_ms = moments[-1].close.close_ms
    closes = [close.close_ms for close, _ in read(tmp_path, end_ms - DAY_MS, end_ms)]
    assert closes == [end_ms - (23 - hour) * HOUR_MS for hour in range(24)]
    assert read(tmp_path, end_ms, end_ms + DAY_MS) == []


def test_torn_and_foreign_lines_cost_only_themselves(moments: list[Decided], tmp_path: Path) -> None:
    written(tmp_path, moments[:1])
    (path,) = tmp_path.glob("*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 40])  # a power cut
    written(tmp_path, moments[1:2])
    with path.open("ab") as file:
        file.write(b'{"type":"close"}\nnonsense\n\xff\xfe\n')
    first, second = read(tmp_path)
    assert first == (moments[0].close, list(moments[0].decisions[:-1]))
    assert second == (moments[1].close, list(moments[1].decisions))


def test_old_days_are_removed_and_midnight_belongs_to_the_day_it_ends(
    moments: list[Decided], tmp_path: Path
) -> None:
    written(tmp_path, moments, keep_days=2)
    (tmp_path / "notes.txt").touch()
    days = sorted({(made.close.close_ms - 1) // DAY_MS for made in moments})
    assert len(days) >= 4
    kept = sorted(path.stem for path in tmp_path.glob("*.jsonl"))
    assert len(kept) == 3
    midnight = next(made for made in moments if made.close.close_ms % DAY_MS == 0)
    stamps = {close.close_ms for close, _ in read(tmp_path)}
    last_day = {each.close.close_ms for each in moments if (each.close.close_ms - 1) // DAY_MS == days[-1]}
    assert last_day <= stamps
    assert (midnight.close.close_ms in stamps) is ((midnight.close.close_ms - 1) // DAY_MS in days[-3:])


def test_nothing_written_is_nothing_read_and_no_permission_is_said(
    moments: list[Decided], tmp_path: Path
) -> None:
    assert read(tmp_path / "absent") == []
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises((Refuse, Retry), match="file"):
        written(blocked / "decisions", moments[:1])
    with pytest.raises(Refuse, match="cannot read the decision log"):
        read(blocked)

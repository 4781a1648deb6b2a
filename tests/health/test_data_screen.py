"""The verdict as a person sees it, on a terminal and in the journal."""

import re
import sys

import pytest
from msgspec.structs import replace

from futures_agent.health.data import DataReport
from futures_agent.health.data_screen import print_report
from futures_agent.market.quality import FrameQuality

REPORT = DataReport(
    checked_at_ms=0,
    frames=[
        FrameQuality(
            timeframe="H1",
            symbols=60,
            covered=58,
            oldest_age_ms=7_200_000,
            newest_age_ms=0,
            missing=4,
            confirmed_missing=3,
            candles=525_600,
        )
    ],
    series=[],
    excluded={"OLDUSDT": "delisted since 2026-03-10T00:00:00Z: status is CLOSE, not TRADING"},
    faults=["H1: coverage is low"],
    warnings=["H1: returns far beyond the usual: BTCUSDT 2"],
)
SENTENCES = [
    "excluded: OLDUSDT, delisted since 2026-03-10T00:00:00Z: status is CLOSE, not TRADING",
    "warning: H1: returns far beyond the usual: BTCUSDT 2",
    "fault: H1: coverage is low",
]


def test_the_journal_gets_plain_lines(capsys):
    print_report(REPORT)
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith(
        "H1: fresh 58/60, coverage 96.7%, oldest closed 2.0 h ago, candles 525,600, missing 4"
    )
    assert rest == SENTENCES


def test_a_terminal_gets_a_table(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    print_report(REPORT)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    names, row, *rest = plain.splitlines()
    assert names.split()[:3] == ["timeframe", "fresh", "coverage"]
    assert row.split()[:3] == ["H1", "58/60", "96.7%"]
    assert rest == SENTENCES


@pytest.mark.parametrize(("count", "last"), [(20, "fault: 19"), (23, "fault: … and 3 more")])
def test_many_faults_are_cut_short(capsys, count, last):
    print_report(replace(REPORT, faults=[str(number) for number in range(count)]))
    assert capsys.readouterr().out.splitlines()[-1] == last

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest

from futures_agent.errors import Refuse
from futures_agent.simulator.fault_script import FAULT_KINDS, read_fault, read_script
from futures_agent.simulator.faults import ClockSkew, Fault

NOW = 1_700_000_000_000


def test_the_kind_of_a_fault_follows_from_its_how() -> None:
    assert read_fault(b'{"status": 500}', NOW) == Fault(status=500)
    assert read_fault(b'{"how": "clock skew", "skew_ms": -2000}', NOW) == ClockSkew(skew_ms=-2000)


@pytest.mark.parametrize(
    ("at", "from_ms"),
    [('"+90"', NOW + 90_000), (str(NOW), NOW), ('"2026-03-10T14:20Z"', 1_773_152_400_000)],
)
def test_a_time_may_be_told_in_three_ways(at: str, from_ms: int) -> None:
    line = f'{{"how": "reset", "at": {at}, "for_s": 1.5}}'.encode()
    assert read_fault(line, NOW) == Fault(how="reset", from_ms=from_ms, until_ms=from_ms + 1_500)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"how": "boredom"}', "no fault `boredom`; there are broken off, candles missing"),
        ('{"how": ["late"]}', "no fault `\\['late'\\]`"),
        ('{"how": "late", "stat": 5}', "unknown field `stat`"),
        ('{"at": "noon"}', "`at` 'noon' is no time"),
        ('{"at": "+soon"}', "`at` '\\+soon' is no time"),
        ('{"for_s": 0}', "`for_s` 0 is no number of seconds above 0"),
        ("[]", "Expected `object`"),
        ('{"how": "partial fill", "share": 1}', "`share` 1 must lie between 0 and 1"),
        ('{"how": "mark offset", "symbol": "BTCUSDT", "share": "-1"}', "`share` -1 must lie above -1"),
    ],
)
def test_what_tells_no_fault_is_refused(line: str, words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        read_fault(line.encode(), NOW)


def test_a_script_is_read_line_by_line(tmp_path: Path) -> None:
    script = tmp_path / "faults.jsonl"
    script.write_text('# a bad hour\n{"how": "reset", "at": "+1"}\n\n{"how": "late"}\n')
    assert read_script(script, NOW) == [Fault(how="reset", from_ms=NOW + 1_000), Fault(how="late")]


def test_a_bad_script_is_refused_with_its_line(tmp_path: Path) -> None:
    script = tmp_path / "faults.jsonl"
    script.write_text('{"how": "reset"}\n{"how": "late", "count": 0}\n')
    with pytest.raises(
        Refuse, match=r"faults\.jsonl:2: Expected `int` >= 1 - at `\$\.count`; docs/simulator"
    ):
        read_script(script, NOW)
    with pytest.raises(Refuse, match="cannot read the script of faults: No such file"):
        read_script(tmp_path / "none", NOW)


def test_the_documentation_tells_every_fault_and_each_of_its_examples_works() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    examples = [each for each in re.findall(r'\{"how"[^}]*\}', page) if "…" not in each]
    told = {msgspec.to_builtins(read_fault(example.encode(), NOW))["how"] for example in examples}
    assert told == {how for kind in FAULT_KINDS for how in get_args(get_type_hints(kind)["how"])}

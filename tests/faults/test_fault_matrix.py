"""A part of the fault matrix, and that it sees what it looks for; `make faults` plays all of it."""

from __future__ import annotations

from collections import Counter

import pytest

from faults.cases import CASES
from faults.play import play
from faults.table import Case

# One of each kind of damage.
_PLAYED = (
    "entry done, 503 unknown",
    "stop not done, 408",
    "exit not done, reset",
    "stop refused -4120 2 times",
    "orders event dropped (stop at entry)",
    "listen key dies twice",
    "x:true missing at entry",
    "stop filled in part",
    "liquidation while the trader is down",
    "only reduce with a position",
    "stop cancelled by hand",
    "position opened by hand before the start, closed",
    "stop lost and the stream torn",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", _PLAYED)
def test_a_row_comes_out_as_the_table_says(name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    assert play(case, seed=1).wrong == []


def test_every_row_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "complaint"),
    [
        (Case("never strikes", "hold", (("held", {"how": "stop rejected"}),), ("OPEN",)), "did not strike"),
        (Case("another end", "hold", (), ("SIGNAL",)), "trades"),
        (Case("an incident that is not told", "hold", (), ("OPEN",), ("LIQUIDATED",)), "incidents"),
        (
            Case(
                "a stop that is gone for longer than is allowed",
                "hold",
                (("held", {"do": "cancel_stops"}),),
                ("OPEN",),
                naked_s=0.1,
            ),
            "without a stop",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_a_row_that_comes_out_otherwise_fails(case: Case, complaint: str) -> None:
    assert any(complaint in line for line in play(case, seed=1).wrong)

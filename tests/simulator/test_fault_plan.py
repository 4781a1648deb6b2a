from __future__ import annotations

import pytest

from futures_agent.simulator.fault_plan import FaultPlan
from futures_agent.simulator.faults import ClockSkew, Fault

NOW = 1_700_000_000_000


def strikes(plan: FaultPlan, times: int, now_ms: int = NOW) -> list[bool]:
    return [plan.engage(Fault, now_ms, lambda fault: True) is not None for _ in range(times)]


def test_faults_strike_in_order_as_often_as_planned() -> None:
    plan = FaultPlan()
    first, second = Fault(status=500, path="/a"), Fault(status=503, count=2)
    assert [plan.add(first), plan.add(second)] == [1, 2]
    assert plan.pending() == 3
    taken = [
        plan.engage(Fault, NOW, lambda fault, path=path: fault.path in ("", path))
        for path in "/b /a /a /a".split()
    ]  # type: ignore[misc]
    assert [fault and fault.status for fault in taken] == [503, 500, 503, None]
    assert plan.pending() == plan.left(second) == 0
    assert [(row["planned"], row["engaged"], row["state"]) for row in plan.rows(NOW)] == [
        (1, 1, "used up"),
        (2, 2, "used up"),
    ]


def test_a_fault_strikes_within_its_time_only() -> None:
    plan = FaultPlan()
    plan.add(Fault(from_ms=NOW, until_ms=NOW + 10, count=None))
    states = [plan.rows(at)[0]["state"] for at in (NOW - 1, NOW, NOW + 9, NOW + 10)]
    assert states == ["waiting", "in force", "in force", "over"]
    assert [strikes(plan, 1, at) for at in (NOW - 1, NOW, NOW + 9, NOW + 10)] == [
        [False],
        [True],
        [True],
        [False],
    ]
    assert plan.rows(NOW)[0]["planned"] is None


def test_only_faults_of_the_kind_that_is_asked_for_strike() -> None:
    plan = FaultPlan()
    plan.add(ClockSkew(skew_ms=5))
    assert strikes(plan, 1) == [False]
    struck = plan.engage(ClockSkew, NOW, lambda skew: True)
    assert struck is not None
    assert struck.skew_ms == 5


@pytest.mark.parametrize("probability", [0.2, 0.7])
def test_chance_follows_from_the_seed_and_comes_as_often_as_told(probability: float) -> None:
    def run(seed: int) -> list[bool]:
        plan = FaultPlan(seed)
        plan.add(Fault(probability=probability, count=None))
        return strikes(plan, 1000)

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert abs(sum(run(1)) / 1000 - probability) < 0.06


def test_chance_of_one_fault_does_not_depend_on_others() -> None:
    alone, crowded = FaultPlan(3), FaultPlan(3)
    alone.add(Fault(probability=0.5, count=None))
    crowded.add(Fault(probability=0.5, count=None))
    crowded.add(ClockSkew())
    drawn = []
    for _ in range(50):
        crowded.engage(ClockSkew, NOW, lambda skew: True)
        drawn += strikes(crowded, 1)
    assert drawn == strikes(alone, 50)


def test_clearing_forgets_everything_but_never_gives_a_number_twice() -> None:
    plan = FaultPlan()
    plan.add(Fault())
    plan.clear()
    assert (plan.pending(), plan.rows(NOW)) == (0, [])
    assert plan.add(Fault()) == 2

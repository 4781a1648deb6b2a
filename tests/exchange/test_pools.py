"""Pools of requests beside the weight: shared by the host, half used at most, obeyed when exhausted."""

import json

import pytest

from futures_agent.errors import Interrupted, Retry
from futures_agent.exchange.clock import ExchangeClock
from futures_agent.exchange.governor import MAX_WINDOWS_WAITED, Pool, WeightGovernor

MINUTE = 60_000
POOL = Pool("funding", 10, 5 * MINUTE)
OTHER = Pool("statistics", 10, 5 * MINUTE)
EDGE = 5_966_667 * 5 * MINUTE  # a window's first millisecond


class HandClock(ExchangeClock):
    """Exchange time set by hand."""

    def __init__(self, at_ms=EDGE):
        super().__init__()
        self.at = at_ms

    def now_ms(self):
        return self.at


class Program:
    """One program of a host: its governor, its clock, and the waits it made."""

    def __init__(self, directory, share=1.0, at_ms=EDGE):
        self.clock = HandClock(at_ms)
        self.waits = []
        self.governor = WeightGovernor(directory, 100, share, self.clock, on_wait=self.waited)

    def waited(self, until_ms):
        self.waits.append(until_ms)
        self.clock.at = until_ms

    def draw(self, count=1, pool=POOL):
        for _ in range(count):
            self.governor.draw(pool)


def test_at_most_half_of_a_pool_is_used_in_one_window(tmp_path):
    program = Program(tmp_path)
    program.draw(5)
    assert program.waits == []
    program.draw()
    assert program.waits == [EDGE + 5 * MINUTE]


def test_a_smaller_share_holds_for_pools_too(tmp_path):
    program = Program(tmp_path, share=0.2)
    program.draw(2)
    assert program.waits == []
    program.draw()
    assert program.waits == [EDGE + 5 * MINUTE]


def test_no_window_of_the_exchange_holds_more_than_its_limit_wherever_it_begins(tmp_path):
    program = Program(tmp_path)
    sent = []
    for step_ms in (0, 290_000, 5_000, 3_000, 100_000, 200_000, 0, 0, 40_000) * 6:
        program.clock.at += step_ms
        program.draw(2)
        sent += [program.clock.at] * 2
    busiest = max(sum(start <= at < start + POOL.window_ms for at in sent) for start in sent)
    assert POOL.limit // 2 < busiest <= POOL.limit  # the bound was really in the way


def test_programs_of_one_host_share_a_pool_and_it_outlives_them(tmp_path):
    Program(tmp_path).draw(3)
    second = Program(tmp_path)
    second.draw(2)
    assert second.waits == []
    second.draw()
    assert second.waits == [EDGE + 5 * MINUTE]


def test_pools_count_apart_from_each_other_and_from_the_weight(tmp_path):
    program = Program(tmp_path)
    program.draw(5)
    program.draw(5, OTHER)
    program.governor.settle(program.governor.reserve(100), 100)
    assert program.waits == []
    state = json.loads((tmp_path / "weight.state").read_bytes())
    assert state["used"] == 100
    assert state["pools"] == {
        "funding": [EDGE + 5 * MINUTE, 5],
        "statistics": [EDGE + 5 * MINUTE, 5],
    }


def test_a_refused_pool_rests_as_long_as_told_and_the_weight_does_not(tmp_path):
    program = Program(tmp_path)
    program.draw()
    program.governor.exhaust(POOL, EDGE + 7 * MINUTE)
    program.governor.reserve(1)
    program.draw(1, OTHER)
    assert program.waits == []
    other = Program(tmp_path)
    other.draw()
    assert other.waits == [EDGE + 7 * MINUTE]


def test_a_refusal_without_a_time_holds_until_the_window_ends(tmp_path):
    program = Program(tmp_path, at_ms=EDGE + MINUTE)
    program.governor.exhaust(POOL, None)
    program.draw()
    assert program.waits == [EDGE + 5 * MINUTE]


def test_a_ban_of_the_address_holds_for_pools_too(tmp_path):
    program = Program(tmp_path)
    program.governor.ban(EDGE + 30_000)
    program.draw()
    assert program.waits == [EDGE + 30_000]
    program.governor.ban(EDGE + 10 * MINUTE)
    with pytest.raises(Retry, match="banned this address"):
        program.draw()


def test_damage_and_another_time_line_cost_at_most_what_the_limit_allows(tmp_path):
    program = Program(tmp_path)
    program.draw(5)
    (tmp_path / "weight.state").write_bytes(b"{")
    program.draw(5)
    assert program.waits == []  # two halves: not more than the whole
    program.clock.at = EDGE - 400 * 24 * 60 * MINUTE
    program.draw()
    assert program.waits == []


def test_a_pool_that_others_keep_empty_ends_the_wait_in_the_end(tmp_path):
    program = Program(tmp_path)

    def taken_by_others(until_ms):
        program.clock.at = until_ms
        Program(tmp_path, at_ms=until_ms).draw(5)

    program.governor._on_wait = taken_by_others
    Program(tmp_path).draw(5)
    with pytest.raises(Retry, match=r"limit for funding .* stayed used up"):
        program.draw()
    assert program.clock.at == EDGE + MAX_WINDOWS_WAITED * 5 * MINUTE


def test_closing_ends_a_wait(tmp_path):
    program = Program(tmp_path)
    program.draw(5)
    program.governor._on_wait = None
    program.governor.close()
    with pytest.raises(Interrupted):
        program.draw()

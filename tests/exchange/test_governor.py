import contextlib
import fcntl
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_agent.errors import Interrupted, Refuse, Retry
from futures_agent.exchange.clock import ExchangeClock
from futures_agent.exchange.governor import MAX_BAN_MS, MAX_WINDOWS_WAITED, Pool, Reservation, WeightGovernor
from loopback_exchange import loopback_exchange
from weight_program import run_together

MINUTE = 60_000
EDGE = 29_833_333 * MINUTE  # a minute's first millisecond


class HandClock(ExchangeClock):
    """Exchange time set by hand, `slack` ms behind the exchange's own at most."""

    def __init__(self, at_ms=EDGE, slack=0):
        super().__init__()
        self.at, self.slack = at_ms, slack

    def now_ms(self):
        return self.at

    @property
    def uncertainty_ms(self):
        return self.slack


class Host:
    """The programs of one host: each has its own governor and clock, all share one state file."""

    def __init__(self, directory, limit=100, share=1.0):
        self.directory, self.limit, self.share = directory, limit, share
        self.file = directory / "weight.state"
        self.waits = []

    def program(self, clock, on_wait=None):
        def waited(until_ms):
            self.waits.append(until_ms)
            clock.at = until_ms

        return WeightGovernor(self.directory, self.limit, self.share, clock, on_wait=on_wait or waited)

    def state(self):
        return json.loads(self.file.read_bytes())


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_the_budget_is_a_share_of_the_limit(tmp_path):
    governor = Host(tmp_path, limit=2400, share=0.5).program(HandClock())
    assert governor.budget == 1200
    governor.limit_per_min = 6000
    assert governor.budget == 3000


def test_what_does_not_fit_waits_for_the_next_minute(host):
    clock = HandClock(EDGE + 10_000)
    governor = host.program(clock)
    for _ in range(10):
        governor.settle(governor.reserve(10), None)
    assert host.waits == []
    assert clock.at == EDGE + 10_000
    governor.reserve(1)
    assert host.waits == [EDGE + MINUTE]
    assert host.state() == {"window": EDGE // MINUTE + 1, "used": 1, "in_flight": 1, "ban_until_ms": 0}


def test_a_lighter_request_still_fits(host):
    governor = host.program(HandClock())
    governor.reserve(95)
    governor.reserve(5)
    assert host.waits == []


def test_programs_of_one_host_share_the_budget(host):
    first, second = host.program(HandClock()), host.program(HandClock())
    first.settle(first.reserve(60), 60)
    second.reserve(40)
    assert host.waits == []
    second.reserve(1)
    assert host.waits == [EDGE + MINUTE]


def test_a_reported_use_by_others_is_believed(host):
    governor = host.program(HandClock())
    governor.settle(governor.reserve(10), 95)
    governor.reserve(5)
    assert host.waits == []
    governor.reserve(1)
    assert host.waits == [EDGE + MINUTE]


def test_a_reported_use_below_our_own_is_not(host):
    governor = host.program(HandClock())
    governor.reserve(90)
    governor.settle(governor.reserve(10), 10)
    assert host.state()["used"] == 100


def test_a_use_reported_for_a_past_minute_is_not_charged_to_this_one(host):
    clock = HandClock()
    governor = host.program(clock)
    late = governor.reserve(10)
    clock.at += MINUTE
    governor.reserve(1)
    governor.settle(late, 99)
    assert host.state()["used"] == 11  # what was in the air, and the new one


def test_what_is_in_the_air_at_the_edge_is_charged_to_both_minutes(host):
    clock = HandClock()
    governor = host.program(clock)
    answered, unanswered = governor.reserve(30), governor.reserve(20)
    governor.settle(answered, 30)
    clock.at += MINUTE
    governor.reserve(80)
    assert host.waits == []
    governor.reserve(1)
    assert host.waits == [EDGE + 2 * MINUTE]
    governor.settle(unanswered, None)
    assert host.state() == {"window": EDGE // MINUTE + 2, "used": 81, "in_flight": 1, "ban_until_ms": 0}


def test_what_was_in_the_air_is_forgotten_after_one_minute(host):
    clock = HandClock()
    governor = host.program(clock)
    governor.reserve(50)  # never settled: its process was killed
    for minute, used in ((1, 51), (2, 2), (3, 2), (5, 1)):
        clock.at = EDGE + minute * MINUTE
        governor.reserve(1)
        assert host.state()["used"] == used


def test_an_answer_so_late_that_the_exchange_may_be_in_the_next_minute_stays_charged(host):
    clock = HandClock(EDGE + MINUTE - 100, slack=150)
    governor = host.program(clock)
    governor.settle(governor.reserve(30), 30)
    clock.at += 100
    governor.reserve(1)
    assert host.state()["used"] == 31


def test_a_program_whose_clock_lags_takes_part_in_the_minute_that_has_begun(host):
    ahead, behind = HandClock(EDGE + 5), HandClock(EDGE - 300, slack=400)
    first, second = host.program(ahead), host.program(behind)
    first.settle(first.reserve(60), 60)
    reservation = second.reserve(40)
    assert reservation.window == EDGE // MINUTE
    second.settle(reservation, 100)
    second.reserve(1)
    assert host.waits == [EDGE + MINUTE]


def test_a_clock_set_back_frees_nothing(host):
    clock = HandClock(EDGE + 1_000)
    governor = host.program(clock)
    governor.settle(governor.reserve(100), 100)
    clock.at = EDGE - 5_000
    governor.reserve(1)
    assert host.waits == [EDGE + MINUTE]


def test_a_file_from_another_time_line_does_not_block_for_long(host):
    host.file.write_text(json.dumps({"window": EDGE // MINUTE + 50_000, "used": 100, "ban_until_ms": 0}))
    clock = HandClock(EDGE)
    host.program(clock).reserve(1)
    assert host.waits == [EDGE + MINUTE]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 128,
        b'{"window": 298',
        b'{"window":29833333,"used":5,"in_flight":0,"ban_until_ms":0} {}',
        b'{"window": -1, "used": 0}',
        b'{"window": 29833333, "used": "5"}',
        b"null",
        b"x" * 5000,
    ],
)
def test_a_damaged_file_costs_the_rest_of_a_minute_and_is_replaced(host, garbage):
    host.file.write_bytes(garbage)
    governor = host.program(HandClock(EDGE + 20_000))
    governor.reserve(1)
    assert host.waits == [EDGE + MINUTE]
    assert host.state() == {"window": EDGE // MINUTE + 1, "used": 1, "in_flight": 1, "ban_until_ms": 0}
    assert host.file.stat().st_size == 128


def test_a_fresh_host_starts_at_once(host):
    host.program(HandClock()).reserve(100)
    assert host.waits == []


def test_more_than_a_minutes_budget_is_refused(tmp_path):
    governor = Host(tmp_path, limit=15, share=0.5).program(HandClock())
    with pytest.raises(Refuse, match=r"exchange\.weight_limit_share: .* weight 10 .* 0\.5 of 15"):
        governor.reserve(10)


def test_the_wait_is_bounded(host):
    clock = HandClock()
    greedy = host.program(HandClock())

    def others_were_faster(until_ms):
        clock.at = until_ms
        greedy._clock.at = until_ms
        greedy.settle(greedy.reserve(100), 100)
        host.waits.append(until_ms)

    greedy.settle(greedy.reserve(100), 100)
    with pytest.raises(Retry, match="stayed used up for 10 minutes"):
        host.program(clock, on_wait=others_were_faster).reserve(1)
    assert len(host.waits) == MAX_WINDOWS_WAITED


def test_a_wait_beyond_the_callers_patience_does_not_begin(host):
    clock = HandClock(EDGE + 40_000)
    governor = host.program(clock)
    governor.settle(governor.reserve(100), None)
    with pytest.raises(Retry, match=r"lets nothing pass until .*; not sent") as refused:
        governor.reserve(1, longest_wait_s=19.9)
    assert (refused.value.after_s, host.waits) == (20.0, [])
    governor.reserve(1, longest_wait_s=20.0)
    assert host.waits == [EDGE + MINUTE]


def test_what_weighs_nothing_waits_for_no_minute_but_for_a_ban(host):
    clock = HandClock(EDGE + 1_000)
    governor = host.program(clock)
    governor.reserve(100)
    governor.settle(governor.reserve(0, longest_wait_s=0.0), 140)
    governor.reserve(0, longest_wait_s=0.0)
    governor.ban(EDGE + 31_000)
    with pytest.raises(Retry):
        governor.reserve(0, longest_wait_s=10.0)
    assert host.waits == []


def test_a_wait_ends_when_its_listener_raises(host):
    def stop(_):
        raise Interrupted("told to stop")

    governor = host.program(HandClock(), on_wait=stop)
    governor.reserve(100)
    with pytest.raises(Interrupted, match="told to stop"):
        governor.reserve(1)


def test_a_wait_ends_on_close(host):
    waiting = threading.Event()
    governor = host.program(HandClock(), on_wait=lambda _: waiting.set())
    governor.reserve(100)
    seen = []

    def reserve():
        with pytest.raises(Interrupted):
            governor.reserve(1)
        seen.append("ended")

    thread = threading.Thread(target=reserve)
    thread.start()
    assert waiting.wait(5)
    governor.close()
    thread.join(5)
    assert seen == ["ended"]


@contextlib.contextmanager
def frozen_inside(host):
    """Another program holds the state's lock and does not go on."""
    descriptor = os.open(host.file, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


CALLS = [
    lambda governor: governor.reserve(1),
    lambda governor: governor.settle(Reservation(0, 1), None),
    lambda governor: governor.draw(Pool("statistics", 100, MINUTE)),
    lambda governor: governor.ban(EDGE + MINUTE),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_lock_that_stays_held_is_one_clear_line(host, monkeypatch, call):
    monkeypatch.setattr("futures_agent.exchange.governor.LONGEST_LOCK_WAIT_S", 0.05)
    governor = host.program(HandClock())
    with frozen_inside(host), pytest.raises(Retry, match=r"weight\.state: another program .* locked"):
        call(governor)
    call(governor)


def test_waiting_for_the_lock_says_so_and_ends_when_its_listener_raises(host):
    told = []

    def stop(until_ms):
        told.append(until_ms)
        raise Interrupted("told to stop")

    governor = host.program(HandClock(), on_wait=stop)
    with frozen_inside(host), pytest.raises(Interrupted, match="told to stop"):
        governor.reserve(1)
    assert EDGE < told[0] <= EDGE + 10_000


def test_waiting_for_the_lock_ends_on_close_and_a_closed_one_still_settles(host):
    governor = host.program(HandClock())
    reservation = governor.reserve(1)
    with frozen_inside(host):
        closing = threading.Timer(0.02, governor.close)
        closing.start()
        with pytest.raises(Interrupted, match=r"weight\.state"):
            governor.reserve(1)
        closing.join()
    governor.settle(reservation, 7)
    assert host.state()["used"] == 7


def test_a_lock_held_for_a_moment_costs_a_moment(host):
    governor = host.program(HandClock())
    with ThreadPoolExecutor(1) as pool:
        with frozen_inside(host):
            reserving = pool.submit(governor.reserve, 1)
            with pytest.raises(TimeoutError):
                reserving.result(0.02)
        assert reserving.result(5).weight == 1


def test_a_short_ban_is_waited_for(host):
    governor = host.program(HandClock())
    governor.ban(EDGE + 45_000)
    assert governor.reserve(1).window == EDGE // MINUTE
    assert host.waits == [EDGE + 45_000]


def test_a_ban_outlives_its_process_and_binds_every_program(host):
    host.program(HandClock()).ban(EDGE + 10 * MINUTE)
    clock = HandClock(EDGE + MINUTE)
    following = host.program(clock)
    with pytest.raises(Retry, match="banned this address until 2026-09-21T14:23:00Z") as raised:
        following.reserve(1)
    assert raised.value.after_s == 540
    assert host.waits == []
    clock.at = EDGE + 10 * MINUTE
    following.reserve(1)
    assert host.waits == []


def test_a_shorter_ban_does_not_replace_a_longer_one(host):
    governor = host.program(HandClock())
    governor.ban(EDGE + 10 * MINUTE)
    governor.ban(EDGE + 1)
    assert host.state()["ban_until_ms"] == EDGE + 10 * MINUTE


def test_a_ban_is_capped_and_an_impossible_one_ignored(host):
    governor = host.program(HandClock())
    governor.ban(EDGE + 100 * MAX_BAN_MS)
    assert host.state()["ban_until_ms"] == EDGE + MAX_BAN_MS
    earlier = host.program(HandClock(EDGE - 3 * MINUTE))  # another time line: the cap lies beyond its own
    earlier.reserve(1)
    assert host.state()["ban_until_ms"] == 0


def test_a_place_that_cannot_be_written_is_said_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refuse, match=r"paths\.state_dir"):
        Host(tmp_path / "file").program(HandClock())
    (tmp_path / "dir" / "weight.state").mkdir(parents=True)
    with pytest.raises(Refuse, match=r"weight\.state"):
        Host(tmp_path / "dir").program(HandClock())


def test_a_full_disk_is_one_clear_line(monkeypatch, host):
    governor = host.program(HandClock())

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", no_space)
    with pytest.raises(Retry, match="No space left on device"):
        governor.reserve(1)


def test_other_users_of_the_group_can_count_too(host):
    host.program(HandClock()).reserve(1)
    assert host.file.stat().st_mode & 0o777 == 0o660


def test_threads_never_exceed_the_budget(host):
    clock = HandClock()
    governor = host.program(clock)
    granted = []

    def work():
        for _ in range(10):
            reservation = governor.reserve(2)
            granted.append(reservation)
            governor.settle(reservation, None)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(granted) == 80
    by_window = {}
    for reservation in granted:
        by_window[reservation.window] = by_window.get(reservation.window, 0) + 2
    assert max(by_window.values()) == 100


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_minute_of_the_exchange_ever_sees_more_than_the_limit(tmp_path_factory, data):
    """Three programs with lagging clocks, requests and answers that travel for any time, at any edge."""
    host = Host(tmp_path_factory.mktemp("host"), limit=20)
    slack = data.draw(st.integers(0, 3_000))
    lags = [data.draw(st.integers(0, slack)) for _ in range(3)]
    clocks = [HandClock(slack=slack) for _ in lags]

    class Waiting(Exception):
        pass

    def give_up(_):
        raise Waiting

    programs = [host.program(clock, on_wait=give_up) for clock in clocks]
    true_ms = EDGE + data.draw(st.integers(0, MINUTE))
    counted: dict[int, int] = {}
    in_the_air = []  # (arrival at the exchange, answer in hand, program, reservation)
    for _ in range(60):
        true_ms += data.draw(st.integers(0, 8_000))
        for clock, lag in zip(clocks, lags, strict=True):
            clock.at = true_ms - lag
        for flight in [one for one in in_the_air if one[1] <= true_ms]:
            in_the_air.remove(flight)
            arrival, _, program, reservation = flight
            program.settle(reservation, counted[arrival // MINUTE])
        program = data.draw(st.sampled_from(programs))
        weight = data.draw(st.integers(1, 10))
        try:
            reservation = program.reserve(weight)
        except Waiting:
            continue
        arrival = true_ms + data.draw(st.integers(0, 10_000))
        answer = arrival + data.draw(st.integers(0, 10_000))
        counted[arrival // MINUTE] = counted.get(arrival // MINUTE, 0) + weight
        in_the_air.append((arrival, answer, program, reservation))
    assert max(counted.values(), default=0) <= 20


def test_three_processes_with_four_threads_each_never_meet_429(tmp_path):
    limit, requests, scale = 120, 60, 60.0
    with loopback_exchange(scale=scale, weight_limit=limit) as exchange:
        said = run_together([[exchange.url, tmp_path / "exchange", scale, limit, requests]] * 3)
        assert exchange.refused == 0
        assert max(exchange.used.values()) <= limit
    # The limit was really in the way: the programs filled minutes and waited for the next.
    assert sum(exchange.used.values()) >= 3 * requests * 2
    assert any("waited=True" in output for output in said), said

from __future__ import annotations

import time

import pytest

from futures_agent.errors import Refuse
from futures_agent.simulator.clock import VenueClock


def test_standing_clock_moves_only_when_stepped() -> None:
    clock = VenueClock(1_000_000, scale=0)
    time.sleep(0.01)
    assert clock.now_ms() == 1_000_000
    assert clock.step(250) == 1_000_250
    assert clock.now_ms() == 1_000_250


def test_sleep_on_a_standing_clock_steps_it() -> None:
    clock = VenueClock(0, scale=0)
    clock.sleep(2.5)
    assert clock.now_ms() == 2_500


def test_scaled_clock_runs_by_its_scale() -> None:
    began = time.monotonic()
    clock = VenueClock(0, scale=1000)
    clock.sleep(20.0)
    host_ms = (time.monotonic() - began) * 1000
    assert host_ms >= 20
    assert 20_000 <= clock.now_ms() <= (time.monotonic() - began) * 1_000_000 + 1


def test_without_a_start_it_shows_the_hosts_time() -> None:
    assert abs(VenueClock().now_ms() - time.time() * 1000) < 1000


def test_set_may_go_back_and_scale_keeps_the_time_shown() -> None:
    clock = VenueClock(5_000, scale=0)
    clock.set(4_000)
    clock.set_scale(0.0)
    assert clock.now_ms() == 4_000
    clock.set_scale(2.0)
    assert clock.scale == 2.0
    assert clock.now_ms() >= 4_000


@pytest.mark.parametrize("scale", [-1.0, 100_001.0, float("nan")])
def test_senseless_scale_is_refused(scale: float) -> None:
    with pytest.raises(Refuse, match="scale"):
        VenueClock(0, scale=scale)


def test_step_backwards_is_refused() -> None:
    with pytest.raises(Refuse, match="cannot step by -1 ms"):
        VenueClock(0, scale=0).step(-1)

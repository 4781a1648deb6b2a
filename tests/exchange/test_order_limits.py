from __future__ import annotations

import threading
import time

import pytest

from futures_agent.errors import Interrupted, Retry
from futures_agent.exchange.clock import ExchangeClock
from futures_agent.exchange.order_limits import OrderLimit, OrderLimits


class SetClock(ExchangeClock):
    """Shows what it is told."""

    def __init__(self, now_ms: int) -> None:
        super().__init__()
        self.shown_ms = now_ms

    def now_ms(self) -> int:
        return self.shown_ms


LIMITS = (OrderLimit(3, 10_000), OrderLimit(5, 60_000))


@pytest.fixture
def clock() -> SetClock:
    return SetClock(1_790_000_000_000)


def test_no_stretch_as_long_as_a_window_holds_more_than_its_limit(clock: SetClock) -> None:
    orders, sent = OrderLimits(clock, LIMITS), []
    for _ in range(2_000):
        clock.shown_ms += 100
        try:
            orders.take(0.0)
        except Retry:
            continue
        sent.append(clock.shown_ms)
    for limit in LIMITS:
        most = max(sum(start <= each < start + limit.window_ms for each in sent) for start in sent)
        assert most == limit.orders
    assert len(sent) >= 5 * 3  # 200 s hold three minutes


def test_a_wait_beyond_the_callers_patience_does_not_begin(clock: SetClock) -> None:
    orders = OrderLimits(clock, LIMITS)
    for _ in range(3):
        orders.take(0.0)
    with pytest.raises(Retry, match=r"used up for 11\.0 s; not sent") as refused:
        orders.take(10.0)
    assert refused.value.after_s == 11.0
    clock.shown_ms += 11_000
    orders.take(0.0)


def test_a_short_wait_is_waited() -> None:
    clock = ExchangeClock(scale=100.0)  # ten seconds are a tenth of one
    orders = OrderLimits(clock, (OrderLimit(1, 10_000),))
    orders.take(0.0)
    before_ms = clock.now_ms()
    orders.take(60.0)
    assert clock.now_ms() - before_ms >= 10_000


def test_the_exchanges_refusal_pauses_until_its_window_ends(clock: SetClock) -> None:
    orders = OrderLimits(clock, LIMITS)
    clock.shown_ms = clock.shown_ms // 60_000 * 60_000 + 59_000
    orders.pause(60_000)
    with pytest.raises(Retry):
        orders.take(0.5)
    clock.shown_ms += 1_001 + clock.uncertainty_ms
    orders.take(0.0)


def test_a_clock_that_was_set_back_does_not_block(clock: SetClock) -> None:
    orders = OrderLimits(clock, LIMITS)
    for _ in range(3):
        orders.take(0.0)
    orders.pause(60_000)
    clock.shown_ms -= 86_400_000
    orders.take(0.0)


def test_close_ends_a_wait() -> None:
    orders = OrderLimits(ExchangeClock(), (OrderLimit(1, 60_000),))
    orders.take(0.0)
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            orders.take(100.0)
        except Interrupted as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    orders.close()
    thread.join(20)
    assert len(ended) == 1

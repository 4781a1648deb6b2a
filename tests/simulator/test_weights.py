from __future__ import annotations

from futures_agent.clock import DAY_MS, MINUTE_MS
from futures_agent.simulator.weights import FIRST_BAN_MS, Verdict, WeightLimiter, Window

NOON = 1_700_000_040_000 - 1_700_000_040_000 % MINUTE_MS


def test_weight_adds_up_within_a_minute_and_starts_anew_with_the_next() -> None:
    limiter = WeightLimiter(limit=10)
    assert limiter.admit("a", 4, NOON) == Verdict(4)
    assert limiter.admit("a", 6, NOON + MINUTE_MS - 1) == Verdict(10)
    assert limiter.admit("a", 4, NOON + MINUTE_MS) == Verdict(4)


def test_each_address_has_its_own_weight() -> None:
    limiter = WeightLimiter(limit=10)
    limiter.admit("a", 10, NOON)
    assert limiter.admit("b", 10, NOON).status == 200
    assert limiter.admit("a", 1, NOON).status == 429


def test_refusal_says_when_the_window_ends_in_whole_seconds_rounded_up() -> None:
    limiter = WeightLimiter(limit=1)
    verdict = limiter.admit("a", 2, NOON + 20_500)
    assert verdict == Verdict(2, 429, retry_after_s=40)


def test_going_on_after_refusals_is_banned_and_the_ban_ends_when_told() -> None:
    limiter = WeightLimiter(limit=1, tolerated_refusals=3)
    statuses = [limiter.admit("a", 2, NOON).status for _ in range(5)]
    assert statuses == [429, 429, 429, 418, 418]
    banned = limiter.admit("a", 1, NOON + FIRST_BAN_MS - 1)
    assert (banned.status, banned.banned_until_ms, banned.retry_after_s) == (418, NOON + FIRST_BAN_MS, 1)
    assert limiter.admit("a", 1, NOON + FIRST_BAN_MS).status == 200


def test_refusals_of_another_minute_are_forgiven() -> None:
    limiter = WeightLimiter(limit=1, tolerated_refusals=1)
    assert limiter.admit("a", 2, NOON).status == 429
    assert limiter.admit("a", 2, NOON + MINUTE_MS).status == 429


def test_an_exhausted_limit_refuses_in_a_fresh_minute_too() -> None:
    limiter = WeightLimiter(limit=10)
    assert limiter.exhaust("a", NOON).status == 429
    assert limiter.admit("a", 0, NOON + MINUTE_MS - 1).status == 429
    assert limiter.admit("a", 0, NOON + MINUTE_MS).status == 200


def test_bans_grow_up_to_three_days() -> None:
    limiter = WeightLimiter(limit=1, tolerated_refusals=0)
    now, lengths = NOON, []
    for _ in range(20):
        until = limiter.admit("a", 2, now).banned_until_ms
        lengths.append(until - now)
        now = until
    assert lengths[:3] == [FIRST_BAN_MS, 2 * FIRST_BAN_MS, 4 * FIRST_BAN_MS]
    assert lengths[-1] == 3 * DAY_MS


def test_windows_tell_past_and_running_minutes() -> None:
    limiter = WeightLimiter(limit=10)
    limiter.admit("a", 3, NOON)
    limiter.admit("a", 2, NOON + 5 * MINUTE_MS)
    assert limiter.windows() == [Window("a", NOON, 3), Window("a", NOON + 5 * MINUTE_MS, 2)]
    limiter.forget()
    assert limiter.windows() == []

"""Macro values: what was known when, whatever is revised later."""

import pytest

from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.market.observation import Observation, day_ms, published_by
from futures_agent.store.macro import macro_known_at, series_state, store_observations

LAG = 2 * DAY_MS
LATER = day_ms("2026-06-01")


def stored(db):
    return list(db.execute("SELECT date, value, available_at FROM macro_data ORDER BY date, available_at"))


def put(db, *observations, lag=LAG, at=LATER, series="CPIAUCSL"):
    return store_observations(db, series, observations, lag_ms=lag, fetched_at_ms=at)


def test_the_day_of_publication_decides_and_ends_in_st_louis():
    assert published_by("2026-01-14") == day_ms("2026-01-15") + 6 * HOUR_MS
    with pytest.raises(ValueError, match="Invalid isoformat"):
        day_ms("soon")


def test_a_revision_is_a_row_of_its_own_and_the_past_stays_as_it_was_known(db):
    first, second = published_by("2026-01-14"), published_by("2026-02-12")
    old, new = Observation("2025-12-01", 324.1, first), Observation("2025-12-01", 324.4, second)
    assert put(db, old, new) == 2
    assert stored(db) == [("2025-12-01", 324.1, first), ("2025-12-01", 324.4, second)]
    assert macro_known_at(db, "CPIAUCSL", first - 1) is None
    assert macro_known_at(db, "CPIAUCSL", first) == ("2025-12-01", 324.1, first)
    assert macro_known_at(db, "CPIAUCSL", second - 1).value == 324.1
    assert macro_known_at(db, "CPIAUCSL", second).value == 324.4


def test_the_newest_day_is_shown_even_when_an_older_one_is_revised_after_it(db):
    january = Observation("2026-01-01", 325.0, published_by("2026-02-12"))
    december = Observation("2025-12-01", 324.4, published_by("2026-03-12"))
    put(db, january, december)
    assert macro_known_at(db, "CPIAUCSL", LATER).date == "2026-01-01"


def test_fetching_again_writes_nothing(db):
    history = [
        Observation("2025-12-01", 324.1, published_by("2026-01-14")),
        Observation("2025-12-01", 324.4, published_by("2026-02-12")),
        Observation("2025-12-01", 324.1, published_by("2026-03-12")),  # and back again
    ]
    assert put(db, *history) == 3
    before = stored(db)
    assert put(db, *history, at=LATER + DAY_MS) == 0
    # Asked from a later day on, the source dates what was known before with that day.
    cut = [Observation("2025-12-01", 324.1, published_by("2026-05-20"))]
    assert put(db, *cut, at=LATER + DAY_MS) == 0
    assert stored(db) == before


def test_what_was_seen_on_its_day_was_known_when_it_was_seen(db):
    seen = day_ms("2026-01-14") + 15 * HOUR_MS
    value = Observation("2025-12-01", 324.1, published_by("2026-01-14"))
    assert put(db, value, at=seen) == 1
    assert stored(db) == [("2025-12-01", 324.1, seen)]
    for again in (seen - 5, seen + DAY_MS):  # the clock may be set back a little
        assert put(db, value, at=again) == 0


def test_without_a_day_of_publication_the_lag_stands_in_and_a_change_counts_from_when_it_was_seen(db):
    value = Observation("2026-01-02", 5800.0, None)
    assert put(db, value, series="SP500") == 1
    assert macro_known_at(db, "SP500", day_ms("2026-01-04") - 1) is None
    assert macro_known_at(db, "SP500", day_ms("2026-01-04")).value == 5800.0
    assert put(db, value, series="SP500", at=LATER + DAY_MS) == 0
    assert put(db, value._replace(value=5801.0), series="SP500", at=LATER + DAY_MS) == 1
    assert macro_known_at(db, "SP500", LATER).value == 5800.0
    assert macro_known_at(db, "SP500", LATER + DAY_MS) == ("2026-01-02", 5801.0, LATER + DAY_MS)


def test_what_is_younger_than_its_lag_was_known_when_it_was_fetched(db):
    put(db, Observation("2026-05-31", 5800.0, None), series="SP500", lag=5 * DAY_MS)
    assert macro_known_at(db, "SP500", LATER).available_at == LATER


def test_two_values_for_one_moment_do_not_overwrite_each_other(db):
    moment = published_by("2026-01-14")
    put(db, Observation("2025-12-01", 324.1, moment))
    assert put(db, Observation("2025-12-01", 324.2, moment), at=LATER) == 1
    assert stored(db) == [("2025-12-01", 324.1, moment), ("2025-12-01", 324.2, LATER)]


def test_where_a_series_begins_and_when_it_last_changed(db):
    assert series_state(db, "DGS10") is None
    put(db, Observation("2026-01-02", 4.1, None), series="DGS10", at=LATER)
    put(db, Observation("2026-01-02", 4.1, None), series="DGS10", at=LATER + 5)
    put(db, Observation("2026-01-01", 4.1, None), series="DGS2", at=LATER + 9)
    assert series_state(db, "DGS10") == ("2026-01-02", LATER)

"""What was known at a close: published by then, the latest time of it, not too old."""

from __future__ import annotations

import numpy as np
import pytest

from futures_agent.market.observation import PUBLISHED
from futures_agent.strategy.inputs import Input, known_at_closes

FOR_EVER = 2**62


def published(*rows: tuple[int, int, float]) -> np.ndarray:
    return np.array(list(rows), dtype=PUBLISHED)


def seen(rows: np.ndarray, closes: list[int], max_age_ms: int = FOR_EVER) -> list[float | None]:
    values, known = known_at_closes(rows, np.array(closes), max_age_ms)
    assert (values[~known] == 0).all()
    return [value if there else None for value, there in zip(values.tolist(), known.tolist(), strict=True)]


def test_a_value_is_seen_from_its_publication_on() -> None:
    assert seen(published((20, 10, 1.5)), [10, 19, 20, 21]) == [None, None, 1.5, 1.5]


def test_a_late_word_on_an_earlier_time_changes_nothing() -> None:
    assert seen(published((20, 10, 1.0), (25, 5, 9.0)), [22, 30]) == [1.0, 1.0]


def test_a_correction_counts_from_when_it_was_known() -> None:
    assert seen(published((20, 10, 1.0), (40, 10, 2.0)), [20, 39, 40]) == [1.0, 1.0, 2.0]


def test_a_value_too_old_is_not_known() -> None:
    assert seen(published((20, 10, 1.0)), [20, 30, 31], max_age_ms=20) == [1.0, 1.0, None]


def test_what_is_too_old_does_not_uncover_what_is_older_still() -> None:
    assert seen(published((20, 10, 1.0), (20, 11, 2.0)), [31, 32], max_age_ms=20) == [2.0, None]


def test_nothing_published_is_nothing_known() -> None:
    assert seen(published(), [1, 2]) == [None, None]
    assert seen(published((20, 10, 1.0)), []) == []


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_a_search_through_all_rows_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.zeros(int(rng.integers(1, 40)), PUBLISHED)
    rows["timestamp"] = rng.integers(0, 30, len(rows))
    rows["available_at"] = rows["timestamp"] + rng.integers(0, 40, len(rows))
    rows["value"] = rng.random(len(rows))
    _, once = np.unique(rows[["timestamp", "available_at"]], return_index=True)
    rows = rows[rng.permutation(once)]
    closes = np.sort(rng.integers(0, 80, 50)).tolist()
    expected: list[float | None] = []
    for close in closes:
        known = [row for row in rows.tolist() if row[0] <= close]
        newest = max(known, key=lambda row: (row[1], row[0]), default=None)
        expected.append(newest[2] if newest is not None and close - newest[1] <= 25 else None)
    assert seen(rows, closes, max_age_ms=25) == expected


def test_ages_are_given_in_hours() -> None:
    assert Input("vix", "macro", "VIXCLS", 1.5).max_age_ms == 5_400_000

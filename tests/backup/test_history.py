"""Settled candles: which changes are damage, and which have an explanation."""

from __future__ import annotations

import msgspec
import pytest

from futures_agent.backup.contents import WEEK_MS, Contents, WeekDigest
from futures_agent.backup.history import is_another_database, unrecorded_changes

WEEK = 2900 * WEEK_MS
SETTLED = WEEK + 2 * WEEK_MS


def contents(*weeks: WeekDigest, version: int = 6, schema: str = "s") -> Contents:
    by_week = {WEEK + index * WEEK_MS: week for index, week in enumerate(weeks)}
    return Contents(schema_version=version, schema=schema, tables={}, weeks={"ohlcv_h1": by_week})


BEFORE = contents(WeekDigest(10, "a", 1), WeekDigest(10, "b"), WeekDigest(5, "c"))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (BEFORE, []),
        (contents(WeekDigest(10, "X", 2), WeekDigest(10, "b")), []),  # rewritten by SQL
        (contents(WeekDigest(11, "X", 1), WeekDigest(10, "b")), []),  # filled
        (contents(WeekDigest(10, "a", 1), WeekDigest(10, "b"), WeekDigest(5, "X")), []),  # not settled yet
        (contents(WeekDigest(9, "X", 1), WeekDigest(10, "b")), ["1 of 10 candles gone"]),
        (contents(WeekDigest(10, "a", 1)), ["10 of 10 candles gone"]),
        (contents(WeekDigest(10, "X", 1), WeekDigest(10, "b")), ["values of its 10 candles changed"]),
        (contents(version=7, schema="t"), []),  # a migration
        (contents(version=7), ["versions 6 and 7, without a migration"]),
        (contents(schema="t"), ["versions 6 and 6, without a migration"]),
    ],
)
def test_a_change_needs_an_explanation(after: Contents, expected: list[str]) -> None:
    found = unrecorded_changes(BEFORE, after, settled_until_ms=SETTLED)
    assert len(found) == len(expected)
    assert all(text in line for text, line in zip(expected, found, strict=True))


@pytest.mark.parametrize(
    ("before", "after", "another"),
    [("a", "b", True), ("a", "a", False), ("", "b", False), ("a", "", False), ("", "", False)],
)
def test_only_two_known_identities_tell_databases_apart(before: str, after: str, another: bool) -> None:
    older = msgspec.structs.replace(BEFORE, identity=before)
    newer = msgspec.structs.replace(BEFORE, identity=after)
    assert is_another_database(older, newer) is another


def test_the_week_and_the_table_are_named() -> None:
    after = contents(WeekDigest(10, "a", 1), WeekDigest(10, "X"))
    (line,) = unrecorded_changes(BEFORE, after, settled_until_ms=SETTLED)
    assert line.startswith("ohlcv_h1, week of 2025-08-07: ")

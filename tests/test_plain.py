"""Records as plain objects: nested fields, arrays within, and writing back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from futures_agent.plain import plain_type, run_plain

POINT = np.dtype([("x", np.float64), ("hits", np.int8)])
SHAPE = np.dtype([("centre", POINT), ("sides", np.float64, (2,)), ("closed", np.bool_)])


class Sheet(NamedTuple):
    shapes: Any
    counts: Any


def test_writes_reach_the_arrays_also_nested_and_within_tuples() -> None:
    sheet = Sheet(np.zeros(3, SHAPE), np.zeros(2, np.int64))

    def draw(sheet: Sheet, scale: float) -> int:
        for shape in sheet.shapes:
            shape.centre.x = 2 * scale
        sheet.shapes[1].centre.hits += 1
        sheet.shapes[1].sides[1] = 7.0
        sheet.shapes[2].closed = True
        sheet.counts[0] = len(sheet.shapes)
        return len(sheet.shapes)

    assert run_plain(draw, sheet, 1.5) == 3
    assert sheet.shapes["centre"]["x"].tolist() == [3.0, 3.0, 3.0]
    assert sheet.shapes["centre"]["hits"].tolist() == [0, 1, 0]
    assert sheet.shapes["sides"].tolist() == [[0, 0], [0, 7], [0, 0]]
    assert sheet.shapes["closed"].tolist() == [False, False, True]
    assert sheet.counts.tolist() == [3, 0]


def test_the_same_row_is_the_same_object() -> None:
    def touch(points: Any) -> None:
        first = points[0]
        first.x = 1.0
        assert points[0] is first

    run_plain(touch, np.zeros(1, POINT))


def test_fields_are_plain_python_numbers() -> None:
    point = plain_type(POINT)(np.zeros(1, POINT)[0].item())
    assert type(point.x) is float
    assert type(point.hits) is int


def test_arrays_within_records_are_lists_of_plain_numbers() -> None:
    shape = plain_type(SHAPE)(np.zeros(1, SHAPE)[0].item())
    assert shape.sides == [0.0, 0.0]
    assert type(shape.sides[0]) is float


def test_a_field_may_have_any_name() -> None:
    odd = np.dtype([("values", np.float64), ("fields", np.int64)])
    rows = np.zeros(1, odd)

    def fill(rows: Any) -> None:
        rows[0].values, rows[0].fields = 1.5, 2

    run_plain(fill, rows)
    assert rows.tolist() == [(1.5, 2)]

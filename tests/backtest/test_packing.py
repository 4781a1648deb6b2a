"""Packed columns come back as they were, through the decoder that the format's description gives."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from futures_agent.backtest.packing import LARGEST, pack
from unpacking import unpack

NUMBERS = st.integers(-LARGEST, LARGEST) | st.integers(-300, 300)
TABLES = st.integers(0, 40).flatmap(
    lambda count: st.lists(st.lists(NUMBERS, min_size=count, max_size=count), min_size=1, max_size=5)
)


@given(TABLES)
def test_columns_come_back(table):
    columns = [np.array(column, np.int64) for column in table]
    found = unpack(pack(columns), len(columns[0]))

    assert [column.tolist() for column in found] == table


def test_layout_is_as_described():
    packed = pack([np.array([0, -1, 1, 200]), np.zeros(4, np.int64)])

    assert zlib.decompress(packed) == bytes([2, 0, 1, 2, 144, 0, 0, 0, 1, 0])


@pytest.mark.parametrize("value", [LARGEST, -LARGEST])
def test_the_largest_fit_in_six_bytes(value):
    assert zlib.decompress(pack([np.array([value])]))[0] == 6

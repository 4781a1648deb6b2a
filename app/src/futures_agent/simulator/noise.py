"""Random numbers that follow from a key and a number alone: any part of a series can be made on its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def smooth(key: int, at: Floats) -> Floats:
    """Return a curve in [0, 1) through a random value at each whole number."""
    knots = np.floor(at)
    left, right = (uniform(key, (knots + step).astype(np.int64)) for step in (0, 1))
    share = at - knots
    curve: Floats = left * (1 - share) + right * share
    return curve


def uniform(key: int, numbers: Ints) -> Floats:
    """Return a random value in [0, 1) for each number: SplitMix64 (Steele, Lea & Flood, 2014)."""
    state = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key * 0x632BE59B % 2**64)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))).astype(np.float64) / 2.0**64

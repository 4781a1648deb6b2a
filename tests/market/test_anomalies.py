"""What is possible and odd."""

import numpy as np
import pytest

from futures_agent.market.anomalies import jumps, longest_untraded_run, repeated_candles
from futures_agent.market.timeframe import Timeframe
from sample_candles import random_walk

H1 = Timeframe.H1


@pytest.mark.parametrize(
    ("volumes", "run"),
    [([], 0), ([1], 0), ([0], 1), ([1, 0, 0, 1, 0], 2), ([0, 0, 0, 1], 3), ([1, 0, 0, 0], 3), ([0, 0], 2)],
)
def test_the_longest_run_without_volume(volumes, run):
    candles = random_walk(len(volumes))
    candles["volume"] = volumes
    assert longest_untraded_run(candles) == run


def test_a_copy_is_equal_in_every_number_and_was_traded():
    candles = random_walk(10)
    for name in ("open", "high", "low", "close", "volume"):
        candles[name][4] = candles[name][3]
        candles[name][8] = candles[name][7]
    candles["volume"][8] *= 1.01
    assert repeated_candles(candles).tolist() == [candles["timestamp"][4]]
    candles["volume"][3:5] = 0
    assert repeated_candles(candles).tolist() == []
    assert repeated_candles(candles[:0]).tolist() == []


def test_jumps_are_measured_in_robust_sigmas():
    candles = random_walk(2000)  # log returns of standard deviation 0.01
    assert jumps(candles, H1, 8.0) == 0
    candles["close"][1000:] *= np.exp(0.3)
    assert jumps(candles, H1, 25.0) == 1
    assert jumps(candles, H1, 35.0) == 0


def test_a_move_across_a_gap_is_no_jump():
    candles = np.delete(random_walk(2000), 1000)
    candles["close"][1000:] *= 2
    assert jumps(candles, H1, 25.0) == 0


def test_too_few_or_flat_candles_have_no_jumps():
    candles = random_walk(50)
    candles["close"][25:] *= 2
    assert jumps(candles, H1, 25.0) == 0
    flat = random_walk(500)
    flat["close"] = 7.0
    flat["close"][100] = 9.0
    assert jumps(flat, H1, 25.0) == 0
